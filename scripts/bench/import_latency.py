"""How soon: from a file's change in Google Drive to all its orders accepted at ShipStation.

    python scripts/bench/import_latency.py [--samples 20] [--orders 10] [--interval 2] [--kept 200] [--json]

Each time the cumulative file grows by so many orders, at a moment of chance within the import's interval. `--kept`
files that were read before lie in the folder as well. Server, listener and both simulators share this machine's cores.
The listener's memory is read at the end, after it has rested for three intervals.
"""

import argparse
import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from figures import percentile
from idle import resident_mb
from stage import Connection, open_wide, running_listener, set_flag, shop, wait_until

from listener.embedded.drive import DriveSimulator
from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator

TODAY = datetime.now(UTC).date()
READ = "select 1 where (select count(*) from listener.imports) = {files}"


def import_latencies(
    drive: DriveSimulator, shipstation: ShipStationSimulator, operator: Connection, options: argparse.Namespace
) -> list[float]:
    """Return seconds from the change of the file to the arrival of its last order, one change after the other."""
    dice, latencies = random.Random(7), []
    file_id = drive.user.upload(orders_xml(1, TODAY))
    shipstation.wait_for_orders(1, 60)
    for sample in range(options.samples):
        wait_until(operator, READ.format(files=options.kept + sample + 1))
        time.sleep(dice.uniform(0, options.interval))
        there = shipstation.order_count + options.orders
        changed = time.monotonic()
        drive.user.replace(file_id, orders_xml(there, TODAY))
        if not shipstation.wait_for_orders(there, 4 * options.interval + 30):
            raise SystemExit(f"the orders of change {sample} did not arrive")
        latencies.append(time.monotonic() - changed)
    return latencies


def measure(options: argparse.Namespace) -> tuple[list[float], float]:
    """Return the latencies, and the listener's memory at rest in MB."""
    with (
        shop({}) as (_, url, operator),
        DriveSimulator() as drive,
        tempfile.TemporaryDirectory() as folder,
    ):
        set_flag(operator, "fast_polling_interval", str(options.interval))
        open_wide(operator)
        for number in range(options.kept):
            drive.user.upload(f"<orders><!-- {number} --></orders>".encode(), f"kept-{number}.xml")
        environment = drive.environment(Path(folder) / "key.json")
        with running_listener(url, operator, **environment) as (shipstation, pid):
            wait_until(operator, READ.format(files=options.kept))
            latencies = import_latencies(drive, shipstation, operator, options)
            time.sleep(3 * options.interval)
            return latencies, resident_mb(pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--interval", type=int, default=2)
    parser.add_argument("--kept", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    latencies, memory = measure(options)
    if options.json:
        print(json.dumps({"seconds": latencies, "memory_mb": memory, "interval": options.interval}))
        return
    shown = "".join(f"   p{p} {percentile(latencies, p):5.2f} s" for p in (50, 99))
    print(
        f"{options.samples} changes of {options.orders} orders, a look in {options.interval} s, {os.cpu_count()} cores"
    )
    print(f"change in Drive to accepted{shown}   goal: p50 under {options.interval + 1} s")
    print(f"resident memory at rest    {memory:6.1f} MB")


if __name__ == "__main__":
    main()
