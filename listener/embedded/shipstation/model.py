"""Checks order requests as ShipStation's model binding does: one bad field refuses the whole request, never a part.

Names and types are those of "Create/Update Order" in the V1 reference. Unknown fields are ignored, null is absent.
"""

from collections.abc import Callable, Mapping
from typing import Any

from listener.embedded.shipstation.calls import MALFORMED, JsonObject, ModelState, invalid
from listener.embedded.shipstation.pacific import parse_wall_clock

MAX_ORDERS_PER_REQUEST = 100
STATUSES = frozenset(
    {
        "awaiting_payment",
        "awaiting_shipment",
        "pending_fulfillment",
        "shipped",
        "on_hold",
        "cancelled",
        "rejected_fulfillment",
    }
)
ORDER_TYPE = "SS.OpenApi.Models.Orders.Order"

UNREADABLE = "The body could not be read as JSON; its Content-Type has to be application/json."

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _short_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 50


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _date(value: Any) -> bool:
    return isinstance(value, str) and parse_wall_clock(value) is not None


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _integers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_integer, value))


def _status(value: Any) -> bool:
    return isinstance(value, str) and value in STATUSES


def _fields(check: Check, names: str) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)


ORDER_FIELDS: Mapping[str, Check] = {
    **_fields(_short_text, "orderNumber orderKey"),
    **_fields(_integer, "orderId"),
    **_fields(_status, "orderStatus"),
    **_fields(_date, "orderDate paymentDate shipByDate shipDate"),
    **_fields(_number, "amountPaid taxAmount shippingAmount"),
    **_fields(_boolean, "gift"),
    **_fields(_text, "customerUsername customerEmail customerNotes internalNotes giftMessage paymentMethod"),
    **_fields(_text, "requestedShippingService carrierCode serviceCode packageCode confirmation"),
    **_fields(_object, "billTo shipTo weight dimensions insuranceOptions internationalOptions advancedOptions"),
    **_fields(_objects, "items"),
    **_fields(_integers, "tagIds"),
}
ADDRESS_FIELDS: Mapping[str, Check] = {
    **_fields(_text, "name company street1 street2 street3 city state postalCode country phone"),
    **_fields(_boolean, "residential"),
}
ITEM_FIELDS: Mapping[str, Check] = {
    **_fields(_text, "lineItemKey sku name imageUrl warehouseLocation fulfillmentSku upc"),
    **_fields(_integer, "quantity productId"),
    **_fields(_number, "unitPrice taxAmount shippingAmount"),
    **_fields(_boolean, "adjustment"),
    **_fields(_objects, "options"),
    **_fields(_object, "weight"),
}
REQUIRED = ("orderNumber", "orderDate", "orderStatus", "billTo", "shipTo")


def single_order(body: Any) -> JsonObject:
    """Return the one order of a createorder request, or raise CallRefused with a ModelState."""
    if body is None or body is MALFORMED:
        raise invalid({"apiOrder": [UNREADABLE]})
    if not isinstance(body, dict):
        raise invalid({"apiOrder": [f"Cannot deserialize this JSON into type '{ORDER_TYPE}': an object is needed."]})
    _refuse_faults(order_faults(body, "apiOrder"))
    return body


def order_list(body: Any) -> list[JsonObject]:
    """Return the orders of a createorders request, or raise CallRefused with a ModelState."""
    if body is None or body is MALFORMED:
        raise invalid({"apiOrders": [UNREADABLE]})
    if isinstance(body, dict):
        first = next(iter(body), "orderNumber")
        raise invalid({f"apiOrders.{first}": [f"Type 'List<{ORDER_TYPE}>' requires a JSON array."]})
    if not _objects(body):
        raise invalid({"apiOrders": [f"Cannot deserialize this JSON into type 'List<{ORDER_TYPE}>'."]})
    if len(body) > MAX_ORDERS_PER_REQUEST:
        raise invalid({"apiOrders": [f"No more than {MAX_ORDERS_PER_REQUEST} orders are taken at once."]})
    state: ModelState = {}
    for index, order in enumerate(body):
        state |= order_faults(order, f"apiOrders[{index}]")
    _refuse_faults(state)
    orders: list[JsonObject] = body
    return orders


def required(body: Any, checks: Mapping[str, Check]) -> JsonObject:
    """Return the body of one of the small order calls, or raise CallRefused naming what is missing or wrong."""
    if not isinstance(body, dict):
        raise invalid({"request": ["A JSON object is needed."]})
    state = {name: [f"The {name} field is required."] for name in checks if body.get(name) is None}
    _refuse_faults(state | _wrong(body, checks, "request"))
    return body


MARK_SHIPPED: Mapping[str, Check] = {"orderId": _integer, "carrierCode": _text}
HOLD_UNTIL: Mapping[str, Check] = {"orderId": _integer, "holdUntilDate": _date}
RESTORE_FROM_HOLD: Mapping[str, Check] = {"orderId": _integer}


def order_faults(order: JsonObject, where: str) -> ModelState:
    """Return what is wrong with one order, each complaint under its own parameter; empty when it is good."""
    state = _missing(order, where) | _wrong(order, ORDER_FIELDS, where)
    for name in ("billTo", "shipTo"):
        if isinstance(address := order.get(name), dict):
            state |= _wrong(address, ADDRESS_FIELDS, f"{where}.{name}")
    if _objects(items := order.get("items") or []):
        for index, item in enumerate(items):
            state |= _wrong(item, ITEM_FIELDS, f"{where}.items[{index}]")
    return state


def _missing(order: JsonObject, where: str) -> ModelState:
    state = {f"{where}.{name}": [f"The {name} field is required."] for name in REQUIRED if not order.get(name)}
    bill_to = order.get("billTo")
    if isinstance(bill_to, dict) and not bill_to.get("name"):  # the reference asks for a name there, and only there
        state[f"{where}.billTo.name"] = ["The name field is required."]
    return state


def _wrong(values: JsonObject, checks: Mapping[str, Check], where: str) -> ModelState:
    state: ModelState = {}
    for name, value in values.items():
        check = checks.get(name)
        if check is not None and value is not None and not check(value):
            state[f"{where}.{name}"] = [f"The value '{value}' is not valid for {name}."]
    return state


def _refuse_faults(state: ModelState) -> None:
    if state:
        raise invalid(state)
