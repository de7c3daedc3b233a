"""What the bell costs the writers of `orders_inbox`: commits a second with pgbench, the variants in turn in one run.

    scripts/bench/run writers            or, without the peers: python scripts/bench/writers.py
                                         [--clients 1,16] [--seconds 5] [--rounds 3] [--json]

Each transaction inserts one order and its item; of the peers it is what their own client sends to enqueue one job, and
nothing else. Everything runs on this machine: writers, server, listener and simulator share its cores. All of it runs
once with the disk's own flush (fsync), and once with one that takes 2 ms longer (commit_delay), as a network disk's
does. The variants:

no trigger                        nobody listens, nothing rings
listener, default budget          production's: its first order rings; it sends what the budget allows, and waits awake
listener, no budget               it drains a backlog all the while, as fast as it can, on the writers' own cores
no trigger, the same drain        the same listener drains the same backlog, and no trigger is there: the fair base
listener frozen while asleep      a fault: it is stopped by SIGSTOP, so every single order rings
row trigger, statement trigger    NOTIFY at each order, with a session that listens
procrastinate, pgqueuer           with a session that listens, and no worker
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from figures import Table, print_tables, spread
from peers import Peer, installed_peers
from stage import (
    ASLEEP,
    Connection,
    cpu_seconds,
    ended_sessions_cpu_seconds,
    listener,
    open_wide,
    set_flag,
    shop,
    simulator_apart,
    wait_until,
)

from listener.embedded.postgres import EmbeddedPostgres, find_binaries
from listener.install import install, rollback

TRANSACTION = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values ('B' || nextval('bench_number'), current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA')
    returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o;
"""
BACKLOG = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    select 'A' || n, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA'
    from generate_series(1, %s) n returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
DRAINED_A_SECOND = 10_000
"""More than a listener gets through: the backlog must not end before the writers do."""

PLAIN_TRIGGER = """
create function plain_notify() returns trigger language plpgsql as $$ begin notify orders_inbox; return null; end $$;
create trigger plain after insert on orders_inbox for each {each} execute function plain_notify();
"""
CLEAR = """
truncate shipstation_order_line_items, order_items_inbox, orders_inbox, listener.ledger, listener.history,
         listener.api_calls restart identity cascade;
checkpoint
"""
SESSIONS = "select pid from pg_stat_activity where application_name like 'listener %'"
WRITERS_GONE = "select 1 where not exists (select from pg_stat_activity where application_name = 'pgbench')"
FLUSHES = {"the disk's flush": {}, "2 ms flush": {"commit_delay": "2000", "commit_siblings": "0"}}
SETTINGS = {"fsync": "on", "max_connections": "100", "max_wal_size": "2GB", "shared_buffers": "128MB"}
NONE, BUDGET, DRAINING, SAME_DRAIN = (
    "no trigger",
    "listener, default budget",
    "listener, no budget",
    "no trigger, the same drain",
)
FROZEN, ROW, STATEMENT = "listener frozen while asleep", "row trigger with NOTIFY", "statement trigger with NOTIFY"

PARTS = ("listener", "its sessions", "simulator")


@dataclass(frozen=True)
class Process:
    """A process whose CPU time is told beside the writers': `part` says whose it is."""

    part: str
    pid: int


@dataclass(frozen=True)
class Run:
    """Who writes what: a database, and a script for pgbench."""

    database: str
    script: Path
    others: Sequence[Process] = ()


@dataclass(frozen=True)
class Bench:
    """One server with an installed shop, an operator's connection to it, and a folder for scripts."""

    postgres: EmbeddedPostgres
    url: str
    admin: Connection
    folder: Path
    backlog: int

    def orders(self, *others: Process) -> Run:
        script = self.folder / "orders.sql"
        script.write_text(" ".join(TRANSACTION.split()))
        return Run("shop", script, others)

    def commits_per_second(self, run: Run, clients: int, seconds: int) -> float:
        """Run pgbench once."""
        command = [find_binaries() / "pgbench", "-n", "-c", clients, "-j", min(2, clients), "-T", seconds]
        command += ["-M", "prepared", "-f", run.script, "-h", "127.0.0.1", "-p", self.postgres.port, "-U", "postgres"]
        done = subprocess.run([*map(str, command), run.database], capture_output=True, text=True, check=True)
        match = re.search(r"tps = ([\d.]+)", done.stdout)
        if match is None:
            raise SystemExit(f"pgbench said no tps:\n{done.stdout}{done.stderr}")
        return float(match.group(1))

    def clear(self) -> None:
        for statement in CLEAR.split(";"):
            self.admin.execute(statement.encode())


