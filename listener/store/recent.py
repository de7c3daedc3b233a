"""The newest orders, as the status page lists them: by indexes, whatever the tables have grown to."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from listener.database import Connection
from listener.store.inbox import KEY, PENDING
from listener.store.outside import instant

LONGEST = 500
"""Characters of a text that a list shows: a row may hold anything."""


@dataclass(frozen=True, slots=True)
class Recent:
    """A row of `orders_inbox` and what the ledger says of it; an id that is NULL is empty here."""

    order_number: str
    row_status: str
    shipstation_order_id: str
    pending: bool
    state: str | None
    row_written: bool
    arrived_at: datetime | None
    settled_at: datetime | None
    not_before: datetime | None
    error: str | None


NEWEST_ORDERS_SQL = f"""
select left(o.order_number, {LONGEST}) as order_number, o.status as row_status,
       coalesce(o.shipstation_order_id, '') as shipstation_order_id,
       {PENDING} as pending, l.state, coalesce(l.row_written, false) as row_written,
       coalesce(l.first_seen_at, {instant("o.created_at")}) as arrived_at, l.settled_at, l.not_before,
       left(coalesce(o.failure_reason, l.error), {LONGEST}) as error
from (select * from orders_inbox order by id desc limit %s) o
left join listener.ledger l on l.order_key = {KEY} and l.order_inbox_id = o.id
order by o.id desc
"""


def newest_orders(connection: Connection, limit: int) -> list[Recent]:
    """Return the orders that came last, the newest first."""
    return connection.cursor(row_factory=class_row(Recent)).execute(NEWEST_ORDERS_SQL, [limit]).fetchall()


@dataclass(frozen=True, slots=True)
class Stuck:
    """An order that the listener gave up, or holds back for its age; `state` as in `store.requeues`."""

    order_number: str
    state: str
    since: datetime | None
    attempts: int
    reason: str


# Only what the ledger holds, by its indexes: `store.requeues.gave_up` lists what failed before us as well, and reads
# the whole table for that. One that the shop has changed since is not stuck; of thousands, these are enough.
NEWEST_STUCK_SQL = f"""
with gave_up as (
    (select * from listener.ledger where state = 'rejected' order by settled_at desc limit 100)
    union all
    (select * from (select * from listener.ledger where state = 'held_back' limit 1000) held
     order by settled_at desc nulls last limit 100))
select left(o.order_number, {LONGEST}) as order_number,
       case l.state when 'rejected' then 'failed' else 'held back' end as state, l.settled_at as since, l.attempts,
       left(coalesce(case l.state when 'rejected' then o.failure_reason end, l.error, 'no reason is given'), {LONGEST})
           as reason
from gave_up l join orders_inbox o on o.id = l.order_inbox_id
where case l.state when 'rejected' then o.status = 'failed' or not l.row_written and {PENDING} else {PENDING} end
order by l.settled_at desc nulls last, o.id desc limit %s
"""


def newest_stuck(connection: Connection, limit: int) -> list[Stuck]:
    """Return what was given up or held back last, the newest first."""
    return connection.cursor(row_factory=class_row(Stuck)).execute(NEWEST_STUCK_SQL, [limit]).fetchall()


@dataclass(frozen=True, slots=True)
class RefusedInFile:
    """An order that a file held and that was not taken over, or a whole file. `order_number` is None for a file."""

    at: datetime | None
    file: str
    line: int | None
    order_number: str | None
    reason: str


NEWEST_REFUSED_SQL = f"""
select q.at, left(i.name, {LONGEST}) as file, q.line, left(q.order_number, {LONGEST}) as order_number,
       left(q.reason, {LONGEST}) as reason
from (select * from listener.quarantine order by id desc limit %s) q join listener.imports i on i.id = q.import_id
order by q.id desc
"""


def newest_refused(connection: Connection, limit: int) -> list[RefusedInFile]:
    """Return what was refused last in files, the newest first."""
    return connection.cursor(row_factory=class_row(RefusedInFile)).execute(NEWEST_REFUSED_SQL, [limit]).fetchall()
