"""`orders_inbox`: what is pending, what is due, and the rows of one claim.

A pending row stays as it is until ShipStation has the order: a claim writes nothing here. PENDING and HELD are written
once; the check, the claim, the settle's question and the figures are made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg.rows import class_row, namedtuple_row

from listener.database import Connection
from listener.orders import Address, Item, Order

PENDING = "o.status = 'awaiting_shipment' and coalesce(o.shipstation_order_id, '') = ''"
"""Production also has 'awaiting_shipment' rows that are uploaded; those have an id. The trigger has the same words."""

KEY = "pg_catalog.upper(pg_catalog.btrim(o.order_number))"
"""The normal form of a number: the ledger's key, and every comparison's."""

HELD = f"""exists (
    select from listener.ledger l where l.order_key = {KEY}
    and (l.state in ('sending', 'unknown', 'held_back') or l.state = 'waiting' and l.not_before > now()))"""

DUE = f"{PENDING} and not {HELD}"

COUNTED_UP_TO = 10_000

LOOKS = 5
"""How often an order without all its parts is looked at before it fails; `workflows.admit` says when."""

CHECK_SQL = f"""
select exists (select from orders_inbox o where {DUE}),
       (select count(*) from (select from orders_inbox o where {DUE} limit {COUNTED_UP_TO}) counted)
"""


def inbox_has_due(connection: Connection) -> tuple[bool, int]:
    """Return whether an order is due, and how many are, counted up to 10,000: the check of a pass."""
    row = connection.execute(CHECK_SQL).fetchone()
    return (bool(row[0]), int(row[1])) if row else (False, 0)


class ClaimedRow(NamedTuple):
    """One due row, locked by us, or not (`ours` false: somebody else has it), with what the ledger knows of it."""

    id: int
    ours: bool
    order_key: str
    order_number: str
    age_days: int
    total_items: int
    ledger_state: str | None
    ledger_inbox_id: int | None
    other_row_exists: bool
    row_written: bool
    looks: int
    seen_seconds: float


# One snapshot finds the due rows and says which of them are locked by others: a second statement could not tell a
# locked row from one that has come in between. The lock's own re-check drops rows that have changed since.
CLAIM_SQL = f"""
with due as materialized (
    select o.id from orders_inbox o where {DUE} and o.id <> all (%(locked)s::integer[])
    order by o.id limit %(limit)s),
ours as materialized (
    select o.id, o.order_number, o.order_date, o.total_items, {KEY} as order_key
    from orders_inbox o where o.id in (select id from due) and {PENDING}
    order by o.id for update skip locked)
select due.id, ours.id is not null as ours, ours.order_key, ours.order_number,
       current_date - ours.order_date as age_days, coalesce(ours.total_items, 0) as total_items,
       l.state as ledger_state, l.order_inbox_id as ledger_inbox_id,
       l.order_inbox_id is distinct from due.id
           and exists (select from orders_inbox other where other.id = l.order_inbox_id) as other_row_exists,
       coalesce(l.row_written, false) as row_written,
       case when l.state = 'waiting' then l.looks else 0 end as looks,
       case when l.state = 'waiting' then extract(epoch from clock_timestamp() - l.first_seen_at) else 0 end::float8
           as seen_seconds
from due left join ours using (id) left join listener.ledger l on l.order_key = ours.order_key
order by due.id
"""


def claim_due_rows(connection: Connection, limit: int, locked: Sequence[int]) -> list[ClaimedRow]:
    """Lock up to `limit` due rows in id order, leaving out those `locked`. Inside the claim's transaction."""
    cursor = connection.cursor(row_factory=namedtuple_row)
    rows = cursor.execute(CLAIM_SQL, {"limit": limit, "locked": list(locked)}).fetchall()
    return [ClaimedRow(*row) for row in rows]


SHIPPED_SQL = """
select pg_catalog.upper(pg_catalog.btrim(order_number)), coalesce(shipstation_order_id, '')
from shipped_orders where order_number = any (%s)
"""


@dataclass(frozen=True, slots=True)
class _Header:
    id: int
    order_number: str
    order_date: Any
    customer_email: str
    total_items: int
    ship: list[str]
    bill: list[str]


_ADDRESS_COLUMNS = ("name", "company", "street1", "street2", "city", "state", "postal_code", "country", "phone")


def _address_sql(kind: str) -> str:
    return "array[" + ", ".join(f"coalesce({kind}_{column}, '')" for column in _ADDRESS_COLUMNS) + "]"


HEADERS_SQL = f"""
select id, order_number, order_date, coalesce(customer_email, '') as customer_email,
       coalesce(total_items, 0) as total_items, {_address_sql("ship")} as ship, {_address_sql("bill")} as bill
from orders_inbox where id = any (%s) order by id
"""

