"""What the main thread hears on its LISTEN session: bells, answers, and through them the configuration.

Everything here returns at once. A session that is lost is dropped and reported; opening the next is a worker's job.
"""

import logging
import selectors
import time

from listener.config import Configuration, Receipt
from listener.errors import Transient
from listener.events import Channel, Event, Listening, ListenLost, Rang, Source
from listener.false_alarms import FalseAlarms
from listener.metrics import Metrics
from listener.store.config import READ_CONFIG_SQL, READ_FLAGS_SQL, READ_SWITCHES_SQL, RECORD_RECEIPT_SQL
from listener.wake import Answered, ListenSession, Question

logger = logging.getLogger(__name__)

PROVE_EVERY_SECONDS = 25.0
"""Less than the time between two looks, so that each look, or every other beat, rings."""

FLOOD_SAID_EVERY_SECONDS = 600.0

UNREADABLE = ("42P01", "42501")
"""No such table, no right to it. Then every workflow counts as on, as it did before there was a table of switches; any
other fault, such as a lock on it, leaves in force what is: a paused workflow must not run because somebody vacuums."""

READ_LESS = {
    Question.CONFIG: (Question.SWITCHES, READ_SWITCHES_SQL),
    Question.SWITCHES: (Question.FLAGS, READ_FLAGS_SQL),
}
"""What to ask instead, when not all of it can be read."""


