"""The demo: the real `listener run` between a Postgres, a Google Drive and a ShipStation of its own, with orders that
nobody placed.

What it prints was measured in this run: commit times are the database's (track_commit_timestamp), arrival times the
simulator's, both on this machine's clock.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from listener.embedded.drive import DriveSimulator
from listener.embedded.orders_xml import orders_xml
from listener.embedded.postgres import EmbeddedPostgres
from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Fatal
from listener.headway import Headway, Show, show_nobody
from listener.install import install, rollback

Say = Callable[[str], None]

ARRIVE_WITHIN_SECONDS = 60.0
IMPORT_EVERY_SECONDS = 1
LOOK_EVERY_SECONDS = 0.2

WITHIN_THE_BUDGET = 1000
"""Orders that go with the calls that may be made at once; for more the demo would have to wait for hours' calls."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the demo plays."""

    url: str
    database: psycopg.Connection[tuple[object, ...]]
    shipstation: ShipStationSimulator
    drive: DriveSimulator
    folder: Path
    say: Say
    show: Show


def run_demo(count: int, *, stay: bool, port: int, say: Say, show: Show = show_nobody) -> bool:
    """Play the demo with `count` orders; return whether each arrived exactly once. Raises Fatal.

    say: is told what has happened; show: what is waited for
    """
    began = time.monotonic()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: nothing of the demo may live on
        signal.signal(ending, signal.default_int_handler)

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:7.2f} s  {text}")

    with _stage(tell, show) as scene, _listener(scene, port):
        if count > WITHIN_THE_BUDGET:
            _open_wide(scene)
        _wait_for(scene, "select 1 from listener.leader where epoch > 0", "the listener to lead")
        tell("listener leads, and sleeps until something rings")
        before = max(1, count - 1)
        file_id = scene.drive.user.upload(orders_xml(before, datetime.now(UTC).date()))
        _wait_for_orders(scene, before, "lies in the Drive folder")
        _change_a_flag(scene)
        if count > before:
            _roll_back_the_bell(scene)
            scene.drive.user.replace(file_id, orders_xml(count, datetime.now(UTC).date()))
            _wait_for_orders(scene, count, "takes its place")
        exact = _report(scene, count)
        _ship_one(scene)
        if stay:
            say(f"\nStill running. Status: http://127.0.0.1:{port}   ShipStation: {scene.shipstation.url}")
            say(f"DATABASE_URL={scene.url}")
            say(f"Another file: curl --data-binary @orders.xml {scene.drive.url}/_simulator/files   Ctrl-C ends it.")
            _wait_for_ctrl_c()
    return exact


@contextmanager
def _stage(tell: Say, show: Show) -> Iterator[Scene]:
    """Set up database, ShipStation and Drive."""
    show(Headway("starting Postgres"))
    with (
        tempfile.TemporaryDirectory(prefix="listener-demo-") as folder,
        EmbeddedPostgres(settings={"track_commit_timestamp": "on"}) as postgres,
        ShipStationSimulator() as shipstation,
        DriveSimulator() as drive,
    ):
        ports = f"{postgres.port}, {shipstation.port}, {drive.port}"
        tell(f"Postgres and simulators of ShipStation and Google Drive run on 127.0.0.1 (ports {ports})")
        url = postgres.url("shop")
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("create database shop")
        install(url, base_tables=True)
        with psycopg.connect(url, autocommit=True) as database:
            set_flag(database, "fast_polling_interval", str(IMPORT_EVERY_SECONDS))
            tell("tables and triggers are installed; the demo looks at its folder each second, not each 15")
            yield Scene(url, database, shipstation, drive, Path(folder), tell, show)


def set_flag(database: psycopg.Connection[tuple[object, ...]], name: str, value: str) -> None:
    """Set a flag the way an operator does: with an UPDATE."""
    database.execute(
        "update configuration_params set value = %s where category = 'Polling' and parameter_name = %s and sku is null",
        [value, name],
    )


@contextmanager
def _listener(scene: Scene, port: int) -> Iterator[None]:
    """Run `listener run` beside us, with its log in the demo's folder."""
    environment = {
        **os.environ,
        "DATABASE_URL": scene.url,
        "LISTEN_DATABASE_URL": scene.url,
        "SHIPSTATION_BASE_URL": scene.shipstation.url,
        "SHIPSTATION_API_KEY": scene.shipstation.api_key,
        "SHIPSTATION_API_SECRET": scene.shipstation.api_secret,
        **scene.drive.environment(scene.folder / "service-account.json"),
        "STATUS_ADDRESS": f"127.0.0.1:{port}",
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "text",
    }
    log = scene.folder / "listener.log"
    with log.open("wb") as stderr:
        command = [sys.executable, "-m", "listener.cli", "run"]
        process = subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True)  # noqa: S603
        try:
            yield
        except Fatal as fault:
            raise Fatal(f"{fault}; the listener said:\n{log.read_text()[-3000:]}") from fault
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=20)
            scene.say(f"listener stopped with exit code {code}")


