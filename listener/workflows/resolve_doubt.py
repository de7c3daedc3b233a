"""Orders in doubt: was the request that got no answer carried out? ShipStation is asked, order by order.

"There" under our key settles it at once. "Not there" counts only when the old request can no longer land: asked after
its start + the request's deadline + 10 s. Until then the order stays in doubt, and nothing is sent for it.
"""

import logging
from typing import Any

from listener.budget import Budget
from listener.database import Connection
from listener.errors import Transient
from listener.flags import Flags
from listener.leader import stand_fast
from listener.shipstation.client import DEADLINE_SECONDS, ShipStation, TooManyRequests
from listener.store import inbox, ledger
from listener.store.ledger import Doubtful, Settled

logger = logging.getLogger(__name__)

CERTAIN_AFTER_SECONDS = DEADLINE_SECONDS + 10.0
LOOK_UPS_A_STEP = 10

ROW_STATUS = {"shipped": "shipped", "cancelled": "cancelled"}
"""What the row shows for an order that is there already; any other status reads as uploaded."""


def resolve_doubt(connection: Connection, epoch: int, shipstation: ShipStation, budget: Budget, flags: Flags) -> None:
    """Look up some of the orders in doubt that are due. A look-up that fails is put off, and new orders do not wait.

    Raises NoBudget.
    """
    for order in ledger.doubtful(connection, LOOK_UPS_A_STEP):
        call_id = budget.take(connection, flags, "GET /orders")
        try:
            found, answer = shipstation.find_orders(order.order_number)
        except TooManyRequests as error:
            budget.note(connection, call_id, None, 0, error)
            raise budget.throttled(error.headers) from error
        except Transient as error:
            budget.note(connection, call_id, None, 0, error)
            ledger.postpone_look_up(connection, order.order_key, str(error))
            logger.warning("Order %s stays in doubt: %s", order.order_number, error, extra={"event": "doubt_stays"})
            return
        budget.answered(answer)
        budget.note(connection, call_id, answer, len(found), None)
        _settle(connection, epoch, order, found, flags)


def _settle(connection: Connection, epoch: int, order: Doubtful, found: list[dict[str, Any]], flags: Flags) -> None:
    settled = verdict_of(order, found)
    with connection.transaction():
        stand_fast(connection, epoch)
        ledger.record(
            connection,
            [settled],
            epoch=order.epoch,
            http_status=None,
            max_attempts=flags.max_upload_attempts,
            from_states=("unknown",),
        )
        if settled.state == "accepted":
            inbox.write_rows(connection, [order.order_key])
    logger.info("Order %s was in doubt: %s", order.order_number, settled.state, extra={"event": "doubt_resolved"})


def verdict_of(order: Doubtful, found: list[dict[str, Any]]) -> Settled:
    """Return what a look-up says of an order in doubt. Pure."""
    ours = [there for there in found if there.get("orderKey") == order.shipstation_key and there.get("orderId")]
    if ours:
        row_status = ROW_STATUS.get(str(ours[0].get("orderStatus")), "uploaded")
        return Settled(order.order_key, "accepted", str(ours[0].get("orderId")), row_status)
    left = CERTAIN_AFTER_SECONDS - order.seconds_since_started
    if left > 0:
        return Settled(order.order_key, "unknown", error="not there yet, may still arrive", wait_seconds=left)
    return Settled(order.order_key, "waiting", error="it did not arrive: to be sent again", wait_seconds=0.0)
