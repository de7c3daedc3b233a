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
from listener.orders import MOST_LINES, Address, Item, Order
from listener.store.mirror import BY_NUMBER_SQL, There
from listener.store.outside import age_in_days, day, text

PENDING = "o.status = 'awaiting_shipment' and coalesce(o.shipstation_order_id, '') = ''"
"""Production also has 'awaiting_shipment' rows that are uploaded; those have an id. The trigger has the same words."""

KEY = "pg_catalog.upper(pg_catalog.btrim(o.order_number))"
"""The normal form of a number: the ledger's key, and every comparison's."""

# OFFSET 0 keeps these look-ups from becoming joins: one or two probes of a small index a pending row, whatever the
# planner knows of the tables. A join is a third faster at its best, and reads millions of rows when the planner errs.
# CASE asks in this order: most held rows are held by their number.
HELD = f"""case when exists (
    select from listener.ledger l where l.order_key = {KEY}
    and l.state in ('waiting', 'sending', 'unknown', 'held_back') and (l.state <> 'waiting' or l.not_before > now())
    offset 0)
then true else exists (
    select from listener.ledger l where l.order_inbox_id = o.id and l.state in ('sending', 'unknown') offset 0)
end"""
"""The ledger says not now: by the row's number, or because the row itself is in our hands, under a number that the shop
has changed since."""

DUE = f"{PENDING} and not {HELD}"

COUNTED_UP_TO = 10_000

LOOKS = 5
"""How often an order without all its parts is looked at before it fails; `workflows.admit` says when."""

CHECK_SQL = f"select count(*) from (select from orders_inbox o where {DUE} limit {COUNTED_UP_TO}) due"


def inbox_has_due(connection: Connection) -> tuple[bool, int]:
    """Return whether an order is due, and how many are, counted up to 10,000: the check of a pass."""
    row = connection.execute(CHECK_SQL).fetchone()
    count = int(row[0]) if row else 0
    return count > 0, count


DUE_ROWS_SQL = f"""
select o.id, o.order_number from orders_inbox o where {DUE} and o.id <> all (%(locked)s::integer[])
order by o.id limit %(limit)s
"""


def due_rows(connection: Connection, limit: int, locked: Sequence[int]) -> dict[int, str]:
    """Return {id: number} of the first due rows, which a claim would take next; nothing is locked."""
    return dict(connection.execute(DUE_ROWS_SQL, {"limit": limit, "locked": list(locked)}).fetchall())


class ClaimedRow(NamedTuple):
    """One due row, locked by us, or not (`ours` false: somebody else has it), with what the ledger knows of it.

    ledger_key:   under which number the ledger knows the row; another than its own when the shop has changed it since
    other_row_id: the row that has the same number, but for case or blanks, and comes first
    """

    id: int
    ours: bool
    order_key: str
    order_number: str
    age_days: int
    total_items: int
    ledger_key: str | None
    ledger_state: str | None
    other_row_id: int | None
    row_written: bool
    looks: int
    seen_seconds: float
    again: int
    requeued: bool
    batch_limit: int | None


# One snapshot finds the due rows and says which of them are locked by others: a second statement could not tell a
# locked row from one that has come in between. The lock's own re-check drops rows that have changed since.
# `together`: 0 claims what no whole request with it was refused for, n what may go with n others at most, null both.
# Only an order that waits to be sent is a suspect: one that is settled has nothing to go with, but a row to be shown.
# OFFSET 0 as in HELD: what is held is left out before more is asked of it, and min() does not walk the table by id.
CLAIM_SQL = f"""
with due as materialized (
    select o.id
    from (select o.id, o.order_number from orders_inbox o
          where {DUE} and o.id <> all (%(locked)s::integer[]) order by o.id offset 0) o
    where %(together)s::integer is null or %(together)s = coalesce(
        (select l.batch_limit from listener.ledger l where l.order_key = {KEY} and l.state = 'waiting'), 0)
    order by o.id limit %(limit)s),
ours as materialized (
    select o.id, o.order_number, o.order_date, o.total_items, {KEY} as order_key
    from orders_inbox o where o.id = any (array(select id from due)) and {PENDING}
    order by o.id for update skip locked)
select due.id, ours.id is not null as ours, ours.order_key, ours.order_number,
       {age_in_days("ours.order_date")} as age_days, coalesce(ours.total_items, 0) as total_items,
       l.order_key as ledger_key, l.state as ledger_state,
       coalesce((select o.id from orders_inbox o where o.id = l.order_inbox_id and o.id <> due.id
                 and ({KEY} = ours.order_key or l.state in ('accepted', 'adopted'))),
                (select min(id) from (
                    select o.id from orders_inbox o where {KEY} = ours.order_key and o.id <> due.id
                    and (o.id < due.id or o.status not in ('awaiting_shipment', 'failed')
                         or coalesce(o.shipstation_order_id, '') <> '') offset 0) doubles)) as other_row_id,
       coalesce(l.row_written, false) as row_written,
       case when l.state = 'waiting' then l.looks else 0 end as looks,
       case when l.state = 'waiting' then extract(epoch from clock_timestamp() - l.first_seen_at) else 0 end::float8
           as seen_seconds,
       coalesce(l.again, 1) as again, l.requeued_at is not null as requeued, l.batch_limit
from due left join ours using (id)
left join lateral (
    (select * from listener.ledger renamed
     where renamed.order_inbox_id = ours.id and renamed.state in ('accepted', 'adopted') and not renamed.row_written
     limit 1)
    union all
    (select * from listener.ledger known where known.order_key = ours.order_key)
    limit 1) l on true
order by due.id
"""


