"""Everything that the database holds of one order, and what every order waits for: the SQL behind `explain`.

It only reads, and takes no lock on a row: who asks must not keep the listener from claiming. All numbers are compared
in their one normal form.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from listener.database import Connection
from listener.flags import Flags, parse_flags
from listener.leader import LEADS
from listener.store.api_calls import burst_of, calls_a_second
from listener.store.config import read_flag_rows
from listener.store.outside import age_in_days, instant, text
from listener.store.text import storable
from listener.story.dossier import (
    Conflict,
    Dossier,
    HistoryLine,
    Imported,
    InboxRow,
    Leader,
    Ledger,
    Locker,
    PutAside,
    Quarantined,
    Remote,
    Requeued,
    Shipped,
    Surroundings,
)

T = TypeVar("T")

KEY_SQL = "select pg_catalog.upper(pg_catalog.btrim(%s::text)), clock_timestamp()"

ROWS_SQL = f"""
select id, order_number, status, coalesce(shipstation_order_id, '') as shipstation_order_id,
       {text("failure_reason")} as failure_reason, order_date::text, {age_in_days("order_date")} as age_days,
       {text("source_system")} as source_system,
       {instant("created_at")} as created_at,
       (select count(*) from order_items_inbox i where i.order_inbox_id = o.id) as items
from orders_inbox o where pg_catalog.upper(pg_catalog.btrim(order_number)) = %s order by id
"""

LEDGER_SQL = """
select order_inbox_id, order_number, state, shipstation_key, shipstation_order_id, attempts, looks, not_before, doubt,
       batch_limit, again, epoch, first_seen_at, started_at, settled_at, requeued_at, http_status, error, row_status,
       row_written
from listener.ledger where order_key = %s
"""

RENAMED_SQL = """
select o.order_number from listener.ledger l join orders_inbox o on o.id = l.order_inbox_id
where l.order_key = %s and pg_catalog.upper(pg_catalog.btrim(o.order_number)) <> l.order_key
"""

HISTORY_SQL = """
select at, coalesce(state, '') as state, note
from (select * from listener.history where order_key = %s and at is not null order by id desc limit 500) newest
order by id
"""

# An order that was merged has become part of another: that one's status is its own. One that bears another number at
# ShipStation now is still the one that the ledger names.
REMOTE_SQL = """
select there.shipstation_order_id, there.created_at, there.modified_at, there.merged_into,
       case when there.merged_into is null then there.status else coalesce(whole.status, 'merged') end as status
from listener.mirror there left join listener.mirror whole on whole.shipstation_order_id = there.merged_into
where there.order_key = %(key)s
   or there.shipstation_order_id = (select shipstation_order_id from listener.ledger where order_key = %(key)s)
order by there.created_at, there.shipstation_order_id
"""

CONFLICTS_SQL = "select kind, shipstation_order_ids, at from listener.conflicts where order_key = %s order by id"

PUT_ASIDE_SQL = """
select error, next_try from listener.sync_failures where pg_catalog.upper(pg_catalog.btrim(order_number)) = %s
order by at
"""

SHIPPED_SQL = """
select ship_date, coalesce(shipstation_order_id, '') as shipstation_order_id
from shipped_orders where pg_catalog.upper(pg_catalog.btrim(order_number)) = %s order by id
"""

IMPORTED_SQL = """
select i.at, f.name as file from listener.imported_orders i left join listener.imports f on f.id = i.import_id
where i.order_key = %s and i.at is not null
"""

QUARANTINED_SQL = """
select q.at, f.name as file, q.line, q.reason
from listener.quarantine q join listener.imports f on f.id = q.import_id
where pg_catalog.upper(pg_catalog.btrim(q.order_number)) = %s and q.at is not null order by q.id
"""

REQUEUES_SQL = 'select at, "by" from listener.requeues where order_key = %s order by id'


def read_order(connection: Connection, asked: str) -> Dossier:
    """Return what is known of the number `asked`, in any spelling. Inside a transaction with `limit_transaction`."""
    row = connection.execute(KEY_SQL, [storable(asked)]).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    key, now = row

    def read(kind: type[T], query: str) -> tuple[T, ...]:
        return tuple(connection.cursor(row_factory=class_row(kind)).execute(query, [key]).fetchall())

    inbox_rows = read(InboxRow, ROWS_SQL)
    renamed = connection.execute(RENAMED_SQL, [key]).fetchone()
    remote = connection.cursor(row_factory=class_row(Remote)).execute(REMOTE_SQL, {"key": key}).fetchall()
    return Dossier(
        asked=asked,
        order_key=key,
        now=now,
        surroundings=read_surroundings(connection),
        rows=inbox_rows,
        lockers=lockers(connection, [row.id for row in inbox_rows]),
        ledger=next(iter(read(Ledger, LEDGER_SQL)), None),
        renamed_to=renamed[0] if renamed else None,
        history=read(HistoryLine, HISTORY_SQL),
        remote=tuple(remote),
        conflicts=read(Conflict, CONFLICTS_SQL),
        put_aside=read(PutAside, PUT_ASIDE_SQL),
        shipped=read(Shipped, SHIPPED_SQL),
        imported=next(iter(read(Imported, IMPORTED_SQL)), None),
        quarantined=read(Quarantined, QUARANTINED_SQL),
        requeues=read(Requeued, REQUEUES_SQL),
    )


# xmax is whoever locked or deleted this version of the row, long ago perhaps: they count while they hold the lock on
# their own transaction id that everybody has who writes. Several lockers at once share a multixact, whose number says
# nothing in pg_locks, and could be a stranger's id there: whoever is named must hold a lock on the table as well.
# pg_get_multixact_members complains in the server's log about a number that was never one: it is asked only for what
# may be one.
LOCKERS_SQL = """
with locked as materialized (
    select o.id as row_id, o.xmax,
           case when mxid_age(o.xmax) between 1 and (select max(mxid_age(datminmxid)) from pg_catalog.pg_database)
                then o.xmax end as multixact
    from orders_inbox o where o.id = any (%s) and o.xmax <> '0'::xid),
