"""X-Cart's order export: bytes in, orders out. Pure: no I/O, no clock.

A file comes from outside and is not trusted (`markup` has the limits). One that is not well formed is rejected whole;
in one that is, a bad order is refused by itself and never costs a good one. The export has no prices.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date

from listener.errors import Rejected
from listener.orders import LONGEST_NUMBER, LONGEST_TEXT, MOST_LINES, Address, RefusedOrder, XmlOrder, order_key
from listener.sources.letters import FORBIDDEN
from listener.sources.markup import RawOrder, TooLong, raw_orders

Items = tuple[tuple[str, int], ...]
Bundles = Mapping[str, Items]

LONGEST_SKU = 100
"""Far above any real one. A SKU is part of a unique index, whose entries have at most 2.7 kB."""

LARGEST_QUANTITY = 2**31 - 1
"""Quantities and `total_items` are of Postgres' type integer."""

MOST_ORDERS = 250_000
"""Of a file. Their numbers are all that is kept while it is read."""


def read_orders(pieces: Iterable[bytes]) -> Iterator[XmlOrder | RefusedOrder]:
    """Yield what one export holds, in its order; of several orders with one number the first good one is taken.

    Raises: Rejected, naming line and column, when the file turns out to be no export: nothing of it counts then.
    """
    lines_of_numbers: dict[str, int] = {}
    for count, raw in enumerate(raw_orders(pieces), 1):
        if count > MOST_ORDERS:
            raise Rejected(f"line {raw.line}: it has more than {MOST_ORDERS} orders; split it")
        entry = _take(raw, lines_of_numbers)
        if isinstance(entry, XmlOrder):
            lines_of_numbers[order_key(entry.order_number)] = raw.line
        yield entry


def _take(raw: RawOrder, lines_of_numbers: Mapping[str, int]) -> XmlOrder | RefusedOrder:
    number = raw.fields.get("orderid", "")
    try:
        order = _order(raw, number)
        if before := lines_of_numbers.get(order_key(number)):
            raise Rejected(f"the order in line {before} has the same number")
    except Rejected as error:
        return RefusedOrder(raw.line, number.replace(FORBIDDEN, "\ufffd") or None, str(error))
    return order


def expand(items: Items, bundles: Bundles, key_products: AbstractSet[str] = frozenset()) -> Items:
    """Return what is to be shipped: bundles replaced by their parts, only key products, equal SKUs summed.

    One level: a part that is itself a bundle stays as it is. No key products at all means that every product is one.
    Raises: Rejected when the pieces are more than the database can count.
    """
    summed: dict[str, int] = {}
    for sku, quantity in items:
        for part, multiplier in bundles.get(sku, ((sku, 1),)):
            if not key_products or part in key_products:
                summed[part] = summed.get(part, 0) + quantity * multiplier
    if (pieces := sum(summed.values())) > LARGEST_QUANTITY:
        raise Rejected(f"{pieces} pieces are more than an order can have")
    return tuple(summed.items())


# Fields.

_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?Z?)?")
_US_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?: [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[AaPp][Mm])?)?")


def _order(raw: RawOrder, number: str) -> XmlOrder:
    if not number:
        raise Rejected("the order has no number")
    if len(number) > LONGEST_NUMBER:
        more = "more than " * isinstance(number, TooLong)
        raise Rejected(f"the order number has {more}{len(number)} characters; at most {LONGEST_NUMBER} are possible")
    if raw.forbidden_line:
        raise Rejected(f"line {raw.forbidden_line} contains a character that XML forbids")
    if not number.isprintable():
        raise Rejected("the order number contains an invisible character")
    if len(raw.lines) > MOST_LINES:
        raise Rejected(f"the order has more than {MOST_LINES} lines")
    items = tuple(item for line in raw.lines if (item := _item(*line)))
    if not items:
        raise Rejected("the order has no line with a product id")
    return XmlOrder(
        line=raw.line,
        order_number=number,
        order_date=_date(_text(raw.fields, "date2")),
        customer_email=_text(raw.fields, "email"),
        ship_to=_address(raw.fields, "s_"),
        bill_to=_address(raw.fields, "b_"),
        items=items,
    )


def _item(sku: str, amount: str) -> tuple[str, int] | None:
    """Return SKU and quantity; None for a line without a product. A line without an amount is one piece."""
    if not sku:
        return None
    if len(sku) > LONGEST_SKU:
        raise Rejected(f"a product id has {len(sku)} characters; at most {LONGEST_SKU} are possible")
    if not sku.isprintable():
        raise Rejected("a product id contains an invisible character")
    if not re.fullmatch("[0-9]{1,10}", amount or "1") or not 0 < int(amount or "1") <= LARGEST_QUANTITY:
        raise Rejected(f"the amount of product {sku} is {amount[:40]!r}, which is no number of pieces")
    return sku, int(amount or "1")


def _date(text: str) -> date | None:
    """Return the day; the time beside it is the shop's local time and is not kept."""
    if not text:
        return None
    try:
        if iso := _ISO_DATE.fullmatch(text):
            return date(*map(int, iso.groups()))
        if us := _US_DATE.fullmatch(text):
            month, day, year = map(int, us.groups())
            return date(year, month, day)
    except ValueError as error:
        raise Rejected(f"date2 is {text!r}, a day that does not exist") from error
    raise Rejected(f"date2 is {text[:40]!r}, which is no date")


def _address(fields: Mapping[str, str], prefix: str) -> Address:
    """Return an address. A street may hold a line break, which stays: it goes out as two lines."""
    name = f"{_text(fields, prefix + 'firstname')} {_text(fields, prefix + 'lastname')}"
    return Address(
        name=name.strip(),
        company=_text(fields, prefix + "company"),
        street1=_text(fields, prefix + "address"),
        city=_text(fields, prefix + "city"),
        state=_text(fields, prefix + "state"),
        postal_code=_text(fields, prefix + "zipcode"),
        country=_text(fields, prefix + "country") or "US",
        phone=_text(fields, prefix + "phone"),
    )


def _text(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name, "")
    if isinstance(text, TooLong):
        raise Rejected(f"{name} has more than {LONGEST_TEXT} characters")
    return text
