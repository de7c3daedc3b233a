"""The work session under the real decisions of `schedule`: how it comes to lead, and to sleep where a bell wakes it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.events import (
    WORKFLOWS,
    Beaten,
    Configured,
    Done,
    Event,
    Job,
    Led,
    Listening,
    Phase,
    Rang,
    RunUpload,
    SessionLost,
    Simple,
    Source,
)
from listener.flags import Flags
from listener.leader import who_leads
from listener.locks import SILENCE_KEY
from listener.metrics import Metrics
from listener.schedule import next_due, react
from listener.shipstation.client import ShipStation
from listener.state import State
from listener.work import WorkSession
from listener.workflows.upload_orders import UploadOrders
from tests.support.bell import Ear, hearing, holding
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.trips import Message, round_trips, tracing
from tests.support.upload import CREATE

HELD = """
select array_agg(objid::int order by objid) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'
and database = (select oid from pg_database where datname = current_database())
"""


class Loop:
    """The daemon's loop without threads: the real `react`, the real session, and a clock that jumps."""

    def __init__(self, session: WorkSession) -> None:
        self.session, self.state, self.now = session, State(), 0.0

    def on(self, *events: Event, seconds: float = 0.1) -> None:
        """Let these happen, and so much time pass: whatever falls due in it is done."""
        until, waiting = self.now + seconds, events
        for _ in range(1000):
            self.state, actions = react(self.state, waiting, self.now)
            jobs = [action for action in actions if isinstance(action, RunUpload)]
            waiting = tuple(self.session.run(job, self.state.flags).event for job in jobs)
            if Simple.READ_CONFIG in actions:
                waiting += (CONFIGURED,)
            due_at = self.now if waiting else next_due(self.state)
            if due_at > until:
                self.now = until
                return
            self.now = due_at
        raise AssertionError(f"it spins: {self.state}")

    @property
    def phase(self) -> Phase:
        return self.state.upload.phase


@pytest.fixture
def loop(dsn: str, account: ShipStationSimulator) -> Iterator[Loop]:
    metrics = Metrics("test")
    with ExitStack() as stack:
        shipstation = ShipStation(account.url, account.api_key, account.api_secret)
        stack.callback(shipstation.close)
        session = WorkSession(dsn, "listener test work", UploadOrders(shipstation, metrics), metrics)
        stack.callback(session.close, busy=False)
        yield Loop(session)


@pytest.fixture
def ear(dsn: str) -> Iterator[Ear]:
    with hearing(dsn, "orders_inbox") as ear:
        yield ear


CONFIGURED = Configured(Flags(fast_polling_interval=3600), frozenset(WORKFLOWS))


def test_a_leader_that_hears_sleeps_without_the_silence_lock_and_a_writer_rings(
    loop: Loop, shop: Connection, ear: Ear
) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    assert loop.phase is Phase.ASLEEP
    assert value_of(shop, HELD) == [2], "the leader's lock alone"
    insert_order(shop, "A-1")
    assert ear.heard() == [""]
    loop.on(Rang("orders_inbox"))
    assert loop.phase is Phase.ASLEEP
    assert value_of(shop, "select status from orders_inbox") == "uploaded"


def test_a_leader_that_was_deaf_and_hears_is_rung_for_before_it_sleeps(loop: Loop, shop: Connection, ear: Ear) -> None:
    # A deaf one leads by a lease. To the trigger the leader's lock is the leader: without it nobody rings.
    loop.on(Listening(deaf=True), CONFIGURED)
    assert loop.phase is Phase.RESTING
    assert value_of(shop, HELD) is None
    loop.on(Listening(deaf=False), seconds=2)
    assert loop.phase is Phase.ASLEEP
    insert_order(shop, "A-1")
    assert ear.heard() == [""]


def test_a_standby_that_was_deaf_and_hears_leads_on_a_session_that_the_server_watches(
    loop: Loop, shop: Connection
) -> None:
    # A deaf one's session may be a pooler's, and is left as it is. Who holds locks needs the server to notice its end.
    shop.execute("update listener.leader set holder = 'another', lease_until = now() + interval '1 hour'")
    deaf, hears = (RunUpload(Job.LEAD, Source.STARTUP, silence=silence) for silence in (False, True))
    assert getattr(loop.session.run(deaf, Flags()).event, "leading", None) is False
    shop.execute("update listener.leader set lease_until = now()")
    led = loop.session.run(hears, Flags()).event
    assert isinstance(led, Led)
    assert (led.leading, led.epoch, led.leader) == (True, 1, who_leads(loop.session._standing()))
    assert value_of(loop.session._standing(), "select current_setting('client_connection_check_interval')") == "2s"