suspects as (
    select row_id, xmax::text as xid from locked
    union
    select row_id, m.xid::text from locked, pg_catalog.pg_get_multixact_members(multixact) m)
select distinct s.row_id, t.pid, coalesce(a.application_name, '') as application, a.xact_start as since
from suspects s
join pg_catalog.pg_locks t on t.locktype = 'transactionid' and t.transactionid::text = s.xid
    and t.mode = 'ExclusiveLock' and t.granted and t.pid is distinct from pg_catalog.pg_backend_pid()
left join pg_catalog.pg_stat_activity a on a.pid = t.pid
where exists (
    select from pg_catalog.pg_locks r
    where r.locktype = 'relation' and r.virtualtransaction = t.virtualtransaction
      and r.relation = 'orders_inbox'::regclass
      and r.database = (select oid from pg_catalog.pg_database where datname = current_database()))
order by s.row_id, t.pid
"""


def lockers(connection: Connection, row_ids: list[int]) -> tuple[Locker, ...]:
    """Return who else holds these rows locked at this moment."""
    return tuple(connection.cursor(row_factory=class_row(Locker)).execute(LOCKERS_SQL, [row_ids]).fetchall())


LEADER_SQL = f"select holder, epoch from listener.leader where {LEADS}"

# As `api_calls.TAKE_SQL` would find the bucket, without taking from it.
CALL_IN_SQL = """
select greatest(0, (1 - least(%(burst)s, tokens + greatest(0, extract(epoch from clock_timestamp() - refilled_at))
                                                  * %(rate)s)) / %(rate)s)::float8
from listener.budget where id = 1
"""

MIRROR_SQL = "select fresh_at from listener.mirror_state where id = 1"


def read_surroundings(connection: Connection) -> Surroundings:
    """Return who leads, what is switched off, and when a call to ShipStation may be made."""
    flags, _ = parse_flags(read_flag_rows(connection), Flags())
    limit = flags.api_calls_per_hour
    leader = connection.cursor(row_factory=class_row(Leader)).execute(LEADER_SQL).fetchone()
    call_in = _first(connection, CALL_IN_SQL, {"burst": burst_of(limit), "rate": calls_a_second(limit)})
    mirror_at = _first(connection, MIRROR_SQL, {})
    return Surroundings(flags, leader, _paused_by(connection), call_in or 0.0, mirror_at)


PAUSED_SQL = """
select coalesce(updated_by, 'somebody') from workflow_controls
where workflow_name = 'shipstation-upload' and not enabled
"""


def _paused_by(connection: Connection) -> str | None:
    """Return who switched the upload off. As for the upload, a table that is missing or may not be read means on."""
    try:
        with connection.transaction():
            row = connection.execute(PAUSED_SQL).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return None
    return str(row[0]) if row else None


def _first(connection: Connection, query: str, parameters: dict[str, Any]) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
