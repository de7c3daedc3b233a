"""The dry run: everything that the upload does, but the claim is rolled back and the request is not made.

What would go, and what would not and why, is said once for each order. ShipStation is asked as usual (the mirror is
read, within the budget), orders in doubt stay in doubt, and no order and no row is changed.
"""

from collections.abc import Callable, Iterator

from listener.database import Connection
from listener.flags import Flags
from listener.metrics import Metrics
from listener.orders import Order
from listener.shipstation.client import ShipStation
from listener.shipstation.payload import amount_of
from listener.store.ledger import Verdict
from listener.workflows.claim_orders import Claim, claim_orders
from listener.workflows.upload_orders import LARGEST_BATCH, UploadOrders

VERBS = {
    "waiting": "would wait with",
    "adopted": "would not send",
    "excluded": "would not send",
    "held_back": "would hold back",
    "rejected": "would refuse",
}


class DryRun(UploadOrders):
    """An upload that says what it would do."""

    def __init__(self, shipstation: ShipStation, metrics: Metrics, say: Callable[[str], None]) -> None:
        super().__init__(shipstation, metrics)
        self._say = say
        self._said: tuple[int, ...] = ()
        self._going = self._staying = 0

    def _resolve(self, connection: Connection, epoch: int, flags: Flags) -> None:
        """Leave what is in doubt alone."""

    def _locked_wait(self, flags: Flags) -> float | None:
        """What was said once is not looked at again."""
        return None

    def _upload_batch(self, connection: Connection, epoch: int, flags: Flags, due: int | None) -> int:
        self.locked = self._said
        prepared = self._prepare.prepare(connection, flags, LARGEST_BATCH, due, self.locked)
        if prepared is None:
            self.continuing = True
            return 0
        self._budget.give_back(connection, prepared.call_id, flags)
        claim = claim_orders(
            connection,
            epoch,
            flags,
            prepared.limit,
            self.locked,
            together=None,
            knows=lambda key: self._mirror.knows(key, flags),
            keep=False,
        )
        self._tell(claim)
        self._said += tuple(_row_ids(claim))
        self.locked = self._said + claim.locked
        self.continuing = claim.rows > 0
        return 0

    def _tell(self, claim: Claim) -> None:
        for _, order in claim.to_send:
            self._say(f"would send {_described(order)}")
        for verdict in claim.aside:
            self._say(f"{VERBS[verdict.state]} {verdict.candidate.order_number}: {_reason(verdict)}")
        for row_id, other in claim.doubles:
            self._say(f"would refuse row {row_id}: same number as row {other}")
        for key in claim.settled:
            self._say(f"would not send {key}: the ledger has settled it")
        self._going += len(claim.to_send)
        self._staying += len(claim.aside) + len(claim.doubles) + len(claim.settled)
        if not claim.rows and self._going + self._staying > 0:
            self._say(f"{self._going} would go, {self._staying} would not; waiting for more, Ctrl-C ends it")
            self._going = self._staying = 0


def _row_ids(claim: Claim) -> Iterator[int]:
    yield from (candidate.order_inbox_id for candidate, _ in claim.to_send)
    yield from (verdict.candidate.order_inbox_id for verdict in claim.aside)
    yield from (row_id for row_id, _ in claim.doubles)
    yield from claim.settled.values()


def _reason(verdict: Verdict) -> str:
    if verdict.state == "adopted":
        return f"it is at ShipStation already, as {verdict.shipstation_order_id or 'a shipped order'}"
    return verdict.error or verdict.state


def _described(order: Order) -> str:
    pieces = sum(item.quantity for item in order.items)
    place = " ".join(filter(None, (order.ship_to.city, order.ship_to.state, order.ship_to.country)))
    return f"{order.order_number.strip()}: {pieces} pieces, {amount_of(order):.2f}, to {place}"
