"""How soon: from a flag's COMMIT to its being in force, while uploads hang; and from that of sql/rollback/flags.sql, or
of its reverse, to all three flags being in force.

    python scripts/bench/config.py [--changes 200] [--json]

ShipStation does not answer while flags are changed: a request hangs in the listener. Times are the database server's:
from COMMIT to the moment that the listener's receipt names. Writer, server, listener and simulator share this machine's
cores.
"""

import argparse
import json
from typing import Any

from figures import Table, percentile, print_tables
from latency import ORDER
from stage import ASLEEP, Connection, open_wide, running_listener, set_flag, shop, wait_until

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import flags_back, rollback

IN_FORCE_MS = """
select extract(epoch from in_force_at - pg_xact_commit_timestamp((select xmin from configuration_params
                          where parameter_name = 'sync_interval' and category = 'Polling'))) * 1000
from listener.config_log where parameter_name = 'sync_interval' and new_value = '{value}'
"""
CHANGES_A_REQUEST = 50
"""A request may hang for 30 s at most."""


def flag_latencies(operator: Connection, shipstation: ShipStationSimulator, changes: int) -> list[float]:
    """Return milliseconds from COMMIT to in force, one change after the other, while a request hangs."""
    latencies: list[float] = []
    while len(latencies) < changes:
        wait_until(operator, ASLEEP)
        hold = shipstation.hold(path="/orders/createorders")
        operator.execute(ORDER, [f"HANGS-{len(latencies)}"])
        if not hold.arrived.wait(10):
            raise SystemExit("no request came that could hang")
        for _ in range(min(CHANGES_A_REQUEST, changes - len(latencies))):
            value = str(1000 + len(latencies))
            set_flag(operator, "sync_interval", value)
            latencies.append(float(wait_until(operator, IN_FORCE_MS.format(value=value))))
        hold.release()
        shipstation.clear_faults()
    return latencies


ROLLED_BACK_MS = """
select extract(epoch from max(in_force_at) - pg_xact_commit_timestamp((select xmin from configuration_params
                          where parameter_name = 'fast_polling_enabled' and category = 'Polling'))) * 1000
from listener.config_log where id > {seen} having count(*) = 3
"""


def rollback_latencies(url: str, operator: Connection, changes: int) -> tuple[list[float], list[float]]:
    """Return milliseconds from COMMIT to in force: of the rollback, and of its reverse."""
    latencies: tuple[list[float], list[float]] = ([], [])
    wait_until(operator, ASLEEP)
    for _ in range(changes):
        for run, values in zip((lambda: rollback(url, "flags"), lambda: flags_back(url)), latencies, strict=True):
            seen = wait_until(operator, "select coalesce(max(id), 0) from listener.config_log")
            run()
            values.append(float(wait_until(operator, ROLLED_BACK_MS.format(seen=seen))))
    return latencies


SETTINGS = {"track_commit_timestamp": "on", "fsync": "on"}
FLAG, THERE, BACK = "a flag, while a request hangs", "rollback/flags.sql, listener idle", "rollback/flags_back.sql"


def measure(changes: int, rollbacks: int) -> dict[str, Any]:
    with shop(SETTINGS) as (_, url, operator):
        set_flag(operator, "fast_polling_interval", "3600")
        open_wide(operator)
        with running_listener(url, operator) as (shipstation, _):
            flags = flag_latencies(operator, shipstation, changes)
            there, back = rollback_latencies(url, operator, rollbacks)
    waits = {FLAG: flags, THERE: there, BACK: back}
    return {"server": SETTINGS, "ms": {name: [round(value, 3) for value in values] for name, values in waits.items()}}


def tables(result: dict[str, Any]) -> list[Table]:
    rows = [
        [name, f"{len(values):,}", *(f"{percentile(values, p):.2f}" for p in (50, 90, 99)), f"{max(values):.1f}"]
        for name, values in result["ms"].items()
    ]
    return [Table("COMMIT to in force; milliseconds", ["", "changes", "p50", "p90", "p99", "max"], rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.changes, rollbacks=options.changes)
    print(json.dumps(result)) if options.json else print_tables(tables(result))


if __name__ == "__main__":
    main()
