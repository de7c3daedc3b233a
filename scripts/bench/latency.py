"""How soon: from an order's COMMIT to its claim and to its request, from a flag's COMMIT to its being in force, and
from that of sql/rollback/flags.sql, or of its reverse, to all three flags being in force.

    python scripts/bench/latency.py [--samples 200] [--json]

The heartbeat is an hour and the listener asleep before each order, so every order goes because it rang. Flags are
changed while an upload's request hangs. Writer, server, listener and simulator share this machine's cores.
"""

import argparse
import json
import os
import time

import psycopg
from stage import ASLEEP, Connection, running_listener, set_flag, shop, wait_until

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import flags_back, rollback

ORDER = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values (%s, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA') returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""

IN_FORCE_MS = """
select extract(epoch from in_force_at - pg_xact_commit_timestamp((select xmin from configuration_params
                          where parameter_name = 'sync_interval' and category = 'Polling'))) * 1000
from listener.config_log where parameter_name = 'sync_interval' and new_value = '{value}'
"""


def order_latencies(url: str, operator: Connection, shipstation: ShipStationSimulator, samples: int) -> list[float]:
    """Return milliseconds from COMMIT's return to the arrival of the request, one order at a time."""
    latencies = []
    with psycopg.connect(url) as writer:
        for number in range(samples):
            wait_until(operator, ASLEEP)
            writer.execute(ORDER, [f"L{number}"])
            writer.commit()
            committed = time.monotonic()
            if not shipstation.wait_for_requests(number + 1, 30):
                raise SystemExit(f"order {number} did not arrive within 30 s")
            latencies.append((shipstation.requests[number].received_monotonic - committed) * 1000)
    return latencies


# An order's row is written again when it is uploaded; its item's row still has the transaction that brought both.
CLAIMED_MS = """
select extract(epoch from pg_xact_commit_timestamp(h.xmin) - pg_xact_commit_timestamp(i.xmin))::float8 * 1000
from listener.history h join orders_inbox o on o.order_number = h.order_key
join order_items_inbox i on i.order_inbox_id = o.id
where h.state = 'sending' and o.order_number like 'L%'
"""


def claim_latencies(operator: Connection) -> list[float]:
    """Return milliseconds from an order's COMMIT to that of its claim, by the server's clock."""
    return [ms for (ms,) in operator.execute(CLAIMED_MS.encode())]


def flag_latencies(url: str, operator: Connection, shipstation: ShipStationSimulator, samples: int) -> list[float]:
    """Return milliseconds from COMMIT to in force, by the database's clock, while a request hangs."""
    hold = shipstation.hold(path="/orders/createorders")
    operator.execute(ORDER, ["HANGS"])
    hold.arrived.wait(10)
    latencies = []
    for sample in range(samples):
        value = str(1000 + sample)
        set_flag(operator, "sync_interval", value)
        latencies.append(float(wait_until(operator, IN_FORCE_MS.format(value=value))))
        if sample % 50 == 49:  # a request may hang for 30 s at most
            hold.release()
            shipstation.clear_faults()
            wait_until(operator, ASLEEP)
            hold = shipstation.hold(path="/orders/createorders")
            operator.execute(ORDER, [f"HANGS-{sample}"])
            hold.arrived.wait(10)
    hold.release()
    return latencies


ROLLED_BACK_MS = """
select extract(epoch from max(in_force_at) - pg_xact_commit_timestamp((select xmin from configuration_params
                          where parameter_name = 'fast_polling_enabled' and category = 'Polling'))) * 1000
from listener.config_log where id > {seen} having count(*) = 3
"""


def rollback_latencies(url: str, operator: Connection, samples: int) -> tuple[list[float], list[float]]:
    """Return milliseconds from COMMIT to in force, by the database's clock: of the rollback, and of its reverse."""
    latencies: tuple[list[float], list[float]] = ([], [])
    wait_until(operator, ASLEEP)
    for _ in range(samples):
        for run, values in zip((lambda: rollback(url, "flags"), lambda: flags_back(url)), latencies, strict=True):
            seen = wait_until(operator, "select coalesce(max(id), 0) from listener.config_log")
            run()
            values.append(float(wait_until(operator, ROLLED_BACK_MS.format(seen=seen))))
    return latencies


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with shop({"track_commit_timestamp": "on"}) as (_, url, operator):
        set_flag(operator, "fast_polling_interval", "3600")
        set_flag(operator, "api_calls_per_hour", "1000000")
        with running_listener(url, operator) as (shipstation, _):
            requests = order_latencies(url, operator, shipstation, options.samples)
            results = {
                "order: commit to claimed": claim_latencies(operator),
                "order: commit to request": requests,
                "flag: commit to in force": flag_latencies(url, operator, shipstation, options.samples),
            }
            there, back = rollback_latencies(url, operator, options.samples)
            results |= {"rollback/flags in force": there, "rollback/flags_back": back}
    if options.json:
        print(json.dumps(results))
        return
    print(f"{options.samples} samples each, {os.cpu_count()} cores; milliseconds")
    for name, values in results.items():
        shown = "".join(f"   p{p} {percentile(values, p):6.1f}" for p in (50, 99))
        print(f"{name:26}{shown}   max {max(values):6.1f}")


if __name__ == "__main__":
    main()
