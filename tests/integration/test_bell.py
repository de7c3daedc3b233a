"""The silent bell over real connections: what it must never do, and the neighbouring protocols that do it.

`Protocol` puts the real steps of `listener.bell` in their order. Each wrong variant differs in one step and sleeps on
an order in the very run that the right one survives: so these tests are known to be able to fail.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from psycopg.errors import DivisionByZero

from listener import bell, leader
from listener.database import Connection, connect_work
from listener.embedded.postgres import EmbeddedPostgres
from listener.events import Asked
from listener.install import install
from listener.locks import LOCK_CLASS, SILENCE_KEY

INSERT = "insert into orders_inbox (order_number, order_date, status) values (%s, current_date, 'awaiting_shipment')"


class Protocol:
    """A leader with its work and LISTEN sessions. `settle` and `ask` say whether it would sleep now."""

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self.ear = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        self.ear.execute("listen orders_inbox")
        self.work = stack.enter_context(connect_work(dsn, "listener test"))
        assert leader.lead(self.work, "test", by_lease=False)
        self.x: int | None = None

    def wake(self) -> bool:
        """Take the silence lock, as a pass does first."""
        return bell.hold_silence(self.work)()

    def settle(self) -> Asked:
        bell.release_silence(self.work)
        return self.mark_and_ask()

    def mark_and_ask(self) -> Asked:
        self.x = bell.mark(self.work)
        return self.ask() if self.x is not None else Asked(None)

    def ask(self) -> Asked:
        assert self.x is not None
        return bell.ask(self.work, self.x, [], patient=False)

    def rings(self) -> int:
        return len(list(self.ear.notifies(timeout=0.2)))


class MarksWithXmax(Protocol):
    def mark_and_ask(self) -> Asked:
        row = self.work.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None
        self.x = int(row[0])
        return self.ask()


class AsksBeforeItReleases(Protocol):
    """Settles under the lock, and releases it after the answer that lets it sleep."""

    def settle(self) -> Asked:
        return self.mark_and_ask()

    def mark_and_ask(self) -> Asked:
        self.x = int(bell._one(self.work, bell.MARK_SQL))
        return self.ask()


class NeverProbes(Protocol):
    def mark_and_ask(self) -> Asked:
        self.x = int(bell._one(self.work, bell.MARK_SQL))
        return self.ask()


def sleeps(answer: Asked) -> bool:
    return answer.x is not None and answer.settled and not answer.pending


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def writer(dsn: str, stack: ExitStack) -> Callable[[], Connection]:
    return lambda: stack.enter_context(psycopg.connect(dsn))


@contextmanager
def open_order(writer: Connection, number: str) -> Iterator[None]:
    """An order that is inserted, and not committed until the end."""
    writer.execute(INSERT, [number])
    yield
    writer.commit()


def two_open_writers(protocol: Protocol, writer: Callable[[], Connection]) -> bool:
    """Both are silenced; the elder ends while the listener settles. Return whether the younger's order is lost."""
    elder, younger = writer(), writer()
    protocol.wake()
    elder.execute(INSERT, ["A1"])
    younger.execute(INSERT, ["A2"])
    asleep = sleeps(protocol.settle())
    elder.rollback()
    asleep = asleep or sleeps(protocol.ask())
    younger.commit()
    return asleep and protocol.rings() == 0


