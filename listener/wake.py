"""The LISTEN session: the one connection on which the main thread hears the bell, pings, and reads the flags.

Questions go out without blocking and their answers arrive like notifications do, so that the main thread never waits
for the server. No query of psycopg runs here once the session stands: a notification that arrives during one would be
kept by psycopg while select() stays silent (psycopg 3, "Asynchronous notifications").

A reconnect is a wake: what was rung in between is lost. So is the truth about the link: LISTEN through a transaction
pooler succeeds and never delivers, and a NOTIFY to oneself is fooled too. Only a second connection that notifies a
channel of its own proves that this one hears; when it does not, the session is *deaf*. One that hears goes on listening
on that channel, and the work session rings it twice a minute: unheard, this one is lost, and the next is probed anew.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import pq, sql
from tenacity import RetryCallState

from listener import retry
from listener.database import Connection, connect_step, prepare_to_listen, sentence, unmendable
from listener.errors import Fatal, Transient
from listener.events import Channel

logger = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 5.0
SAY_EVERY_SECONDS = 60.0


class Question(StrEnum):
    """What a statement on the LISTEN session is for."""

    PING = "ping"
    CONFIG = "config"
    SWITCHES = "switches"
    FLAGS = "flags"
    RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a question: its one value, or the server's error (which proves the link as well)."""

    question: Question
    value: str | None
    error: str | None = None
    sqlstate: str | None = None


class ListenSession:
    """A LISTEN session that stands. Belongs to the main thread alone; every method raises Transient when it is lost."""

    def __init__(self, connection: Connection, *, probe: str) -> None:
        """`probe`: the channel on which it has heard a second session, and still listens; '' when it hears nothing."""
        self.deaf = not probe
        self.probe = probe
        self.heard_at = float("-inf")
        self._unheard_at: float | None = None
        self._connection = connection
        self._pg = connection.pgconn
        self._waiting: deque[tuple[Question, bytes, list[bytes | None]]] = deque()
        self._asked: Question | None = None
        self._overdue_at: float | None = None

    def fileno(self) -> int:
        """Return the socket's number, for the selector."""
        return self._connection.fileno()

    @property
    def overdue_at(self) -> float | None:
        """When the answer, or the notification, that is being waited for is overdue; monotonic seconds."""
        times = [at for at in (self._overdue_at, self._unheard_at) if at is not None]
        return min(times, default=None)

    def must_hear(self, rang_at: float, now: float) -> None:
        """Take note that another session began to ring the probe's channel at `rang_at`, and has ended well."""
        if self.heard_at < rang_at and self._unheard_at is None:
            self._unheard_at = now + ANSWER_SECONDS

    def ask(self, question: Question, query: str, parameters: Sequence[str | None], now: float) -> None:
        """Queue a statement; one of a kind at a time, but for receipts, none of which may be lost."""
        if question is Question.RECEIPT or all(waiting[0] is not question for waiting in self._waiting):
            encoded = [None if value is None else value.encode() for value in parameters]
            self._waiting.append((question, query.encode(), encoded))
        self._send_next(now)

    def read(self, now: float) -> tuple[list[str], list[Answered]]:
        """Return the channels that rang, each once however often it did, and the answers that came, without waiting."""
        try:
            self._pg.consume_input()
        except psycopg.OperationalError as error:
            raise Transient("the LISTEN session was lost") from error
        answers = self._read_answers(now)
        rang = {}
        while (notification := self._pg.notifies()) is not None:
            channel = notification.relname.decode()
            if channel == self.probe:
                self.heard_at, self._unheard_at = now, None
            else:
                rang[channel] = True
        if self._unheard_at is not None and now >= self._unheard_at:
            raise Transient("the LISTEN session did not hear what the work session rang")
        if self._overdue_at is not None and now >= self._overdue_at:
            raise Transient(f"the LISTEN session gave no answer for {ANSWER_SECONDS:.0f} s")
        return list(rang), answers

    def close(self) -> None:
        """Close the session."""
        self._connection.close()

    def _send_next(self, now: float) -> None:
        if self._asked is not None or not self._waiting:
            return
        self._asked, query, parameters = self._waiting.popleft()
        self._overdue_at = now + ANSWER_SECONDS
        try:
            self._pg.send_query_params(query, parameters)
            self._pg.flush()
        except psycopg.OperationalError as error:
            raise Transient("the LISTEN session was lost") from error

    def _read_answers(self, now: float) -> list[Answered]:
        answers = []
        while self._asked is not None and not self._pg.is_busy():
            result = self._pg.get_result()
            if result is not None:
                answers.append(_answered(self._asked, result))
                continue
            self._asked, self._overdue_at = None, None
            self._send_next(now)
        return answers


