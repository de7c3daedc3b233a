"""The rows that the orders of a file become, and who knows their numbers already.

A number is kept for good: exports are cumulative, and an order that was cancelled and cleaned up must not come back.
Everything here runs inside the file's transaction (`store.imports`).
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from listener.database import Connection
from listener.orders import Address, RefusedOrder, XmlOrder

BUNDLES_SQL = """
select b.bundle_sku, c.component_sku, c.multiplier
from bundle_skus b join bundle_components c on c.bundle_sku_id = b.id
where b.active = 1 order by b.bundle_sku, c.sequence, c.id
"""


def active_bundles(connection: Connection) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return {bundle SKU: ((component SKU, multiplier), …)} of the active bundles."""
    bundles: dict[str, tuple[tuple[str, int], ...]] = {}
    for bundle, component, multiplier in connection.execute(BUNDLES_SQL):
        bundles[bundle] = (*bundles.get(bundle, ()), (component, multiplier))
    return bundles


KEY_PRODUCTS_SQL = """
select distinct pg_catalog.btrim(sku) from configuration_params
where category = 'Key Products' and pg_catalog.btrim(sku) <> ''
"""


def key_products(connection: Connection) -> frozenset[str]:
    """Return the SKUs that are imported; none means all."""
    return frozenset(sku for (sku,) in connection.execute(KEY_PRODUCTS_SQL))


# OFFSET 0 keeps four probes of an index from becoming joins with whole tables, whatever the planner knows of these.
NEW_NUMBERS_SQL = """
select number
from (select number, pg_catalog.upper(pg_catalog.btrim(number)) as key from unnest(%s::text[]) as file (number)) as held
where not exists (select from listener.imported_orders i where i.order_key = key offset 0)
  and not exists (select from listener.ledger l where l.order_key = key offset 0)
  and not exists (select from orders_inbox o where pg_catalog.upper(pg_catalog.btrim(o.order_number)) = key offset 0)
  and not exists (select from shipped_orders s where pg_catalog.upper(pg_catalog.btrim(s.order_number)) = key offset 0)
"""


def new_numbers(connection: Connection, numbers: Sequence[str]) -> set[str]:
    """Return those of the numbers that nobody knows: not the inbox, the shipped orders, the ledger, an earlier file."""
    return {number for (number,) in connection.execute(NEW_NUMBERS_SQL, [list(numbers)])}


INSERT_ORDERS_SQL = """
with file as materialized (
    select * from jsonb_to_recordset(%s) as file (
        order_number text, order_date date, customer_email text, total_items integer, items jsonb,
        ship_name text, ship_company text, ship_street1 text, ship_street2 text, ship_city text, ship_state text,
        ship_postal_code text, ship_country text, ship_phone text,
        bill_name text, bill_company text, bill_street1 text, bill_street2 text, bill_city text, bill_state text,
        bill_postal_code text, bill_country text, bill_phone text)),
inserted as (
    insert into orders_inbox (
        order_number, order_date, customer_email, status, total_items, source_system,
        ship_name, ship_company, ship_street1, ship_street2, ship_city, ship_state, ship_postal_code, ship_country,
        ship_phone, bill_name, bill_company, bill_street1, bill_street2, bill_city, bill_state, bill_postal_code,
        bill_country, bill_phone)
    select order_number, coalesce(order_date, current_date), customer_email, 'awaiting_shipment', total_items, 'X-Cart',
           ship_name, ship_company, ship_street1, ship_street2, ship_city, ship_state, ship_postal_code, ship_country,
           ship_phone, bill_name, bill_company, bill_street1, bill_street2, bill_city, bill_state, bill_postal_code,
           bill_country, bill_phone
    from file
    on conflict (order_number) do nothing returning id, order_number),
items as (
    insert into order_items_inbox (order_inbox_id, sku, quantity)
    select inserted.id, item.sku, item.quantity
    from inserted join file using (order_number),
         rows from (jsonb_to_recordset(file.items) as (sku text, quantity integer)) with ordinality
             as item (sku, quantity, place)
    order by inserted.id, item.place)
select count(*) from inserted
"""


def insert_orders(connection: Connection, orders: Sequence[XmlOrder]) -> tuple[int, list[RefusedOrder]]:
    """Insert orders with their lines; return how many, and which of them the database refuses.

    A refused one costs no good one: the set is halved until it stands alone.
    """
    if not orders:
        return 0, []
    try:
        with connection.transaction():
            row = connection.execute(INSERT_ORDERS_SQL, [Jsonb([_row(order) for order in orders])]).fetchone()
            return int(row[0]) if row else 0, []
    except (errors.DataError, errors.IntegrityError, errors.RaiseException) as error:
        if len(orders) > 1:
            return _insert_halves(connection, orders)
        reason = f"the database refuses it: {str(error).partition(chr(10))[0]}"
        return 0, [RefusedOrder(orders[0].line, orders[0].order_number, reason)]


def _insert_halves(connection: Connection, orders: Sequence[XmlOrder]) -> tuple[int, list[RefusedOrder]]:
    middle = len(orders) // 2
    first, refused = insert_orders(connection, orders[:middle])
    second, refused_too = insert_orders(connection, orders[middle:])
    return first + second, refused + refused_too


def _row(order: XmlOrder) -> dict[str, Any]:
    return {
        "order_number": order.order_number,
        "order_date": order.order_date.isoformat() if order.order_date else None,
        "customer_email": order.customer_email or None,
        "total_items": sum(quantity for _, quantity in order.items),
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in order.items],
        **_columns("ship", order.ship_to),
        **_columns("bill", order.bill_to),
    }


ADDRESS_FIELDS = tuple(field.name for field in fields(Address))


def _columns(kind: str, address: Address) -> dict[str, str | None]:
    return {f"{kind}_{name}": getattr(address, name) or None for name in ADDRESS_FIELDS}


KEEP_SQL = """
insert into listener.imported_orders (order_key, import_id)
select distinct pg_catalog.upper(pg_catalog.btrim(number)) as key, %s::bigint
from unnest(%s::text[]) as file (number) order by key
on conflict (order_key) do nothing
"""


def keep_numbers(connection: Connection, import_id: int, numbers: Sequence[str]) -> None:
    """Remember these numbers for good."""
    connection.execute(KEEP_SQL, [import_id, list(numbers)])