@contextmanager
def no_trigger(bench: Bench) -> Iterator[Run]:
    rollback(bench.url, "notify")
    yield bench.orders()


@contextmanager
def plain_trigger(bench: Bench, each: str) -> Iterator[Run]:
    rollback(bench.url, "notify")
    bench.admin.execute(PLAIN_TRIGGER.format(each=each).encode())
    with psycopg.connect(bench.url, autocommit=True) as ear:
        ear.execute("listen orders_inbox")
        yield bench.orders()
    bench.admin.execute("drop trigger plain on orders_inbox; drop function plain_notify()")


@contextmanager
def running(bench: Bench) -> Iterator[Run]:
    """Run a listener, and its simulator apart, so that each one's CPU time can be told."""
    with simulator_apart() as (where, simulator), listener(bench.url, bench.admin, where) as pid:
        sessions = [Process("its sessions", row[0]) for row in bench.admin.execute(SESSIONS.encode())]
        yield bench.orders(Process("listener", pid), Process("simulator", simulator), *sessions)


@contextmanager
def at_default_budget(bench: Bench) -> Iterator[Run]:
    install(bench.url)
    set_flag(bench.admin, "api_calls_per_hour", "200")
    bench.admin.execute("update listener.budget set tokens = 20, refilled_at = clock_timestamp()")
    with running(bench) as run:
        wait_until(bench.admin, ASLEEP)
        yield run


@contextmanager
def draining(bench: Bench, trigger: bool) -> Iterator[Run]:
    install(bench.url) if trigger else rollback(bench.url, "notify")
    open_wide(bench.admin)
    bench.admin.execute(BACKLOG, [bench.backlog])
    with running(bench) as run:
        yield run


@contextmanager
def frozen(bench: Bench) -> Iterator[Run]:
    install(bench.url)
    with running(bench) as run:
        wait_until(bench.admin, ASLEEP)
        pid = next(other.pid for other in run.others if other.part == "listener")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield run
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def enqueuing(peer: Peer, folder: Path) -> Iterator[Run]:
    peer.operator.execute(peer.kind.clear.encode())
    script = folder / f"{peer.kind.name}.sql"
    script.write_text(peer.enqueue_sql())
    with psycopg.connect(peer.url, autocommit=True) as ear:
        ear.execute(f"listen {peer.kind.channel}".encode())
        yield Run(peer.kind.name, script)


Variant = Callable[[], "contextmanager[Run]"]


def variants(bench: Bench, peers: Sequence[Peer]) -> dict[str, Variant]:
    return {
        NONE: lambda: no_trigger(bench),
        BUDGET: lambda: at_default_budget(bench),
        DRAINING: lambda: draining(bench, trigger=True),
        SAME_DRAIN: lambda: draining(bench, trigger=False),
        FROZEN: lambda: frozen(bench),
        ROW: lambda: plain_trigger(bench, "row"),
        STATEMENT: lambda: plain_trigger(bench, "statement"),
        **{f"{peer.kind.name}: enqueue": lambda peer=peer: enqueuing(peer, bench.folder) for peer in peers},
    }


