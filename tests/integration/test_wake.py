"""The LISTEN session on a real server: what it hears while it waits for an answer, and how it knows that it is deaf."""

import logging
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener import wake
from listener.database import Connection, connect_step
from listener.errors import Fatal, Transient
from listener.events import Channel
from listener.store.progress import look
from listener.wake import Answered, ListenSession, Question, connect_listen, require_schema
from tests.support.proxy import TcpProxy
from tests.support.shop import insert_order, value_of

NAME = "listener test listen"
NOW = 100.0
Listen = Callable[..., ListenSession]


@pytest.fixture
def listen(dsn: str) -> Iterator[Listen]:
    """Open a LISTEN session on the test's database, or on another way to it."""
    with ExitStack() as stack:

        def listen(url: str = dsn, *, at_start: bool = True) -> ListenSession:
            session = connect_listen(url, NAME, threading.Event(), at_start=at_start)
            assert isinstance(session, ListenSession), session
            stack.callback(session.close)
            return session

        yield listen


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def proxy_to(dsn: str, tcp_proxy: Callable[[int], TcpProxy]) -> TcpProxy:
    return tcp_proxy(int(str(conninfo_to_dict(dsn)["port"])))


def hear(
    session: ListenSession, rings: int = 0, answers: int = 0, now: float = NOW
) -> tuple[list[str], list[Answered]]:
    """Read whenever the socket has something, until so much was heard; wait no longer than 5 s for each piece."""
    rang, answered = session.read(now)
    while len(rang) < rings or len(answered) < answers:
        assert select.select([session], [], [], 5)[0], f"heard only {rang} and {answered}"
        more_rang, more_answered = session.read(now)
        rang, answered = rang + more_rang, answered + more_answered
    return rang, answered


def test_it_hears_every_channel_of_the_bell(listen: Listen, db: Connection) -> None:
    session = listen()
    assert not session.deaf
    for channel in Channel:
        db.execute(f"notify {channel}".encode())
    assert hear(session, rings=4)[0] == list(Channel)


def test_a_committed_order_rings_when_somebody_leads(listen: Listen, db: Connection, dsn: str) -> None:
    session = listen()
    with connect_step(dsn, "leader") as leader:
        leader.execute("select pg_advisory_lock(1818850164, 2)")
        insert_order(db, "A-1")
    assert hear(session, rings=1)[0] == [Channel.ORDERS]


def test_reading_what_is_silent_returns_at_once_with_nothing(listen: Listen) -> None:
    assert listen().read(NOW) == ([], [])


def test_a_question_is_answered_with_its_one_value(listen: Listen) -> None:
    session = listen()
    session.ask(Question.CONFIG, "select $1::text || '!'", ["here"], NOW)
    assert hear(session, answers=1) == ([], [Answered(Question.CONFIG, "here!")])
    session.ask(Question.PING, "select 1 where false", (), NOW)
    assert hear(session, answers=1)[1] == [Answered(Question.PING, None)]


def test_an_error_is_an_answer_and_the_session_lives_on(listen: Listen) -> None:
    session = listen()
    session.ask(Question.CONFIG, "select nothing from nowhere", (), NOW)
    ((answer,),) = (hear(session, answers=1)[1],)
    assert (answer.question, answer.value) == (Question.CONFIG, None)
    assert "nowhere" in str(answer.error)
    session.ask(Question.PING, "select 1", (), NOW)
    assert hear(session, answers=1)[1] == [Answered(Question.PING, "1")]


