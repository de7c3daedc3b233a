"""What the benchmarks share: a Postgres, a simulator without limits, and `listener run` as a process between them."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
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


def open_wide(operator: Connection) -> None:
    """Let the budget be no limit."""
    set_flag(operator, "api_calls_per_hour", "1000000")
    operator.execute("update listener.budget set tokens = 20, refilled_at = clock_timestamp()")


@contextmanager
def running_listener(url: str, operator: Connection, **more: str) -> Iterator[tuple[ShipStationSimulator, int]]:
    """Run a listener until it leads; yield the simulator and the listener's pid. `more` goes into its environment."""
    with ShipStationSimulator() as shipstation:
        shipstation.limit_per_minute = None
        where = {
            "SHIPSTATION_BASE_URL": shipstation.url,
            "SHIPSTATION_API_KEY": shipstation.api_key,
            "SHIPSTATION_API_SECRET": shipstation.api_secret,
            **more,
        }
        with listener(url, operator, where) as pid:
            yield shipstation, pid


@contextmanager
def listener(url: str, operator: Connection, where: Mapping[str, str], first: str = "") -> Iterator[int]:
    """Run a listener until it leads; yield its pid.

    where: ShipStation's address and key, as in the environment
    first: Python that its process runs before
    """
    usual = {"DATABASE_URL": url, "STATUS_ADDRESS": "off", "LOG_LEVEL": "WARNING"}
    program = f"{first}\nfrom listener.cli import main; main()"
    command = [sys.executable, *(["-c", program] if first else ["-m", "listener.cli"]), "run"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **usual, **where}, stderr=log)
        try:
            wait_until(operator, LEADS)
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


NO_LIMIT = b'{"limit_per_minute": null}'


@contextmanager
def simulator_apart() -> Iterator[tuple[dict[str, str], int]]:
    """Run ShipStation's simulator, without a limit, in a process of its own; yield its address and key, and its pid."""
    command = [sys.executable, "-m", "listener.cli", "simulate"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        where = {}
        while "SHIPSTATION_API_SECRET" not in where:
            name, _, value = process.stdout.readline().removeprefix("export ").strip().partition("=")
            where |= {name: value}
        urllib.request.urlopen(f"{where['SHIPSTATION_BASE_URL']}/_simulator/limit", NO_LIMIT).close()  # noqa: S310
        yield {name: value for name, value in where.items() if name.startswith("SHIPSTATION_")}, process.pid
    finally:
        process.terminate()
        process.wait(10)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken; nothing once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_sessions_cpu_seconds(postmaster: int) -> float:
    """Return the CPU time of all sessions of a server that have ended."""
    fields = Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


LEADS = "select 1 from pg_locks where locktype = 'advisory' and objid = 2 and mode = 'ExclusiveLock'"
ASLEEP = f"{LEADS} and not exists (select from pg_locks where locktype = 'advisory' and objid = 1)"


def wait_until(operator: Connection, query: str, pause_seconds: float = 0.005) -> Any:
    """Return the first value of the query's row, as soon as there is one; asked at such pauses."""
    while not (row := operator.execute(query.encode()).fetchone()):
        operator.execute("select pg_sleep(%s)", [pause_seconds])
    return row[0]
