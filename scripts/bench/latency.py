"""How soon: from an order's COMMIT to its claim and its request, and from a peer's job's COMMIT to its first line.

    scripts/bench/run latency            or, without the peers: python scripts/bench/latency.py [--samples 200] [--json]

Everybody is idle before each sample, and they take turns: one order, one job of each peer, and so on. Our heartbeat is
an hour, so every order goes because it rang. Each time runs from COMMIT by the server's clock (track_commit_timestamp),
before the log is flushed: to the COMMIT of the claim, to the arrival of the request at the simulator, or to the first
line of the peer's task. Once the server flushes to disk (fsync), once it does not. Writers, server, workers and
simulator share this machine's cores.
"""

import argparse
import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from figures import Table, percentile, print_tables
from peers import Peer, installed_peers
from stage import ASLEEP, Connection, running_listener, set_flag, shop, wait_until

from listener.embedded.shipstation import ShipStationSimulator

ORDER = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values (%s, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA') returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""

# An order's row is written again when it is uploaded; its item's row still has the transaction that brought both.
COMMITTED = """
select extract(epoch from pg_xact_commit_timestamp(i.xmin))::float8,
       extract(epoch from pg_xact_commit_timestamp(h.xmin))::float8
from listener.history h join orders_inbox o on o.order_number = h.order_key
join order_items_inbox i on i.order_inbox_id = o.id
where h.state = 'sending' and o.order_number like 'L%' order by o.id
"""
CLAIMED, REQUEST = "listener: claimed", "listener: request at ShipStation"
WARM_UP = 5
SETTINGS = {"track_commit_timestamp": "on", "shared_buffers": "128MB"}
FLUSHES = {"the disk's flush": True, "no flush": False}
RESTS = random.Random(7)


def rest() -> None:
    """Let everybody's last work be over, and the next sample begin at no particular moment."""
    time.sleep(RESTS.uniform(0.005, 0.015))


@dataclass
class Shop:
    """The listener, its simulator, and a writer of orders."""

    operator: Connection
    writer: Connection
    shipstation: ShipStationSimulator
    requests: list[float] = field(default_factory=list)

    def sample(self) -> None:
        wait_until(self.operator, ASLEEP)
        rest()
        number = len(self.requests)
        self.writer.execute(ORDER, [f"L{number}"])
        self.writer.commit()
        if not self.shipstation.wait_for_orders(number + 1, 30):
            raise SystemExit(f"order {number} did not arrive within 30 s")
        carried = next(request for request in reversed(self.shipstation.requests) if request.orders)
        self.requests.append(carried.received_at)

    def milliseconds(self) -> dict[str, list[float]]:
        times = self.operator.execute(COMMITTED.encode()).fetchall()
        requests = [(at - began) * 1000 for (began, _), at in zip(times, self.requests, strict=True)]
        return {CLAIMED: [(claimed - began) * 1000 for began, claimed in times], REQUEST: requests}


@dataclass
class Rival:
    """A peer, with its worker and somebody who enqueues."""

    peer: Peer
    worker: subprocess.Popen[str]
    client: subprocess.Popen[str]
    entered: list[float] = field(default_factory=list)

    def sample(self) -> None:
        wait_until(self.peer.operator, self.peer.kind.idle)
        rest()
        assert self.client.stdin and self.client.stdout and self.worker.stdout  # noqa: S101  they are pipes
        self.client.stdin.write("\n")
        self.entered.append(int(self.worker.stdout.readline()) / 1e9)
        self.client.stdout.readline()

    def milliseconds(self) -> dict[str, list[float]]:
        times = self.peer.operator.execute(self.peer.kind.committed.encode()).fetchall()
        entered = [(at - began) * 1000 for (began,), at in zip(times, self.entered, strict=True)]
        return {f"{self.peer.kind.name}: task entered": entered}


@contextmanager
def runners(flush: bool, with_peers: bool) -> Iterator[list[Shop | Rival]]:
    """Run everybody, idle, on one server."""
    with ExitStack() as stack:
        postgres, url, operator = stack.enter_context(shop(SETTINGS | {"fsync": "on" if flush else "off"}))
        set_flag(operator, "fast_polling_interval", "3600")
        set_flag(operator, "api_calls_per_hour", "1000000")
        everybody: list[Shop | Rival] = []
        for peer in stack.enter_context(installed_peers(postgres)) if with_peers else []:
            one, _ = peer.kind.widths
            worker = stack.enter_context(peer.process("work", one))
            everybody.append(Rival(peer, worker, stack.enter_context(peer.process("enqueue", one))))
        shipstation, _ = stack.enter_context(running_listener(url, operator))
        writer = stack.enter_context(psycopg.connect(url))
        yield [Shop(operator, writer, shipstation), *everybody]


def measure(samples: int, with_peers: bool = True) -> dict[str, Any]:
    """Return milliseconds by the server's flush and by what was waited for."""
    by_flush = {name: take(samples, flush, with_peers) for name, flush in FLUSHES.items()}
    return {"server": SETTINGS, "samples": samples, "ms": by_flush}


def take(samples: int, flush: bool, with_peers: bool) -> dict[str, list[float]]:
    """Take the samples on one server; the first few of each, cold, are left out."""
    with runners(flush, with_peers) as everybody:
        for _ in range(samples + WARM_UP):
            for runner in everybody:
                runner.sample()
        waits = {name: values for runner in everybody for name, values in runner.milliseconds().items()}
    return {name: [round(v, 3) for v in values[WARM_UP:]] for name, values in waits.items()}


def best_peer(ms: dict[str, list[float]]) -> float | None:
    """Return the lowest median of a peer; None when there was none."""
    peers = [percentile(values, 50) for name, values in ms.items() if name not in (CLAIMED, REQUEST)]
    return min(peers, default=None)


def tables(result: dict[str, Any]) -> list[Table]:
    return [_table(result["samples"], flush, ms) for flush, ms in result["ms"].items()]


def _table(samples: int, flush: str, ms: dict[str, list[float]]) -> Table:
    title = f"COMMIT to work begun, {flush}: idle before, {samples:,} samples each in turn; milliseconds"
    best = best_peer(ms)
    rows = []
    for name, values in ms.items():
        marks = [f"{percentile(values, p):.2f}" for p in (50, 90, 99)]
        times = f"{best / percentile(values, 50):.2f}" if best else "-"
        rows.append([name, *marks, f"{max(values):.1f}", times])
    return Table(title, ["", "p50", "p90", "p99", "max", "best peer's p50 / p50"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.samples, with_peers=False)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
