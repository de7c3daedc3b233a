"""What a large file costs: seconds, memory and bells, and how long an order that is committed meanwhile waits.

    python scripts/bench/import_file.py [--orders 50000] [--megabytes 100] [--json]

Each file meets a listener of its own that has just begun to lead; seconds run from its first look at the folder's file
that stood still to the commit of the file's row. Orders are committed one at a time, and the time is taken from COMMIT
to the request that carries the order: first with nothing else to do, then while the file is read and written. Writer,
server, listener and simulator share this machine's cores.
"""

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from stage import ASLEEP, Connection, running_listener, set_flag, shop, wait_until

from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator

ORDER = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values (%s, current_date, 'awaiting_shipment', 'Ada Example', '1 Way', 'Town', 'CA') returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
READ = "select status, orders_new, orders_refused from listener.imports"
SAMPLES = 200
LONGEST = 300.0


@dataclass(frozen=True)
class Result:
    """What one file took. `wrote`: the seconds of them in which its transaction was open."""

    file: str
    megabytes: float
    outcome: str
    seconds: float
    wrote: float
    peak_mb: float
    bells: int


@contextmanager
def stage(folder: Path) -> Iterator[tuple[str, Connection, ShipStationSimulator, int]]:
    """Run a shop and a listener that reads `folder`, with only the bell to wake its upload."""
    with shop({}) as (_, url, operator):
        set_flag(operator, "fast_polling_interval", "3600")
        set_flag(operator, "api_calls_per_hour", "1000000")
        with running_listener(url, operator, ORDER_SOURCE=str(folder)) as (shipstation, pid):
            yield url, operator, shipstation, pid


def import_one(path: Path) -> Result:
    """Have one file imported by a listener that has nothing else to do."""
    with stage(path.parent) as (url, operator, _, pid), psycopg.connect(url, autocommit=True) as ear:
        ear.execute("listen orders_inbox")
        wait_until(operator, ASLEEP)
        began = time.monotonic()
        wrote_since: float | None = None
        while not (row := operator.execute(READ).fetchone()):
            if wrote_since is None and operator.execute(WRITES).fetchone():
                wrote_since = time.monotonic()
            if time.monotonic() - began > LONGEST:
                raise SystemExit(f"{path.name} was not read within {LONGEST:.0f} s")
            operator.execute("select pg_sleep(0.01)")
        ended = time.monotonic()
        status, new, refused = row
        bells = sum(1 for _ in ear.notifies(timeout=0.5))
        return Result(
            file=path.name,
            megabytes=round(path.stat().st_size / 2**20, 1),
            outcome=f"{status}, {new} new, {refused} refused",
            seconds=round(ended - began, 2),
            wrote=round(ended - wrote_since, 2) if wrote_since else 0.0,
            peak_mb=round(peak_mb(pid), 1),
            bells=bells,
        )


WRITES = "select 1 from pg_stat_activity where application_name like 'listener % step' and backend_xid is not null"


def peak_mb(pid: int) -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match.group(1)) / 1024 if match else 0.0


def latencies(path: Path) -> dict[str, list[float]]:
    """Return milliseconds from COMMIT to request, by what the listener had to do besides."""
    waits: dict[str, list[float]] = {"nothing else to do": [], "while the file is read": [], "while it is written": []}
    with tempfile.TemporaryDirectory() as empty, stage(Path(empty)) as (url, operator, shipstation, _):
        wait_until(operator, ASLEEP)
        waits["nothing else to do"] = [wait for _, wait in commit_orders(url, operator, shipstation, SAMPLES)]
    with stage(path.parent) as (url, operator, shipstation, _):
        for writes, wait in commit_orders(url, operator, shipstation, 100_000):
            waits["while it is written" if writes else "while the file is read"].append(wait)
    return waits


def commit_orders(
    url: str, operator: Connection, shipstation: ShipStationSimulator, most: int
) -> Iterator[tuple[bool, float]]:
    """Commit order after order until the file's row is there: from then on its orders come before ours.

    Yields whether the file's transaction was open, and the milliseconds from COMMIT to request.
    """
    with psycopg.connect(url) as writer:
        for number in range(most):
            if operator.execute(READ).fetchone():
                return
            writes = operator.execute(WRITES).fetchone() is not None
            writer.execute(ORDER, [f"L{number}"])
            writer.commit()
            committed = time.monotonic()
            if not shipstation.wait_for_orders(number + 1, 30):
                raise SystemExit(f"order {number} did not arrive within 30 s")
            carried = [request for request in shipstation.requests if request.method == "POST"][-1]
            yield writes, (carried.received_monotonic - committed) * 1000
            time.sleep(0.005)


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def orders_file(folder: Path, orders: int) -> Path:
    path = folder / "orders" / f"{orders}-orders.xml"
    path.parent.mkdir()
    path.write_bytes(orders_xml(orders, datetime.now(UTC).date()))
    return path


def large_file(folder: Path, name: str, before: str, piece: str, after: str, megabytes: int) -> Path:
    path = folder / name / f"{name}.xml"
    path.parent.mkdir()
    good = "<order><orderid>G</orderid><order_detail><productid>1</productid></order_detail></order>"
    with path.open("w") as file:
        file.write(f"<orders>{good}{before}")
        for _ in range(megabytes):
            file.write(piece * (2**20 // len(piece)))
        file.write(f"{after}</orders>")
    return path


LARGE = {
    "one-field": ("<order><orderid>1</orderid><s_city>", "x", "</s_city></order>"),
    "one-attribute": ("<order name='", "x", "'/>"),
    "one-order": ("<order><orderid>1</orderid>", "<order_detail><productid>1</productid></order_detail>", "</order>"),
    "deep": ("", "<a>", ""),
    "forbidden": ("<order><orderid>1</orderid><s_city>", "\x00 ", "</s_city></order>"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=50_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        orders = orders_file(folder, options.orders)
        results = [import_one(orders)]
        results += [import_one(large_file(folder, name, *parts, options.megabytes)) for name, parts in LARGE.items()]
        waits = latencies(orders)
    if options.json:
        print(json.dumps({"files": [asdict(result) for result in results], "latencies_ms": waits}))
        return
    print(f"{os.cpu_count()} cores")
    print(f"{'file':20}{'MB':>7}{'seconds':>9}{'wrote':>7}{'peak MB':>9}{'bells':>7}  outcome")
    for r in results:
        print(f"{r.file:20}{r.megabytes:7.1f}{r.seconds:9.2f}{r.wrote:7.2f}{r.peak_mb:9.1f}{r.bells:7}  {r.outcome}")
    for name, values in waits.items():
        shown = "".join(f"   p{p} {percentile(values, p):6.1f}" for p in (50, 90, 99))
        print(f"order, {name:28}{shown}   max {max(values):6.1f} ms ({len(values)} orders)")


if __name__ == "__main__":
    main()
