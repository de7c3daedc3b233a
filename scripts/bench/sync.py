"""What a long catch-up of the sync takes: time, calls, memory, for so many orders that were changed at ShipStation.

    python scripts/bench/sync.py [--orders 100000] [--shipped 0.5]

The simulator runs in a process of its own, with the orders' changes spread over ten days; the shop has a row for each
order, uploaded. The listener starts with the default flags but for the budget, and is watched until every row says what
ShipStation says. All of it shares this machine's cores.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stage import Connection, set_flag, shop

from listener.embedded.shipstation import ShipStationSimulator
from listener.embedded.shipstation.labels import buy_label

DAYS = 10


def serve(orders: int, shipped: float) -> None:
    """Be the simulator: print its port and its orders' ids, and run until stdin ends."""
    now = datetime.now(UTC)
    simulator = ShipStationSimulator()
    simulator.limit_per_minute = None
    account = simulator._account
    step = timedelta(days=DAYS) / orders
    for n in range(orders):
        simulator.clock = lambda at=now - timedelta(days=DAYS) + n * step: at
        sent = {
            "orderNumber": f"B{n}",
            "orderStatus": "awaiting_shipment",
            "orderDate": "2026-01-01T00:00:00",
            "billTo": {"name": "Ada Example"},
            "shipTo": {"name": "Ada Example", "street1": "1 Way", "city": "Town", "country": "CA"},
            "items": [{"sku": f"1700{n % 5} - L1", "quantity": 1, "unitPrice": 19.99}],
        }
        record = account.create(sent)
        if n % 100 < shipped * 100:
            buy_label(account, record)
        elif n % 100 >= 95:
            account.set_status(record, "on_hold")
    simulator.clock = lambda: datetime.now(UTC)
    simulator.start()
    print(simulator.port, next(iter(account.orders)), flush=True)
    sys.stdin.read()
    simulator.stop()


@contextmanager
def simulator(orders: int, shipped: float) -> Iterator[tuple[int, int]]:
    """Run the simulator in another process; yield its port and the first order's id."""
    command = [sys.executable, __file__, "--serve", "--orders", str(orders), "--shipped", str(shipped)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port, first = process.stdout.readline().split() if process.stdout else ("", "")
    try:
        yield int(port), int(first)
    finally:
        process.kill()
        process.wait()


ROWS = """
insert into orders_inbox (order_number, order_date, status, shipstation_order_id, total_items)
select 'B' || n, current_date, 'uploaded', (%s + n)::text, 1 from generate_series(0, %s - 1) n
"""
LEFT = "select count(*) from orders_inbox where status = 'uploaded'"
UNTRACKED = "select count(*) from orders_inbox where status = 'shipped' and tracking_number is null"


def resident_mb(pid: int) -> tuple[float, float]:
    """Return the memory that a process has, and the most that it ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmRSS", "VmHWM"))
    return (int(now[1]) / 1024 if now else 0.0), (int(most[1]) / 1024 if most else 0.0)


def count(operator: Connection, query: str) -> int:
    row = operator.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def watch(operator: Connection, query: str, until: int) -> float:
    """Return the seconds until a count has come down so far."""
    began = time.monotonic()
    while count(operator, query) > until:
        operator.execute("select pg_sleep(0.25)")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--shipped", type=float, default=0.5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.orders, options.shipped)
        return
    with shop({}) as (_, url, operator), simulator(options.orders, options.shipped) as (port, first):
        operator.execute(ROWS, [first, options.orders])
        operator.execute("analyze orders_inbox")
        set_flag(operator, "api_calls_per_hour", "1000000")
        with tempfile.TemporaryFile() as log:
            environment = {
                **os.environ,
                "DATABASE_URL": url,
                "SHIPSTATION_BASE_URL": f"http://127.0.0.1:{port}",
                "SHIPSTATION_API_KEY": "demo-key",
                "SHIPSTATION_API_SECRET": "demo-secret",
                "STATUS_ADDRESS": "off",
            }
            listener = subprocess.Popen([sys.executable, "-m", "listener.cli", "run"], env=environment, stderr=log)
            open_still = sum(options.shipped * 100 <= n % 100 < 95 for n in range(options.orders))
            rows_took = watch(operator, LEFT, open_still)
            labels_took = watch(operator, UNTRACKED, 0)
            _, most = resident_mb(listener.pid)
            calls = count(operator, "select count(*) from listener.api_calls")
            listener.terminate()
            listener.wait(30)
            log.seek(0)
            said = [line for line in log.read().decode().splitlines() if "Sync: " in line or "WARNING" in line]
    print(
        f"{options.orders} orders changed at ShipStation, {options.shipped:.0%} of them shipped; {os.cpu_count()} cores"
    )
    print(f"rows       {rows_took:7.1f} s   {options.orders / rows_took:8.0f} orders/s")
    print(f"tracking   {labels_took:7.1f} s more")
    print(f"calls      {calls:7d}     with those of the mirror's first reading beside it")
    print(f"memory     {most:7.1f} MB at most")
    last = said[-1].partition("Sync: ")[2] if said else ""
    print(f"log        {len(said):7d} lines of progress, the last: {last}")


if __name__ == "__main__":
    main()
