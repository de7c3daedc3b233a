"""Other sessions of the server: who holds our locks, has been in a transaction for long, keeps the NOTIFY queue from
being emptied. For doctor.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.errors import Diagnostic
from psycopg.rows import class_row, dict_row

from listener.database import Connection
from listener.doctor.seen.server import Lead, Lock, Locks, Prepared, Queue, Session, TableLock, Transactions
from listener.locks import LEADER_KEY, LOCK_CLASS, SILENCE_KEY

_SESSION = """
a.pid, coalesce(a.usename::text, '') as role, coalesce(a.application_name, '') as application,
coalesce(a.datname::text, '') as database, coalesce(pg_catalog.host(a.client_addr), '') as address,
a.backend_start as started, coalesce(a.state, '') as state,
extract(epoch from clock_timestamp() - a.xact_start)::float8 as open_seconds,
extract(epoch from clock_timestamp() - a.state_change)::float8 as still_seconds
"""

SESSION_SQL = f"select {_SESSION} from pg_catalog.pg_stat_activity a where a.pid = %s"


def session_of(connection: Connection, pid: int | None) -> Session | None:
    """Return the session of a server process, None when it has left. Without a pid it is a prepared transaction."""
    if pid is None:
        return Session(None, "", "", "", "", None, "", None, None)
    return connection.cursor(row_factory=class_row(Session)).execute(SESSION_SQL, [pid]).fetchone()


LOCKS_SQL = f"""
select l.objid::bigint::integer as key, l.mode = 'ExclusiveLock' as exclusive, {_SESSION.replace("a.pid", "l.pid")}
from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.classid = {LOCK_CLASS} and l.objid in ({SILENCE_KEY}, {LEADER_KEY})
  and l.objsubid = 2 and l.granted
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
"""

LEAD_SQL = """
select epoch, holder, pid, since, coalesce(lease_until > clock_timestamp(), false) as has_lease
from listener.leader where id = 1
"""

LONGER_THAN_A_WRITER_SECONDS = 0.05
"""A writer holds a key, shared, for a microsecond."""


def read_locks(connection: Connection, sleep: Callable[[float], None] = time.sleep) -> Locks:
    """Return who holds our locks. What is held shared is looked at twice, for a writer may just be asking."""
    lead = connection.cursor(row_factory=class_row(Lead)).execute(LEAD_SQL).fetchone()
    locks = _locks(connection)
    lasting = {lock.session.pid for lock in locks if not lock.exclusive}
    for _ in range(2 if lasting else 0):
        sleep(LONGER_THAN_A_WRITER_SECONDS)
        lasting &= {lock.session.pid for lock in _locks(connection) if not lock.exclusive}
    return Locks(lead, locks, frozenset(lasting))


def _locks(connection: Connection) -> tuple[Lock, ...]:
    rows = connection.cursor(row_factory=dict_row).execute(LOCKS_SQL).fetchall()
    return tuple(Lock(row.pop("key"), row.pop("exclusive"), Session(**row)) for row in rows)


# The oldest first; of those that hold something back: a transaction that has neither written nor kept a snapshot does
# not. Ours has both.
OLD_SQL = f"""
select {_SESSION} from pg_catalog.pg_stat_activity a
where a.xact_start <= clock_timestamp() - pg_catalog.make_interval(secs => %s)
  and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
  and (a.backend_xid is not null or a.backend_xmin is not null)
order by a.xact_start limit 5
"""

PREPARED_SQL = """
select gid, owner::text, database::text, extract(epoch from clock_timestamp() - prepared)::float8 as seconds
from pg_catalog.pg_prepared_xacts where prepared <= clock_timestamp() - pg_catalog.make_interval(secs => %s)
order by prepared limit 5
"""

# The modes that stop a writer, a check or an install; a writer's own does not.
TABLE_LOCKS_SQL = f"""
select n.nspname || '.' || c.relname as "table", l.mode, {_SESSION.replace("a.pid", "l.pid")}
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and c.relkind in ('r', 'p') and l.pid is distinct from pg_backend_pid()
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and (n.nspname = 'listener' or n.nspname = 'public' and c.relname = any (%s))
  and coalesce(a.xact_start <= clock_timestamp() - pg_catalog.make_interval(secs => %s), true)
order by a.xact_start limit 5
"""

USED_TABLES = ["orders_inbox", "order_items_inbox", "configuration_params", "workflow_controls", "polling_state"]


def read_transactions(
    connection: Connection, old_seconds: float, prepared_seconds: float, locked_seconds: float
) -> Transactions:
    """Return what has been open, prepared or locked for longer than that."""
    old = connection.cursor(row_factory=class_row(Session)).execute(OLD_SQL, [old_seconds]).fetchall()
    prepared = connection.cursor(row_factory=class_row(Prepared)).execute(PREPARED_SQL, [prepared_seconds]).fetchall()
    rows = connection.cursor(row_factory=dict_row).execute(TABLE_LOCKS_SQL, [USED_TABLES, locked_seconds]).fetchall()
    locks = tuple(TableLock(row.pop("table"), row.pop("mode"), Session(**row)) for row in rows)
    return Transactions(tuple(old), tuple(prepared), locks)


# This also throws away what every listener has read.
USAGE_SQL = "select pg_catalog.pg_notification_queue_usage()"

# A listener cannot be told from other sessions but by its last statement. Who does not read from his socket blocks the
# queue without a transaction.
SUSPECTS_SQL = f"""
select {_SESSION} from pg_catalog.pg_stat_activity a
where a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
  and (a.xact_start is not null or a.wait_event = 'ClientWrite')
order by a.query ~* '\\mlisten\\M' desc, a.state like 'idle in transaction%%' desc, a.xact_start limit 3
"""

RING_SQL = "notify listener_doctor"

WARNS_FROM = 0.5
"""From here on the server warns whoever sends a NOTIFY, at most once in five seconds, and its warning names the pid
that keeps the queue from being emptied. Source: PostgreSQL, src/backend/commands/async.c, asyncQueueFillWarning."""

RINGS = 7


def read_queue(connection: Connection, sleep: Callable[[float], None] = time.sleep) -> Queue:
    """Return how full the queue is, and who is in the way. In autocommit: NOTIFY's warning comes at COMMIT."""
    row = connection.execute(USAGE_SQL).fetchone()
    usage = float(row[0]) if row else 0.0
    suspects = connection.cursor(row_factory=class_row(Session)).execute(SUSPECTS_SQL).fetchall()
    pid = _pid_in_the_way(connection, sleep) if usage >= WARNS_FROM else None
    return Queue(usage, session_of(connection, pid) if pid is not None else None, tuple(suspects))


def _pid_in_the_way(connection: Connection, sleep: Callable[[float], None]) -> int | None:
    with _pids_in_warnings(connection) as pids:
        for _ in range(RINGS):
            with suppress(psycopg.errors.ProgramLimitExceeded):  # the queue is full; the warning comes before that
                connection.execute(RING_SQL)
            if pids:
                return pids[0]
            sleep(1.0)
    return None


@contextmanager
def _pids_in_warnings(connection: Connection) -> Iterator[list[int]]:
    """Gather the number in the detail of each warning, in whatever language; a notice lives no longer than its call."""
    pids: list[int] = []

    def note(warning: Diagnostic) -> None:
        if pid := re.search(r"\d+", warning.message_detail or ""):
            pids.append(int(pid[0]))

    connection.add_notice_handler(note)
    try:
        yield pids
    finally:
        connection.remove_notice_handler(note)
