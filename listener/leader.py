"""Who leads. Leadership is an advisory lock on the work session; the epoch in `listener.leader` outlives the session.

Each new leader raises the epoch; whoever claims, records or resolves locks that row `FOR SHARE` first and stops when
the epoch is not its own. A deaf listener holds no session locks (its session may not be its own, behind a pooler) and
leads by a lease in the same row instead.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import class_row

from listener.database import Connection, is_uninstalled
from listener.errors import Transient
from listener.events import Leader
from listener.locks import LEADER_KEY, LOCK_CLASS

LEASE_SECONDS = 45

TRY_LOCK_SQL = f"select pg_catalog.pg_try_advisory_lock({LOCK_CLASS}, {LEADER_KEY})"


def try_leaders_lock(connection: Connection) -> bool:
    """Try for the leader's lock, three times: a writer that asks whether anybody leads holds it for a microsecond."""
    for _ in range(3):
        row = connection.execute(TRY_LOCK_SQL).fetchone()
        if row and row[0]:
            return True
    return False


BEGIN_EPOCH_SQL = """
update listener.leader set epoch = epoch + 1, holder = %(holder)s, pid = pg_catalog.pg_backend_pid(), since = now(),
       lease_until = null, host = %(host)s, process_id = %(process_id)s
where id = 1 and (lease_until is null or lease_until < now() or holder = %(holder)s)
returning epoch
"""


def begin_epoch(connection: Connection, holder: str) -> int | None:
    """Begin a new epoch under the leader's lock; None while another's lease runs."""
    row = connection.execute(BEGIN_EPOCH_SQL, _this_process(holder)).fetchone()
    return int(row[0]) if row else None


# The second condition: nobody leads by the lock.
LEASE_SQL = f"""
update listener.leader set epoch = epoch + 1, holder = %(holder)s, pid = null, since = now(),
       host = %(host)s, process_id = %(process_id)s,
       lease_until = now() + interval '{LEASE_SECONDS} seconds'
where id = 1 and (lease_until is null or lease_until < now() or holder = %(holder)s)
  and not exists (select from pg_catalog.pg_locks where locktype = 'advisory' and classid = {LOCK_CLASS}
                  and objid = {LEADER_KEY} and objsubid = 2 and mode = 'ExclusiveLock' and granted
                  and database = (select oid from pg_catalog.pg_database where datname = current_database()))
returning epoch
"""


def begin_epoch_by_lease(connection: Connection, holder: str) -> int | None:
    """Begin a new epoch by a lease of 45 s; None while somebody else leads."""
    row = connection.execute(LEASE_SQL, _this_process(holder)).fetchone()
    return int(row[0]) if row else None


def _this_process(holder: str) -> dict[str, str | int]:
    return {"holder": holder, "host": socket.gethostname(), "process_id": os.getpid()}


LEADS = f"""
id = 1 and (lease_until > clock_timestamp() or exists (
    select from pg_catalog.pg_locks where locktype = 'advisory' and classid = {LOCK_CLASS} and objid = {LEADER_KEY}
    and objsubid = 2 and mode = 'ExclusiveLock' and granted
    and database = (select oid from pg_catalog.pg_database where datname = current_database())))
"""
"""Of the row of `listener.leader`: who stands in it leads, by the lock or by a lease."""

WHO_LEADS_SQL = f"select host, process_id as pid, epoch, since from listener.leader where {LEADS}"


def who_leads(connection: Connection) -> Leader | None:
    """Return who leads now. It only looks."""
    return connection.cursor(row_factory=class_row(Leader)).execute(WHO_LEADS_SQL).fetchone()


RENEW_SQL = f"""
update listener.leader set lease_until = now() + interval '{LEASE_SECONDS} seconds'
where id = 1 and epoch = %s and lease_until > now()
"""


def renew_lease(connection: Connection, epoch: int, *, hearing: bool) -> None:
    """Keep leading by the lease. Who hears must lead by the lock: to the trigger, who has no lock is nobody.

    Raises LeadLost: then a new session leads on, or another listener does.
    """
    if hearing:
        raise LeadLost("LISTEN is heard now: leading on by the lock, on a new session")
    if connection.execute(RENEW_SQL, [epoch]).rowcount != 1:
        raise LeadLost("the lease has run out: another listener may lead")


STAND_FAST_SQL = """
select epoch, coalesce(lease_until < now(), false) as is_over from listener.leader where id = 1 for share
"""


def stand_fast(connection: Connection, epoch: int) -> None:
    """Hold the epoch still for this transaction. Raises LeadLost when it is over: another leads now."""
    require_lead(connection.execute(STAND_FAST_SQL).fetchone(), epoch)


def require_lead(held: Sequence[Any] | None, epoch: int) -> None:
    """Raise LeadLost unless this answer to STAND_FAST_SQL says that the epoch is not over."""
    must_be(epoch, held[0] if held and not held[1] else 0)


def must_be(epoch: int, seen: int) -> None:
    """The epoch that was `seen` is ours. Raises LeadLost."""
    if seen != epoch:
        raise LeadLost("another listener leads now: this one stands by")


class LeadLost(Transient):
    """This process no longer leads: nothing may be claimed or recorded under its epoch."""


STEP_DOWN_SQL = """
update listener.leader set lease_until = null, holder = null, pid = null, host = null, process_id = null
where id = 1 and epoch = %s
"""
UNLOCK_SQL = "select pg_catalog.pg_advisory_unlock_all()"
RING_SQL = "notify listener_leader"


def step_down(connection: Connection, epoch: int) -> None:
    """Give everything back, then ring for a standby."""
    connection.execute(STEP_DOWN_SQL, [epoch])
    connection.execute(UNLOCK_SQL)
    connection.execute(RING_SQL)


END_SESSIONS_SQL = """
select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
where application_name = %s and pid <> pg_catalog.pg_backend_pid() and datname = current_database()
"""


def end_former_sessions(connection: Connection, application_name: str) -> None:
    """End this process's own earlier work sessions, whose locks may live on in the server after a broken link."""
    connection.execute(END_SESSIONS_SQL, [application_name])


def lead(connection: Connection, holder: str, *, by_lease: bool) -> int | None:
    """Try to lead, by the lock or by a lease; return the new epoch, or None while another leads."""
    if by_lease:
        return begin_epoch_by_lease(connection, holder)
    if not try_leaders_lock(connection):
        return None
    epoch = begin_epoch(connection, holder)
    if epoch is None:
        connection.execute(UNLOCK_SQL)
    return epoch


NOBODY_CAN_SQL = """
select exists (select from unnest(array['listener.leader', 'listener.ledger', 'public.polling_state']) as needed (name)
               where pg_catalog.to_regclass(name) is null)
"""


def nobody_can_lead(connection: Connection | None, error: BaseException) -> bool:
    """Tell whether `error` says that tables are gone without which no order goes; without others the work goes on."""
    if connection is None or not is_uninstalled(error):
        return False
    try:
        row = connection.execute(NOBODY_CAN_SQL).fetchone()
    except psycopg.Error:  # the session has gone as well: the next one will see
        return False
    return bool(row and row[0])