def claim_due_rows(connection: Connection, limit: int, locked: Sequence[int], together: int | None) -> list[ClaimedRow]:
    """Lock up to `limit` due rows in id order, leaving out those `locked`. Inside the claim's transaction."""
    cursor = connection.cursor(row_factory=namedtuple_row)
    parameters = {"limit": limit, "locked": list(locked), "together": together}
    return [ClaimedRow(*row) for row in cursor.execute(CLAIM_SQL, parameters).fetchall()]


# OFFSET 0 as in HELD: `= any` of a hundred numbers reads the whole table while its index has no statistics.
SHIPPED_SQL = """
select key, coalesce(shipstation_order_id, '')
from unnest(%s::text[]) as wanted (key), lateral (
    select shipstation_order_id from shipped_orders s
    where pg_catalog.upper(pg_catalog.btrim(s.order_number)) = key offset 0) shipped
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
    return "array[" + ", ".join(text(f"{kind}_{column}") for column in _ADDRESS_COLUMNS) + "]"


HEADERS_SQL = f"""
select id, order_number, {day("order_date")} as order_date, {text("customer_email")} as customer_email,
       coalesce(total_items, 0) as total_items, {_address_sql("ship")} as ship, {_address_sql("bill")} as bill
from orders_inbox where id = any (%s) order by id
"""

# Of several active lots of a SKU the newest row's goes out, always the same one.
ITEMS_SQL = f"""
select i.order_inbox_id, {text("i.sku")}, i.quantity, coalesce(i.unit_price_cents, 0),
       coalesce((select {text("value")} from configuration_params p
                 where p.category = 'Product Names' and p.sku = i.sku order by p.id desc limit 1), ''),
       coalesce((select {text("lot")} from sku_lot s where s.sku = i.sku and s.active = 1
                 order by s.id desc limit 1), '')
from unnest(%s::integer[]) as claimed (id), lateral (
    select * from order_items_inbox of where of.order_inbox_id = claimed.id order by of.id limit {MOST_LINES + 1}) i
order by i.order_inbox_id, i.id
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known elsewhere of the numbers of a claim, by normal form.

    shipped: ShipStation id, or '', of those in shipped_orders
    there:   what ShipStation has under each, oldest first
    """

    shipped: dict[str, str]
    there: dict[str, list[There]]


def read_claimed(connection: Connection, rows: Sequence[ClaimedRow]) -> tuple[list[Order], Known]:
    """Return the whole orders of claimed rows in id order, and what is known of their numbers.

    The four questions are put before the first answer is read: in a pipeline they share a round trip.
    """
    ids, keys = [row.id for row in rows], [row.order_key for row in rows]
    shipped = connection.execute(SHIPPED_SQL, [keys])
    remote = connection.execute(BY_NUMBER_SQL, [keys])
    lines = connection.execute(ITEMS_SQL, [ids])
    headers = connection.cursor(row_factory=class_row(_Header)).execute(HEADERS_SQL, [ids])
    items: dict[int, list[Item]] = {}
    for row_id, sku, quantity, cents, name, lot in lines:
        item = Item(sku=sku, quantity=quantity, unit_price=Decimal(cents) / 100, name=name, lot=lot)
        items.setdefault(row_id, []).append(item)
    there: dict[str, list[There]] = {}
    for row in remote:
        there.setdefault(row[0], []).append(There(*row))
    return [_order(header, items.get(header.id, [])) for header in headers], Known(dict(shipped.fetchall()), there)


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
