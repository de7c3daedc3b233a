"""Two ways lead to the configuration, a question on the LISTEN session and the beat: the newer reading holds."""

import select
import selectors
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from listener.database import Connection
from listener.ears import Ears
from listener.events import Channel, Configured, Event, Rang, Source
from listener.false_alarms import MOST, PAUSE_SECONDS
from listener.metrics import Metrics
from listener.store.config import READ_CONFIG_SQL
from listener.wake import ListenSession, connect_listen
from tests.support.shop import set_flag, value_of
from tests.support.wait import eventually


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


class Hearing:
    """Ears with a session, and what they have put in force."""

    def __init__(self, dsn: str) -> None:
        session = connect_listen(dsn, "listener test", threading.Event(), at_start=True)
        assert isinstance(session, ListenSession)
        self.session = session
        self.ears = Ears(selectors.DefaultSelector(), Metrics("test"))
        self.ears.adopt(session, Source.STARTUP)
        self.intervals: list[int] = []

    def note(self, events: list[Event]) -> None:
        self.intervals += [event.flags.sync_interval for event in events if isinstance(event, Configured)]

    def hear(self, times: int) -> None:
        """Listen until the configuration was put in force so many times in all."""
        while len(self.intervals) < times:
            assert select.select([self.session], [], [], 5)[0], f"in force were {self.intervals}"
            self.note(self.ears.hear(leading=False))

    def ask(self) -> None:
        self.note(self.ears.ask_config(None, time.monotonic()))

    def beat(self, text: str, began_at: float) -> None:
        self.note(self.ears.configure_by_beat(text, began_at, time.monotonic(), leading=False))


@pytest.fixture
def hearing(dsn: str) -> Iterator[Hearing]:
    hearing = Hearing(dsn)
    yield hearing
    hearing.ears.close()


def test_a_beat_that_waited_does_not_override_what_was_read_meanwhile(db: Connection, hearing: Hearing) -> None:
    began_at, seen_by_beat = time.monotonic(), value_of(db, READ_CONFIG_SQL)
    set_flag(db, "sync_interval", "301")
    hearing.ask()
    hearing.hear(1)
    assert hearing.intervals == [301]
    set_flag(db, "sync_interval", "302")
    hearing.beat(seen_by_beat, began_at)
    hearing.hear(2)
    assert hearing.intervals == [301, 302], "asked anew, and not taken from the beat"


def test_an_answer_that_waited_does_not_override_what_a_beat_saw_meanwhile(db: Connection, hearing: Hearing) -> None:
    hearing.ask()
    assert select.select([hearing.session], [], [], 5)[0], "the answer is there, and not read yet"
    set_flag(db, "sync_interval", "301")
    hearing.beat(value_of(db, READ_CONFIG_SQL), time.monotonic())
    assert hearing.intervals == [301]
    set_flag(db, "sync_interval", "302")
    hearing.hear(2)
    assert hearing.intervals == [301, 302]


def test_a_beat_alone_is_believed(db: Connection, hearing: Hearing) -> None:
    for interval in ("301", "302"):
        set_flag(db, "sync_interval", interval)
        hearing.beat(value_of(db, READ_CONFIG_SQL), time.monotonic())
    assert hearing.intervals == [301, 302]


def test_a_bell_that_has_rung_too_often_for_nothing_waits_for_a_moment_and_is_told_once(
    hearing: Hearing, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    def ring_and_hear() -> list[Event]:
        db.execute("notify orders_inbox")
        assert select.select([hearing.session], [], [], 5)[0]
        return hearing.ears.hear(leading=True)

    for _ in range(MOST):
        assert ring_and_hear() == [Rang(Channel.ORDERS)]
        hearing.ears.looked(found=False)
    assert ring_and_hear() == []
    assert 0 < hearing.ears.due_at - time.monotonic() <= PAUSE_SECONDS
    assert ring_and_hear() == []
    assert eventually(lambda: hearing.ears.hear(leading=True)) == [Rang(Channel.ORDERS)]
    assert hearing.ears.due_at == float("inf")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    hearing.ears.looked(found=True)
    assert ring_and_hear() == [Rang(Channel.ORDERS)]
