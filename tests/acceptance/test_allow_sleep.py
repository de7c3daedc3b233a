"""`idle_policy = allow_sleep` on a database that suspends: a server that is stopped, and started by its next writer."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import EmbeddedPostgres
from listener.embedded.shipstation import ShipStationSimulator
from listener.install import install
from tests.support.postgres import fast_folder
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.wait import eventually


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server that writes down who says what to it."""
    with EmbeddedPostgres(fast_folder(), {"log_statement": "all", "log_line_prefix": "%a: "}) as server:
        install(server.url(), base_tables=True)
        with psycopg.connect(server.url(), autocommit=True) as shop:
            set_flag(shop, "fast_polling_interval", "1")
            set_flag(shop, "idle_policy", "allow_sleep")
            set_flag(shop, "idle_after", "10")
        yield server


def said_to(server: EmbeddedPostgres, since: int) -> list[str]:
    """Return what the listener has said to the server since its log had that length."""
    return [line for line in server.log_text()[since:].splitlines() if line.startswith("listener ")]


def wait_until_dormant(process: ListenerProcess, server: EmbeddedPostgres) -> None:
    process.wait_status(lambda status: status["workflows"]["shipstation-upload"]["state"] == "dormant", 40)
    eventually(lambda: said_to(server, 0)[-1], lambda last: "'{idle_session_timeout}', $2 = '{0}'" in last)


def let_it_look_at_its_source(process: ListenerProcess) -> None:
    """Wait for three looks of the import: so long it has been left alone."""
    place = process.mark()
    for _ in range(3):
        process.wait_for("workflow=xml-import exists=False count=0 .* action=skip source=heartbeat", after=place)
        place = process.mark()


def test_nothing_is_said_to_a_database_that_may_sleep_and_what_wakes_it_is_a_bell_or_a_signal(
    server: EmbeddedPostgres,
    account: ShipStationSimulator,
    tmp_path: Path,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    process = listener_process(server.url(), ORDER_SOURCE=str(tmp_path))
    wait_until_dormant(process, server)
    place, length = process.mark(), len(server.log_text())
    let_it_look_at_its_source(process)
    assert said_to(server, length) == []

    with psycopg.connect(server.url(), autocommit=True) as shop:
        insert_order(shop, "RANG-1")
        assert account.wait_for_orders(1, 10)
    process.wait_for("workflow=upload exists=True count=1 .* source=notify", after=place)

    wait_until_dormant(process, server)
    place = process.mark()
    server.shut_down()
    process.wait_for("The database has closed its sessions", after=place)
    let_it_look_at_its_source(process)
    length = len(server.log_text())
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as shop:
        insert_order(shop, "WOKE-1")
        let_it_look_at_its_source(process)
        assert said_to(server, length) == []
        status = process.status()
        assert (status["role"], status["listening"], status["degraded"]) == ("leader", False, [])

        os.kill(process.pid, signal.SIGUSR1)
        assert account.wait_for_orders(2, 10)
        assert uploaded(shop, "WOKE-1")
    assert not [line for line in process.lines if " WARNING " in line or " ERROR " in line]
    assert process.wait_status(lambda status: status["listening"])["missed_notifications"] == 0
    assert process.stop() == 0


def uploaded(shop: Connection, number: str) -> bool:
    return bool(eventually(lambda: row_of(shop, number)[0] == "uploaded"))
