"""The sessions' own settings: what a database sets by default does not count."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DivisionByZero
from psycopg.pq import TransactionStatus

from listener.database import Connection, connect_step, connect_work, has_ended, make_ours, pipelined
from listener.store.mirror import note_conflict
from tests.support.trips import tracing
from tests.support.wait import eventually

OTHERS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_isolation": "repeatable read",
    "synchronous_commit": "off",
    "search_path": "theirs",
}
OURS = {
    "statement_timeout": "15s",
    "lock_timeout": "2s",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
    "search_path": "public",
}


@pytest.fixture
def strange_dsn(dsn: str) -> str:
    """A database whose defaults are all other than we need."""
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as owner:
        for setting, value in OTHERS.items():
            change = sql.SQL("alter database {} set {} = {}")
            owner.execute(change.format(name, sql.Identifier(setting), sql.Literal(value)))
    return dsn


def connect_listen(url: str, name: str) -> Connection:
    connection = connect_step(url, name)
    make_ours(connection)
    return connection


@pytest.mark.parametrize("connect", [connect_work, connect_listen])
def test_our_sessions_end_a_statement_after_15_seconds_whatever_the_databases_default(
    strange_dsn: str, connect: Callable[[str, str], Connection]
) -> None:
    with connect(strange_dsn, "test") as connection:
        found = {name: connection.execute(f"show {name}".encode()).fetchone() for name in OURS}
    assert found == {name: (value,) for name, value in OURS.items()}


def test_a_session_that_the_server_has_ended_is_known_without_a_question(dsn: str) -> None:
    with connect_work(dsn, "test") as session, psycopg.connect(dsn, autocommit=True) as admin:
        session.execute("select 1")
        assert not has_ended(session)
        admin.execute("select pg_terminate_backend(%s, 5000)", [session.info.backend_pid])
        assert eventually(lambda: has_ended(session))
        session.close()
        assert has_ended(session)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_prepared_after_a_transaction_in_a_pipeline_stays_prepared(dsn: str, keep: bool) -> None:
    with closing(connect_work(dsn, "listener test work")) as connection:
        with pipelined(connection, keep=keep):
            assert connection.execute("select 1").fetchone() == (1,)
        for _ in range(3):
            assert connection.execute("select 2").fetchone() == (2,)


def test_a_transaction_in_a_pipeline_that_is_not_kept_leaves_nothing(dsn: str) -> None:
    with closing(connect_work(dsn, "listener test work")) as connection:
        with pipelined(connection, keep=False):
            connection.execute("update polling_state set last_upload_count = 4711")
        assert connection.execute("select last_upload_count from polling_state").fetchone() == (0,)


NOTED = "select count(*) from listener.conflicts"


def test_the_statements_of_a_pipeline_are_one_transaction(dsn: str) -> None:
    with connect_work(dsn, "test") as db, connect_work(dsn, "test") as other:
        with pipelined(db):
            note_conflict(db, "A-1", "kind", ["1"])
            assert db.execute(NOTED).fetchone() == (1,)
            assert other.execute(NOTED).fetchone() == (0,)
            note_conflict(db, "A-2", "kind", ["2"])
        assert other.execute(NOTED).fetchone() == (2,)


def divide_by_zero(db: Connection) -> None:
    db.execute("select 1 / 0").fetchone()


def raise_key_error(_: Connection) -> None:
    raise KeyError


@pytest.mark.parametrize("keep", [True, False], ids=["to be kept", "to be undone"])
@pytest.mark.parametrize(("fail", "error"), [(divide_by_zero, DivisionByZero), (raise_key_error, KeyError)])
def test_a_pipeline_that_fails_leaves_nothing(
    dsn: str, keep: bool, fail: Callable[[Connection], None], error: type[Exception]
) -> None:
    with connect_work(dsn, "test") as db:
        for _ in range(3):
            with pytest.raises(error), pipelined(db, keep=keep):
                note_conflict(db, "A-1", "kind", ["1"])
                fail(db)
            assert db.info.transaction_status is TransactionStatus.IDLE
            for _ in range(3):  # what is prepared meanwhile stays so
                assert db.execute(NOTED).fetchone() == (0,)


def test_a_pipeline_that_is_to_be_undone_leaves_nothing_but_what_is_prepared(dsn: str) -> None:
    with connect_work(dsn, "test") as db:
        with pipelined(db, keep=False):
            note_conflict(db, "A-1", "kind", ["1"])
        with tracing(db) as trace:
            assert db.execute(NOTED).fetchone() == (0,)
            note_conflict(db, "A-1", "kind", ["1"])
            parsed = [message for message in trace.end() if message.name == "Parse"]
        assert len(parsed) == 1, "only the question is new"
