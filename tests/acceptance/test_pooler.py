"""Behind a transaction pooler: what may go through it leaves nothing there, and what may not says so."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.pooler import TransactionPooler
from tests.support.process import PASSED_ON, ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, value_of
from tests.support.wait import eventually
from tests.support.worker import as_worker

Start = Callable[..., ListenerProcess]

SIZE = 3
DAY = datetime.now(UTC).date()  # older orders are held back

ADVISORY = """
select count(*) from pg_locks where locktype = 'advisory'
and database = (select oid from pg_database where datname = current_database())
"""
# The name is the pooler's doing: it follows the client.
SET_IN_THE_SESSION = """
select array_agg(name) from pg_settings where source = 'session' and name <> 'application_name'
"""


@pytest.fixture
def target(dsn: str, request: pytest.FixtureRequest) -> str:
    """The URL of the test's database as the pooler uses it: with the one user that it knows."""
    return as_worker(dsn) if request.config.getoption("--as-worker") else dsn


@pytest.fixture
def pooler(target: str) -> Iterator[TransactionPooler]:
    with TransactionPooler(target, SIZE) as pooler:
        yield pooler


@pytest.fixture
def pooled(target: str, pooler: TransactionPooler) -> str:
    """The URL of the test's database by way of the pooler."""
    return pooler.url(target)


def listener(*arguments: str, **environment: str) -> str:
    """Run `listener` to its end, and return what it printed."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-m", "listener.cli", *arguments]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def left_on_server_connections(pooled: str) -> list[list[str] | None]:
    """Return what was set for the session on each of the pooler's server connections."""
    with ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(pooled, prepare_threshold=None)) for _ in range(SIZE)]
        left = [value_of(client, SET_IN_THE_SESSION) for client in clients]  # each holds its own: the transaction lasts
        assert len({value_of(client, "select pg_backend_pid()") for client in clients}) == SIZE
    return left


def arrived(account: ShipStationSimulator) -> Counter[str]:
    return Counter(order["orderNumber"] for order in account.orders)


def test_with_a_direct_host_for_listen_orders_go_by_the_bell_and_the_pooler_keeps_no_state_of_ours(
    dsn: str,
    pooled: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Start,
    tmp_path: Path,
) -> None:
    set_flag(shop, "fast_polling_interval", "3600")
    (tmp_path / "orders.xml").write_bytes(orders_xml(3, DAY))
    process = listener_process(pooled, LISTEN_DATABASE_URL=dsn, ORDER_SOURCE=str(tmp_path))
    process.wait_for("Imported orders.xml: 3 orders, 3 new")
    assert account.wait_for_orders(3, 10)
    wait_until_asleep(process)
    insert_order(shop, "BELL-1")
    assert account.wait_for_orders(4, 5)
    assert eventually(lambda: row_of(shop, "BELL-1"), lambda row: row[0] == "uploaded")
    assert max(arrived(account).values()) == 1
    assert process.status()["deaf"] is False
    assert process.stop() == 0
    assert left_on_server_connections(pooled) == [None] * SIZE
    assert value_of(shop, ADVISORY) == 0
    assert "WARNING" not in process.log


def test_commands_work_through_the_pooler_and_are_obeyed_at_once(
    dsn: str, pooled: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    process = listener_process(pooled, LISTEN_DATABASE_URL=dsn)
    wait_until_asleep(process)
    assert re.search(r"^fast_polling_interval +3600\b", listener("config", DATABASE_URL=pooled), re.MULTILINE)
    listener("pause", "shipstation-upload", DATABASE_URL=pooled)
    process.wait_status(lambda status: not status["workflows"]["shipstation-upload"]["enabled"])
    insert_order(shop, "PAUSED-1")
    listener("resume", "shipstation-upload", DATABASE_URL=pooled)
    assert account.wait_for_orders(1, 5)
    assert "PAUSED-1" in listener("explain", "PAUSED-1", DATABASE_URL=pooled)
    listener("config", "history", DATABASE_URL=pooled)
    assert process.stop() == 0
    assert left_on_server_connections(pooled) == [None] * SIZE


def test_with_the_pooler_alone_it_says_that_it_is_deaf_and_orders_go_once_with_the_heartbeat(
    pooled: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(pooled)
    process.wait_for("WARNING .*LISTEN_DATABASE_URL", 15)
    process.wait_status(lambda status: status["deaf"] and status["role"] == "leader")
    for count, number in enumerate(("DEAF-1", "DEAF-2", "DEAF-3"), 1):
        insert_order(shop, number)
        assert account.wait_for_orders(count, 10)
        row = eventually(lambda number=number: row_of(shop, number), lambda row: row[0] == "uploaded")
        assert row[1] == str(account.order_by_number(number)[0]["orderId"])
    assert arrived(account) == {"DEAF-1": 1, "DEAF-2": 1, "DEAF-3": 1}
    assert value_of(shop, ADVISORY) == 0
    assert process.stop() == 0
    assert "ERROR" not in process.log


def test_no_writer_is_silenced_by_a_lock_that_was_left_at_the_pooler(
    dsn: str, pooled: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    set_flag(shop, "fast_polling_interval", "1")
    deaf = listener_process(pooled)
    deaf.wait_status(lambda status: status["deaf"] and status["role"] == "leader", 15)
    insert_order(shop, "BEFORE-1")
    assert account.wait_for_orders(1, 10)
    deaf.kill()
    assert eventually(lambda: value_of(shop, ADVISORY), lambda count: count == 0) == 0
    shop.execute("update listener.leader set lease_until = now()")  # its 45 seconds are over
    set_flag(shop, "fast_polling_interval", "3600")
    hearing = listener_process(pooled, LISTEN_DATABASE_URL=dsn)
    wait_until_asleep(hearing)
    insert_order(shop, "AFTER-1")
    hearing.wait_for("action=process source=notify")
    assert account.wait_for_orders(2, 5)
    assert max(arrived(account).values()) == 1