class Ears:
    """The LISTEN session, if there is one, and the configuration that is read over it. Belongs to the main thread."""

    def __init__(self, selector: selectors.BaseSelector, metrics: Metrics) -> None:
        self._selector = selector
        self._metrics = metrics
        self._session: ListenSession | None = None
        self._number = -1  # of its socket; a lost session does not tell it any more
        self._configuration = Configuration()
        self._because = Source.STARTUP
        self._seen_at = time.monotonic()
        self._asked_at = self._taken_at = float("-inf")  # the configuration
        self._alarms = FalseAlarms()
        self._flood_at = float("-inf")

    @property
    def due_at(self) -> float:
        """When to hear again though nothing comes: an answer is overdue, or a bell has waited; inf: there is none."""
        overdue_at = self._session.overdue_at if self._session else None
        return min(self._alarms.heed_at, float("inf") if overdue_at is None else overdue_at)

    def adopt(self, session: ListenSession, source: Source) -> Event:
        """Listen on this session from now on. `source`: startup or reconnect."""
        self._drop()
        self._session, self._number = session, session.fileno()
        self._because, self._seen_at = source, time.monotonic()
        self._selector.register(self._number, selectors.EVENT_READ)
        if session.deaf:
            logger.warning(
                "LISTEN is not heard on this host, a transaction pooler it seems: orders go with the heartbeat. "
                "Set LISTEN_DATABASE_URL to a direct host",
                extra={"event": "deaf"},
            )
        return Listening(session.deaf)

    def hear(self, *, leading: bool, dormant: bool = False) -> list[Event]:
        """Drain the session: every bell that has rung and every answer that has come.

        dormant: the server may close it, and it stays closed for a while
        """
        if self._session is None:
            return []
        now = time.monotonic()
        try:
            rang, answers = self._session.read(now)
        except Transient as error:
            if not dormant:
                return self._lost(error)
            logger.info("The database has closed its sessions: the next look opens them", extra={"event": "suspended"})
            self._drop()
            return [ListenLost()]
        events: list[Event] = [Rang(channel) for channel in rang if channel != Channel.ORDERS]
        if Channel.ORDERS in rang and self._alarms.rang(now):
            self._note_flood(now)
        if self._alarms.is_to_be_heeded(now):
            events.append(Rang(Channel.ORDERS))
        if any(channel in (Channel.FLAGS, Channel.WORKFLOWS) for channel in rang):
            self._because, self._seen_at = Source.NOTIFY, now
        for answer in answers:
            events += self._take(answer, leading=leading)
        return events

    def looked(self, *, found: bool) -> None:
        """Learn whether a look for due orders was worth it: bells that are not may wait for a moment."""
        self._alarms.looked(time.monotonic(), found=found)

    def configure(self, text: str, source: Source, seen_at: float, *, leading: bool) -> Event:
        """Put in force what the tables say. Only the leader writes receipts: seen by two, it is still one change."""
        self._taken_at = time.monotonic()
        configured, receipts = self._configuration.take(text, source.value)
        for receipt in receipts:
            self._metrics.config_change(receipt.verdict)
        for receipt in receipts if leading else []:
            self._write(receipt, seen_at)
        return configured

    def configure_by_beat(self, text: str, began_at: float, now: float, *, leading: bool) -> list[Event]:
        """Put in force what a beat saw, or ask the tables again if an answer came while it was under way: it may have
        waited for a lock for seconds, and what it saw be the older of the two.
        """
        if self._taken_at >= began_at:
            return self.ask_config(Source.HEARTBEAT, now)
        return [self.configure(text, Source.HEARTBEAT, now, leading=leading)]

    def ask_config(self, source: Source | None, now: float) -> list[Event]:
        """Ask for the flags. `source`: why, unless a bell was the reason."""
        if source is not None:
            self._because, self._seen_at = source, now
        return self._ask(Question.CONFIG, READ_CONFIG_SQL, now)

    def ping(self, now: float) -> list[Event]:
        """Prove the link; an error is an answer too."""
        return self._ask(Question.PING, "select 1", now)

    def probe_due(self, now: float) -> str:
        """Return the channel that the work session should ring now, to prove that bells are heard; '' for none."""
        session = self._session
        return session.probe if session and now - session.heard_at >= PROVE_EVERY_SECONDS else ""

    def must_hear(self, probe: str, rang_at: float, now: float) -> None:
        """Expect to have heard what was rung on `probe`, unless another session has taken the place of that one."""
        if self._session and self._session.probe == probe:
            self._session.must_hear(rang_at, now)

    def close(self) -> None:
        """Close the session."""
        self._drop()

    def _take(self, answer: Answered, *, leading: bool) -> list[Event]:
        if answer.question in READ_LESS and answer.sqlstate in UNREADABLE:
            return self._ask(*READ_LESS[answer.question], time.monotonic())
        if answer.error:
            text = f"The database refused a {answer.question} statement: {answer.error}"
            logger.warning(text, extra={"event": "refused"})
        if answer.question not in (*READ_LESS, Question.FLAGS) or answer.value is None:
            return []
        if self._taken_at >= self._asked_at:  # a beat's was, and this answer may be older
            return self._ask(Question.CONFIG, READ_CONFIG_SQL, time.monotonic())
        return [self.configure(answer.value, self._because, self._seen_at, leading=leading)]

    def _note_flood(self, now: float) -> None:
        """Say once in a while that somebody rings for nothing."""
        if now - self._flood_at >= FLOOD_SAID_EVERY_SECONDS:
            text = "The bell rings again and again and no order is there: some role notifies orders_inbox for nothing"
            logger.warning(text, extra={"event": "false_alarms"})
            self._flood_at = now

    def _write(self, receipt: Receipt, seen_at: float) -> None:
        now = time.monotonic()
        if self._session is None:
            return
        try:
            self._session.ask(Question.RECEIPT, RECORD_RECEIPT_SQL, receipt.parameters(now - seen_at), now)
        except Transient as error:  # the next read() finds the session lost, and says so
            name = receipt.parameter_name
            logger.warning("The receipt of %s was not written: %s", name, error, extra={"event": "no_receipt"})

    def _ask(self, question: Question, query: str, now: float) -> list[Event]:
        if self._session is None:
            return []
        if question is not Question.PING:
            self._asked_at = now
        try:
            self._session.ask(question, query, (), now)
        except Transient as error:
            return self._lost(error)
        return []

    def _lost(self, error: Transient) -> list[Event]:
        logger.warning("%s: reconnecting", error, extra={"event": "listen_lost"})
        self._drop()
        return [ListenLost()]

    def _drop(self) -> None:
        if self._session is None:
            return
        self._selector.unregister(self._number)  # before the close: the number is used again
        self._session.close()
        self._session = None
        self._alarms = FalseAlarms()  # whoever loses it looks anyhow
