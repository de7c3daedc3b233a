"""doctor and other people's sessions: who holds a lock, a transaction or the queue is named, and is ended."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from listener import install, leader
from listener.doctor import sessions
from listener.doctor.findings import Severity
from listener.embedded.postgres import EmbeddedPostgres, server_url
from listener.locks import LEADER_KEY, LOCK_CLASS, SILENCE_KEY
from listener.store import sessions as sessions_store
from tests.support.bell import role
from tests.support.doctor import bad, complaints, examined, is_well, mend, mends, the_one
from tests.support.postgres import Cluster, fast_folder
from tests.support.shop import Connection, value_of
from tests.support.wait import eventually

ACTIVE = "select state = 'active' from pg_stat_activity where pid = %s"


@contextmanager
def stranger(url: str, application_name: str = "somebody's script") -> Iterator[Connection]:
    """A session of somebody else, in autocommit. Whoever ended it does no harm to the test."""
    with closing(psycopg.connect(url, autocommit=True, application_name=application_name)) as session:
        yield session


def hold(session: Connection, key: int, *, shared: bool = False) -> None:
    lock = sql.SQL("select pg_advisory_lock_shared({}, {})" if shared else "select pg_advisory_lock({}, {})")
    session.execute(lock.format(LOCK_CLASS, key))


@pytest.mark.parametrize(
    ("key", "words"), [(SILENCE_KEY, "no writer rings"), (LEADER_KEY, "no listener: none can lead")]
)
def test_a_stranger_who_holds_a_key_is_named_and_ended(dsn: str, key: int, words: str) -> None:
    with stranger(dsn) as session:
        hold(session, key)
        found = the_one(dsn, "locks", "error")
        assert f"pid {session.info.backend_pid} (role postgres, somebody's script, 127.0.0.1)" in found.sentence
        assert words in found.sentence
        assert f"select pg_terminate_backend({session.info.backend_pid})" in found.sql[0]
        assert mends(dsn)


def test_a_key_that_is_kept_shared_is_found_and_ended(dsn: str) -> None:
    with stranger(dsn) as session:
        hold(session, SILENCE_KEY, shared=True)
        assert "muffled" in the_one(dsn, "locks", "error").sentence
        assert mends(dsn)


def test_a_key_that_a_writer_asks_for_just_now_is_no_fault(dsn: str) -> None:
    with stranger(dsn, "a writer") as writer, stranger(dsn) as doctor:
        hold(writer, SILENCE_KEY, shared=True)
        seen = sessions_store.read_locks(doctor, lambda _: writer.execute("select pg_advisory_unlock_all()"))
    assert [lock.session.application for lock in seen.locks] == ["a writer"]
    assert not bad(sessions.judge_locks(seen))


def test_the_leader_is_named_and_may_hold_both_keys(dsn: str) -> None:
    with stranger(dsn, "listener 0a1b2c3d work") as work:
        assert leader.lead(work, "listener 0a1b2c3d work", by_lease=False) == 1
        hold(work, SILENCE_KEY)
        findings = examined(dsn)
        assert not bad(findings)
        assert any(
            "listener 0a1b2c3d work leads since" in found.sentence
            and f"(epoch 1): pid {work.info.backend_pid}" in found.sentence
            for found in findings
        )


def test_who_leads_by_a_lease_is_named(dsn: str) -> None:
    with stranger(dsn, "listener 0a1b2c3d work") as work:
        assert leader.lead(work, "listener 0a1b2c3d work", by_lease=True) == 1
    assert any("leads by a lease" in found.sentence for found in examined(dsn, "locks"))


def test_a_pid_that_belongs_to_another_session_by_now_is_left_alone(dsn: str) -> None:
    with stranger(dsn) as session:
        hold(session, SILENCE_KEY)
        (statement,) = the_one(dsn, "locks", "error").sql
        later = statement.replace("backend_start = '", "backend_start = '1").encode()
        session.execute("select 1")
        with psycopg.connect(dsn, autocommit=True) as other:
            assert other.execute(later).fetchall() == []
            assert other.execute(statement.encode()).fetchall() == [(True,)]


def test_a_transaction_that_somebody_forgot_is_ended(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(dsn) as session:
        session.execute("begin; select pg_current_xact_id()")
        assert not bad(examined(dsn))
        monkeypatch.setattr(sessions, "OLD_SECONDS", 0.0)
        unclear = the_one(dsn, "transactions", "warning")
        assert f"pid {session.info.backend_pid}" in unclear.sentence
        assert "idle in transaction" in unclear.sentence
        assert (unclear.sql, "if it is not needed" in unclear.todo) == ((), True)
        monkeypatch.setattr(sessions, "FORGOTTEN_SECONDS", 0.0)
        assert mends(dsn)


def test_a_transaction_that_holds_nothing_back_is_nobodys_business(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OLD_SECONDS", 0.0)
    with stranger(dsn) as session:
        session.execute("begin; select 1")
        assert not bad(examined(dsn))


def test_a_transaction_that_works_is_left_to_a_person(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OLD_SECONDS", 0.0)
    monkeypatch.setattr(sessions, "FORGOTTEN_SECONDS", 0.0)
    with stranger(dsn) as session, stranger(dsn) as observer:

        def work() -> None:
            with suppress(psycopg.errors.QueryCanceled):
                session.execute("select pg_sleep(60)")

        working = threading.Thread(target=work)
        working.start()
        eventually(lambda: value_of(observer, ACTIVE, session.info.backend_pid))
        try:
            found = the_one(dsn, "transactions", "warning", "transactions")
        finally:
            observer.execute("select pg_cancel_backend(%s)", [session.info.backend_pid])
            working.join()
        assert not found.sql


def test_who_keeps_a_table_locked_is_named(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOCKED_SECONDS", 0.0)
    with stranger(dsn) as session:
        session.execute("begin; lock orders_inbox in share row exclusive mode")
        found = the_one(dsn, "transactions", "warning")
        assert "keeps public.orders_inbox locked (ShareRowExclusiveLock)" in found.sentence
        monkeypatch.setattr(sessions, "FORGOTTEN_SECONDS", 0.0)
        assert mends(dsn)


def test_a_table_that_is_locked_altogether_hangs_no_check(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOCKED_SECONDS", 0.0)
    with stranger(dsn) as session:
        session.execute("begin; lock orders_inbox in access exclusive mode")
        findings = bad(examined(dsn, "transactions", "orders"))
    assert [found.check for found in findings] == ["transactions", "orders"]
    assert "lock timeout" in findings[1].sentence


@pytest.fixture(scope="module")
def small_server(cluster: Cluster) -> Iterator[str]:
    """An installed database on a server with few connections, that allows prepared transactions."""
    settings = {"max_prepared_transactions": "2", "max_connections": "13"}
    with psycopg.connect(cluster.url()) as connection:
        if connection.info.server_version >= 170000:
            settings["max_notify_queue_pages"] = "64"
    with EmbeddedPostgres(fast_folder(), settings) as server:
        url = server_url(server.port)
        install.install(url, base_tables=True)
        yield url


@pytest.fixture
def short_queue(small_server: str) -> str:
    """That database, if its NOTIFY queue is short."""
    with psycopg.connect(small_server) as connection:
        if connection.info.server_version < 170000:
            pytest.skip("the NOTIFY queue has a fixed size before PostgreSQL 17")
    return small_server


def fill_queue(url: str, usage: float) -> None:
    """Notify until the queue is this full. Each fills half a page to its end: so none of them is warned at the half."""
    with psycopg.connect(url, autocommit=True) as speaker:
        while value_of(speaker, "select pg_notification_queue_usage()") < usage:
            speaker.execute("select pg_notify('news', repeat('x', 4074))")


def test_who_fills_the_queue_is_named_by_the_server_itself_and_ended(short_queue: str) -> None:
    with stranger(short_queue, "a loader") as loader, stranger(short_queue, "a forgetful ear") as ear:
        loader.execute("begin; select 1 as listen")  # older, and it looks like a listener
        ear.execute("listen news")
        ear.execute("begin; select 1")
        fill_queue(short_queue, 0.5)
        found = the_one(short_queue, "queue", "error")
        assert f"pid {ear.info.backend_pid} (role postgres, a forgetful ear, 127.0.0.1) keeps it" in found.sentence
        mend(short_queue, [found])
        assert is_well(short_queue)
        assert value_of(loader, "select 1") == 1


def test_a_full_queue_is_an_error_and_no_traceback(short_queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_store, "RINGS", 1)  # the warning was another's: no use to wait for the next
    with stranger(short_queue) as ear:
        ear.execute("listen news")
        ear.execute("begin; select 1")
        fill_queue(short_queue, 1.0)
        queue, probe = bad(examined(short_queue, "queue", "LISTEN"))
        assert (queue.severity, probe.severity) == (Severity.ERROR, Severity.ERROR)
        assert "the NOTIFY queue is 100% full" in queue.sentence
        assert "too many notifications" in probe.sentence


def test_who_may_fill_a_queue_that_is_not_half_full_yet_is_guessed(
    short_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stranger(short_queue, "a loader") as loader, stranger(short_queue, "a forgetful ear") as ear:
        loader.execute("begin; select pg_current_xact_id()")
        ear.execute("begin; listen news")
        ear.execute("commit; begin; listen news")
        fill_queue(short_queue, 0.2)
        found = the_one(short_queue, "queue", "warning")
        assert f"pid {ear.info.backend_pid} (role postgres, a forgetful ear, 127.0.0.1) may keep it" in found.sentence
        assert f"pid {loader.info.backend_pid}" in found.sentence
        assert not found.sql
        monkeypatch.setattr(sessions, "FORGOTTEN_SECONDS", 0.0)
        mend(short_queue, examined(short_queue, "queue"))
        assert is_well(short_queue)
        assert value_of(loader, "select 1") == 1


def test_a_prepared_transaction_that_was_forgotten_is_named_and_decided_by_a_person(
    small_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PREPARED_SECONDS", 0.0)
    with stranger(small_server) as session:
        session.execute("begin; select pg_current_xact_id()")
        session.execute("prepare transaction 'it''s mine'")
        found = the_one(small_server, "transactions", "warning")
        assert "it's mine of postgres" in found.sentence
        assert found.sql == ()
        assert "`rollback prepared 'it''s mine';`" in found.todo
        session.execute("rollback prepared 'it''s mine'")
    assert not bad(examined(small_server))


def test_a_server_without_room_for_connections_is_found(small_server: str) -> None:
    others = [psycopg.connect(small_server) for _ in range(8)]
    try:
        found = the_one(small_server, "connections", "error", "connections")
        assert "9 of 10 connections of the server are in use" in found.sentence  # three are kept for superusers
        others.pop().close()
        left = [("connections", "warning")]
        eventually(lambda: complaints(examined(small_server, "connections")), lambda seen: seen == left)
    finally:
        for other in others:
            other.close()


def test_a_limit_of_the_database_that_is_reached_is_found(dsn: str) -> None:
    name = str(conninfo_to_dict(dsn)["dbname"])
    with stranger(dsn) as session:
        session.execute(sql.SQL("alter database {} connection limit 3").format(sql.Identifier(name)))
        found = the_one(dsn, "connections", "error", "connections")
    assert f"2 of 3 connections of database {name} are in use" in found.sentence
    assert f'`alter database "{name}" connection limit 6`' in found.todo


def test_a_limit_of_the_role_that_is_reached_is_found(dsn: str) -> None:
    with role(dsn, "many", "alter role {role} connection limit 3") as url, stranger(url):
        found = the_one(url, "connections", "error", "connections")
    assert "2 of 3 connections of role many_of_" in found.sentence


def test_a_role_that_does_not_ring_is_told_and_all_roles_are_a_warning(dsn: str) -> None:
    database = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with stranger(dsn) as session:
        silent = sql.SQL("alter role postgres in database {} set listener.bell = off")
        session.execute(silent.format(database))
        findings = examined(dsn)
        assert not bad(findings)
        (told,) = [found for found in findings if found.check == "writers"]
        assert "orders of role postgres do not ring (listener.bell = off)" in told.sentence
        session.execute(sql.SQL("alter role postgres in database {} reset listener.bell").format(database))
        session.execute(sql.SQL("alter database {} set session_replication_role = replica").format(database))
    assert "orders of every role do not ring" in bad(examined(dsn))[-1].sentence
    assert mends(dsn)


def test_a_subscription_that_writes_orders_is_told(dsn: str) -> None:
    with stranger(dsn) as session:
        session.execute(
            "create subscription of_the_shop connection 'dbname=elsewhere' publication orders"
            " with (connect = false, slot_name = none)"
        )
        session.execute(
            "insert into pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " select oid, 'orders_inbox'::regclass, 'r' from pg_subscription where subname = 'of_the_shop'"
        )
        try:
            (told,) = [found for found in examined(dsn) if found.check == "writers"]
        finally:
            session.execute("drop subscription of_the_shop")
    assert "subscription of_the_shop writes to orders_inbox" in told.sentence
