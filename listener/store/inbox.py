"""`orders_inbox`: what is pending, what is due, and the rows of one claim.

A pending row stays as it is until ShipStation has the order: a claim writes nothing here. PENDING and HELD are written
once; the check, the claim, the settle's question and the figures are made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from listener.database import Connection, Later
from listener.leader import STAND_FAST_SQL, require_lead
from listener.orders import MOST_LINES, Address, Item, Order
from listener.store.mirror import There
from listener.store.outside import age_in_days, day, text

PENDING = "o.status = 'awaiting_shipment' and coalesce(o.shipstation_order_id, '') = ''"
"""Production also has 'awaiting_shipment' rows that are uploaded; those have an id. The trigger has the same words."""


def key_of(row: str) -> str:
    """Return the normal form of a row's number, in SQL: the ledger's key, and every comparison's."""
    return f"pg_catalog.upper(pg_catalog.btrim({row}.order_number))"


KEY = key_of("o")

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


def inbox_has_due(connection: Connection) -> Later[int]:
    """Ask whether an order is due, and how many are, counted up to 10,000: the check of a pass."""
    counted = connection.execute(CHECK_SQL)

    def answer() -> int:
        row = counted.fetchone()
        return int(row[0]) if row else 0

    return answer


DUE_ROWS_SQL = f"""
select o.id, o.order_number from orders_inbox o where {DUE} and o.id <> all (%(locked)s::integer[])
order by o.id limit %(limit)s
"""


def due_rows(connection: Connection, limit: int, locked: Sequence[int]) -> dict[int, str]:
    """Return {id: number} of the first due rows, which a claim would take next; nothing is locked."""
    return dict(connection.execute(DUE_ROWS_SQL, {"limit": limit, "locked": list(locked)}).fetchall())


# One snapshot finds the due rows and says which of them are locked by others: a second statement could not tell a
# locked row from one that has come in between. The lock's own re-check drops rows that have changed since.
# `together`: 0 claims what no whole request with it was refused for, n what may go with n others at most, null both.
# Only an order that waits to be sent is a suspect: one that is settled has nothing to go with, but a row to be shown.
# OFFSET 0 as in HELD: what is held is left out before more is asked of it.
# The server keeps the ids of our rows for READ_SQL, so that it need not wait for us to repeat them.
CLAIM_SQL = f"""
with lead as materialized ({STAND_FAST_SQL}),
due as materialized (
    select o.id
    from (select o.id, o.order_number from orders_inbox o
          where {DUE} and o.id <> all (%(locked)s::integer[]) order by o.id offset 0) o
    where %(together)s::integer is null or %(together)s = coalesce(
        (select l.batch_limit from listener.ledger l where l.order_key = {KEY} and l.state = 'waiting'), 0)
    order by o.id limit %(limit)s),
ours as materialized (
    select o.id from orders_inbox o where o.id = any (array(select id from due)) and {PENDING}
    order by o.id for update skip locked)
select array(select id from due), pg_catalog.set_config('listener.claimed', array(select id from ours)::text, true),
       (select epoch from lead), (select is_over from lead)
"""

_ADDRESS_COLUMNS = ("name", "company", "street1", "street2", "city", "state", "postal_code", "country", "phone")


def _address_sql(kind: str) -> str:
    return "array[" + ", ".join(text(f"o.{kind}_{column}") for column in _ADDRESS_COLUMNS) + f"] as {kind}"


# Of several active lots of a SKU the newest row's goes out, always the same one. Numbers travel as text: not all that a
# shop may have in these columns is one in JSON.
_ITEMS = f"""
select json_agg(json_build_array({text("i.sku")}, i.quantity::text, coalesce(i.unit_price_cents, 0)::text,
    coalesce((select {text("value")} from configuration_params p
              where p.category = 'Product Names' and p.sku = i.sku order by p.id desc limit 1), ''),
    coalesce((select {text("lot")} from sku_lot s where s.sku = i.sku and s.active = 1
              order by s.id desc limit 1), ''))
    order by i.id)
from (select * from order_items_inbox of where of.order_inbox_id = o.id order by of.id limit {MOST_LINES + 1}) i
"""
_SHIPPED = f"""
select coalesce(s.shipstation_order_id, '') from shipped_orders s
where {key_of("s")} = o.order_key limit 1
"""
_THERE = """
select json_agg(json_build_array(m.order_key, coalesce(m.merged_into, m.shipstation_order_id), m.shipstation_key,
                                 m.status, m.created_at, m.modified_at) order by m.created_at, m.shipstation_order_id)
from listener.mirror m where m.order_key = o.order_key
"""

