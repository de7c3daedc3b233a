"""Imported files, and the rows that their orders become.

One file goes in by one transaction: its orders, its row in `listener.imports`, what was refused in it, and every number
that it holds. A number is kept for good: exports are cumulative, and an order that was cancelled and cleaned up must
not come back. Connections may be a transaction pooler's: limits and search_path are set inside the transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

from psycopg import errors
from psycopg.types.json import Jsonb

from listener.database import Connection
from listener.orders import Address, RefusedOrder, XmlOrder

ORDERS_A_STATEMENT = 1000

KNOWN_FILES_SQL = "select file_id, revision from listener.imports where source = %s"


def known_files(connection: Connection, source: str) -> set[tuple[str, str]]:
    """Return (file_id, revision) of every file of this source that was read, well or badly."""
    return {(file_id, revision) for file_id, revision in connection.execute(KNOWN_FILES_SQL, [source])}


# last_xml_count is an integer or, where the first rollout left it so, text: an integer is assigned to either.
MOVE_SQL = """
update polling_state set last_xml_check = localtimestamp, last_xml_count = %s
where id in (select id from polling_state where id = 1 for update skip locked)
"""


def move_polling_state(connection: Connection, files: int) -> None:
    """Show in `polling_state` that the source was looked at, unless somebody holds that row just now."""
    connection.execute(MOVE_SQL, [files])


LIMITS_SQL = """
select pg_catalog.set_config(name, value, true)
from (values ('statement_timeout', '60s'), ('lock_timeout', '2s'), ('search_path', 'public'),
             ('idle_in_transaction_session_timeout', '15s')) as limits (name, value)
"""


@contextmanager
def import_transaction(connection: Connection) -> Iterator[None]:
    """Run one transaction with our limits. A file of many orders takes longer than a statement of ours usually may."""
    with connection.transaction():
        connection.execute(LIMITS_SQL)
        yield


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


class FileRow(NamedTuple):
    """What identifies a file."""

    source: str
    file_id: str
    revision: str
    name: str


BEGIN_SQL = """
insert into listener.imports (source, file_id, revision, name, status) values (%s, %s, %s, %s, 'imported')
on conflict (source, file_id, revision) do nothing returning id
"""


def begin_import(connection: Connection, file: FileRow) -> int | None:
    """Write the file's row and return its id; None when somebody else has imported it."""
    row = connection.execute(BEGIN_SQL, file).fetchone()
    return int(row[0]) if row else None


class Counts(NamedTuple):
    """What became of a file's orders."""

    in_file: int
    new: int
    known: int
    refused: int


FINISH_SQL = """
update listener.imports set orders_in_file = %s, orders_new = %s, orders_known = %s, orders_refused = %s where id = %s
"""


def finish_import(connection: Connection, import_id: int, counts: Counts) -> None:
    """Write the file's figures."""
    connection.execute(FINISH_SQL, [*counts, import_id])


FAILED_SQL = """
insert into listener.imports (source, file_id, revision, name, status, error) values (%s, %s, %s, %s, 'failed', %s)
on conflict (source, file_id, revision) do nothing
"""


def record_failed_file(connection: Connection, file: FileRow, error: str) -> None:
    """Write that the file cannot be read, and why: it is not tried again until it changes."""
    connection.execute(FAILED_SQL, [*file, error])


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

    A refused one costs no good one: the set is halved until it stands alone. Inside a transaction.
    """
    if len(orders) > ORDERS_A_STATEMENT:
        return _insert_halves(connection, orders)
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


QUARANTINE_SQL = """
insert into listener.quarantine (import_id, line, order_number, reason)
select %s, line, number, reason
from unnest(%s::integer[], %s::text[], %s::text[]) as refused (line, number, reason)
"""


def quarantine(connection: Connection, import_id: int, refused: Sequence[RefusedOrder]) -> None:
    """Write which orders of the file were refused, where they stand and why."""
    columns = [[r.line for r in refused], [r.order_number for r in refused], [r.reason for r in refused]]
    connection.execute(QUARANTINE_SQL, [import_id, *columns])
