"""Connections to Postgres: three kinds, each with the settings that its work rests on.

Nothing is inherited from the database's defaults, which may differ: isolation, timeouts and search_path are set here.
TimeZone alone is left as it is, because the shop's zone-less columns are written in it.

LISTEN and work sessions hold session state (registrations, advisory locks) and go to `LISTEN_DATABASE_URL`, a direct
host: behind a transaction pooler such a lock stays on a server connection that others get. Step connections may go
through a pooler: no session state, no prepared statements, no start-up parameter but the name; time limits are set
inside each transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.errors import InvalidSchemaName, UndefinedTable

from listener.errors import Fatal, Transient

Connection = psycopg.Connection[tuple[Any, ...]]

T = TypeVar("T")
Later = Callable[[], T]
"""The answer to a question that has been sent. In a pipeline several are sent before the first answer is read."""

CLIENT_SETTINGS = {
    "connect_timeout": 5,
    # A link that is half open is noticed within 4 s, idle or with a query in flight: the keepalives alone do not run
    # while data is unacknowledged, the user timeout alone does not run while there is none.
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}

SESSION_SETTINGS: dict[str, str] = {
    "default_transaction_isolation": "read committed",  # REPEATABLE READ would break the claim and the settle
    "synchronous_commit": "on",
    "statement_timeout": "15s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "15s",
    "search_path": "public",
    # Our questions take a few ms. When the planner errs on their cost, it would spend more on compiling them, or on
    # starting workers for them.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # And each row that they touch is one probe of an index. A plan made while a table was small would read all of it
    # when it has grown: a prepared statement keeps its plan until the table is analysed.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # So a plan for any values is as good as one for these, and nothing is planned while an order waits.
    "plan_cache_mode": "force_generic_plan",
}

WORK_SETTINGS: dict[str, str] = {
    # The server's side: when this host vanishes or freezes, its locks must go, or every writer stays silent.
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "6s",
}

WORK_SETTINGS_14: dict[str, str] = {"client_connection_check_interval": "2s", "idle_session_timeout": "35s"}

SET_SQL = """
select pg_catalog.set_config(name, value, false) from unnest(%s::text[], %s::text[]) as s (name, value)
"""

LOST_CONNECTION_STATES = ("57P01", "57P02", "57P03", "57P05", "0A000")
"""terminated, crashed, cannot connect now, idle too long (manual, appendix A); and a prepared statement whose result
has changed its type because the shop altered a column: a new session prepares it anew."""


def connect_work(url: str, name: str) -> Connection:
    """Return the work session, on a direct host: with our settings, and a server that notices when this host vanishes.

    Raises Transient when the database cannot be reached.
    """
    connection = _connect(url, name, CLIENT_SETTINGS, prepare_threshold=0)
    newer = WORK_SETTINGS_14 if connection.info.server_version >= 140000 else {}
    try:
        make_ours(connection, WORK_SETTINGS | newer)
    except psycopg.Error as error:
        connection.close()
        raise Transient(sentence(error)) from error
    return connection


def make_ours(connection: Connection, more: dict[str, str] | None = None) -> None:
    """Give a session our settings. Behind a transaction pooler they would stay with whoever comes next."""
    settings = SESSION_SETTINGS | (more or {})
    connection.execute(SET_SQL, [list(settings), list(settings.values())])


def connect_step(url: str, name: str) -> Connection:
    """Return a connection for one step, fit for a transaction pooler. Raises Transient."""
    return _connect(url, name, CLIENT_SETTINGS, prepare_threshold=None)


@contextmanager
def pipelined(connection: Connection, *, keep: bool = True) -> Iterator[None]:
    """A transaction whose statements go out without waiting for each other: BEGIN and COMMIT cost no round trip of
    their own. An answer is waited for where it is read. (psycopg's transaction() waits four times in a pipeline.)

    keep: False rolls it back at its end, as an error does
    """
    try:
        with connection.pipeline():
            connection.execute("begin")
            yield
            if keep:
                connection.execute("commit")
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    if not keep:
        connection.pgconn.exec_(b"rollback")  # of one that it sees psycopg forgets all that is prepared


def is_lost(connection: Connection, error: BaseException) -> bool:
    """`error` ended the session, rather than a statement in it."""
    return connection.closed or getattr(error, "sqlstate", None) in LOST_CONNECTION_STATES


UNINSTALLED = "the listener's own tables are missing: run `listener install`"


def is_uninstalled(error: BaseException) -> bool:
    """What `listener install` makes is gone: rolled back, while we run."""
    if not isinstance(error, UndefinedTable | InvalidSchemaName):
        return False
    return any(name in (error.diag.message_primary or "") for name in ("listener", "polling_state"))


def unmendable(error: Transient) -> Fatal | None:
    """Return the Fatal for a refused log-in, None for an outage that may pass."""
    text = str(error)
    faults = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")
    if any(fault in text for fault in faults):
        return Fatal(f"the database refused us: {text}; correct DATABASE_URL or LISTEN_DATABASE_URL")
    return None


def _connect(url: str, name: str, settings: dict[str, int], prepare_threshold: int | None) -> Connection:
    try:
        dsn = conninfo.make_conninfo(url, application_name=name, **settings)
        return psycopg.connect(dsn, autocommit=True, prepare_threshold=prepare_threshold)
    except psycopg.Error as error:
        raise Transient(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """Return the first line of a driver's message; it names host and port, never a password."""
    return str(error).strip().split("\n", 1)[0]
