"""A stored order and the object the API shows of it: what was sent is kept as sent, the full shape is made on reading.

Making it late keeps a load of thousands of orders a second, and an account of a hundred thousand, cheap.
Keys are those of the order model in the V1 reference; an order has no tracking number.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from listener.embedded.shipstation.calls import JsonObject
from listener.embedded.shipstation.pacific import item_stamp, order_stamp, parse_wall_clock

MANUAL_STORE_ID = 350001
WAREHOUSE_ID = 21001


@dataclass(slots=True)
class Record:
    """One order of the account. Times are Pacific wall-clock; `sent` belongs to the request and is never changed."""

    order_id: int
    key: str
    number: str
    status: str
    order_date: datetime
    created: datetime
    modified: datetime
    items_at: datetime
    first_item_id: int
    store_id: int
    sent: JsonObject
    ship_date: str | None = None
    hold_until: str | None = None
    fulfilled_by: str | None = None


SENT_OR: JsonObject = {
    "customerUsername": None,
    "customerEmail": None,
    "amountPaid": 0.0,
    "taxAmount": 0.0,
    "shippingAmount": 0.0,
    "customerNotes": None,
    "internalNotes": None,
    "gift": False,
    "giftMessage": None,
    "paymentMethod": None,
    "requestedShippingService": None,
    "carrierCode": None,
    "serviceCode": None,
    "packageCode": None,
    "confirmation": "none",
    "dimensions": None,
    "tagIds": None,
}
WEIGHT: JsonObject = {"value": 0.0, "units": "ounces", "WeightUnits": 1}
INSURANCE: JsonObject = {"provider": None, "insureShipment": False, "insuredValue": 0.0}
INTERNATIONAL: JsonObject = {"contents": None, "customsItems": None, "nonDelivery": None}
ADVANCED: JsonObject = {
    "warehouseId": WAREHOUSE_ID,
    "nonMachinable": False,
    "saturdayDelivery": False,
    "containsAlcohol": False,
    "mergedOrSplit": False,
    "mergedIds": [],
    "parentId": None,
    "customField1": None,
    "customField2": None,
    "customField3": None,
    "source": None,
    "billToParty": None,
    "billToAccount": None,
    "billToPostalCode": None,
    "billToCountryCode": None,
    "billToMyOtherAccount": None,
}
ADDRESS: JsonObject = {
    "name": None,
    "company": None,
    "street1": None,
    "street2": None,
    "street3": None,
    "city": None,
    "state": None,
    "postalCode": None,
    "country": None,
    "phone": None,
    "residential": None,
    "addressVerified": None,
}
ITEM: JsonObject = {
    "lineItemKey": None,
    "sku": None,
    "name": None,
    "imageUrl": None,
    "weight": None,
    "quantity": 0,
    "unitPrice": 0.0,
    "taxAmount": None,
    "shippingAmount": None,
    "warehouseLocation": None,
    "options": [],
    "productId": None,
    "fulfillmentSku": None,
    "adjustment": False,
    "upc": None,
}


def order_object(record: Record) -> JsonObject:
    """Return the full order as GET and createorder show it; what is nested in it is shared, so not to be changed."""
    sent = record.sent
    items = order_items(record)
    return {
        **_identity(record),
        **_over(SENT_OR, sent),
        "billTo": address_object(sent.get("billTo")),
        "shipTo": address_object(sent.get("shipTo"), verified="Address not yet validated"),
        "items": items,
        "orderTotal": _order_total(sent, items),
        "weight": _over(WEIGHT, sent.get("weight")),
        "insuranceOptions": _over(INSURANCE, sent.get("insuranceOptions")),
        "internationalOptions": _over(INTERNATIONAL, sent.get("internationalOptions")),
        "advancedOptions": _advanced(record),
    }


def _identity(record: Record) -> JsonObject:
    return {
        "orderId": record.order_id,
        "orderNumber": record.number,
        "orderKey": record.key,
        "orderDate": order_stamp(record.order_date),
        "createDate": order_stamp(record.created),
        "modifyDate": order_stamp(record.modified),
        "paymentDate": sent_stamp(record, "paymentDate"),
        "shipByDate": sent_stamp(record, "shipByDate"),
        "orderStatus": record.status,
        "customerId": None,
        "userId": None,
        "shipDate": record.ship_date,
        "holdUntilDate": record.hold_until,
        "externallyFulfilled": record.fulfilled_by is not None,
        "externallyFulfilledBy": record.fulfilled_by,
        "externallyFulfilledById": None,
        "externallyFulfilledByName": None,
        "labelMessages": None,
    }


def order_items(record: Record) -> list[JsonObject]:
    """Return the order's items with their ids and stamps."""
    at = item_stamp(record.items_at)
    return [
        {**_over(ITEM, item), "orderItemId": record.first_item_id + index, "createDate": at, "modifyDate": at}
        for index, item in enumerate(record.sent.get("items") or ())
    ]


def address_object(sent: JsonObject | None, verified: str | None = None) -> JsonObject:
    """Return the eleven address fields and the verification mark, which only the service sets."""
    return {**_over(ADDRESS, sent), "addressVerified": verified}


def sent_time(record: Record, name: str) -> datetime | None:
    """Return an optional date of the order as Pacific wall-clock."""
    text = record.sent.get(name)
    return parse_wall_clock(text) if text else None


def sent_stamp(record: Record, name: str) -> str | None:
    """Return an optional date of the order as the API writes it."""
    value = sent_time(record, name)
    return None if value is None else order_stamp(value)


def _advanced(record: Record) -> JsonObject:
    return {**_over(ADVANCED, record.sent.get("advancedOptions")), "storeId": record.store_id}


def _over(template: JsonObject, sent: JsonObject | None) -> JsonObject:
    """Lay what was sent over the template: names outside it are dropped, a null leaves the default."""
    if not sent:
        return dict(template)
    return template | {name: value for name, value in sent.items() if value is not None and name in template}


def _order_total(sent: JsonObject, items: list[JsonObject]) -> float:
    # Through Decimal: the service counts in decimals, and 3 * 0.1 in binary is not thirty cents.
    total = sum((_money(item["unitPrice"]) * item["quantity"] for item in items), Decimal(0))
    return float(total + _money(sent.get("taxAmount")) + _money(sent.get("shippingAmount")))


def _money(value: Any) -> Decimal:
    return Decimal(str(value or 0))