def test_whom_a_stranger_has_silenced_is_found_when_the_stranger_has_gone(
    dsn: str, loop: Loop, shop: Connection, ear: Ear
) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    with psycopg.connect(dsn) as writer:
        writer.execute("select 'a transaction begins'")
        with holding(dsn, SILENCE_KEY):
            insert_order(writer, "A-1")
            loop.on(seconds=2)  # the first beat, which sees who mutes the bell
        loop.on(seconds=2)
    loop.on(seconds=2)
    assert ear.heard() == []
    assert value_of(shop, "select status from orders_inbox") == "uploaded"


IDLE_LIMIT = "select current_setting('idle_session_timeout')"


def test_a_dozing_session_may_be_silent_for_as_long_as_it_likes_and_then_no_longer(
    loop: Loop, shop: Connection, ear: Ear
) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    doze, beat = RunUpload(Job.DOZE, Source.STARTUP), RunUpload(Job.BEAT, Source.HEARTBEAT)
    assert loop.session.run(doze, Flags()).event == Done()
    assert value_of(loop.session._standing(), IDLE_LIMIT) == "0"
    insert_order(shop, "A-1")
    assert ear.heard() == [""], "it leads on"
    assert loop.session.run(beat, Flags()).event == Beaten(due=True, fresh=True)
    assert value_of(loop.session._standing(), IDLE_LIMIT) == "35s"


def test_a_session_that_was_closed_while_it_dozed_is_no_fault(
    loop: Loop, shop: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    loop.session.run(RunUpload(Job.DOZE, Source.STARTUP), Flags())
    pid = loop.session._standing().info.backend_pid
    shop.execute("select pg_terminate_backend(%s, 5000)", [pid])
    lost = loop.session.run(RunUpload(Job.BEAT, Source.HEARTBEAT), Flags()).event
    assert isinstance(lost, SessionLost)
    assert (lost.reason, caplog.messages) == ("", [])
    led = loop.session.run(RunUpload(Job.LEAD, Source.RECONNECT), Flags()).event
    assert isinstance(led, Led)
    assert (led.leading, led.epoch) == (True, 2)


def test_before_there_is_a_session_there_is_none_to_doze(loop: Loop) -> None:
    assert loop.session.run(RunUpload(Job.DOZE, Source.STARTUP), Flags()).event == Done()


def test_what_a_new_leader_has_rehearsed_stays_prepared(loop: Loop) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    session = loop.session._standing()
    for _ in range(2):  # what psycopg takes for prepared is
        assert who_leads(session) is not None
    prepared = value_of(session, "select string_agg(statement, ' ') from pg_prepared_statements")
    assert "insert into listener.ledger" in prepared


# What PostgreSQL 13 does not tell yet counts as none.
PLANNED_SQL = "select sum(coalesce((to_jsonb(p) ->> 'custom_plans')::integer, 0)) from pg_prepared_statements p"


def test_nothing_is_planned_while_an_order_waits(loop: Loop, shop: Connection) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    planned = value_of(loop.session._standing(), PLANNED_SQL)
    insert_order(shop, "A-1")
    loop.on(Rang("orders_inbox"))
    assert value_of(shop, "select status from orders_inbox") == "uploaded"
    assert value_of(loop.session._standing(), PLANNED_SQL) == planned


def until_its_request(loop: Loop, shop: Connection, account: ShipStationSimulator, number: str) -> list[Message]:
    """Ring for an order; return what the session and its server say until ShipStation has the request."""
    hold = account.hold(path=CREATE)
    insert_order(shop, number)
    with tracing(loop.session._standing()) as trace:
        sending = threading.Thread(target=loop.on, args=[Rang("orders_inbox")])
        sending.start()
        assert hold.arrived.wait(5)
        messages = trace.end()
    hold.release()
    sending.join()
    assert row_of(shop, number)[0] == "uploaded"
    return messages


def test_an_order_waits_for_three_answers_of_the_database_and_no_plan(
    loop: Loop, shop: Connection, account: ShipStationSimulator
) -> None:
    loop.on(Listening(deaf=False), CONFIGURED)
    first, second = (until_its_request(loop, shop, account, number) for number in ("A-1", "A-2"))
    assert [message for message in first if message.name == "Parse"] == [], "all is prepared when it leads"
    assert round_trips(first) == 4, "the first one asks whether there are suspects"
    assert round_trips(second) == 3, "the look, the claim, the ledger"
