"""What makes an order one that is never sent, whatever may still come."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from listener.orders import LONGEST_TEXT, MOST_LINES, Address, Item, Order
from listener.shipstation.flaws import flaw

HOME = Address("Ada Example", "", "1 Sample Street", "", "Springfield", "IL", "62701", "US")
ITEM = Item("17001", 1, Decimal("19.99"))
ORDER = Order(7, "A-1", date(2025, 1, 2), "ada@example.com", HOME, HOME, (ITEM,), 1)
LONG = "x" * (LONGEST_TEXT + 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order_number": f" {'7' * 50} "},
        {"order_number": "a\nb"},
        {"order_date": date(1, 1, 1)},
        {"order_date": date(9999, 12, 31)},
        {"customer_email": "x" * LONGEST_TEXT},
        {"items": ()},
        {"ship_to": Address()},
        {"items": (ITEM,) * MOST_LINES},
        {"items": (replace(ITEM, quantity=2**31 - 1, unit_price=Decimal(-(2**31))),)},
        {"total_items": -(2**31)},
    ],
)
def test_what_is_odd_or_may_still_come_is_no_flaw(changes: dict[str, Any]) -> None:
    assert flaw(replace(ORDER, **changes)) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order_number": ""}, "the order has no number"),
        ({"order_number": "\t"}, "the order has no number"),
        ({"order_number": "7" * 51}, "the order number has 51 characters; ShipStation takes at most 50"),
        ({"order_number": "A-1\n"}, "the order number begins or ends with a tab, a line break or the like"),
        ({"order_number": "\u00a0A-1"}, "the order number begins or ends with a tab, a line break or the like"),
        ({"order_date": None}, "the order date lies outside of the years 1 to 9999"),
        ({"customer_email": LONG}, "the e-mail address has more than 1000 characters"),
        ({"ship_to": replace(HOME, postal_code=LONG)}, "the postal code of the shipping address has more than 1000"),
        ({"bill_to": replace(HOME, street2=LONG)}, "the street2 of the billing address has more than 1000"),
        ({"items": (replace(ITEM, sku=LONG),)}, "the SKU of a product has more than 1000"),
        ({"items": (replace(ITEM, name=LONG),)}, "the name of a product has more than 1000"),
        ({"items": (replace(ITEM, lot=LONG),)}, "the lot of a product has more than 1000"),
        ({"items": (ITEM,) * (MOST_LINES + 1)}, "the order has more than 1000 lines"),
        ({"items": (replace(ITEM, quantity=0),)}, "the quantity of product 17001 is 0"),
        ({"items": (replace(ITEM, quantity=-3),)}, "the quantity of product 17001 is -3"),
        ({"items": (replace(ITEM, quantity=Decimal("NaN")),)}, "the quantity of product 17001 is NaN"),
        ({"items": (replace(ITEM, quantity=Decimal("Infinity")),)}, "the quantity of product 17001 is Infinity"),
        ({"items": (replace(ITEM, unit_price=Decimal("NaN")),)}, "the price of product 17001 is NaN"),
    ],
)
def test_what_no_waiting_mends_is_told_in_words(changes: dict[str, Any], words: str) -> None:
    assert words in str(flaw(replace(ORDER, **changes)))
