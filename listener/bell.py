"""The silent bell: writers ring only while the listener sleeps, and no order is lost by that.

A transaction that does NOTIFY takes one cluster-wide lock at COMMIT and holds it across the flush of the log
(PostgreSQL, src/backend/commands/async.c, PreCommit_Notify), so a bell at every order would put all writers in a queue.
Hence the *silence lock*, an advisory lock on two ints. The listener holds it, exclusively, while it is awake. The
trigger asks for it, shared, without waiting, in the writer's transaction: refused means that the listener is awake and
will look again, and nothing is sent.

*Settling* is how the listener goes to sleep. The order of its steps is the proof; none may be swapped or merged:

1. Release the silence lock. From here on every writer that asks rings.
2. Try it once, shared. Refused: somebody else still silences the writers (a dead listener's session may live on in the
   server for a while). Stay awake: no later step could see those writers.
3. In a fresh transaction, begun after the release has returned, take a transaction id of our own: X.
   A writer that was silenced asked before 1, inside its trigger, when it already had its id; so its id is below X.
4. In one statement, and so in one snapshot, ask: is an order pending, and is pg_snapshot_xmin > X? The second says that
   every transaction up to X has ended, so every silenced writer has; the first, in the same snapshot, sees their rows.
   Not yet → pause and ask again. Pending → awake. Both quiet → asleep.

pg_snapshot_xmax must not stand in for X: it is one past the newest *finished* transaction, so a silenced writer that is
still open, and newest of all, would not be counted.

xmin counts every writing transaction of the whole cluster, also in other databases. So that one that somebody forgot
costs a question a second and not an order, a patient question first asks the lock table, in a statement of its own,
whether any transaction up to X still holds a lock on the inbox; if none does, the *next* statement's look decides.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from listener.database import Connection, Later
from listener.errors import Transient
from listener.events import Asked
from listener.locks import LOCK_CLASS, SILENCE_KEY
from listener.store.inbox import DUE

TRY_SILENCE_SQL = f"select pg_catalog.pg_try_advisory_lock({LOCK_CLASS}, {SILENCE_KEY})"


def hold_silence(connection: Connection) -> Later[bool]:
    """Try to take the silence lock; it counts, so only a session that does not hold it may ask."""
    tried = connection.execute(TRY_SILENCE_SQL)
    return lambda: tried.fetchone() == (True,)


RELEASE_SQL = f"select pg_catalog.pg_advisory_unlock({LOCK_CLASS}, {SILENCE_KEY})"


def release_silence(connection: Connection) -> None:
    """Step 1. Raises Transient, and closes the session, when the lock was not ours after all."""
    if not _one(connection, RELEASE_SQL):
        connection.close()
        raise Transient("the work session did not hold its silence lock: starting over on a new session")


# One expression, so that no interrupt can come between the lock and its release.
PROBE_SQL = f"""
select case when pg_catalog.pg_try_advisory_lock_shared({LOCK_CLASS}, {SILENCE_KEY})
            then pg_catalog.pg_advisory_unlock_shared({LOCK_CLASS}, {SILENCE_KEY}) else false end
"""
MARK_SQL = "select pg_catalog.pg_current_xact_id()::text::bigint"


def mark(connection: Connection) -> int | None:
    """Steps 2 and 3, after the release: return X, or None when somebody else silences the writers."""
    return int(_one(connection, MARK_SQL)) if _one(connection, PROBE_SQL) else None


ASK_SQL = f"""
select exists (select from orders_inbox o where {DUE} and o.id <> all (%(locked)s::integer[])),
       pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint > %(x)s
"""

# transactionid is 32 bits wide: it is up to X when the distance, modulo 2^32, is in the lower half. The locks are read
# once: between two readings a PREPARE TRANSACTION gives a transaction's locks to another virtual one.
OLDER_WRITERS_SQL = """
with locks as materialized (select * from pg_catalog.pg_locks)
select exists (
    select from locks held join locks own using (virtualtransaction)
    where held.locktype = 'relation' and held.relation = 'orders_inbox'::regclass
      and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
      and own.locktype = 'transactionid' and own.granted
      and ((%(x)s - own.transactionid::text::bigint) & 4294967295) < 2147483648)
"""


def ask(connection: Connection, x: int, locked: Sequence[int], *, patient: bool) -> Asked:
    """Step 4. `locked`: ids of rows that were found locked and have a time of their own to be looked at again."""
    nobody_is_left = patient and not _one(connection, OLDER_WRITERS_SQL, {"x": x})
    row = connection.execute(ASK_SQL, {"x": x, "locked": list(locked)}).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    return Asked(x, pending=row[0], settled=row[1] or nobody_is_left)


MUFFLED_AFTER_SECONDS = 60.0

HOLDER_SQL = f"""
select pid from pg_catalog.pg_locks where locktype = 'advisory' and classid = {LOCK_CLASS} and objid = {SILENCE_KEY}
    and objsubid = 2 and granted and pid <> pg_catalog.pg_backend_pid()
    and database = (select oid from pg_catalog.pg_database where datname = current_database()) limit 1
"""


class Silence:
    """The silence lock as one work session has it. A new session begins without: `held` is set to False then."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.held = False
        self._clock = clock
        self._refused_since: float | None = None

    def keep(self, connection: Connection, *, wanted: bool) -> None:
        """Take or give back the lock. Refused: work on without; the next step tries again."""
        if wanted is not self.held:
            with self.kept(connection, wanted=wanted):
                pass

    @contextmanager
    def kept(self, connection: Connection, *, wanted: bool) -> Iterator[None]:
        """The same, in one round trip with the questions that are put meanwhile: each has a snapshot of its own, which
        is younger than the lock.
        """
        if self.held and not wanted:
            self._give_back(connection)
        tried = None
        try:
            with connection.pipeline():
                if wanted and not self.held:
                    tried = hold_silence(connection)
                yield
        finally:
            if tried is not None:
                self._note(connection, tried)

    def _give_back(self, connection: Connection) -> None:
        try:
            release_silence(connection)
        except psycopg.Error:
            connection.close()
            raise
        self.held = False

    def _note(self, connection: Connection, tried: Later[bool]) -> None:
        try:
            self.held = tried()
        except psycopg.Error:
            connection.close()  # whether we hold it now nobody can say, and a session does not refuse itself
            return
        self._refused_since = None if self.held else self._refused_since or self._clock()

    def kept_from_us_by(self, connection: Connection) -> int | None:
        """Return who has had the lock, exclusively or shared, since it was refused to us a minute ago or longer."""
        if self._refused_since is None or self._clock() - self._refused_since < MUFFLED_AFTER_SECONDS:
            return None
        pid = _one(connection, HOLDER_SQL)
        return None if pid is None else int(pid)


def _one(connection: Connection, query: str, parameters: dict[str, int] | None = None) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
