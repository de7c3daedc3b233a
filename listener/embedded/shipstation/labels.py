"""Shipments (labels bought here) and fulfillments (orders marked as shipped elsewhere): making, voiding, listing.

The two never mix: marking an order as shipped gives it no shipment, and voiding its last label takes it back to
awaiting_shipment, so that a status may go backwards.
"""

from collections.abc import Callable, Mapping
from typing import Any

from listener.embedded.shipstation.account import Account
from listener.embedded.shipstation.calls import JsonObject
from listener.embedded.shipstation.pacific import order_stamp
from listener.embedded.shipstation.paging import (
    Query,
    read_descending,
    read_paging,
    read_sort,
    read_span,
)
from listener.embedded.shipstation.shape import WAREHOUSE_ID, Record, address_object, order_items

SHIPMENT_ITEM = (
    "orderItemId",
    "lineItemKey",
    "sku",
    "name",
    "imageUrl",
    "weight",
    "quantity",
    "unitPrice",
    "warehouseLocation",
    "options",
    "productId",
    "fulfillmentSku",
)


def buy_label(account: Account, record: Record, **fields: Any) -> JsonObject:
    """Add a shipment for an order, which becomes shipped unless it is a return label; fields are the API's names."""
    shipment = _shipment(account, record) | fields
    account.shipments.append(shipment)
    if not shipment["isReturnLabel"]:
        account.set_status(record, "shipped", shipment["shipDate"])
    return dict(shipment)


def void_label(account: Account, shipment: JsonObject) -> JsonObject:
    """Void a shipment; the order waits again when no other outbound label of it is left."""
    shipment |= {"voided": True, "voidDate": order_stamp(account.now())}
    record = account.orders.get(shipment["orderId"])
    if record and record.status == "shipped" and not any(map(_is_outbound, shipments_of(account, record))):
        account.set_status(record, "awaiting_shipment")
    return dict(shipment)


def shipments_of(account: Account, record: Record) -> list[JsonObject]:
    """Return an order's shipments, oldest first, voided ones and return labels among them."""
    return [shipment for shipment in account.shipments if shipment["orderId"] == record.order_id]


def mark_as_shipped(account: Account, record: Record, sent: JsonObject) -> JsonObject:
    """Record a shipment made elsewhere: a fulfillment, and the order is shipped."""
    date = (sent.get("shipDate") or account.today())[:10]
    fulfillment = _fulfillment(account, record) | {
        "carrierCode": sent["carrierCode"],
        "trackingNumber": sent.get("trackingNumber"),
        "shipDate": date,
        "marketplaceNotified": bool(sent.get("notifySalesChannel")),
    }
    account.fulfillments.append(fulfillment)
    record.fulfilled_by = "Manual"
    account.set_status(record, "shipped", date)
    return {"orderId": record.order_id, "orderNumber": record.number}


def list_shipments(account: Account, query: Query) -> JsonObject:
    """Return a page of shipments; items are shown only when asked for."""
    rows = _filtered(account.shipments, query, SHIPMENT_TESTS, ("createDate", "shipDate", "voidDate"))
    page = _page("shipments", rows, query)
    with_items = query.get("includeshipmentitems", "").lower() == "true"
    for row in page["shipments"]:
        row["shipmentItems"] = row["shipmentItems"] if with_items else None
    return page


def list_fulfillments(account: Account, query: Query) -> JsonObject:
    """Return a page of fulfillments."""
    rows = _filtered(account.fulfillments, query, FULFILLMENT_TESTS, ("createDate", "shipDate"))
    return _page("fulfillments", rows, query)


def _is_outbound(shipment: JsonObject) -> bool:
    return not shipment["voided"] and not shipment["isReturnLabel"]


def _shipment(account: Account, record: Record) -> JsonObject:
    label_id = next(account.label_ids)
    return {
        "shipmentId": label_id,
        **_common(account, record),
        "orderKey": record.key,
        "shipmentCost": 5.25,
        "insuranceCost": 0.0,
        "trackingNumber": f"SIM{label_id}",
        "isReturnLabel": False,
        "batchNumber": None,
        "carrierCode": "simulated_carrier",
        "serviceCode": "simulated_ground",
        "packageCode": "package",
        "confirmation": "none",
        "warehouseId": WAREHOUSE_ID,
        "weight": {"value": 1.0, "units": "ounces", "WeightUnits": 1},
        "dimensions": None,
        "insuranceOptions": {"provider": None, "insureShipment": False, "insuredValue": 0.0},
        "advancedOptions": {"storeId": record.store_id},
        "shipmentItems": [{name: item[name] for name in SHIPMENT_ITEM} for item in order_items(record)],
        "labelData": None,
        "formData": None,
    }


def _fulfillment(account: Account, record: Record) -> JsonObject:
    return {
        "fulfillmentId": next(account.label_ids),
        **_common(account, record),
        "deliveryDate": None,
        "fulfillmentProviderCode": None,
        "fulfillmentServiceCode": None,
        "fulfillmentFee": 0.0,
        "voidRequested": False,
    }


def _common(account: Account, record: Record) -> JsonObject:
    now = account.now()
    return {
        "orderId": record.order_id,
        "orderNumber": record.number,
        "userId": None,
        "customerEmail": record.sent.get("customerEmail"),
        "createDate": order_stamp(now),
        "shipDate": account.today(),
        "voided": False,
        "voidDate": None,
        "marketplaceNotified": False,
        "notifyErrorMessage": None,
        "shipTo": address_object(record.sent.get("shipTo")),
    }


Read = Callable[[JsonObject], Any]

_SHARED_TESTS: Mapping[str, Read] = {
    "ordernumber": lambda row: row["orderNumber"],
    "orderid": lambda row: row["orderId"],
    "trackingnumber": lambda row: row["trackingNumber"],
    "recipientname": lambda row: row["shipTo"]["name"],
}
SHIPMENT_TESTS: Mapping[str, Read] = {
    **_SHARED_TESTS,
    "carriercode": lambda row: row["carrierCode"],
    "servicecode": lambda row: row["serviceCode"],
    "recipientcountrycode": lambda row: row["shipTo"]["country"],
    "storeid": lambda row: row["advancedOptions"]["storeId"],
}
FULFILLMENT_TESTS: Mapping[str, Read] = {**_SHARED_TESTS, "fulfillmentid": lambda row: row["fulfillmentId"]}


def _filtered(
    rows: list[JsonObject], query: Query, tests: Mapping[str, Read], dates: tuple[str, ...]
) -> list[JsonObject]:
    for name, read in tests.items():
        if wanted := query.get(name):
            rows = [row for row in rows if str(read(row)) == wanted]
    for date in dates:
        after, before = read_span(query, date.lower())
        # Stamps of one form compare as text; a date-only field meets the day of the edge, both days included.
        if after:
            rows = [row for row in rows if row[date] and _day_or_stamp(row[date], order_stamp(after)) >= 0]
        if before:
            rows = [row for row in rows if row[date] and _day_or_stamp(row[date], order_stamp(before)) <= 0]
    return rows


def _day_or_stamp(value: str, edge: str) -> int:
    edge = edge[: len(value)]
    return (value > edge) - (value < edge)


def _page(name: str, rows: list[JsonObject], query: Query) -> JsonObject:
    paging = read_paging(query)
    sort = read_sort(query, {"createdate": "createDate", "shipdate": "shipDate"}, "createDate")
    rows = sorted(rows, key=lambda row: str(row[sort]), reverse=read_descending(query))
    page = [dict(row) for row in rows[paging.within(slice(0, len(rows)))]]
    return paging.envelope(name, page, len(rows))
