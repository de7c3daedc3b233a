"""Orders as ShipStation's API V1 wants them, and what its answers say about them. Pure: no I/O, no clock.

An answer is matched by key, never by position, and silence is never read as success or failure: what the answer does
not clearly say about an order is `unknown`, and somebody looks it up.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from listener.errors import Transient
from listener.orders import Address, Item, Order, order_key, shipstation_key

Json = dict[str, Any]

DEFAULT_COUNTRY = "US"


class Throttled(Transient):
    """ShipStation says that there were too many requests, whatever the status of its answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ShipStation says of one order. `unknown`: nothing that can be relied on."""

    kind: Literal["accepted", "refused", "unknown"]
    shipstation_order_id: str | None = None
    message: str | None = None


def order_payload(order: Order, key: str) -> Json:
    """Return the whole order in the shape of "Create/Update Order" under orderKey `key`; money is Decimal.

    An update replaces everything, so everything goes out each time. Dates are Pacific wall-clock time without a zone.
    """
    items = _merged(order.items)
    email = order.customer_email.strip()
    return {
        "orderNumber": order.order_number.strip(),
        "orderKey": key,
        "orderDate": f"{order.order_date}T00:00:00",
        "orderStatus": "awaiting_shipment",
        # The service makes a customer's record only where there is a user name.
        **({"customerUsername": email, "customerEmail": email} if email else {}),
        "billTo": _address(order.bill_to if order.bill_to.name.strip() else order.ship_to),
        "shipTo": _address(order.ship_to),
        "items": [_item(item) for item in items],
        "amountPaid": amount_of(order),
        "taxAmount": 0,
        "shippingAmount": 0,
    }


def amount_of(order: Order) -> Decimal:
    """Return what an order costs, in dollars."""
    return sum((item.unit_price * item.quantity for item in order.items), Decimal("0.00"))


def encode(payloads: Iterable[Json]) -> bytes:
    """Return the body of `createorders`: a JSON array, also for one order. 19.99 stays 19.99."""
    return json.dumps(list(payloads), ensure_ascii=False, separators=(",", ":"), default=_number).encode()


def problem(order: Order) -> str | None:
    """Return what is missing for ShipStation to take this order, in words for the shop, or None.

    It may come yet; what no waiting mends is told by `flaws`. The rules for an address are those without which the
    service is known to answer badly.
    """
    if not order.items:
        return "the order has no items"
    if missing := _missing(order.ship_to):
        return f"the shipping address has no {' and no '.join(missing)}"
    return None


def decode_results(body: bytes, keys: Sequence[str]) -> dict[str, Outcome]:
    """Return what the answer to `createorders` says of each orderKey in `keys`.

    Shape:  results[] of {orderId, orderNumber, orderKey, success, errorMessage}, in any order; a result without a key
            is matched by its number.
    Raises: Transient when the body is no such answer, Throttled when it only says that there were too many requests.
    Source: ShipStation API V1, "Create/Update Multiple Orders".
    """
    by_number = {key.partition("~")[0]: key for key in keys}
    found: dict[str, list[Outcome]] = {key: [] for key in keys}
    for result in _results(body):
        key = str(result.get("orderKey") or by_number.get(shipstation_key(order_key(str(result.get("orderNumber"))))))
        if key in found:
            found[key].append(_outcome(result))
    return {key: _only(outcomes) for key, outcomes in found.items()}


# Orders into JSON.


def _merged(items: Iterable[Item]) -> list[Item]:
    """Sum the lines with the same SKU. Two prices for one SKU stay two lines: else the amount would be wrong."""
    merged: dict[tuple[str, Decimal], Item] = {}
    for item in items:
        identity = (_sku_with_lot(item), item.unit_price)
        before = merged[identity].quantity if identity in merged else 0
        merged[identity] = Item(item.sku, before + item.quantity, item.unit_price, item.name, item.lot)
    return list(merged.values())


def _item(item: Item) -> Json:
    return {
        "sku": _sku_with_lot(item),
        "name": item.name.strip() or f"Product {item.sku.strip()}",
        "quantity": item.quantity,
        "unitPrice": item.unit_price,
    }


def _sku_with_lot(item: Item) -> str:
    sku, lot = item.sku.strip(), item.lot.strip()
    return f"{sku} - {lot}" if lot else sku


def _address(address: Address) -> Json:
    company = address.company.strip()
    streets = _street_lines(address)
    return {
        # A name is the one field that the service insists on: without one the company stands there.
        "name": address.name.strip() or company or None,
        "company": company if address.name.strip() and company else None,
        "street1": streets[0] if streets else None,
        "street2": streets[1] if len(streets) > 1 else None,
        "street3": ", ".join(streets[2:]) or None,
        "city": address.city.strip() or None,
        "state": address.state.strip() or None,
        "postalCode": address.postal_code.strip() or None,
        "country": _country(address),
        "phone": address.phone.strip() or None,
    }


def _street_lines(address: Address) -> list[str]:
    """Return the lines of the street; a web shop puts two of them into one field, with a line break."""
    lines = (address.street1 + "\n" + address.street2).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _country(address: Address) -> str:
    country = address.country.strip() or DEFAULT_COUNTRY
    return country.upper() if len(country) == 2 else country  # a code is upper case; a name is left to ShipStation


def _missing(address: Address) -> list[str]:
    needed = {
        "name or company": address.name.strip() or address.company.strip(),
        "street": _street_lines(address),
        "city": address.city.strip(),
    }
    if _country(address) == "US":
        needed |= {"state": address.state.strip(), "postal code": address.postal_code.strip()}
    return [name for name, value in needed.items() if not value]


def _number(value: object) -> float:
    # repr() of a float gives back every decimal of up to 15 digits: exact to the cent below ten trillion dollars.
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in a payload")


# JSON into outcomes.


def _results(body: bytes) -> list[Json]:
    answer = _json_or_text(body)
    results = answer.get("results") if isinstance(answer, dict) else None
    if isinstance(results, list):
        return [result for result in results if isinstance(result, dict)]
    # The key of this message is in lower case, others' begin with a capital; a proxy may say it in plain text.
    said = answer.get("message") or answer.get("Message") if isinstance(answer, dict) else answer
    if str(said).strip().rstrip(".!").lower() == "too many requests":
        raise Throttled("ShipStation says: too many requests")
    raise Transient("ShipStation's answer has no list of results")


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _outcome(result: Json) -> Outcome:
    order_id, message = result.get("orderId"), result.get("errorMessage")
    if result.get("success") is True and type(order_id) in (int, str) and order_id:
        return Outcome("accepted", str(order_id))
    if result.get("success") is False:
        return Outcome("refused", message=str(message).strip() if message else "ShipStation gave no reason")
    return Outcome("unknown", message="ShipStation's answer does not say whether it took the order")


def _only(outcomes: list[Outcome]) -> Outcome:
    if not outcomes:
        return Outcome("unknown", message="ShipStation's answer does not mention the order")
    if len(set(outcomes)) > 1:
        return Outcome("unknown", message="ShipStation's answer contradicts itself about the order")
    return outcomes[0]
