"""Connections to Postgres: three kinds, each with the settings that its work rests on.

Nothing is inherited from the database's defaults, which may differ: isolation, timeouts and search_path are set here.
TimeZone alone is left as it is, because the shop's zone-less columns are written in it.

LISTEN and work sessions hold session state (registrations, advisory locks) and go to `LISTEN_DATABASE_URL`, a direct
host: behind a transaction pooler such a lock stays on a server connection that others get. Step connections may go
through a pooler: no session state, no prepared statements, no start-up parameter but the name; time limits are set
inside each transaction.
"""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg.pq import PipelineStatus

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

IDLE_LIMIT = {"idle_session_timeout": "35s"}
NO_IDLE_LIMIT = {"idle_session_timeout": "0"}
WORK_SETTINGS_14: dict[str, str] = {"client_connection_check_interval": "2s"} | IDLE_LIMIT

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
    try:
        make_ours(connection, WORK_SETTINGS | _since_14(connection, WORK_SETTINGS_14))
    except psycopg.Error as error:
        connection.close()
        raise Transient(sentence(error)) from error
    return connection


def prepare_to_listen(connection: Connection) -> None:
    """Give a LISTEN session our settings. It holds no lock, so that it may be silent for as long as it likes.

    But not when this host has vanished: for hours it would count as one that listens.
    """
    make_ours(connection, WORK_SETTINGS | _since_14(connection, NO_IDLE_LIMIT))


def limit_idling(connection: Connection, *, limited: bool) -> None:
    """Let the server end a work session that is silent for 35 s, or not."""
    _set(connection, _since_14(connection, IDLE_LIMIT if limited else NO_IDLE_LIMIT))


def make_ours(connection: Connection, more: dict[str, str] | None = None) -> None:
    """Give a session our settings. Behind a transaction pooler they would stay with whoever comes next."""
    _set(connection, SESSION_SETTINGS | (more or {}))


def _set(connection: Connection, settings: dict[str, str]) -> None:
    connection.execute(SET_SQL, [list(settings), list(settings.values())])


def _since_14(connection: Connection, settings: dict[str, str]) -> dict[str, str]:
    return settings if connection.info.server_version >= 140000 else {}


def connect_step(url: str, name: str) -> Connection:
    """Return a connection for one step, fit for a transaction pooler. Raises Transient."""
    return _connect(url, name, CLIENT_SETTINGS, prepare_threshold=None)


@contextmanager
def pipelined(connection: Connection, *, keep: bool = True) -> Iterator[None]:
    """One transaction whose statements go out without waiting for each other: an answer is waited for when it is read.

    In a pipeline everything between two Syncs is one transaction (PostgreSQL, "Message Flow", Pipelining), so that it
    needs no BEGIN and no COMMIT. (psycopg's transaction() waits for four answers of its own there.)
    keep: False rolls it back at its end, as an error does
    """
    try:
        with connection.pipeline():
            if not keep:
                connection.execute("begin")
            try:
                yield
            except BaseException:
                if connection.pgconn.pipeline_status == PipelineStatus.ON:  # an error that the server does not know of
                    connection.execute("rollback", prepare=False)
                raise
    except BaseException:
        if not connection.closed:
            connection.rollback()
            # After a ROLLBACK psycopg has the server forget what is prepared: now, and not after it has prepared more.
            connection.execute("select 1", prepare=False)
        raise
    if not keep:
        connection.pgconn.exec_(b"rollback")  # psycopg does not see this one, and what is prepared stays so


def is_lost(connection: Connection, error: BaseException) -> bool:
    """`error` ended the session, rather than a statement in it."""
    return connection.closed or getattr(error, "sqlstate", None) in LOST_CONNECTION_STATES


def has_ended(connection: Connection) -> bool:
    """Tell, without a question, whether the server has ended a session that is idle: it says so, and nothing else.

    What else may have come on it (a parameter that was changed) is taken for the end too: for who must be sure.
    """
    try:
        ears = select.poll()
        ears.register(connection.fileno(), select.POLLIN)
        return bool(ears.poll(0))
    except (OSError, psycopg.Error):  # it is closed on this side
        return True


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


def fault_of(error: BaseException) -> str:
    """Return an error in one line that says what to do."""
    return UNINSTALLED if is_uninstalled(error) else sentence(error)
