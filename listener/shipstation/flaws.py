"""What is wrong with an order for good: no waiting mends it, and no request is made of it. Pure.

Whoever writes `orders_inbox` may write anything. What one order holds must not make the request of a whole batch large,
or unreadable, or pass for another order there.
"""

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal

from listener.orders import LONGEST_NUMBER, LONGEST_TEXT, MOST_LINES, Address, Item, Order


def flaw(order: Order) -> str | None:
    """Return why this order can never be sent, in words for the shop, or None."""
    return next(_flaws(order), None)


def _flaws(order: Order) -> Iterator[str]:
    yield from _flaws_of_number(order.order_number)
    if order.order_date is None:
        yield "the order date lies outside of the years 1 to 9999"
    for name, text in _texts(order):
        if len(text) > LONGEST_TEXT:
            yield f"the {name} has more than {LONGEST_TEXT} characters"
    if len(order.items) > MOST_LINES:
        yield f"the order has more than {MOST_LINES} lines"
    for item in order.items:
        yield from _flaws_of_item(item)


def _flaws_of_number(number: str) -> Iterator[str]:
    if not number.strip():
        yield "the order has no number"
    if len(number.strip(" ")) > LONGEST_NUMBER:
        yield f"the order number has {len(number)} characters; ShipStation takes at most {LONGEST_NUMBER}"
    if number.strip() != number.strip(" "):  # to us it is another number than the one without, to most others it is not
        yield "the order number begins or ends with a tab, a line break or the like"


def _flaws_of_item(item: Item) -> Iterator[str]:
    # Not all shops have whole numbers and a CHECK in these columns.
    if not Decimal(item.quantity).is_finite() or item.quantity <= 0:
        yield f"the quantity of product {item.sku[:40]} is {item.quantity}"
    if not item.unit_price.is_finite():
        yield f"the price of product {item.sku[:40]} is {item.unit_price}"


def _texts(order: Order) -> Iterator[tuple[str, str]]:
    yield "e-mail address", order.customer_email
    for kind, address in (("shipping address", order.ship_to), ("billing address", order.bill_to)):
        for field in fields(Address):
            yield f"{field.name.replace('_', ' ')} of the {kind}", getattr(address, field.name)
    for item in order.items:
        yield "SKU of a product", item.sku
        yield "name of a product", item.name
        yield "lot of a product", item.lot