def test_a_writer_that_is_still_open_is_waited_for(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    protocol = Protocol(dsn, stack)
    assert not two_open_writers(protocol, writer)
    assert protocol.ask().pending


def test_with_the_newest_finished_transaction_for_x_that_writer_is_lost(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    assert two_open_writers(MarksWithXmax(dsn, stack), writer)


def written_as_it_goes_to_sleep(protocol: Protocol, writer: Callable[[], Connection]) -> bool:
    """A writer comes after the answer that lets the listener sleep. Return whether its order is lost."""
    protocol.wake()
    asleep = sleeps(protocol.settle())
    with open_order(writer(), "B1"):
        if isinstance(protocol, AsksBeforeItReleases):
            bell.release_silence(protocol.work)
    return asleep and protocol.rings() == 0


def test_a_writer_that_comes_after_the_release_rings(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    assert not written_as_it_goes_to_sleep(Protocol(dsn, stack), writer)


def test_with_question_and_release_swapped_that_writer_is_lost(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    assert written_as_it_goes_to_sleep(AsksBeforeItReleases(dsn, stack), writer)


def test_a_new_leader_settles_and_so_finds_whom_a_dead_one_has_silenced(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    dead, silenced = Protocol(dsn, stack), writer()
    dead.wake()
    silenced.execute(INSERT, ["C1"])
    dead.work.close()
    heir = Protocol(dsn, stack)
    sleeping_after_a_mere_look = not heir.work.execute("select from orders_inbox").fetchall()
    heir.wake()
    assert not sleeps(heir.settle())
    silenced.commit()
    assert sleeping_after_a_mere_look, "without the settle it would have slept by now"
    assert heir.rings() == 0, "and nothing would have woken it"
    assert heir.ask().pending


def silenced_by_a_session_that_lives_on(protocol: Protocol, dsn: str, stack: ExitStack) -> bool:
    """The dead listener's session still holds the silence lock in the server. Return whether an order is lost."""
    undead = stack.enter_context(psycopg.connect(dsn, autocommit=True))
    assert bell.hold_silence(undead)()
    assert not protocol.wake()
    asleep = sleeps(protocol.mark_and_ask())
    with psycopg.connect(dsn) as writer:
        writer.execute(INSERT, ["D1"])
    return asleep and protocol.rings() == 0


def test_it_does_not_sleep_while_a_strangers_session_silences_the_writers(dsn: str, stack: ExitStack) -> None:
    assert not silenced_by_a_session_that_lives_on(Protocol(dsn, stack), dsn, stack)


def test_without_the_look_at_the_lock_after_the_release_that_order_is_lost(dsn: str, stack: ExitStack) -> None:
    assert silenced_by_a_session_that_lives_on(NeverProbes(dsn, stack), dsn, stack)


def test_a_release_that_was_not_ours_closes_the_session(dsn: str, stack: ExitStack) -> None:
    protocol = Protocol(dsn, stack)
    with pytest.raises(leader.Transient):
        bell.release_silence(protocol.work)
    assert protocol.work.closed


def test_a_forgotten_transaction_elsewhere_delays_sleep_and_hides_no_order(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    protocol, forgotten = Protocol(dsn, stack), writer()
    forgotten.execute("insert into sku_lot (sku, lot) values ('X', '1')")
    protocol.wake()
    assert not sleeps(protocol.settle())
    assert protocol.x is not None
    assert bell.ask(protocol.work, protocol.x, [], patient=True).settled


def test_the_patient_question_waits_for_an_open_writer_of_the_inbox(
    dsn: str, stack: ExitStack, writer: Callable[[], Connection]
) -> None:
    protocol = Protocol(dsn, stack)
    protocol.wake()
    with open_order(writer(), "E1"):
        protocol.settle()
        assert protocol.x is not None
        assert not bell.ask(protocol.work, protocol.x, [], patient=True).settled
    assert bell.ask(protocol.work, protocol.x, [], patient=True).pending


def test_a_silenced_writer_that_is_prepared_is_waited_for_patiently_too() -> None:
    with EmbeddedPostgres(settings={"max_prepared_transactions": "1"}) as server, ExitStack() as stack:
        url = server.url()
        install(url, base_tables=True)
        protocol = Protocol(url, stack)
        protocol.wake()
        writer = stack.enter_context(psycopg.connect(url, autocommit=True))
        writer.execute("begin")
        writer.execute(INSERT, ["G1"])
        writer.execute("prepare transaction 'shop'")
        assert not sleeps(protocol.settle())
        assert protocol.x is not None
        assert not bell.ask(protocol.work, protocol.x, [], patient=True).settled
        writer.execute("commit prepared 'shop'")
        assert protocol.rings() == 0
        assert bell.ask(protocol.work, protocol.x, [], patient=True).pending


def test_the_patient_question_reads_the_lock_table_once(dsn: str, stack: ExitStack) -> None:
    # A writer that is prepared between two readings would be seen as two, neither of which is an open writer.
    plan = Protocol(dsn, stack).work.execute(f"explain {bell.OLDER_WRITERS_SQL}", {"x": 7}).fetchall()
    assert sum("pg_lock_status" in line for (line,) in plan) == 1


def test_a_row_that_is_known_to_be_locked_does_not_keep_it_awake(dsn: str, stack: ExitStack) -> None:
    protocol = Protocol(dsn, stack)
    protocol.work.execute(INSERT, ["F1"])
    row = protocol.work.execute("select id from orders_inbox").fetchone()
    assert row is not None
    protocol.wake()
    assert protocol.settle().pending
    assert protocol.x is not None
    assert not bell.ask(protocol.work, protocol.x, [row[0]], patient=False).pending


def test_who_keeps_the_lock_from_us_for_a_minute_is_named_and_holds_nothing_up(dsn: str) -> None:
    now = 100.0
    silence = bell.Silence(lambda: now)
    with psycopg.connect(dsn, autocommit=True) as stranger, connect_work(dsn, "listener test") as work:
        stranger.execute(f"select pg_advisory_lock_shared({LOCK_CLASS}, {SILENCE_KEY})".encode())
        for now in (100.0, 130.0, 159.0):  # noqa: B007
            silence.keep(work, wanted=True)
            assert (silence.held, silence.kept_from_us_by(work)) == (False, None)
        now = 160.0
        assert silence.kept_from_us_by(work) == stranger.info.backend_pid
        stranger.execute("select pg_advisory_unlock_all()")
        assert silence.kept_from_us_by(work) is None
        silence.keep(work, wanted=True)
        assert (silence.held, silence.kept_from_us_by(work)) == (True, None)
        silence.keep(work, wanted=False)
        stranger.execute(f"select pg_advisory_lock({LOCK_CLASS}, {SILENCE_KEY})".encode())
        silence.keep(work, wanted=True)
        assert silence.kept_from_us_by(work) is None, "it begins anew"


def test_our_own_hold_on_the_lock_is_nobody_elses(dsn: str) -> None:
    silence = bell.Silence(lambda: 0.0)
    with connect_work(dsn, "listener test") as work:
        silence.keep(work, wanted=True)
        assert (silence.held, silence.kept_from_us_by(work)) == (True, None)


def test_a_question_that_fails_beside_the_try_leaves_no_doubt_who_holds_the_lock(dsn: str) -> None:
    silence = bell.Silence(lambda: 0.0)
    with connect_work(dsn, "listener test") as work, connect_work(dsn, "another") as other:
        with pytest.raises(DivisionByZero), silence.kept(work, wanted=True):
            work.execute("select 1 / 0")
        assert (silence.held, bell.hold_silence(other)()) == (True, False)
        silence.keep(work, wanted=False)
        assert bell.hold_silence(other)()
