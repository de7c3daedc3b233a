"""X-Cart's order export: bytes in, orders out. Pure: no I/O, no clock.

A file comes from outside and is not trusted: no DTD, no entities, limits on what is taken. A file that is not well
formed is rejected whole; in one that is, a bad order is refused by itself and never costs a good one.

The export, as read here: any root; its children `order`; in it a field each, and an `order_detail` per line with
`productid` (the SKU) and `amount` (the quantity). It has no prices.
"""

import codecs
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from listener.errors import Rejected
from listener.orders import LONGEST_NUMBER, Address, RefusedOrder, XmlOrder, order_key

__all__ = ["Bundles", "Items", "ParsedFile", "RefusedOrder", "XmlOrder", "expand", "parse_orders"]

Items = tuple[tuple[str, int], ...]
Bundles = Mapping[str, Items]

LONGEST_TEXT = 1000
LONGEST_SKU = 100
"""Far above any real field. A SKU is part of a unique index, whose entries have at most 2.7 kB."""

LARGEST_QUANTITY = 2**31 - 1
"""Quantities and `total_items` are of Postgres' type integer."""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file holds, each part in the file's order."""

    orders: tuple[XmlOrder, ...]
    refused: tuple[RefusedOrder, ...]


def parse_orders(data: bytes) -> ParsedFile:
    """Return the orders of one export; of several with one number the first good one is taken.

    Raises: Rejected, naming line and column, for what is not well-formed XML, or declares a DTD or entities.
    """
    # An empty line before the root is usual in exports. Before a declaration it is not allowed.
    start = _LEADING_BLANKS.match(data).end()  # type: ignore[union-attr]  # it matches nothing, too
    parser: Any = DefusedXMLParser(target=_NoTree(), encoding=_encoding(data, start), forbid_dtd=True)
    reader = _OrderReader(parser.parser, skipped=data[:start])
    try:
        parser.feed(memoryview(data)[start:])
        parser.close()
    except ParseError as error:
        raise Rejected(f"{reader.place(*error.position)}: {str(error).partition(':')[0]}") from error
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise Rejected(f"{reader.place()}: {_why(error)}") from error
    return ParsedFile(tuple(reader.orders), tuple(reader.refused))


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


# Bytes.

_LEADING_BLANKS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*")
_DECLARES_ENCODING = re.compile(rb"<\?xml\b[^>]*\bencoding\s*=")


def _encoding(data: bytes, start: int) -> str | None:
    """Return latin-1 for a file that declares nothing and is not UTF-8; else None: the parser sees for itself.

    A byte order mark of UTF-16 counts for more than this with the parser.
    """
    if data.isascii() or _DECLARES_ENCODING.match(data, start):
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for position in range(start, len(data), 2**20):
            decoder.decode(data[position : position + 2**20])
    except UnicodeDecodeError:
        return "iso-8859-1"
    return None


def _why(error: Exception) -> str:
    if isinstance(error, DefusedXmlException):
        return "it declares a document type or entities, which an order file has no use for"
    return f"its declared encoding cannot be read ({error})"


# Markup.


class _NoTree:
    """The parser's target. The reader listens to expat itself: that takes half the time, and nothing is kept."""

    def close(self) -> None:
        """Have nothing to finish."""


@dataclass(slots=True)
class _RawOrder:
    """The fields of an `order` as text, and those of each of its lines."""

    line: int
    fields: dict[str, str] = field(default_factory=dict)
    details: list[dict[str, str]] = field(default_factory=list)


class _OrderReader:
    """Turns expat's events into orders. Depth 2 is an order, 3 its fields and lines, 4 the fields of a line.

    Of a field that stands twice the first counts. Text in markup inside a field is the field's.
    """

    def __init__(self, expat: Any, *, skipped: bytes) -> None:
        self.orders: list[XmlOrder] = []
        self.refused: list[RefusedOrder] = []
        self._expat = expat
        self._lines_before = skipped.count(b"\n")
        self._columns_before = len(skipped.rpartition(b"\n")[2].removeprefix(codecs.BOM_UTF8))
        self._depth = 0
        self._field_depth = 3
        self._fields: dict[str, str] = {}
        self._text: list[str] = []
        self._order = _RawOrder(0)
        self._lines_of_numbers: dict[str, int] = {}
        expat.StartElementHandler = self._start
        expat.EndElementHandler = self._end
        expat.CharacterDataHandler = self._text.append

    def place(self, line: int | None = None, column: int | None = None) -> str:
        """Return a place in the file in words, counted as an editor does; by default where the parser is."""
        line = self._expat.CurrentLineNumber if line is None else line
        column = self._expat.CurrentColumnNumber if column is None else column
        before = self._columns_before if line == 1 else 0
        return f"line {line + self._lines_before}, column {column + before + 1}"

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._order = _RawOrder(self._expat.CurrentLineNumber + self._lines_before)
            self._fields = self._order.fields
        elif self._depth == 3 and name == "order_detail":
            self._order.details.append({})
            self._fields, self._field_depth = self._order.details[-1], 4
        elif self._depth == self._field_depth:
            self._text.clear()

    def _end(self, name: str) -> None:
        if self._depth == self._field_depth:
            self._fields.setdefault(name, "".join(self._text))
        elif self._depth == 3:
            self._fields, self._field_depth = self._order.fields, 3
        elif self._depth == 2 and name == "order":
            self._take(self._order)
        self._depth -= 1

    def _take(self, raw: _RawOrder) -> None:
        number = raw.fields.get("orderid", "").strip()
        try:
            order = _order(raw, number)
            if before := self._lines_of_numbers.get(order_key(number)):
                raise Rejected(f"the order in line {before} has the same number")
        except Rejected as error:
            self.refused.append(RefusedOrder(raw.line, number[:LONGEST_TEXT] or None, str(error)))
        else:
            self._lines_of_numbers[order_key(number)] = raw.line
            self.orders.append(order)


# Fields.

_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?Z?)?")
_US_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?: [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[AaPp][Mm])?)?")


def _order(raw: _RawOrder, number: str) -> XmlOrder:
    if not number:
        raise Rejected("the order has no number")
    if len(number) > LONGEST_NUMBER:
        raise Rejected(f"the order number has {len(number)} characters; at most {LONGEST_NUMBER} are possible")
    if not number.isprintable():
        raise Rejected("the order number contains an invisible character")
    items = tuple(item for detail in raw.details if (item := _item(detail)))
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


def _item(detail: Mapping[str, str]) -> tuple[str, int] | None:
    """Return SKU and quantity; None for a line without a product. A line without an amount is one piece."""
    sku, amount = detail.get("productid", "").strip(), detail.get("amount", "").strip() or "1"
    if not sku:
        return None
    if len(sku) > LONGEST_SKU:
        raise Rejected(f"a product id has {len(sku)} characters; at most {LONGEST_SKU} are possible")
    if not re.fullmatch("[0-9]{1,10}", amount) or not 0 < int(amount) <= LARGEST_QUANTITY:
        raise Rejected(f"the amount of product {sku} is {amount[:40]!r}, which is no number of pieces")
    return sku, int(amount)


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
    text = fields.get(name, "").strip()
    if len(text) > LONGEST_TEXT:
        raise Rejected(f"{name} has {len(text)} characters; at most {LONGEST_TEXT} are taken")
    return text