def test_a_bell_is_heard_while_a_question_is_outstanding(
    listen: Listen, dsn: str, db: Connection, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    proxy.to_server.hold()
    session.ask(Question.PING, "select 1", (), NOW)
    db.execute("notify orders_inbox")
    assert hear(session, rings=1) == ([Channel.ORDERS], [])
    assert session.overdue_at == NOW + 5
    proxy.release()
    assert hear(session, answers=1) == ([], [Answered(Question.PING, "1")])
    assert session.overdue_at is None


def test_a_bell_and_an_answer_that_come_together_are_both_heard(
    listen: Listen, dsn: str, db: Connection, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    proxy.to_client.hold()
    session.ask(Question.PING, "select 1", (), NOW)
    db.execute("notify orders_inbox")
    db.execute("notify configuration_params")
    assert session.read(NOW) == ([], [])
    proxy.release()
    rang, answers = hear(session, rings=2, answers=1)
    assert (rang, answers) == ([Channel.ORDERS, Channel.FLAGS], [Answered(Question.PING, "1")])


def test_questions_queue_one_of_a_kind_but_no_receipt_is_lost(
    listen: Listen, dsn: str, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    proxy.hold()
    session.ask(Question.PING, "select 0", (), NOW)
    for n in range(3):
        session.ask(Question.CONFIG, f"select 'config {n}'", (), NOW)
        session.ask(Question.RECEIPT, "select $1::text", [f"receipt {n}"], NOW)
    proxy.release()
    answers = [answer.value for answer in hear(session, answers=5)[1]]
    assert answers == ["0", "config 0", "receipt 0", "receipt 1", "receipt 2"]


def test_an_answer_that_is_overdue_is_a_lost_session(
    listen: Listen, dsn: str, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    assert session.overdue_at is None
    assert session.read(NOW + 3600) == ([], []), "who asks nothing waits for nothing"
    proxy.hold()
    session.ask(Question.PING, "select 1", (), NOW)
    assert session.read(NOW + 4.9) == ([], [])
    with pytest.raises(Transient, match="no answer for 5 s"):
        session.read(NOW + 5)
    proxy.release()


def test_an_answer_that_came_late_but_is_there_is_taken(listen: Listen) -> None:
    session = listen()
    session.ask(Question.PING, "select 1", (), NOW)
    assert select.select([session], [], [], 5)[0]
    assert hear(session, answers=1, now=NOW + 60)[1] == [Answered(Question.PING, "1")]


def test_the_next_question_has_a_deadline_of_its_own(
    listen: Listen, dsn: str, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    proxy.to_client.hold()
    session.ask(Question.PING, "select 1", (), NOW)
    session.ask(Question.CONFIG, "select 2", (), NOW + 1)
    assert session.overdue_at == NOW + 5
    proxy.release()
    hear(session, answers=1, now=NOW + 4)
    assert session.overdue_at in (NOW + 9, None)  # None: the second answer was there as well
    assert session.overdue_at is None or hear(session, answers=1, now=NOW + 8)[1]


def test_a_terminated_backend_is_a_lost_session(listen: Listen, db: Connection) -> None:
    session = listen()
    query = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
    assert value_of(db, query, NAME)
    with pytest.raises(Transient, match="lost"):
        hear(session, answers=1)


def test_a_cut_connection_is_a_lost_session(listen: Listen, dsn: str, tcp_proxy: Callable[[int], TcpProxy]) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    session = listen(proxy.url(dsn))
    proxy.cut()
    with pytest.raises(Transient, match="lost"):
        hear(session, answers=1)


# Deaf.


def test_a_direct_host_is_heard_and_goes_on_listening_to_its_probe(listen: Listen, db: Connection) -> None:
    session = listen()
    assert not session.deaf
    assert value_of(db, "select count(*) from pg_stat_activity where application_name like '%%probe'") == 0
    session.ask(Question.PING, "select string_agg(c, ' ' order by c) from pg_listening_channels() c", (), NOW)
    assert str(hear(session, answers=1)[1][0].value).split() == sorted([*Channel, session.probe])


def test_what_another_session_rings_on_the_probe_proves_that_bells_are_heard_and_is_no_bell(
    listen: Listen, db: Connection
) -> None:
    session = listen()
    session.must_hear(NOW, NOW + 1)
    assert session.overdue_at == NOW + 6
    assert look(db, session.probe).rang
    assert select.select([session], [], [], 5)[0]
    assert session.read(NOW + 7) == ([], []), "what is there counts, however late it is read"
    assert (session.overdue_at, session.heard_at) == (None, NOW + 7)
    session.must_hear(NOW + 5, NOW + 8)
    assert session.overdue_at is None, "it was heard before the work session had ended"


def test_a_session_on_which_listen_is_no_longer_in_force_is_lost(listen: Listen, db: Connection) -> None:
    session = listen()
    session._connection.execute("unlisten *")
    assert look(db, session.probe).rang
    session.must_hear(NOW, NOW)
    assert session.read(NOW + 4) == ([], [])
    with pytest.raises(Transient, match="did not hear what the work session rang"):
        session.read(NOW + 5)


def test_a_look_without_a_probe_rings_nothing_and_names_the_triggers_that_do_not_stand(db: Connection) -> None:
    assert (look(db, "").rang, look(db, "").missing_triggers) == (False, [])
    db.execute("alter table orders_inbox disable trigger listener_orders_inserted")
    assert look(db, "").missing_triggers == ["listener_orders_inserted"]


def test_a_session_whose_notifications_go_elsewhere_is_deaf_and_works_on(
    listen: Listen, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def through_a_pooler(url: str, name: str, **options: Any) -> Connection:
        return connect_step(make_conninfo(url, dbname="postgres") if "probe" in name else url, name, **options)

    monkeypatch.setattr(wake, "connect_step", through_a_pooler)
    monkeypatch.setattr(wake, "PROBE_SECONDS", 0.1)
    session = listen()
    assert session.deaf
    session.ask(Question.PING, "select 1", (), NOW)
    assert hear(session, answers=1)[1] == [Answered(Question.PING, "1")]


def test_a_link_that_brings_no_notification_through_is_deaf_too(
    listen: Listen, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler that runs LISTEN on one server session and hands the next statement to another."""
    real = wake.connect_step

    class Pooled(psycopg.Connection[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            listening = getattr(query, "as_string", lambda: str(query))().startswith("listen ")
            return super().execute("select 1" if listening else query, *args, **options)

    def pooled(url: str, name: str, **options: Any) -> Connection:
        if "probe" in name:
            return real(url, name, **options)
        return Pooled.connect(url, application_name=name, autocommit=True)

    monkeypatch.setattr(wake, "connect_step", pooled)
    monkeypatch.setattr(wake, "PROBE_SECONDS", 0.1)
    assert listen().deaf


# Connecting.


class OnWarning(logging.Handler):
    """Keeps what `listener.wake` says, and does something about each."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self.said: list[str] = []
        self._do = do

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self._do()

    def __enter__(self) -> "OnWarning":
        wake.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        wake.logger.removeHandler(self)


def test_the_schema_that_is_there_is_enough(dsn: str) -> None:
    with connect_step(dsn, NAME) as connection:
        require_schema(connection)


def test_a_missing_schema_is_named_with_the_command_that_makes_it(empty_dsn: str) -> None:
    fault = connect_listen(empty_dsn, NAME, threading.Event(), at_start=True)
    assert isinstance(fault, Fatal)
    assert "orders_inbox, order_items_inbox, configuration_params" in str(fault)
    assert "listener.ledger" in str(fault)
    assert "`listener install`" in str(fault)


@pytest.mark.parametrize("table", ["workflow_controls", "listener.budget"])
def test_only_what_is_missing_is_named(dsn: str, db: Connection, table: str) -> None:
    db.execute(f"drop table {table} cascade".encode())
    with connect_step(dsn, NAME) as connection, pytest.raises(Fatal) as fault:
        require_schema(connection)
    assert f"has no table {table}: " in str(fault.value)


def test_a_database_that_does_not_exist_is_fatal_at_the_start(dsn: str) -> None:
    stopping = threading.Event()
    with OnWarning(stopping.set):  # only if it should wait for that database after all
        fault = connect_listen(make_conninfo(dsn, dbname="gone"), NAME, stopping, at_start=True)
    assert isinstance(fault, Fatal)
    assert "LISTEN_DATABASE_URL" in str(fault)


def test_who_has_run_before_waits_for_a_missing_database_until_told_to_stop(dsn: str) -> None:
    stopping, warned, ended = threading.Event(), threading.Event(), []

    def connect() -> None:
        with pytest.raises(Transient, match=r"does not exist|stopping"):
            connect_listen(make_conninfo(dsn, dbname="gone"), NAME, stopping, at_start=False)
        ended.append(1)

    with OnWarning(warned.set) as log:
        waiting = threading.Thread(target=connect, daemon=True)
        waiting.start()
        assert warned.wait(5)
        assert not ended
        stopping.set()
        waiting.join(5)
    assert ended == [1]
    assert len(log.said) == 1, "once a minute, not at every try"
    assert "Cannot reach the database" in log.said[0]


def test_an_unreachable_server_is_waited_for_at_the_start_too(
    listen: Listen, dsn: str, tcp_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = proxy_to(dsn, tcp_proxy)
    proxy.refuse()
    with OnWarning(proxy.accept) as log:
        assert not listen(proxy.url(dsn)).deaf
    assert len(log.said) == 1


def test_a_stop_before_the_first_try_connects_to_nobody(empty_dsn: str) -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Transient, match="stopping"):
        connect_listen(empty_dsn, NAME, stopping, at_start=True)


def test_a_listen_session_may_be_silent_for_as_long_as_it_likes(listen: Listen, dsn: str, db: Connection) -> None:
    name = conninfo_to_dict(dsn)["dbname"]
    db.execute(sql.SQL("alter database {} set idle_session_timeout = '9s'").format(sql.Identifier(str(name))))
    assert value_of(listen()._connection, "select current_setting('idle_session_timeout')") == "0"