def _answered(question: Question, result: pq.abc.PGresult) -> Answered:
    if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        value = result.get_value(0, 0) if result.ntuples else None
        return Answered(question, value.decode() if value is not None else None)
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    said = result.error_message.decode(errors="replace").strip().split("\n", 1)[0]
    return Answered(question, None, said, state.decode() if state else None)


def connect_listen(url: str, name: str, stopping: threading.Event, *, at_start: bool) -> ListenSession | Fatal:
    """Return a session on which LISTEN is in force, trying for as long as it takes.

    At the start a fault that no waiting mends (a refused log-in, no schema) is returned; a listener that has run before
    waits for it to be mended instead. Raises Transient when `stopping` was set meanwhile.
    """
    tries = retry.reconnecting(stopping, _say_once_a_minute())
    try:
        session: ListenSession = tries(_listen_once, url, name, stopping, at_start)
    except Fatal as fault:
        return fault
    return session


def _say_once_a_minute() -> Callable[[RetryCallState], None]:
    said_at = float("-inf")

    def say(call: RetryCallState) -> None:
        nonlocal said_at
        elapsed = call.seconds_since_start or 0.0
        error = call.outcome.exception() if call.outcome else None
        if elapsed - said_at >= SAY_EVERY_SECONDS:
            said_at = elapsed
            logger.warning("Cannot reach the database, trying on: %s", error, extra={"event": "unreachable"})

    return say


def _listen_once(url: str, name: str, stopping: threading.Event, at_start: bool) -> ListenSession:
    if stopping.is_set():
        raise Transient("stopping")
    try:
        connection = connect_step(url, name)
    except Transient as error:
        fault = unmendable(error) if at_start else None
        raise fault or error from error
    try:
        probe = find_probe(connection, url, name)
        if probe:  # a pooler would keep our settings, and our channels, for whoever comes next
            prepare_to_listen(connection)
            for channel in Channel:
                connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        if at_start:
            require_schema(connection)
    except psycopg.Error as error:
        connection.close()
        raise Transient(f"LISTEN failed: {sentence(error)}") from error
    except (Fatal, Transient):
        connection.close()
        raise
    except Exception as error:  # a bug: it must neither end this thread, which nobody would notice, nor spin
        logger.exception("LISTEN failed: %s", error, extra={"event": "bug"})
        connection.close()
        raise Transient(f"LISTEN failed: {error}") from error
    return ListenSession(connection, probe=probe)


SCHEMA_SQL = """
select array(select name from unnest(array['orders_inbox', 'order_items_inbox', 'configuration_params', 'polling_state',
    'workflow_controls', 'listener.ledger', 'listener.home', 'listener.budget', 'listener.leader',
    'listener.minutes']) name
    where pg_catalog.to_regclass(name) is null)
"""


def require_schema(connection: Connection) -> None:
    """Raise Fatal, naming `listener install`, when tables are missing that `run` needs."""
    row = connection.execute(SCHEMA_SQL).fetchone()
    if row and (missing := row[0]):
        raise Fatal(f"the database has no table {', '.join(missing)}: run `listener install`")


def find_probe(connection: Connection, url: str, name: str) -> str:
    """Return the channel on which a notification sent from a second connection arrives on this one, '' when none does.

    The channel is random, no other probe's. LISTEN stays in force on it where it is heard: elsewhere, behind a pooler
    it seems, it would be somebody else's.
    """
    channel = f"listener_probe_{secrets.token_hex(8)}"
    connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
    other = connect_step(url, f"{name} probe")
    try:
        other.execute(sql.SQL("notify {}").format(sql.Identifier(channel)))
    finally:
        other.close()
    if any(n.channel == channel for n in connection.notifies(timeout=PROBE_SECONDS, stop_after=1)):
        return channel
    connection.execute(sql.SQL("unlisten {}").format(sql.Identifier(channel)))
    return ""
