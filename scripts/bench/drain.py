"""How fast a backlog goes: orders a second through the whole upload path, claimed, sent, recorded and shown.

    python scripts/bench/drain.py [--orders 100000] [--rounds 1] [--json]

The budget and ShipStation's window are opened wide. The simulator runs in a process of its own; it, the server and the
listener share this machine's cores.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from stage import listener, open_wide, shop, simulator_apart, wait_until

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


def drain(orders: int) -> tuple[float, float]:
    """Return orders a second, and the listener's CPU milliseconds an order."""
    settings = {"fsync": "on", "max_wal_size": "2GB", "shared_buffers": "256MB"}
    with shop(settings) as (_, url, operator), simulator_apart() as where:
        open_wide(operator)
        operator.execute(INSERT, [orders])
        operator.execute(REST)
        with listener(url, operator, where) as pid:
            began = time.monotonic()
            wait_until(operator, DONE)
            seconds = time.monotonic() - began
            ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return orders / seconds, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") * 1000 / orders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = [drain(options.orders) for _ in range(options.rounds)]
    rates, cpu = [rate for rate, _ in runs], [ms for _, ms in runs]
    if options.json:
        print(json.dumps({"orders": options.orders, "orders_per_second": rates, "listener_cpu_ms": cpu}))
        return
    print(f"{options.orders:,} orders, {options.rounds} runs, {os.cpu_count()} cores")
    print(f"{statistics.median(rates):8,.0f} orders/s ({min(rates):,.0f} - {max(rates):,.0f})")
    print(f"{statistics.median(cpu):8.3f} CPU ms an order in the listener")


if __name__ == "__main__":
    main()
