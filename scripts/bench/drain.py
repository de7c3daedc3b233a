"""How fast a backlog goes: orders a second through the whole upload path, claimed, sent, recorded and shown.

    scripts/bench/run drain           or, without the peers: python scripts/bench/drain.py
                                      [--orders 100000] [--rounds 1] [--json]

The budget and ShipStation's window are opened wide. The simulator runs in a process of its own; it, the server and the
listener share this machine's cores. Beside it, for scale, stand the peers' jobs a second when a job does nothing: one
worker each, by the server's clock from the first job that is done to the last.
"""

import argparse
import json
import statistics
import subprocess
import time
from typing import Any

from figures import Table, print_tables, spread
from peers import Peer, installed_peers
from stage import cpu_seconds, listener, open_wide, shop, simulator_apart, wait_until

INSERT = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country,
                              total_items)
    select 'D' || n, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA', 1
    from generate_series(1, %s) n returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity, unit_price_cents) select id, '17001', 1, 1999 from o
"""
REST = "vacuum analyze orders_inbox, order_items_inbox"
DONE = "select 1 where not exists (select from orders_inbox where status = 'awaiting_shipment')"
LOOK_SECONDS = 0.1
"""A look at what is left passes over all that is done; more of them would take their time from the workers."""
SETTINGS = {"fsync": "on", "max_wal_size": "2GB", "shared_buffers": "256MB"}
ORDERS = "listener: orders claimed, sent, recorded, shown"


def drain(orders: int) -> tuple[float, float]:
    """Return orders a second, and the listener's CPU milliseconds an order."""
    with shop(SETTINGS) as (_, url, operator), simulator_apart() as (where, _):
        open_wide(operator)
        operator.execute(INSERT, [orders])
        operator.execute(REST)
        with listener(url, operator, where) as pid:
            began = time.monotonic()
            wait_until(operator, DONE, LOOK_SECONDS)
            seconds = time.monotonic() - began
            cpu = cpu_seconds(pid)
    return orders / seconds, cpu * 1000 / orders


def drain_peer(peer: Peer, jobs: int) -> tuple[float, float]:
    """Return jobs a second, and the worker's CPU milliseconds a job; its start is part of that."""
    subprocess.run(peer.command("fill", "--jobs", str(jobs)), check=True)
    peer.operator.execute("vacuum analyze")
    _, many = peer.kind.widths
    with peer.process("work", many) as worker:
        wait_until(peer.operator, peer.kind.idle, LOOK_SECONDS)
        cpu = cpu_seconds(worker.pid)
    count, seconds = peer.operator.execute(peer.kind.done.encode()).fetchone() or (0, 0.0)
    if count != jobs:
        raise SystemExit(f"{peer.kind.name} did {count} of {jobs} jobs")
    peer.operator.execute(peer.kind.clear.encode())
    return count / seconds, cpu * 1000 / jobs


def measure(orders: int, rounds: int, jobs: int = 0, with_peers: bool = True) -> dict[str, Any]:
    """Drain the listener and the peers, in turn. `jobs`: how many each peer gets."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        taken.setdefault(ORDERS, []).append(drain(orders))
        if with_peers:
            with shop(SETTINGS) as (postgres, _, _), installed_peers(postgres) as peers:
                for peer in peers:
                    taken.setdefault(f"{peer.kind.name}: jobs that do nothing", []).append(drain_peer(peer, jobs))
    rates = {name: [round(rate, 1) for rate, _ in runs] for name, runs in taken.items()}
    cpu = {name: [round(ms, 4) for _, ms in runs] for name, runs in taken.items()}
    return {"server": SETTINGS, "orders": orders, "jobs": jobs, "rounds": rounds, "a_second": rates, "cpu_ms": cpu}


def tables(result: dict[str, Any]) -> list[Table]:
    title = f"a backlog of {result['orders']:,} orders, or {result['jobs']:,} jobs; {result['rounds']} rounds"
    rows = [
        [name, spread(rates), f"{statistics.median(result['cpu_ms'][name]):.3f}"]
        for name, rates in result["a_second"].items()
    ]
    return [Table(title, ["", "a second", "CPU ms each, in the worker"], rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.orders, options.rounds, with_peers=False)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