# Of several active lots of a SKU the newest row's goes out, always the same one.
ITEMS_SQL = """
select i.order_inbox_id, i.sku, i.quantity, coalesce(i.unit_price_cents, 0),
       coalesce((select value from configuration_params p
                 where p.category = 'Product Names' and p.sku = i.sku order by p.id desc limit 1), ''),
       coalesce((select lot from sku_lot s where s.sku = i.sku and s.active = 1 order by s.id desc limit 1), '')
from order_items_inbox i where i.order_inbox_id = any (%s) order by i.order_inbox_id, i.id
"""


def read_claimed(connection: Connection, rows: Sequence[ClaimedRow]) -> tuple[list[Order], dict[str, str]]:
    """Return the whole orders of claimed rows in id order, and {order_key: ShipStation id, or ''} of those shipped.

    The three questions are put before the first answer is read: in a pipeline they share a round trip.
    """
    ids = [row.id for row in rows]
    spellings = {form for row in rows for form in (row.order_number, row.order_number.strip(" "), row.order_key)}
    shipped = connection.execute(SHIPPED_SQL, [list(spellings)])
    lines = connection.execute(ITEMS_SQL, [ids])
    headers = connection.cursor(row_factory=class_row(_Header)).execute(HEADERS_SQL, [ids])
    items: dict[int, list[Item]] = {}
    for row_id, sku, quantity, cents, name, lot in lines:
        item = Item(sku=sku, quantity=quantity, unit_price=Decimal(cents) / 100, name=name, lot=lot)
        items.setdefault(row_id, []).append(item)
    return [_order(header, items.get(header.id, [])) for header in headers], dict(shipped.fetchall())


def _order(header: _Header, items: Sequence[Item]) -> Order:
    return Order(
        order_inbox_id=header.id,
        order_number=header.order_number,
        order_date=header.order_date,
        customer_email=header.customer_email,
        ship_to=Address(*header.ship),
        bill_to=Address(*header.bill),
        items=tuple(items),
        total_items=header.total_items,
    )


INCOMPLETE = f"""state = 'rejected' and row_written and looks >= {LOOKS} and settled_at > now() - interval '1 hour'"""
"""An order that failed within the hour because its parts did not come: they may come yet."""

REVIVE_SQL = f"""
update orders_inbox o set status = 'awaiting_shipment', failure_reason = null, updated_at = localtimestamp
from listener.ledger l
where o.id = l.order_inbox_id and l.{INCOMPLETE.replace(" and ", " and l.")}
  and o.status = 'failed' and o.failure_reason = l.error
  and exists (select from order_items_inbox i where i.order_inbox_id = o.id)
  and coalesce(o.ship_street1, '') <> '' and coalesce(o.ship_city, '') <> ''
"""


def revive_completed(connection: Connection) -> int:
    """Make pending again what failed for want of parts and has them now; return how many orders that are."""
    return connection.execute(REVIVE_SQL).rowcount


REFUSE_DOUBLE_SQL = f"""
update orders_inbox o set status = 'failed', failure_reason = 'same number as row ' || %(other)s,
       updated_at = localtimestamp
where o.id = %(id)s and {PENDING}
"""


def refuse_double(connection: Connection, row_id: int, other: int) -> None:
    """Fail a row whose number another row has, but for case or blanks."""
    connection.execute(REFUSE_DOUBLE_SQL, {"id": row_id, "other": str(other)})


# A row that the shop changed while we sent it gets its id and nothing else. What is locked follows in the next pass.
WRITE_ROWS_SQL = """
with wanted as (
    select o.id, l.order_key, l.shipstation_order_id, l.row_status, l.error
    from listener.ledger l join orders_inbox o on o.id = l.order_inbox_id
    where l.order_key = any (%(keys)s) and not l.row_written
      and l.state in ('accepted', 'adopted', 'rejected', 'excluded')
    order by o.id for update of o skip locked),
written as (
    update orders_inbox o set
        status = case when o.status = 'awaiting_shipment' then w.row_status else o.status end,
        shipstation_order_id = coalesce(nullif(o.shipstation_order_id, ''), w.shipstation_order_id),
        failure_reason = case when o.status = 'awaiting_shipment' and w.row_status = 'failed' then w.error
                              else o.failure_reason end,
        updated_at = case when o.status = 'awaiting_shipment' then localtimestamp else o.updated_at end
    from wanted w where o.id = w.id
    returning o.id, w.order_key, w.shipstation_order_id),
lines as (
    insert into shipstation_order_line_items (order_inbox_id, sku, shipstation_order_id)
    select i.order_inbox_id, i.sku, w.shipstation_order_id
    from written w join order_items_inbox i on i.order_inbox_id = w.id where w.shipstation_order_id is not null
    on conflict (order_inbox_id, sku) do nothing)
update listener.ledger l set row_written = true from written w where l.order_key = w.order_key
returning l.order_key
"""


def write_rows(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Show in `orders_inbox` what the ledger has settled; return the keys whose rows could be written now."""
    return {key for (key,) in connection.execute(WRITE_ROWS_SQL, {"keys": list(keys)})}
