"""An `orders.xml` as a shop exports it, of any length, with orders that nobody placed.

Cumulative, as the real ones are: a longer file begins with the orders of a shorter one. The same number and day
always give the same bytes.
"""

from datetime import date
from xml.sax.saxutils import escape

PRODUCTS = (("30101", "Field notebook"), ("30102", "Ink cartridge"), ("30103", "Desk lamp"), ("30104", "Paper clips"))
PEOPLE = ("Ada Example", "Bo Sample", "Cleo Specimen", "Dan Placeholder", "Eve O'Test", "Finn Muster & Co")
CITIES = (("Springfield", "IL", "62701"), ("Riverton", "WY", "82501"), ("Lakeside", "CA", "92040"))


def orders_xml(count: int, day: date) -> bytes:
    """Return a file of `count` orders of that day, in UTF-8."""
    orders = "".join(_order(number, day) for number in range(count))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<orders>\n{orders}</orders>\n'.encode()


def _order(index: int, day: date) -> str:
    number = str(600001 + index)
    first, _, last = PEOPLE[index % len(PEOPLE)].partition(" ")
    city, state, postal_code = CITIES[index % len(CITIES)]
    address = {
        "firstname": first,
        "lastname": last,
        "company": "",
        "address": f"{index + 1} Sample Street" + ("\nSuite 4" if index % 3 == 0 else ""),
        "city": city,
        "state": state,
        "zipcode": postal_code,
        "country": "US",
        "phone": "555-0100",
    }
    fields = {"orderid": number, "date2": f"{day} 09:30:00", "email": f"customer{index}@example.com"}
    fields |= {f"{kind}_{name}": value for kind in ("s", "b") for name, value in address.items()}
    lines = [_element(name, value) for name, value in fields.items()]
    return "  <order>\n" + "".join(lines) + _details(number, index) + "  </order>\n"


def _details(number: str, index: int) -> str:
    picked = [PRODUCTS[(index + step) % len(PRODUCTS)] for step in range(1 + index % 3)]
    return "".join(
        f"    <order_detail><orderid>{number}</orderid><amount>{1 + (index + step) % 4}</amount>"
        f"<product>{escape(name)}</product><productid>{sku}</productid></order_detail>\n"
        for step, (sku, name) in enumerate(picked)
    )


def _element(name: str, value: str) -> str:
    return f"    <{name}>{escape(value)}</{name}>\n"