# A statement of its own, whose snapshot is younger than the locks: no part of an order is older than another.
# OFFSET 0 as in HELD, and so that min() does not walk the table by id.
READ_SQL = f"""
with ours as materialized (
    select o.*, {KEY} as order_key from (
        select o.id, o.order_number, {day("o.order_date")} as order_date, {age_in_days("o.order_date")} as age_days,
               {text("o.customer_email")} as email,
               coalesce(o.total_items, 0) as total_items, {_address_sql("ship")}, {_address_sql("bill")}
        from orders_inbox o
        where o.id = any (nullif(pg_catalog.current_setting('listener.claimed', true), '')::integer[])) o)
select o.id, o.order_key, o.order_number, o.age_days, o.total_items, l.order_key, l.state,
       coalesce((select other.id from orders_inbox other where other.id = l.order_inbox_id and other.id <> o.id
                 and ({key_of("other")} = o.order_key or l.state in ('accepted', 'adopted'))),
                (select min(id) from (
                    select other.id from orders_inbox other
                    where {key_of("other")} = o.order_key and other.id <> o.id
                    and (other.id < o.id or other.status not in ('awaiting_shipment', 'failed')
                         or coalesce(other.shipstation_order_id, '') <> '') offset 0) doubles)),
       coalesce(l.row_written, false), case when l.state = 'waiting' then l.looks else 0 end,
       case when l.state = 'waiting' then extract(epoch from clock_timestamp() - l.first_seen_at) else 0 end::float8,
       coalesce(l.again, 1), l.requeued_at is not null, l.batch_limit,
       o.order_date, o.email, o.ship, o.bill, ({_ITEMS}), ({_SHIPPED}), ({_THERE})
from ours o
left join lateral (
    (select * from listener.ledger renamed
     where renamed.order_inbox_id = o.id and renamed.state in ('accepted', 'adopted') and not renamed.row_written
     limit 1)
    union all
    (select * from listener.ledger known where known.order_key = o.order_key)
    limit 1) l on true
order by o.id
"""


class ClaimedRow(NamedTuple):
    """One due row, locked by us, with what the ledger knows of it: the first columns of READ_SQL.

    ledger_key:   under which number the ledger knows the row; another than its own when the shop has changed it since
    other_row_id: the row that has the same number, but for case or blanks, and comes first
    """

    id: int
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


_OF_THE_ROW = len(ClaimedRow._fields)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known elsewhere of the numbers of a claim, by normal form.

    shipped: ShipStation id, or '', of those in shipped_orders
    there:   what ShipStation has under each, oldest first
    """

    shipped: dict[str, str]
    there: dict[str, list[There]]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim has found: the rows that are ours, with the whole orders, in id order, and what is known of them.

    locked: ids of due rows that somebody else holds locked
    """

    orders: list[tuple[ClaimedRow, Order]]
    known: Known
    locked: tuple[int, ...]


def claim_due_rows(
    connection: Connection, epoch: int, limit: int, locked: Sequence[int], together: int | None
) -> Claimed:
    """Stand fast, lock up to `limit` due rows in id order, leaving out those `locked`, and read them.

    In the claim's transaction, whose first statements these are. Both are sent before an answer is read: in a pipeline
    they share a round trip. Raises LeadLost when another leads.
    """
    found = connection.execute(CLAIM_SQL, {"limit": limit, "locked": list(locked), "together": together})
    read = connection.execute(READ_SQL)
    ((due, _, *lead),) = found.fetchall()
    require_lead(lead, epoch)
    orders: list[tuple[ClaimedRow, Order]] = []
    known = Known({}, {})
    for values in read:
        row = ClaimedRow(*values[:_OF_THE_ROW])
        *parts, shipped, there = values[_OF_THE_ROW:]
        orders.append((row, _order(row, *parts)))
        if shipped is not None:
            known.shipped[row.order_key] = shipped
        if there:
            known.there[row.order_key] = [_there(*order) for order in there]
    ours = {row.id for row, _ in orders}
    return Claimed(orders, known, tuple(row_id for row_id in due if row_id not in ours))


def _order(
    row: ClaimedRow,
    order_date: date | None,
    email: str,
    ship: Sequence[str],
    bill: Sequence[str],
    items: list[Any] | None,
) -> Order:
    return Order(
        order_inbox_id=row.id,
        order_number=row.order_number,
        order_date=order_date,
        customer_email=email,
        ship_to=Address(*ship),
        bill_to=Address(*bill),
        items=tuple(
            Item(sku=sku, quantity=_number(quantity), unit_price=Decimal(cents) / 100, name=name, lot=lot)
            for sku, quantity, cents, name, lot in items or ()
        ),
        total_items=row.total_items,
    )


def _number(quantity: str) -> Any:
    """An int, as in the shop's schema, or whatever else its column holds."""
    return int(quantity) if quantity.removeprefix("-").isdigit() else Decimal(quantity)


def _there(key: str, shipstation_order_id: str, shipstation_key: str | None, status: str, *times: str) -> There:
    created_at, modified_at = map(datetime.fromisoformat, times)
    return There(key, shipstation_order_id, shipstation_key, status, created_at, modified_at)