def one_run(bench: Bench, run: Run, clients: int, seconds: int) -> dict[str, Any]:
    """Return commits a second, the CPU time that the server took for each, and the cores that others took meanwhile."""
    postmaster = bench.postgres.pid or 0
    before, ended = {other: cpu_seconds(other.pid) for other in run.others}, ended_sessions_cpu_seconds(postmaster)
    commits = bench.commits_per_second(run, clients, seconds)
    cores: dict[str, float] = {}
    for other, cpu in before.items():
        cores[other.part] = cores.get(other.part, 0.0) + (cpu_seconds(other.pid) - cpu) / seconds
    wait_until(bench.admin, WRITERS_GONE)
    cpu_us = (ended_sessions_cpu_seconds(postmaster) - ended) * 1e6 / (commits * seconds)
    told = {part: round(taken, 3) for part, taken in cores.items()}
    return {"commits": round(commits, 1), "cpu_us": round(cpu_us, 1), "cores": told}


def take(flush: dict[str, str], clients: Sequence[int], seconds: int, rounds: int, with_peers: bool) -> dict[str, Any]:
    """Run every variant once a round, in turn, with each number of clients."""
    taken: dict[str, Any] = {}
    with ExitStack() as stack:
        postgres, url, admin = stack.enter_context(shop(SETTINGS | flush))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peers = stack.enter_context(installed_peers(postgres)) if with_peers else []
        bench = Bench(postgres, url, admin, folder, backlog=DRAINED_A_SECOND * seconds * len(clients))
        admin.execute("create sequence bench_number")
        for _ in range(rounds):
            for name, variant in variants(bench, peers).items():
                bench.clear()
                with variant() as run:
                    for count in clients:
                        told = one_run(bench, run, count, seconds)
                        there = taken.setdefault(name, {}).setdefault(str(count), {key: [] for key in told})
                        for key, value in told.items():
                            there[key].append(value)
    return taken


def measure(clients: Sequence[int], seconds: int, rounds: int, with_peers: bool = True) -> dict[str, Any]:
    by_flush = {name: take(flush, clients, seconds, rounds, with_peers) for name, flush in FLUSHES.items()}
    told = {"server": SETTINGS, "clients": list(clients), "seconds": seconds, "rounds": rounds}
    return told | {"flush": by_flush}


def median_commits(result: dict[str, Any], flush: str, variant: str, clients: int) -> float:
    return statistics.median(result["flush"][flush][variant][str(clients)]["commits"])


def tables(result: dict[str, Any]) -> list[Table]:
    return [table for flush in result["flush"] for table in (_commits(result, flush), _cores(result, flush))]


def _commits(result: dict[str, Any], flush: str) -> Table:
    title = f"commits a second, {flush}; medians of {result['rounds']} x {result['seconds']} s, and of no trigger"
    most = spread_at(result)
    rows = []
    for name in result["flush"][flush]:
        cells = []
        for clients in result["clients"]:
            commits = median_commits(result, flush, name, clients)
            cells.append(f"{commits:,.0f} ({commits / median_commits(result, flush, NONE, clients):.0%})")
        rows.append([name, *cells, spread(result["flush"][flush][name][str(most)]["commits"], ",.0f")])
    heads = (f"{clients} writer{'s' * (clients > 1)}" for clients in result["clients"])
    header = ["", *heads, f"{most} writers: median (range)"]
    return Table(title, header, rows)


def spread_at(result: dict[str, Any]) -> int:
    return 16 if 16 in result["clients"] else max(result["clients"])


def _cores(result: dict[str, Any], flush: str) -> Table:
    """Where the CPU went: what the server takes for one commit is the price of a trigger, whoever else runs."""
    most = spread_at(result)
    rows = []
    for name, by_clients in result["flush"][flush].items():
        told = by_clients[str(most)]
        parts = [statistics.median(one.get(part, 0.0) for one in told["cores"]) for part in PARTS]
        rows.append([name, f"{statistics.median(told['cpu_us']):.0f}", *(f"{cores:.2f}" for cores in parts)])
    title = f"CPU with {most} writers, {flush}: microseconds of the server's a commit, and cores that others took"
    return Table(title, ["", "a commit", *PARTS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", default="16", help="numbers of clients, with commas between")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    clients = [int(count) for count in options.clients.split(",")]
    result = measure(clients, options.seconds, options.rounds, with_peers=False)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
