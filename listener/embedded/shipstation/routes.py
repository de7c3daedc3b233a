"""Which path does what to the account; read ROUTES as the list of V1 calls that are simulated."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from listener.embedded.shipstation import model
from listener.embedded.shipstation.account import Account, OrderRefused
from listener.embedded.shipstation.calls import Answer, Call, CallRefused, JsonObject, invalid, not_found
from listener.embedded.shipstation.labels import list_fulfillments, list_shipments, mark_as_shipped
from listener.embedded.shipstation.listing import list_orders
from listener.embedded.shipstation.pacific import order_stamp
from listener.embedded.shipstation.shape import MANUAL_STORE_ID, Record, order_object

Route = Callable[[Account, Call], Any]

ONE_ORDER = re.compile(r"/orders/(\d{1,18})")
HOLDABLE = frozenset({"awaiting_shipment", "on_hold"})


def answer(account: Account, call: Call) -> Answer:
    """Carry out one authorised call and return its answer; a refused call has changed nothing."""
    path = "/orders/{id}" if ONE_ORDER.fullmatch(call.path) else call.path
    methods = ROUTES.get(path)
    if methods is None:
        return Answer(404, {"Message": f"No HTTP resource was found that matches the path '{call.path}'."})
    if call.method not in methods:
        return Answer(405, {"Message": f"The requested resource does not support http method '{call.method}'."})
    try:
        return Answer(200, methods[call.method](account, call))
    except CallRefused as refused:
        return refused.answer


def _create_order(account: Account, call: Call) -> JsonObject:
    sent = model.single_order(call.body)
    try:
        return order_object(account.put(sent, call.refuse))
    except OrderRefused as refused:
        if refused.status == 404:
            raise not_found("The order") from refused
        raise invalid({"apiOrder": [str(refused)]}) from refused


def _create_orders(account: Account, call: Call) -> JsonObject:
    return account.put_all(model.order_list(call.body), call.refuse)


def _list_orders(account: Account, call: Call) -> JsonObject:
    return list_orders(account, call.query)


def _get_order(account: Account, call: Call) -> JsonObject:
    return order_object(_order_of_path(account, call))


def _delete_order(account: Account, call: Call) -> JsonObject:
    account.delete(_order_of_path(account, call))
    return {"success": True, "message": "The requested order has been deleted."}


def _mark_as_shipped(account: Account, call: Call) -> JsonObject:
    sent = model.required(call.body, model.MARK_SHIPPED)
    return mark_as_shipped(account, _order(account, sent["orderId"]), sent)


def _hold_until(account: Account, call: Call) -> JsonObject:
    sent = model.required(call.body, model.HOLD_UNTIL)
    record = _order(account, sent["orderId"])
    if record.status not in HOLDABLE:
        return {"success": False, "message": "Only an order that awaits shipment can be held."}
    account.set_hold(record, sent["holdUntilDate"])
    return {"success": True, "message": "The requested order has been placed on hold."}


def _restore_from_hold(account: Account, call: Call) -> JsonObject:
    record = _order(account, model.required(call.body, model.RESTORE_FROM_HOLD)["orderId"])
    if record.status != "on_hold":
        return {"success": False, "message": "The requested order is not on hold."}
    account.set_status(record, "awaiting_shipment")
    return {"success": True, "message": "The requested order has been restored from hold."}


def _list_shipments(account: Account, call: Call) -> JsonObject:
    return list_shipments(account, call.query)


def _list_fulfillments(account: Account, call: Call) -> JsonObject:
    return list_fulfillments(account, call.query)


def _list_stores(account: Account, _call: Call) -> list[JsonObject]:
    now = order_stamp(account.now())
    return [
        {
            "storeId": MANUAL_STORE_ID,
            "storeName": "Manual Orders",
            "marketplaceId": 0,
            "marketplaceName": "ShipStation",
            "active": True,
            "createDate": now,
            "modifyDate": now,
            "autoRefresh": False,
        }
    ]


def _order_of_path(account: Account, call: Call) -> Record:
    match = ONE_ORDER.fullmatch(call.path)
    return _order(account, int(match[1]) if match else 0)


def _order(account: Account, order_id: int) -> Record:
    if order_id not in account.orders:
        raise not_found(f"Order {order_id}")
    return account.orders[order_id]


ROUTES: Mapping[str, Mapping[str, Route]] = {
    "/orders": {"GET": _list_orders},
    "/orders/{id}": {"GET": _get_order, "DELETE": _delete_order},
    "/orders/createorder": {"POST": _create_order},
    "/orders/createorders": {"POST": _create_orders},
    "/orders/markasshipped": {"POST": _mark_as_shipped},
    "/orders/holduntil": {"POST": _hold_until},
    "/orders/restorefromhold": {"POST": _restore_from_hold},
    "/shipments": {"GET": _list_shipments},
    "/fulfillments": {"GET": _list_fulfillments},
    "/stores": {"GET": _list_stores},
}