def _wait_for_orders(scene: Scene, count: int, what: str) -> None:
    """Wait until so many orders are at ShipStation; `what` has become of the file that holds them."""
    scene.say(f"orders.xml with {count} orders {what}")
    end = time.monotonic() + ARRIVE_WITHIN_SECONDS
    while not scene.shipstation.wait_for_orders(count, LOOK_EVERY_SECONDS):
        arrived = scene.shipstation.order_count
        scene.show(Headway("orders at ShipStation", arrived, count, "orders"))
        if time.monotonic() > end:
            raise Fatal(f"only {arrived} of {count} orders have arrived")
    scene.show(None)
    scene.say(f"{count} orders are at ShipStation")


def _open_wide(scene: Scene) -> None:
    """Lift both limits on calls: ours, and ShipStation's."""
    scene.shipstation.limit_per_minute = None
    set_flag(scene.database, "api_calls_per_hour", "1000000")
    scene.say("so many orders take more than 200 calls an hour: here a million may be made")


def _change_a_flag(scene: Scene) -> None:
    scene.database.execute("begin")
    set_flag(scene.database, "sync_interval", "180")
    row = scene.database.execute("select pg_current_xact_id()::text").fetchone()
    scene.database.execute("commit")
    in_force = f"""
        select extract(epoch from in_force_at - pg_xact_commit_timestamp('{row[0] if row else 0}'::xid)) * 1000
        from listener.config_log where parameter_name = 'sync_interval' and new_value = '180'"""
    milliseconds = _wait_for(scene, in_force, "the flag to be in force")
    scene.say(f"sync_interval 120 -> 180 by UPDATE: in force {float(str(milliseconds)):.1f} ms after its commit")


def _roll_back_the_bell(scene: Scene) -> None:
    """Take the triggers away under the running listener; the next order goes with the heartbeat."""
    rollback(scene.url, "notify")
    scene.say("rollback/notify.sql: the triggers are gone, the heartbeat goes on")


def _report(scene: Scene, count: int) -> bool:
    """Wait for the rows, compare them with ShipStation's orders, and print the latencies."""
    _wait_for(
        scene, f"select 1 where (select count(*) from orders_inbox where status = 'uploaded') = {count}", "the rows"
    )
    there = Counter(order["orderNumber"] for order in scene.shipstation.orders)
    here = {str(number) for (number,) in scene.database.execute("select order_number from orders_inbox")}
    exact = set(there) == here and all(times == 1 for times in there.values()) and len(here) == count
    scene.say(f"{count} orders in the file, {sum(there.values())} at ShipStation, {'each once' if exact else 'WRONG'}")
    latencies = sorted(_commit_to_request_ms(scene))
    p50, p99 = latencies[len(latencies) // 2], latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    scene.say(f"commit to request, by bell: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(latencies)} orders)")
    return exact


def _ship_one(scene: Scene) -> None:
    """Buy a label for an order at ShipStation, and wait until its row shows that."""
    number = str(scene.shipstation.orders[0]["orderNumber"])
    label = scene.shipstation.user.ship(number)
    shipped_at = time.monotonic()
    scene.say(f"order {number} is shipped at ShipStation; the sync, switched off and on by UPDATE, looks at once")
    switch = "update workflow_controls set enabled = %s where workflow_name = 'unified-shipstation-sync'"
    scene.database.execute(switch, [False])
    row = scene.database.execute("select localtimestamp::text").fetchone()
    seen = f"select 1 from polling_state where last_upload_check > '{row[0] if row else 'now'}'"
    _wait_for(scene, seen, "the heartbeat that sees it")
    scene.database.execute(switch, [True])
    tracking = _wait_for(
        scene,
        f"select tracking_number from orders_inbox where tracking_number = '{label['trackingNumber']}'",
        "tracking",
    )
    scene.say(f"order {number} is shipped here too, tracking {tracking}: {time.monotonic() - shipped_at:.2f} s later")


def _commit_to_request_ms(scene: Scene) -> list[float]:
    """Return, for each order of the first file, the time from the commit of its import to the request it left in."""
    row = scene.database.execute(
        "select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from listener.imports order by id limit 1"
    ).fetchone()
    committed = float(str(row[0])) if row else 0.0
    numbers = {
        str(n)
        for (n,) in scene.database.execute(
            "select order_key from listener.imported_orders where import_id = (select min(id) from listener.imports)"
        )
    }
    return [
        (request.received_at - committed) * 1000
        for request in scene.shipstation.requests
        if request.path == "/orders/createorders" and isinstance(request.body, list)
        for order in request.body
        if order["orderNumber"].upper() in numbers
    ]


def _wait_for(scene: Scene, query: str, what: str) -> object:
    """Ask until the query returns a row; return its first value. Raises Fatal after a minute."""
    scene.show(Headway(f"waiting for {what}"))
    end = time.monotonic() + ARRIVE_WITHIN_SECONDS
    while time.monotonic() < end:
        if row := scene.database.execute(query.encode()).fetchone():
            scene.show(None)
            return row[0]
        time.sleep(0.02)
    raise Fatal(f"waited {ARRIVE_WITHIN_SECONDS:.0f} s for {what}")


def _wait_for_ctrl_c() -> None:
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
