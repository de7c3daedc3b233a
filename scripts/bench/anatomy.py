"""Where the time goes between an order's COMMIT and its request: the median of each step on the way.

    python scripts/bench/anatomy.py [--samples 300] [--json]

The listener runs as a process and notes the time at each step; its heartbeat is an hour, and it sleeps before each
order. Beside it a program listens that does nothing else: sooner than that no listener can know of an order. COMMIT is
the server's own time of it, before the log is flushed. The server does not flush here.
"""

import argparse
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from figures import Table, percentile, print_tables
from latency import COMMITTED, ORDER, SETTINGS, WARM_UP, rest
from stage import ASLEEP, Connection, listener, set_flag, shop, wait_until

from listener.embedded.shipstation import ShipStationSimulator

STEPS = ("heard", "begun", "looked", "read", "claimed", "leaves", "arrives")
WHAT = {
    "heard": "NOTIFY and COMMIT on the server, and the main thread wakes",
    "begun": "the main thread decides, the upload's thread begins",
    "looked": "round trip 1: silence lock, check, token",
    "read": "round trip 2: epoch, locks, the order and what is known of it",
    "claimed": "round trip 3: the ledger's row, committed",
    "leaves": "the request is written as JSON",
    "arrives": "HTTP over loopback, until the simulator has read it",
}

NOTE_TIMES = """
import atexit, functools, json, os, time
import listener.ears, listener.work, listener.workflows.upload_orders as upload, listener.store.inbox as inbox
from listener.events import Channel, Job, Rang
from listener.shipstation.client import ShipStation

marks = []
atexit.register(lambda: open(os.environ["ANATOMY"], "w").write(json.dumps(marks)))

def before(owner, name, step, when=lambda *_: True):
    function = getattr(owner, name)
    @functools.wraps(function)
    def noted(*arguments, **options):
        if when(*arguments):
            marks.append((step, time.time()))
        return function(*arguments, **options)
    setattr(owner, name, noted)

def after(owner, name, step, when=lambda _: True):
    function = getattr(owner, name)
    @functools.wraps(function)
    def noted(*arguments, **options):
        result = function(*arguments, **options)
        if when(result):
            marks.append((step, time.time()))
        return result
    setattr(owner, name, noted)

after(listener.ears.Ears, "hear", "heard", lambda events: Rang(Channel.ORDERS) in events)
before(listener.work.WorkSession, "run", "begun", lambda _, action, *__: action.job is Job.PASS)
after(upload.UploadOrders, "check", "looked", bool)
after(inbox, "claim_due_rows", "read", lambda claimed: bool(claimed.orders))
after(upload, "claim_orders", "claimed", lambda claim: bool(claim.to_send))
before(ShipStation, "create_orders", "leaves")
"""

LISTEN_ALONE = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as db:
    db.execute("listen orders_inbox")
    print("ready", flush=True)
    for _ in db.notifies():
        print(time.time(), flush=True)
"""


@contextmanager
def listening_alone(url: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that hears the bell, and does no more."""
    command = [sys.executable, "-c", LISTEN_ALONE, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101  it is a pipe
        process.stdout.readline()
        yield process
        process.kill()


def measure(samples: int) -> dict[str, Any]:
    """Return the milliseconds of each step, order by order, and those of a program that only listens."""
    heard_alone: list[float | None] = []
    arrived = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        notes = Path(folder) / "notes.json"
        _, url, operator = stack.enter_context(shop(SETTINGS))
        set_flag(operator, "fast_polling_interval", "3600")
        set_flag(operator, "api_calls_per_hour", "1000000")
        operator.execute("update workflow_controls set enabled = false where workflow_name <> 'shipstation-upload'")
        shipstation = stack.enter_context(ShipStationSimulator())
        shipstation.limit_per_minute = None
        where = {
            "SHIPSTATION_BASE_URL": shipstation.url,
            "SHIPSTATION_API_KEY": shipstation.api_key,
            "SHIPSTATION_API_SECRET": shipstation.api_secret,
            "ANATOMY": str(notes),
        }
        writer = stack.enter_context(psycopg.connect(url))
        with listening_alone(url) as alone, listener(url, operator, where, NOTE_TIMES):
            for number in range(samples + WARM_UP):
                heard, at = order(operator, writer, shipstation, alone, number)
                heard_alone.append(heard)
                arrived.append(at)
            committed = [began for began, _ in operator.execute(COMMITTED.encode()).fetchall()]
        marks = json.loads(notes.read_text())
    ways = way_of_each(marks, committed, arrived)[WARM_UP:]
    both = list(zip(heard_alone, committed, strict=True))[WARM_UP:]
    alone_ms = [(heard - began) * 1000 for heard, began in both if heard is not None]
    return {"samples": samples, "alone": alone_ms, "steps": {s: [way[s] for way in ways] for s in STEPS}}


def order(
    operator: Connection,
    writer: Connection,
    shipstation: ShipStationSimulator,
    alone: "subprocess.Popen[str]",
    number: int,
) -> tuple[float | None, float]:
    """Commit an order; return when the bell was heard by who does nothing else, and when the request arrived.

    None: nobody rang, because the listener was awake for another reason, such as a look at its triggers.
    """
    wait_until(operator, ASLEEP)
    rest()
    writer.execute(ORDER, [f"L{number}"])
    writer.commit()
    assert alone.stdout  # noqa: S101  it is a pipe
    rang, _, _ = select.select([alone.stdout], [], [], 1)
    heard = float(alone.stdout.readline()) if rang else None
    if not shipstation.wait_for_orders(number + 1, 30):
        raise SystemExit(f"order {number} did not arrive within 30 s")
    return heard, next(request for request in reversed(shipstation.requests) if request.orders).received_at


def way_of_each(marks: list[tuple[str, float]], committed: list[float], arrived: list[float]) -> list[dict[str, float]]:
    """Return the milliseconds of each step for each order: the marks between its COMMIT and its arrival."""
    ways = []
    for began, ended in zip(committed, arrived, strict=True):
        times = {step: at for step, at in marks if began <= at <= ended} | {"arrives": ended}
        if len(times) == len(STEPS):
            so_far = [began, *(times[step] for step in STEPS)]
            ways.append({step: (so_far[i + 1] - so_far[i]) * 1000 for i, step in enumerate(STEPS)})
    return ways


def tables(result: dict[str, Any]) -> list[Table]:
    rows = [
        [f"{step}: {WHAT[step]}", *(f"{percentile(result['steps'][step], p):.2f}" for p in (50, 90))] for step in STEPS
    ]
    alone = ["heard by a program that only listens", *(f"{percentile(result['alone'], p):.2f}" for p in (50, 90))]
    whole = [sum(step) for step in zip(*result["steps"].values(), strict=True)]
    total = ["COMMIT to arrival", *(f"{percentile(whole, p):.2f}" for p in (50, 90))]
    title = f"one order's way, {len(whole):,} orders, one after the other; milliseconds"
    return [Table(title, ["", "p50", "p90"], [alone, *rows, total])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.samples)
    if options.json:
        print(json.dumps(result))
    else:
        print_tables(tables(result))


if __name__ == "__main__":
    main()
