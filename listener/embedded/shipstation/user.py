"""What people do at ShipStation by hand: the half of an order's life that no API call of ours causes.

Orders are named by their id (int) or their number (str); a number that several orders bear is refused. Every act
returns the order, or the shipment, as the API shows it afterwards, and bumps the order's modifyDate.
"""

from threading import Condition
from typing import Any
from uuid import uuid4

from listener.embedded.shipstation.account import Account
from listener.embedded.shipstation.calls import JsonObject
from listener.embedded.shipstation.labels import buy_label, mark_as_shipped, shipments_of, void_label
from listener.embedded.shipstation.pacific import order_stamp
from listener.embedded.shipstation.shape import Record, order_object


class ShipStationUser:
    """Acts on the account under the simulator's lock and wakes whoever waits for a change."""

    def __init__(self, account: Account, changed: Condition) -> None:
        self._account = account
        self._changed = changed

    def ship(self, order: int | str, tracking_number: str | None = None, **fields: Any) -> JsonObject:
        """Buy a label and return the shipment; fields are the shipment's own (shipmentCost=…, isReturnLabel=True)."""
        if tracking_number is not None:
            fields["trackingNumber"] = tracking_number
        with self._changed:
            shipment = buy_label(self._account, self._find(order), **fields)
            self._changed.notify_all()
            return shipment

    def void(self, order: int | str, shipment_id: int | None = None) -> JsonObject:
        """Void the named label, else the newest one in force, and return the shipment."""
        with self._changed:
            labels = [label for label in shipments_of(self._account, self._find(order)) if not label["voided"]]
            named = [label for label in labels if shipment_id in (None, label["shipmentId"])]
            if not named:
                raise LookupError(f"order {order} has no such label in force")
            voided = void_label(self._account, named[-1])
            self._changed.notify_all()
            return voided

    def mark_shipped(self, order: int | str, tracking_number: str | None = None, carrier: str = "other") -> JsonObject:
        """Mark as shipped elsewhere: a fulfillment and no shipment."""
        with self._changed:
            record = self._find(order)
            mark_as_shipped(self._account, record, {"carrierCode": carrier, "trackingNumber": tracking_number})
            return self._done(record)

    def cancel(self, order: int | str) -> JsonObject:
        return self._move(order, "cancelled")

    def restore(self, order: int | str) -> JsonObject:
        """Take a held or cancelled order back to awaiting_shipment."""
        return self._move(order, "awaiting_shipment")

    def hold(self, order: int | str, until: str) -> JsonObject:
        """Hold until a date, YYYY-MM-DD."""
        with self._changed:
            record = self._find(order)
            self._account.set_hold(record, until)
            return self._done(record)

    def edit(self, order: int | str, **fields: Any) -> JsonObject:
        """Change fields, by the API's names, whatever the order's status; the others stay as they are."""
        with self._changed:
            record = self._find(order)
            self._account.rewrite(record, {**record.sent, "orderStatus": record.status, **fields})
            return self._done(record)

    def split(self, order: int | str, count: int = 1) -> JsonObject:
        """Move the first lines of an order into one of their own, and return that."""
        with self._changed:
            record = self._find(order)
            return self._done(self._account.split(record, list(record.sent.get("items") or ())[:count]))

    def delete(self, order: int | str) -> None:
        """Delete the order: it disappears from every list."""
        with self._changed:
            self._account.delete(self._find(order))
            self._changed.notify_all()

    def create_manual(self, number: str, **fields: Any) -> JsonObject:
        """Type in an order, by default one without items or address; its key is `manual-` and 32 hex digits."""
        sent = {"orderNumber": number, "orderStatus": "awaiting_shipment", "billTo": {"name": None}, "shipTo": {}}
        with self._changed:
            sent["orderDate"] = order_stamp(self._account.now())
            return self._done(self._account.create(sent | fields, key=f"manual-{uuid4().hex}"))

    def _move(self, order: int | str, status: str) -> JsonObject:
        with self._changed:
            record = self._find(order)
            self._account.set_status(record, status)
            return self._done(record)

    def _done(self, record: Record) -> JsonObject:
        self._changed.notify_all()
        return order_object(record)

    def _find(self, order: int | str) -> Record:
        if isinstance(order, int):
            found = [self._account.orders[order]] if order in self._account.orders else []
        else:
            found = self._account.with_number(order)
        if len(found) != 1:
            raise LookupError(f"{len(found)} orders are called {order!r}; name one by its id")
        return found[0]
