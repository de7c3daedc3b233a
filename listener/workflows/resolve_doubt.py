"""Orders in doubt: was the request that got no answer carried out? ShipStation is asked, for all of them together.

One reading of what changed since the oldest of those requests tells. "There" under our key, and changed since then,
settles an order at once. "Not there" counts only when the old request can no longer land: asked after its start + the
request's deadline + 10 s. Until then the order stays in doubt, and nothing is sent for it; others do not wait.

An order that was refused because it is shipped or cancelled there is in doubt too, of another kind: such an order need
not have changed lately, so it is looked up by its number.
"""

import logging
from collections.abc import Sequence

from listener.budget import Budget
from listener.database import Connection
from listener.errors import Transient
from listener.flags import Flags
from listener.leader import stand_fast
from listener.store import ledger, mirror
from listener.store.ledger import Doubtful, Settled
from listener.workflows.adopt import SEVERAL, adopt_locked
from listener.workflows.keep_mirror import LOOK_UP, KeepMirror
from listener.workflows.show_outcomes import FINAL, show_outcomes
from listener.workflows.verdicts import verdict_of, verdict_of_locked

logger = logging.getLogger(__name__)

LOOK_UPS_A_STEP = 10


def resolve_doubt(connection: Connection, epoch: int, keeper: KeepMirror, budget: Budget, flags: Flags) -> None:
    """Look up the orders in doubt that are due. Raises NoBudget, and Transient when ShipStation could not be asked."""
    doubtful = ledger.doubtful(connection)
    silent = [order for order in doubtful if order.doubt != "locked there"]
    singly = [order for order in doubtful if order.doubt == "locked there"]
    if silent:
        try:
            keeper.read_since(connection, flags, silent[0].started_at)
        except Transient as error:  # one order there may spoil every list it is in
            logger.info("Looking up orders singly: %s", error, extra={"event": "no_list"})
            singly += silent
        else:
            _settle(connection, epoch, flags, [(order, _verdict(connection, order)) for order in silent])
    for order in singly[:LOOK_UPS_A_STEP]:  # each is settled before the next, which may find the budget empty
        (call_id,) = budget.take(connection, flags, LOOK_UP)
        if keeper.look_up(connection, order.order_number, call_id):
            _settle(connection, epoch, flags, [(order, _verdict(connection, order))])
        else:
            ledger.postpone_look_up(connection, [order.order_key], "too many numbers there begin with this one")


def put_off(connection: Connection, error: Transient) -> None:
    """Leave what is in doubt and due alone for a minute: ShipStation could not be asked."""
    keys = [order.order_key for order in ledger.doubtful(connection)]
    ledger.postpone_look_up(connection, keys, str(error))
    logger.warning("%d orders stay in doubt: %s", len(keys), error, extra={"event": "doubt_stays"})


def _verdict(connection: Connection, order: Doubtful) -> Settled:
    """Return what the mirror, which has just been asked for this order, says of it."""
    if order.doubt != "locked there":
        return verdict_of(order, mirror.with_these_keys(connection, [order.shipstation_key]))
    there = mirror.with_these_numbers(connection, [order.order_key])
    now = mirror.read_state(connection).now
    adoption = adopt_locked(there, order.shipstation_key, order.again, order.row_created_at, now)
    if adoption and adoption.conflict:
        mirror.note_conflict(connection, order.order_key, SEVERAL, adoption.conflict)
    return verdict_of_locked(order, adoption)


def _settle(connection: Connection, epoch: int, flags: Flags, verdicts: Sequence[tuple[Doubtful, Settled]]) -> None:
    settled = [verdict for _, verdict in verdicts]
    with connection.transaction():
        stand_fast(connection, epoch)
        recorded = ledger.resolve(connection, settled, max_attempts=flags.max_upload_attempts)
    states = {order.order_key: order.state for order in recorded}
    for order, _ in verdicts:
        if (state := states.get(order.order_key)) not in (None, "unknown"):
            logger.info("Order %s was in doubt: %s", order.order_number, state, extra={"event": "doubt_resolved"})
    show_outcomes(connection, [order.order_key for order in recorded if order.state in FINAL])
