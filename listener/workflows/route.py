"""Which row an order of ShipStation belongs to, and what that row is to show of its status. Pure: two tables in code.

WORDS is the one of them, `route` the other. Three rules stand above both:
- A pending row is the upload's. It finds the order in the mirror and adopts it; here the order only waits for that.
- No row is ever made pending. For an order that awaits shipment a row says 'uploaded', and one of the words that
  mean the same (an older program's 'awaiting_shipment' with an id, a manual order's 'synced_manual') stays.
- What the shop itself has decided stays as long as ShipStation has the order open: a row that it cancelled is not
  taken back by the next edit there. That is a conflict, for a person to look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from listener.manual_pattern import is_manual
from listener.orders import order_key
from listener.shipstation.details import Details
from listener.shipstation.listing import RemoteOrder
from listener.store.manual import SOURCE_SYSTEM
from listener.store.shop_rows import LocalRow
from listener.workflows.adopt import MIRROR_DAYS, SEVERAL

WORDS = {
    "awaiting_payment": "awaiting_payment",
    "awaiting_shipment": "uploaded",
    "on_hold": "on_hold",
    "shipped": "shipped",
    "cancelled": "cancelled",
}
"""ShipStation's statuses in the words of `orders_inbox`. Any other (pending_fulfillment, rejected_fulfillment, one that
nobody has heard of) says nothing that a row could show: the row stays as it is."""

MEANS_UPLOADED = ("uploaded", "awaiting_shipment", "synced_manual")
MANUAL = "synced_manual"

OPEN_HERE = (*MEANS_UPLOADED, "on_hold", "awaiting_payment")
"""What rows say whose orders ShipStation has open."""


class Step(Enum):
    """What becomes of an order."""

    SKIP = auto()  # no row shows it, and none is to
    SHOW = auto()  # `rows` show it, or are to from now on
    WAIT = auto()  # its row is still to come: the upload adopts it, or the whole that it is a part of gets one
    PART = auto()  # a part of a split order: its row goes by the whole, but what is in it counts as shipped
    CONFLICT = auto()  # a person has to look
    IMPORT = auto()  # somebody entered it at ShipStation, and it is to have a row


class Route(NamedTuple):
    """What becomes of an order, with which rows, and why."""

    step: Step
    rows: tuple[LocalRow, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the answer depends on besides. `key_products`: none means that every product is one."""

    manual_order_pattern: str
    key_products: frozenset[str]
    now: datetime

    def is_manual(self, number: str) -> bool:
        """Return whether people enter orders of such a number at ShipStation."""
        return is_manual(number, self.manual_order_pattern)


OLDER = "an older order at ShipStation has this number"


def route(order: RemoteOrder, details: Details, rows: Sequence[LocalRow], terms: Terms) -> Route:
    """Return what becomes of an order, of which `rows` are those that may show it."""
    if not order.order_number.strip():
        return Route(Step.SKIP, why="it has no number")
    ids = (order.shipstation_order_id, *order.merged_ids)
    if showing := tuple(row for row in rows if row.shipstation_order_id in ids):
        return Route(Step.SHOW, showing)
    if whole := tuple(row for row in rows if details.parent_id and row.shipstation_order_id == details.parent_id):
        return Route(Step.PART, whole)
    if same_number := [row for row in rows if order_key(row.order_number) == order_key(order.order_number)]:
        return _route_by_number(order, details, _main(same_number), terms)
    if not terms.is_manual(order.order_number):
        return Route(Step.SKIP, why="it is not ours, and not a manual order")
    if terms.key_products and not any(line.base_sku in terms.key_products for line in details.lines):
        return Route(Step.SKIP, why="it has no key product")
    if details.parent_id:
        return Route(Step.WAIT, why="the order that it was split from has no row yet")
    return Route(Step.IMPORT)


def _main(rows: Sequence[LocalRow]) -> LocalRow:
    """Return the row that stands for a number; others differ in case or blanks only, and are doubles of it."""
    return next((row for row in rows if row.is_ledgers), next((row for row in rows if row.status != "failed"), rows[0]))


def _route_by_number(order: RemoteOrder, details: Details, row: LocalRow, terms: Terms) -> Route:
    if row.shipstation_order_id:
        return _route_besides(order, details, row)
    if row.is_pending:
        # One that awaits shipment is adopted as just that: there is nothing to wait for.
        waits = order.status != "awaiting_shipment"
        return Route(Step.WAIT if waits else Step.SKIP, (row,), "its row is pending: the upload adopts it")
    if row.status == "failed" and order.status == "cancelled":
        return Route(Step.SKIP, why="it failed here and was cancelled there")
    if order.created_at < min(terms.now - timedelta(days=MIRROR_DAYS), row.created_at or terms.now):
        return Route(Step.CONFLICT, (row,), OLDER)
    return Route(Step.SHOW, (row,))


def _route_besides(order: RemoteOrder, details: Details, row: LocalRow) -> Route:
    """Return what becomes of an order whose number a row has that shows another one."""
    if order.status == "cancelled":
        return Route(Step.SKIP, why="it was cancelled, and its row shows another")
    if order.shipstation_order_id in row.line_ids:
        return Route(Step.SKIP, why="an earlier program sent the order in pieces, and this is one")
    if details.is_split:
        return Route(Step.PART, (row,))
    return Route(Step.CONFLICT, (row,), SEVERAL)


class Word(NamedTuple):
    """What a row is to say.

    shown:    the same, where it is ShipStation that says so; None where the row only keeps what it says
    conflict: what a person should know about that
    """

    status: str
    shown: str | None
    conflict: str = ""


def word_for(status: str, row: LocalRow, shown: str | None, *, manual: bool) -> Word:
    """Return what a row says of an order that has `status` at ShipStation.

    shown: what the row was last made to say for it; None: nothing yet
    """
    if status not in WORDS:
        return Word(row.status, None)
    word = WORDS[status]
    if word == "uploaded":
        word = row.status if row.status in MEANS_UPLOADED else MANUAL if manual else word
    if word in (row.status, "shipped") or not _is_the_shops(row, shown):
        return Word(word, word)
    return Word(row.status, None, f"{row.status} here, {'open' if word in OPEN_HERE else word} at ShipStation")


def _is_the_shops(row: LocalRow, shown: str | None) -> bool:
    """Tell what the shop decided from what ShipStation said.

    A row that says 'shipped' before it was ever shown says what an earlier program took from there.
    """
    if row.status == "cancelled":
        return shown != "cancelled"
    return row.status == "shipped" and shown not in (None, "shipped")


def word_of_new(status: str) -> str:
    """Return what the row of a manual order says that has just been found."""
    word = WORDS.get(status, MANUAL)
    return MANUAL if word == "uploaded" else word


def is_manual_row(row: LocalRow, terms: Terms) -> bool:
    """Return whether a row stands for an order that people entered at ShipStation."""
    return row.source_system == SOURCE_SYSTEM or terms.is_manual(row.order_number)
