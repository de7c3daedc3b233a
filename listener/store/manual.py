"""Orders that people entered at ShipStation: which are to have a row, and that row."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from typing import NamedTuple

from psycopg.types.json import Jsonb

from listener.database import Connection
from listener.orders import Address
from listener.store.text import storable

SOURCE_SYSTEM = "ShipStation Manual"

# The first two look at whole tables: there is no index on an id of ShipStation's, and it is asked only of orders that
# nobody knows by number.
KNOWN_SQL = """
select id from unnest(%(ids)s::text[], %(numbers)s::text[]) as page (id, number)
where id = any (array(select shipstation_order_id from orders_inbox where shipstation_order_id = any (%(ids)s)))
   or id = any (array(select shipstation_order_id from shipstation_order_line_items
                      where shipstation_order_id = any (%(ids)s)))
   or exists (select from shipped_orders s
              where pg_catalog.upper(pg_catalog.btrim(s.order_number)) = pg_catalog.upper(pg_catalog.btrim(number))
              offset 0)
"""


def known_elsewhere(connection: Connection, orders: Sequence[tuple[str, str]]) -> set[str]:
    """Return the ids of those (id, number) that a row shows under another number, or that were shipped long ago."""
    parameters = {"ids": [order_id for order_id, _ in orders], "numbers": [storable(number) for _, number in orders]}
    return {order_id for (order_id,) in connection.execute(KNOWN_SQL, parameters)}


class ManualOrder(NamedTuple):
    """A new row."""

    order_number: str
    order_date: date
    customer_email: str
    status: str
    shipstation_order_id: str
    total_items: int
    total_amount_cents: int | None
    ship_to: Address
    bill_to: Address


INSERT_SQL = """
insert into orders_inbox (
    order_number, order_date, customer_email, status, shipstation_order_id, total_items, total_amount_cents,
    source_system, ship_name, ship_company, ship_street1, ship_street2, ship_city, ship_state, ship_postal_code,
    ship_country, ship_phone, bill_name, bill_company, bill_street1, bill_street2, bill_city, bill_state,
    bill_postal_code, bill_country, bill_phone)
select %(number)s, %(date)s, %(email)s, %(status)s, %(shipstation_id)s, %(total)s, %(cents)s, %(source)s,
       ship_name, ship_company, ship_street1, ship_street2, ship_city, ship_state, ship_postal_code, ship_country,
       ship_phone, bill_name, bill_company, bill_street1, bill_street2, bill_city, bill_state, bill_postal_code,
       bill_country, bill_phone
from jsonb_to_record(%(addresses)s) as address (
    ship_name text, ship_company text, ship_street1 text, ship_street2 text, ship_city text, ship_state text,
    ship_postal_code text, ship_country text, ship_phone text,
    bill_name text, bill_company text, bill_street1 text, bill_street2 text, bill_city text, bill_state text,
    bill_postal_code text, bill_country text, bill_phone text)
on conflict (order_number) do nothing returning id
"""


def insert_manual(connection: Connection, order: ManualOrder) -> int | None:
    """Make the row; return its id, or None when its number has come to be there meanwhile."""
    parameters = {
        "number": storable(order.order_number.strip()),
        "date": order.order_date,
        "email": storable(order.customer_email) or None,
        "status": order.status,
        "shipstation_id": order.shipstation_order_id,
        "total": order.total_items,
        "cents": order.total_amount_cents,
        "source": SOURCE_SYSTEM,
        "addresses": Jsonb(_columns("ship", order.ship_to) | _columns("bill", order.bill_to)),
    }
    row = connection.execute(INSERT_SQL, parameters).fetchone()
    return int(row[0]) if row else None


def _columns(kind: str, address: Address) -> dict[str, str | None]:
    return {f"{kind}_{field.name}": storable(getattr(address, field.name)) or None for field in fields(Address)}
