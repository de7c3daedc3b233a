"""What the bell costs the writers of `orders_inbox`: commits/s with pgbench, the variants interleaved in one run.

    python scripts/bench/writers.py [--clients 16] [--seconds 5] [--rounds 3] [--flush-ms 0] [--json]

Each transaction inserts one order and its item. Everything runs on this machine: writers, server, listener and
simulator share its cores, so a draining listener costs its CPU as well as its trigger. `awake` is the trigger alone:
the listener holds the silence lock and waits for API budget. The server flushes to disk (fsync on); `--flush-ms` makes
each flush slower (commit_delay), as a network disk does.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from stage import Connection, running_listener, set_flag, shop

from listener.embedded.postgres import EmbeddedPostgres, find_binaries
from listener.install import install, rollback

TRANSACTION = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values ('B' || nextval('bench_number'), current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA')
    returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o;
"""

PLAIN_TRIGGER = """
create function plain_notify() returns trigger language plpgsql as $$ begin notify orders_inbox; return null; end $$;
create trigger plain after insert on orders_inbox for each statement execute function plain_notify();
"""

CLEAR = """
truncate shipstation_order_line_items, order_items_inbox, orders_inbox, listener.ledger, listener.history,
         listener.api_calls restart identity cascade;
checkpoint
"""


@dataclass(frozen=True)
class Bench:
    """One server, an operator's connection to it, and pgbench's script."""

    postgres: EmbeddedPostgres
    url: str
    admin: Connection
    options: argparse.Namespace
    script: Path

    def commits_per_second(self) -> float:
        """Run pgbench once."""
        clients, seconds = self.options.clients, self.options.seconds
        command = [find_binaries() / "pgbench", "-n", "-c", str(clients), "-j", "2", "-T", str(seconds)]
        command += ["-M", "prepared", "-f", str(self.script), "-h", "127.0.0.1", "-p", str(self.postgres.port)]
        done = subprocess.run(
            [*map(str, command), "-U", "postgres", "shop"], capture_output=True, text=True, check=True
        )
        match = re.search(r"tps = ([\d.]+)", done.stdout)
        if match is None:
            raise SystemExit(f"pgbench said no tps:\n{done.stdout}{done.stderr}")
        return float(match.group(1))


@contextmanager
def no_trigger(bench: Bench) -> Iterator[None]:
    rollback(bench.url, "notify")
    yield


@contextmanager
def plain_notify(bench: Bench) -> Iterator[None]:
    rollback(bench.url, "notify")
    bench.admin.execute(PLAIN_TRIGGER)
    with psycopg.connect(bench.url, autocommit=True) as ear:
        ear.execute("listen orders_inbox")
        yield
    bench.admin.execute("drop trigger plain on orders_inbox; drop function plain_notify()")


@contextmanager
def with_listener(bench: Bench, calls_per_hour: int) -> Iterator[None]:
    """Ours, with a listener that may make so many calls."""
    install(bench.url)
    set_flag(bench.admin, "api_calls_per_hour", str(calls_per_hour))
    bench.admin.execute("update listener.budget set tokens = %s, refilled_at = clock_timestamp()", [calls_per_hour - 1])
    with running_listener(bench.url, bench.admin):
        yield


VARIANTS: dict[str, Callable[[Bench], "contextmanager[None]"]] = {
    "no trigger": no_trigger,
    "ours, listener awake": lambda bench: with_listener(bench, 1),
    "ours, listener draining": lambda bench: with_listener(bench, 1_000_000),
    "plain NOTIFY trigger": plain_notify,
}


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Run every variant once per round, in turn; return its commits/s."""
    settings = {"fsync": "on", "max_connections": "100", "max_wal_size": "2GB", "shared_buffers": "128MB"}
    if options.flush_ms:
        settings |= {"commit_delay": str(int(options.flush_ms * 1000)), "commit_siblings": "0"}
    results: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with shop(settings) as (postgres, url, admin), tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "transaction.sql"
        script.write_text(" ".join(TRANSACTION.split()))
        bench = Bench(postgres, url, admin, options, script)
        admin.execute("create sequence bench_number")
        for _ in range(options.rounds):
            for name, variant in VARIANTS.items():
                for statement in CLEAR.split(";"):
                    admin.execute(statement.encode())
                with variant(bench):
                    results[name].append(bench.commits_per_second())
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flush-ms", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(options)
    medians = {name: statistics.median(values) for name, values in results.items()}
    if options.json:
        print(json.dumps({"clients": options.clients, "commits_per_second": results, "median": medians}))
        return
    cores = f"{os.cpu_count()} cores, {platform.system()}"
    print(f"{options.clients} writers, {options.rounds} x {options.seconds} s, {cores}")
    print(f"{'':26}{'commits/s':>10}{'of none':>9}{'spread':>18}")
    for name, values in results.items():
        share = medians[name] / medians["no trigger"]
        print(f"{name:26}{medians[name]:10,.0f}{share:9.0%}{f'{min(values):,.0f} - {max(values):,.0f}':>18}")


if __name__ == "__main__":
    main()
