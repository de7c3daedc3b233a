"""What a reading of ShipStation's orders says of an order in doubt. Pure."""

from collections.abc import Sequence

from listener.shipstation.client import DEADLINE_SECONDS
from listener.shipstation.pacific import overlap
from listener.store.ledger import Doubtful, Settled
from listener.store.mirror import There
from listener.workflows.adopt import Adoption, row_status_of

CERTAIN_AFTER_SECONDS = DEADLINE_SECONDS + 10.0


def verdict_of(order: Doubtful, there: Sequence[There]) -> Settled:
    """Return what a reading says of an order whose request got no answer. Pure."""
    since = order.started_at - overlap(order.started_at)  # one is our database's time, the other ShipStation's
    ours = [o for o in there if o.shipstation_key == order.shipstation_key and o.modified_at >= since]
    if ours:
        return Settled(
            order.order_key, "accepted", ours[0].shipstation_order_id, row_status_of(ours[0].status), error=None
        )
    left = CERTAIN_AFTER_SECONDS - order.seconds_since_started
    if left > 0:
        error = order.error if order.doubt == "failed alone" else "not there yet, may still arrive"
        return Settled(order.order_key, "unknown", error=error, wait_seconds=left, doubt=order.doubt)
    if order.doubt == "failed alone":  # others were taken meanwhile: it is this order, and not the service
        return Settled(order.order_key, "waiting", error=order.error, refused=True)
    return Settled(order.order_key, "waiting", error="it did not arrive: to be sent again", wait_seconds=0.0)


def verdict_of_locked(order: Doubtful, adoption: Adoption | None) -> Settled:
    """Return what becomes of an order that was refused as shipped or cancelled there. Pure."""
    if adoption is None:
        return Settled(order.order_key, "waiting", error=order.error, refused=True)
    return Settled(
        order.order_key, adoption.state, adoption.shipstation_order_id, adoption.row_status, error=adoption.error
    )
