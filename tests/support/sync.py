"""The sync in the test's own process, on a step connection, with a time that the test moves on: see `upload`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from listener import leader
from listener.database import Connection, connect_step, connect_work
from listener.embedded.shipstation import ShipStationSimulator
from listener.events import Synced
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.store import sync
from listener.workflows.sync_status import SyncStatus
from tests.support.shop import insert_order
from tests.support.upload import Leader, Time
from tests.support.wait import eventually

ORDERS, SHIPMENTS, FULFILLMENTS = "/orders", "/shipments", "/fulfillments"
WATERMARK = "select last_sync_timestamp from sync_watermark where workflow_name = 'unified-shipstation-sync'"

# The sync sets its own search_path in each transaction: here with the test's time functions before the server's.
sync.SEARCH_PATH = "test_time, public, pg_catalog"
TIME_OF_SERVER = """
create schema if not exists test_time;
create or replace function test_time.passed() returns interval language sql stable
    as $$ select make_interval(secs => coalesce(nullif(current_setting('test.seconds', true), ''), '0')::float8) $$;
create or replace function test_time.clock_timestamp() returns timestamptz language sql volatile
    as $$ select pg_catalog.clock_timestamp() + test_time.passed() $$;
create or replace function test_time.now() returns timestamptz language sql stable
    as $$ select pg_catalog.now() + test_time.passed() $$
"""


class Syncing:
    """A leader that does nothing but sync, or the sync beside `led`, which uploads."""

    def __init__(
        self, url: str, account: ShipStationSimulator, at: Time, led: Leader | None = None, **flags: Any
    ) -> None:
        self.url, self.account, self.time, self._led = url, account, at, led
        self.flags = Flags(api_calls_per_hour=1_000_000, **flags)
        self.metrics = Metrics("test")
        account.clock = at.utc
        self._shipstation = ShipStation(account.url, account.api_key, account.api_secret)
        self._sessions: list[Connection] = []
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute(TIME_OF_SERVER)
        self.lead()

    def lead(self) -> None:
        """Begin an epoch, with a sync that knows nothing yet: as at a start, or after a crash."""
        for session in self._sessions:
            session.close()
        self._sessions = []
        window = None
        if self._led:
            self.db, self.epoch, window = self._led.db, self._led.epoch, self._led.window
        else:
            self._lead_alone()
        self.sync = SyncStatus(self._connect, self._shipstation, self.metrics, self.time.monotonic, window)

    def _lead_alone(self) -> None:
        self.db = connect_work(self.url, "listener test work")
        self._sessions = [self.db]
        self.time.rule(self.db)
        self.epoch = int(eventually(lambda: leader.lead(self.db, "test", by_lease=False)) or 0)

    def _connect(self) -> Connection:
        session = connect_step(self.url, "listener test step")
        self.time.rule(session)
        self._sessions.append(session)
        return session

    def step(self) -> Synced:
        """Make one step. Raises what it raises."""
        return self.sync.step(self.epoch, self.flags, "manual")

    def cycle(self, steps: int = 400) -> int:
        """Go on until the cycle is over, waiting for calls where it must; return how many rows it has changed."""
        for _ in range(steps):
            synced = self.step()
            if synced.over:
                return synced.report.done
            if synced.report.retry_after is not None:
                self.time.advance(synced.report.retry_after + 0.01)
        raise AssertionError(f"the cycle was not over after {steps} steps")

    def next_cycle(self) -> int:
        """Let the interval pass, and run a cycle."""
        self.time.advance(self.flags.sync_interval)
        return self.cycle()

    def close(self) -> None:
        self.sync.close()
        for session in self._sessions:
            session.close()
        self._shipstation.close()

    def calls(self, path: str) -> list[Any]:
        """Return the queries of the calls of this path so far."""
        return [request.query for request in self.account.requests if request.path == path]


@contextmanager
def syncing(
    url: str, account: ShipStationSimulator, at: Time | None = None, led: Leader | None = None, **flags: Any
) -> Iterator[Syncing]:
    """Sync this database for a while."""
    made = Syncing(url, account, at or Time(), led, **flags)
    try:
        yield made
    finally:
        made.close()


def upload(shop: Connection, account: ShipStationSimulator, number: str, **sent: Any) -> str:
    """Have an order on both sides, as the upload leaves it; return its id at ShipStation."""
    items = [{"sku": "17001 - L1", "quantity": 2, "unitPrice": 19.99}]
    there = account.user.create_manual(number, **({"items": items} | sent))
    insert_order(shop, number, items=(("17001", 2, 1999),))
    shop.execute(
        "update orders_inbox set status = 'uploaded', shipstation_order_id = %s where order_number = %s",
        [str(there["orderId"]), number],
    )
    return str(there["orderId"])


# What the tests ask.


def status_of(shop: Connection, number: str) -> str:
    query = "select status from orders_inbox where order_number = %s"
    row = shop.execute(query, [number]).fetchone()
    assert row is not None, f"there is no order {number}"
    return str(row[0])


def tracking_of(shop: Connection, number: str) -> str | None:
    query = "select tracking_number from orders_inbox where order_number = %s"
    row = shop.execute(query, [number]).fetchone()
    assert row is not None, f"there is no order {number}"
    tracking: str | None = row[0]
    return tracking


def set_row(shop: Connection, number: str, **values: Any) -> None:
    """Change a row as the shop, or an earlier program, does."""
    for column, value in values.items():
        shop.execute(f"update orders_inbox set {column} = %s where order_number = %s".encode(), [value, number])


def failures(shop: Connection) -> list[tuple[Any, ...]]:
    return shop.execute("select kind, id, error, tries from listener.sync_failures order by kind, id").fetchall()


def conflicts(shop: Connection) -> list[tuple[Any, ...]]:
    return shop.execute("select order_key, kind, shipstation_order_ids from listener.conflicts order by id").fetchall()


def versions(shop: Connection) -> dict[str, tuple[str, Any]]:
    """Return who wrote each of the rows that the sync may write, and when: what did not change, was not written."""
    tables = ("orders_inbox", "order_items_inbox", "shipped_orders", "shipped_items", "sync_watermark")
    found = {}
    for table in tables:
        for row_id, xmin in shop.execute(f"select id, xmin::text from {table}".encode()):
            found[f"{table} {row_id}"] = xmin
    return found


def shipped(shop: Connection, number: str) -> tuple[Any, ...] | None:
    query = "select ship_date, shipstation_order_id, total_items from shipped_orders where order_number = %s"
    return shop.execute(query, [number]).fetchone()


def shipped_items(shop: Connection, number: str) -> list[tuple[Any, ...]]:
    query = (
        "select base_sku, sku_lot, quantity_shipped, tracking_number from shipped_items where order_number = %s"
        " order by base_sku, sku_lot"
    )
    return shop.execute(query, [number]).fetchall()
