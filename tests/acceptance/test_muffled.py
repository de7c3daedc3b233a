"""A stranger keeps the silence lock: writers ring at every order, orders go all the same, and who it is is told."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.locks import LOCK_CLASS, SILENCE_KEY
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.wait import eventually


@pytest.fixture
def stranger(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"select pg_advisory_lock_shared({LOCK_CLASS}, {SILENCE_KEY})".encode())
        yield connection


def test_the_pid_of_who_keeps_the_lock_for_long_is_in_degraded(
    dsn: str, account: ShipStationSimulator, stranger: Connection, tmp_path: Path
) -> None:
    set_flag(stranger, "fast_polling_interval", "1")
    environment = {
        "DATABASE_URL": dsn,
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "SHIPSTATION_BASE_URL": account.url,
        "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    sooner = "import listener.bell as b; b.MUFFLED_AFTER_SECONDS = 0.1"
    with ListenerProcess(["run"], environment, tmp_path, sooner) as process:
        pid = stranger.info.backend_pid
        process.wait_status(lambda status: any(f"muffled: pid {pid} " in reason for reason in status["degraded"]))
        insert_order(stranger, "MUFFLED-1")
        eventually(lambda: row_of(stranger, "MUFFLED-1")[0], lambda status: status == "uploaded")
        stranger.execute("select pg_advisory_unlock_all()")
        insert_order(stranger, "MUFFLED-2")
        process.wait_status(lambda status: not status["degraded"])
