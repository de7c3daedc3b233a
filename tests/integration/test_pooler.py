"""The pooler of the tests does what makes a transaction pooler hard to live behind, and nothing that hides a fault."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.support.pooler import TransactionPooler
from tests.support.shop import Connection, insert_order, value_of
from tests.support.wait import eventually

PID = "select pg_backend_pid()"


@pytest.fixture
def pooler(dsn: str) -> Iterator[TransactionPooler]:
    with TransactionPooler(dsn, size=2) as pooler:
        yield pooler


@pytest.fixture
def client(dsn: str, pooler: TransactionPooler) -> Iterator[Connection]:
    """A client that prepares no statement by name."""
    with psycopg.connect(pooler.url(dsn), autocommit=True, prepare_threshold=None) as connection:
        yield connection


def test_each_transaction_has_a_server_connection_of_its_own_and_keeps_it_to_the_end(client: Connection) -> None:
    first = value_of(client, PID)
    with client.transaction():
        assert value_of(client, PID) == value_of(client, PID) != first
    assert {value_of(client, PID) for _ in range(4)} == {value_of(client, PID), value_of(client, PID)}


def test_a_transaction_waits_until_another_gives_its_server_connection_back(
    dsn: str, pooler: TransactionPooler, client: Connection
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        others = [stack.enter_context(psycopg.connect(pooler.url(dsn))) for _ in range(2)]
        pids = [value_of(other, PID) for other in others]
        waiting = threads.submit(value_of, client, PID)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        others[1].commit()
        assert waiting.result(5) == pids[1]


@pytest.mark.parametrize("pipeline", [False, True])
def test_a_pipeline_and_a_copy_pass(client: Connection, pipeline: bool) -> None:
    with client.pipeline() if pipeline else client.transaction(), client.transaction():
        insert_order(client, "P-1")
        assert value_of(client, "select count(*) from orders_inbox") == 1
    with client.cursor() as cursor, cursor.copy("copy sku_lot (sku, lot, active) from stdin") as copy:
        for number in range(2000):
            copy.write_row([f"SKU-{number}", "x" * 200, 0])
    with (
        client.cursor() as cursor,
        cursor.copy("copy (select lot from sku_lot where active = %s) to stdout", [0]) as out,
    ):
        assert len(list(out.rows())) == 2000


def test_what_a_session_sets_or_locks_stays_on_the_server_connection_for_others(client: Connection) -> None:
    with client.transaction():
        client.execute("select set_config('work_mem', '5MB', false), pg_advisory_lock(7)")
    seen = [value_of(client, "show work_mem") for _ in range(4)]
    assert seen.count("5MB") == 2
    assert value_of(client, "select count(*) from pg_locks where locktype = 'advisory' and objid = 7") == 1


def test_a_named_statement_is_missing_on_the_other_server_connection(client: Connection) -> None:
    client.execute("prepare question as select 1")
    with pytest.raises(errors.InvalidSqlStatementName):
        for _ in range(2):
            client.execute("execute question")


def test_a_notification_reaches_nobody(client: Connection) -> None:
    for _ in range(2):  # once on each
        client.execute("listen news")
    for _ in range(3):
        client.execute("notify news")
    assert list(client.notifies(timeout=0.2)) == []


def test_the_name_follows_the_client(dsn: str, pooler: TransactionPooler, client: Connection) -> None:
    with psycopg.connect(pooler.url(dsn), autocommit=True, application_name="it's me") as named:
        for _ in range(3):
            assert value_of(named, "show application_name") == "it's me"
            assert value_of(client, "show application_name") == ""


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"options": "-c work_mem=5MB"}, "unsupported startup parameter: options"),
        ({"dbname": "postgres"}, "no such database"),
    ],
)
def test_what_it_does_not_know_it_refuses(
    dsn: str, pooler: TransactionPooler, changed: dict[str, Any], word: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=word):
        psycopg.connect(pooler.url(dsn), **changed)


def test_a_client_that_leaves_in_the_middle_takes_its_transaction_along(
    dsn: str, pooler: TransactionPooler, client: Connection
) -> None:
    with psycopg.connect(pooler.url(dsn)) as other:
        other.execute("insert into sku_lot (sku, lot, active) values ('17001', 'A', 1)")
        other.pgconn.finish()
    idle = "select count(*) from pg_stat_activity where state like 'idle in%%' and datname = current_database()"
    assert eventually(lambda: value_of(client, idle), lambda count: count == 0) == 0
    assert value_of(client, "select count(*) from sku_lot") == 0
    assert all(value_of(client, "select 1") for _ in range(4))


def test_a_server_connection_that_was_ended_is_opened_again(dsn: str, client: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        if admin.info.server_version < 140000:
            pytest.skip("before PostgreSQL 14 nobody can be told when a backend has gone")
        for _ in range(2):
            admin.execute("select pg_terminate_backend(%s, 5000)", [value_of(client, PID)])
    assert all(value_of(client, "select 1") for _ in range(4))
