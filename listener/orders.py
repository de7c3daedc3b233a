"""An order, and the one normal form of its number.

Values only: no I/O, no clock. Every comparison of two order numbers goes through `order_key`, here and in SQL.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

LONGEST_NUMBER = 50
"""ShipStation API V1, "Create/Update Order": orderNumber and orderKey have at most 50 characters."""

LONGEST_TEXT = 1000
"""Characters of a field; far above any real one."""

MOST_LINES = 1000


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. What is absent is empty."""

    name: str = ""
    company: str = ""
    street1: str = ""
    street2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an order. The price is in dollars; `lot` is the SKU's active lot, empty when there is none."""

    sku: str
    quantity: int
    unit_price: Decimal
    name: str = ""
    lot: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands in `orders_inbox`, with its lines. Its date is None where no calendar of ours has it."""

    order_inbox_id: int
    order_number: str
    order_date: date | None
    customer_email: str
    ship_to: Address
    bill_to: Address
    items: tuple[Item, ...]
    total_items: int


@dataclass(frozen=True, slots=True)
class XmlOrder:
    """An order as a file holds it, before it has a row.

    line:       where it begins in the file
    order_date: None when the file gives none
    items:      (SKU, quantity); this export knows no prices
    """

    line: int
    order_number: str
    order_date: date | None
    customer_email: str
    ship_to: Address
    bill_to: Address
    items: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """An order of a file that cannot be taken, where it begins, and why."""

    line: int
    order_number: str | None
    reason: str


def order_key(number: str) -> str:
    """Return the normal form of a number: `upper(btrim(number))`, as Postgres has it.

    Letter by letter and blanks only, because that is what Postgres does: str.upper() alone would make ß two letters.
    Which letters have a capital is the database's locale's to say; in C, only a to z. So what stands in a table is
    compared there, and a key that has to be one order's alone is made of the table's.
    """
    number = number.strip(" ")
    return number.upper() if number.isascii() else "".join(_upper(letter) for letter in number)


def shipstation_key(key: str, again: int = 1) -> str:
    """Return the orderKey under which a number is created at ShipStation, always the same one.

    key: the number's normal form as the database has it, by which the ledger tells orders apart
    The service creates under an unknown key and updates under a known one, so a repeated request makes no second
    order. `again` counts the times that the shop asked for a new order after all: the second key ends in ~2.
    """
    # 47 leaves room for the ending; a number that has a ~ itself could otherwise pass for another one's second key.
    if len(key) + len("listener-") > 47 or "~" in key:
        key = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"listener-{key}" if again == 1 else f"listener-{key}~{again}"


def _upper(letter: str) -> str:
    upper = letter.upper()
    return upper if len(upper) == 1 else letter
