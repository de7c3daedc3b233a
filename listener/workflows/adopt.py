"""Adoption: what it means for an order of ours that ShipStation has orders under its number. Pure.

Our own doubles are stopped by the key; this finds what others made: by hand, by an earlier program, by another key.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from listener.store.mirror import There

MIRROR_DAYS = 180
"""How far back the first reading goes; a number may come again after that (the uploader before this one: 180 days)."""

ROW_STATUS = {"shipped": "shipped", "cancelled": "cancelled"}
"""What the row shows for an order that is there already; any other status reads as uploaded."""


SEVERAL = "several orders at ShipStation"
"""The kind of conflict that is noted when there is more than one order for one of ours."""


class Adoption(NamedTuple):
    """What is set down instead of sending.

    state:    adopted, or rejected with the reason in `error`
    conflict: the ids, when there are several orders for one of ours
    """

    state: str
    shipstation_order_id: str | None
    row_status: str
    error: str | None = None
    conflict: tuple[str, ...] = ()


def row_status_of(status: str) -> str:
    """Return the status that the row of an order shows which has `status` at ShipStation."""
    return ROW_STATUS.get(status, "uploaded")


def adopt(there: Sequence[There], shipstation_key: str, again: int) -> Adoption | None:
    """Return what becomes of an order for which ShipStation has `there` under its number; None: send it.

    there: oldest first. again: above 1 the shop has asked for a new order although one was cancelled, and only one that
    was cancelled under this very key counts.
    """
    alive = [order for order in there if order.status != "cancelled"]
    if alive:
        ids = tuple(dict.fromkeys(order.shipstation_order_id for order in alive))
        oldest = alive[0]
        return Adoption(
            "adopted", oldest.shipstation_order_id, row_status_of(oldest.status), conflict=ids if len(ids) > 1 else ()
        )
    cancelled = [order for order in there if again == 1 or order.shipstation_key == shipstation_key]
    if not cancelled:
        return None
    number = cancelled[0].shipstation_order_id
    return Adoption("rejected", None, "failed", f"cancelled at ShipStation as {number}")


def adopt_locked(
    there: Sequence[There], shipstation_key: str, again: int, row_created_at: datetime | None, now: datetime
) -> Adoption | None:
    """Return what becomes of an order that ShipStation refused as shipped or cancelled there; None: nothing is there.

    An old order under the same number is another customer's: it counts as ours only inside the mirror's window, or when
    it was made after our row.
    """
    since = min(now - timedelta(days=MIRROR_DAYS), row_created_at or now)
    recent = [order for order in there if order.created_at >= since]
    if recent:
        return adopt(recent, shipstation_key, again)
    if there:
        used = there[0]
        return Adoption(
            "rejected", None, "failed", f"key used by order {used.shipstation_order_id} of {used.created_at:%Y-%m-%d}"
        )
    return None
