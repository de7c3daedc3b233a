"""One ShipStation account: its orders and the rules by which they come to be and change. No I/O; the clock is injected.

The rule of identity: an orderKey the account knows means update, one it does not know means create with exactly that
key, and none at all means a new order every time, however often the number exists already.
Not safe for threads: whoever shares an account holds one lock around every call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from uuid import uuid4

from listener.embedded.shipstation.calls import JsonObject, never_refuse
from listener.embedded.shipstation.index import SortedIndex, folded
from listener.embedded.shipstation.pacific import day, parse_wall_clock, wall_clock
from listener.embedded.shipstation.shape import MANUAL_STORE_ID, Record, order_object

UPDATABLE = frozenset({"awaiting_payment", "awaiting_shipment", "pending_fulfillment", "on_hold"})
LOCKED_MESSAGE = "This order is shipped or cancelled and can no longer be updated."

Refuse = Callable[[str], str | None]


class OrderRefused(Exception):
    """One order is not taken; the text is its errorMessage, the status what a call for this order alone answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Account:
    """Orders by id, in the order they were made; deleted ones are gone from every list, and so is their key."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.orders: dict[int, Record] = {}
        self.by_number: SortedIndex[str] = SortedIndex()
        self.by_modified: SortedIndex[datetime] = SortedIndex()
        self.by_created: SortedIndex[datetime] = SortedIndex()
        self.shipments: list[JsonObject] = []
        self.fulfillments: list[JsonObject] = []
        self.label_ids = count(50_000_001)
        self._by_key: dict[str, int] = {}
        self._order_ids = count(100_000_001)
        self._next_item_id = 200_000_001

    def now(self) -> datetime:
        """Return the present as the account stamps it: Pacific wall-clock, milliseconds."""
        return wall_clock(self._clock())

    # What the API's order calls do

    def put(self, sent: JsonObject, refuse: Refuse = never_refuse) -> Record:
        """Create the order or update the one it names, or raise OrderRefused and change nothing."""
        if (reason := refuse(sent["orderNumber"])) is not None:
            raise OrderRefused(reason)
        known = self._named_by(sent)
        return self.create(sent) if known is None else self._replace(known, sent)

    def put_all(self, orders: list[JsonObject], refuse: Refuse = never_refuse) -> JsonObject:
        """Return the answer of createorders: one result per order, in the order they came."""
        results = [self._put_one(sent, refuse) for sent in orders]
        return {"hasErrors": not all(result["success"] for result in results), "results": results}

    def _put_one(self, sent: JsonObject, refuse: Refuse) -> JsonObject:
        try:
            record = self.put(sent, refuse)
        except OrderRefused as refused:
            return _result(sent, None, sent.get("orderKey"), str(refused))
        return _result(sent, record.order_id, record.key, None)

    def _named_by(self, sent: JsonObject) -> Record | None:
        order_id, key = sent.get("orderId"), sent.get("orderKey")
        if order_id:
            if order_id not in self.orders:
                raise OrderRefused(f"Order {order_id} was not found.", 404)
            return self.orders[order_id]
        return self.orders[self._by_key[key]] if key in self._by_key else None

    def create(self, sent: JsonObject, key: str = "") -> Record:
        """Add a new order, under its own key, the given one, or one made up here."""
        now = self.now()
        record = Record(
            order_id=next(self._order_ids),
            key=sent.get("orderKey") or key or uuid4().hex,
            number=sent["orderNumber"],
            status=sent["orderStatus"],
            order_date=_order_date(sent),
            created=now,
            modified=now,
            items_at=now,
            first_item_id=self._take_item_ids(sent),
            store_id=(sent.get("advancedOptions") or {}).get("storeId") or MANUAL_STORE_ID,
            sent=sent,
            ship_date=(sent.get("shipDate") or "")[:10] or None,
        )
        self.orders[record.order_id] = record
        self._by_key[record.key] = record.order_id
        self.by_created.add(now, record.order_id)
        self._list(record)
        return record

    def _replace(self, record: Record, sent: JsonObject) -> Record:
        """Put what was sent in the place of the whole order: what it leaves out is lost. Key and store never change."""
        if record.status not in UPDATABLE:
            raise OrderRefused(LOCKED_MESSAGE)
        self.rewrite(record, sent)
        return record

    def rewrite(self, record: Record, sent: JsonObject) -> None:
        """Replace an order's content, whatever its status."""
        with self.changing(record):
            record.sent, record.number, record.status = sent, sent["orderNumber"], sent["orderStatus"]
            record.order_date, record.items_at = _order_date(sent), self.now()
            record.first_item_id = self._take_item_ids(sent)

    def delete(self, record: Record) -> None:
        """Remove an order from every list. Its key is free again: the service says nothing to the contrary."""
        self._unlist(record)
        self.by_created.remove(record.created, record.order_id)
        del self.orders[record.order_id]
        if self._by_key.get(record.key) == record.order_id:
            del self._by_key[record.key]

    def split(self, record: Record, items: list[JsonObject]) -> Record:
        """Move lines of an order into a new one of the same number, key and status: a part of what it was."""
        kept = [item for item in record.sent.get("items") or () if item not in items]
        options = record.sent.get("advancedOptions") or {}
        of_part = {**options, "mergedOrSplit": True, "parentId": record.order_id}
        sent = {**record.sent, "orderKey": None, "orderStatus": record.status}
        part = self.create({**sent, "items": items, "advancedOptions": of_part})
        del self._by_key[part.key]
        part.key = record.key
        self.rewrite(record, {**sent, "items": kept, "advancedOptions": {**options, "mergedOrSplit": True}})
        return part

    # What every change goes through

    @contextmanager
    def changing(self, record: Record) -> Iterator[None]:
        """Bump modifyDate and keep the indices exact around any change of an order."""
        self._unlist(record)
        try:
            yield
            record.modified = self.now()
        finally:
            self._list(record)

    def set_status(self, record: Record, status: str, ship_date: str | None = None) -> None:
        """Move an order to a status as its user or a label would; leaving on_hold forgets the date."""
        with self.changing(record):
            record.status, record.ship_date, record.hold_until = status, ship_date, None

    def set_hold(self, record: Record, until: str) -> None:
        """Hold an order until a date (YYYY-MM-DD)."""
        with self.changing(record):
            record.status, record.hold_until = "on_hold", until[:10]

    def with_number(self, number: str) -> list[Record]:
        """Return the orders of exactly that number, oldest first."""
        within = self.by_number.matching(folded(number), folded(number))
        found = (self.orders[order_id] for order_id in self.by_number.ids(within))
        return [record for record in found if record.number == number]

    def objects(self) -> list[JsonObject]:
        """Return every order as the API shows it, oldest first."""
        return [order_object(record) for record in self.orders.values()]

    def objects_with_number(self, number: str) -> list[JsonObject]:
        """Return the orders of exactly that number as the API shows them, oldest first."""
        return [order_object(record) for record in self.with_number(number)]

    def today(self) -> str:
        """Return the account's date as date-only fields carry it."""
        return day(self.now())

    def _list(self, record: Record) -> None:
        self.by_number.add(folded(record.number), record.order_id)
        self.by_modified.add(record.modified, record.order_id)

    def _unlist(self, record: Record) -> None:
        self.by_number.remove(folded(record.number), record.order_id)
        self.by_modified.remove(record.modified, record.order_id)

    def _take_item_ids(self, sent: JsonObject) -> int:
        first = self._next_item_id
        self._next_item_id += len(sent.get("items") or ())
        return first


def _result(sent: JsonObject, order_id: int | None, key: str | None, error: str | None) -> JsonObject:
    return {
        "orderId": order_id,
        "orderNumber": sent["orderNumber"],
        "orderKey": key,
        "success": error is None,
        "errorMessage": error,
    }


def _order_date(sent: JsonObject) -> datetime:
    value = parse_wall_clock(sent["orderDate"])
    if value is None:  # the model lets no such order through; one made in a test by hand should say so
        raise ValueError(f"orderDate {sent['orderDate']!r} is no date")
    return value
