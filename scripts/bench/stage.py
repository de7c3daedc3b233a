"""What the benchmarks share: a Postgres, a simulator without limits, and `listener run` as a process between them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from listener.embedded.postgres import EmbeddedPostgres
from listener.embedded.shipstation import ShipStationSimulator
from listener.install import install

Connection = psycopg.Connection[Any]


@contextmanager
def shop(settings: Mapping[str, str]) -> Iterator[tuple[EmbeddedPostgres, str, Connection]]:
    """Yield a server, the URL of an installed database on it, and an operator's connection."""
    with EmbeddedPostgres(settings=settings) as postgres:
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute("create database shop")
        url = postgres.url("shop")
        install(url, base_tables=True)
        with psycopg.connect(url, autocommit=True) as operator:
            yield postgres, url, operator


def set_flag(operator: Connection, name: str, value: str) -> None:
    query = "update configuration_params set value = %s where category = 'Polling' and parameter_name = %s"
    operator.execute(query, [value, name])


@contextmanager
def running_listener(url: str, operator: Connection) -> Iterator[tuple[ShipStationSimulator, int]]:
    """Run a listener until it leads; yield the simulator and the listener's pid."""
    with ShipStationSimulator() as shipstation, tempfile.TemporaryFile() as log:
        shipstation.limit_per_minute = None
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SHIPSTATION_BASE_URL": shipstation.url,
            "SHIPSTATION_API_KEY": shipstation.api_key,
            "SHIPSTATION_API_SECRET": shipstation.api_secret,
            "STATUS_ADDRESS": "off",
            "LOG_LEVEL": "WARNING",
        }
        process = subprocess.Popen([sys.executable, "-m", "listener.cli", "run"], env=environment, stderr=log)
        try:
            wait_until(operator, LEADS)
            yield shipstation, process.pid
        finally:
            process.terminate()
            process.wait(20)


LEADS = "select 1 from pg_locks where locktype = 'advisory' and objid = 2 and mode = 'ExclusiveLock'"
ASLEEP = f"{LEADS} and not exists (select from pg_locks where locktype = 'advisory' and objid = 1)"


def wait_until(operator: Connection, query: str) -> Any:
    """Return the first value of the query's row, as soon as there is one."""
    while not (row := operator.execute(query.encode()).fetchone()):
        operator.execute("select pg_sleep(0.005)")
    return row[0]
