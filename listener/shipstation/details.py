"""What an order at ShipStation says beyond its identity and status: all that the shop's rows show of it. Pure.

Decoded one order at a time, and only for orders that some row shows or is to show: an order that can't be read costs
no other one. What is absent is empty.
Source: ShipStation API V1, "Order Model".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, DecimalException
from typing import Any

from listener.errors import Rejected
from listener.orders import Address

Json = dict[str, Any]

LARGEST_INTEGER = 2**31 - 1
"""Quantities and cents are of Postgres' type integer."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order. `sku_lot` is the whole text "SKU - LOT", empty where there is no lot."""

    base_sku: str
    sku_lot: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True, slots=True)
class Details:
    """An order's content.

    order_date, ship_date: days, as ShipStation's clock had them
    carrier_id:            the account that a label is billed to
    parent_id:             the order that this one was split from
    is_split:              it is a part of what was one order, or has lost a part
    """

    order_date: date | None
    ship_date: date | None
    customer_email: str
    lines: tuple[Line, ...]
    total_cents: int | None
    carrier_code: str
    carrier_id: str
    service_code: str
    ship_to: Address
    bill_to: Address
    parent_id: str
    is_split: bool

    @property
    def pieces(self) -> int:
        """Return how many pieces there are in all."""
        return sum(line.quantity for line in self.lines)


def decode_details(order: Json) -> Details:
    """Return what one order says. Raises Rejected, naming what can't be read."""
    options = _object(order, "advancedOptions")
    return Details(
        order_date=_day(order, "orderDate"),
        ship_date=_day(order, "shipDate"),
        customer_email=_text(order, "customerEmail"),
        lines=tuple(_lines(order)),
        total_cents=_cents(order, "orderTotal"),
        carrier_code=_text(order, "carrierCode"),
        carrier_id=_text(options, "billToMyOtherAccount") or _text(order, "carrierId"),
        service_code=_text(order, "serviceCode"),
        ship_to=_address(_object(order, "shipTo")),
        bill_to=_address(_object(order, "billTo")),
        parent_id=_identity(options, "parentId"),
        is_split=bool(options.get("mergedOrSplit")) and not options.get("mergedIds"),
    )


def split_lot(text: str) -> tuple[str, str]:
    """Return the SKU and, where it has a lot, the whole text in its normal form "SKU - LOT", else ''.

    Without blanks around it a dash parts SKU and lot only where it is the only one and digits stand before it: a
    SKU may have dashes of its own.
    """
    base, dash, lot = (part.strip() for part in text.partition(" - "))
    if not (dash and base and lot):
        base, _, lot = (part.strip() for part in text.partition("-"))
        if text.count("-") != 1 or not base.isdigit() or not lot:
            return text.strip(), ""
    return base, f"{base} - {lot}"


def shipped_quantities(lines: Iterable[Line]) -> dict[tuple[str, str], int]:
    """Return {(SKU, "SKU - LOT"): pieces}; the second is the plain SKU where there is no lot."""
    pieces: dict[tuple[str, str], int] = {}
    for line in lines:
        identity = (line.base_sku, line.sku_lot or line.base_sku)
        pieces[identity] = pieces.get(identity, 0) + line.quantity
    return pieces


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One SKU of an order, as `order_items_inbox` holds it: a row a SKU. Of several lots it can name none."""

    sku: str
    sku_lot: str | None
    quantity: int
    unit_price_cents: int


def item_rows(lines: Sequence[Line]) -> list[ItemRow]:
    """Return the rows of these lines: equal SKUs summed, whatever their lots; the first one's price."""
    rows = []
    for sku in dict.fromkeys(line.base_sku for line in lines):
        same = [line for line in lines if line.base_sku == sku]
        lots = {line.sku_lot for line in same}
        lot = lots.pop() if len(lots) == 1 else ""
        rows.append(ItemRow(sku, lot or None, sum(line.quantity for line in same), same[0].unit_price_cents))
    return rows


SERVICES = {
    "fedex_2day": "FedEx 2Day",
    "fedex_international_ground": "FedEx International Ground",
    "fedex_ground": "FedEx Ground",
    "fedex_home_delivery": "FedEx Home Delivery",
    "fedex_express_saver": "FedEx Express Saver",
    "fedex_standard_overnight": "FedEx Standard Overnight",
}


def service_name(code: str) -> str:
    """Return how a service is called: by its code in words, where nobody has said better."""
    return SERVICES.get(code, code.replace("_", " ").title())


def _lines(order: Json) -> Iterable[Line]:
    items = order.get("items")
    if items is not None and not isinstance(items, list):
        raise Rejected("its items are no list")
    for item in items or ():
        if not isinstance(item, dict):
            raise Rejected("one of its items is no object")
        quantity, text = _quantity(item), _text(item, "sku")
        if text and quantity > 0 and item.get("adjustment") is not True:  # an adjustment is a discount, and no goods
            base, sku_lot = split_lot(text)
            yield Line(base, sku_lot, quantity, _cents(item, "unitPrice") or 0)


def _quantity(item: Json) -> int:
    quantity = item.get("quantity") or 0
    whole = type(quantity) is int or (isinstance(quantity, float) and quantity.is_integer())
    if not whole or abs(quantity) > LARGEST_INTEGER:
        raise Rejected(f"the quantity of item {_text(item, 'sku')[:40]!r} is {quantity!r:.40}")
    return int(quantity)


def _cents(values: Json, name: str) -> int | None:
    """Return an amount of dollars in cents. Through text: in binary 19.99 is a little less than that."""
    value = values.get(name)
    if value is None:
        return None
    try:
        cents = (Decimal(str(value)) * 100).to_integral_value(rounding="ROUND_HALF_UP")
    except DecimalException as error:
        raise Rejected(f"its {name} is {value!r:.40}") from error
    if not cents.is_finite() or abs(cents) > LARGEST_INTEGER:
        raise Rejected(f"its {name} is {value!r:.40}")
    return int(cents)


def _day(order: Json, name: str) -> date | None:
    text = _text(order, name)
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return day if 2000 <= day.year < 3000 else None  # year 1 is how the service's language says "never"


def _address(address: Json) -> Address:
    return Address(
        name=_text(address, "name"),
        company=_text(address, "company"),
        street1=_text(address, "street1"),
        street2=", ".join(filter(None, (_text(address, "street2"), _text(address, "street3")))),
        city=_text(address, "city"),
        state=_text(address, "state"),
        postal_code=_text(address, "postalCode"),
        country=_text(address, "country"),
        phone=_text(address, "phone"),
    )


def _identity(values: Json, name: str) -> str:
    text = _text(values, name)
    return "" if text == "0" else text


def _object(values: Json, name: str) -> Json:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _text(values: Json, name: str) -> str:
    value = values.get(name)
    return str(value).strip() if type(value) in (int, str) else ""
