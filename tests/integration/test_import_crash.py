"""A file is in the database whole or not at all, at whatever point the import dies, and comes once.

Each point is held from outside, by a lock of the test's. There the import's session is ended, which is all that the
database sees of a crash; tests/chaos/test_import_kills.py kills a process.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from listener.errors import Transient
from listener.workflows import order_spool
from tests.support.importing import Shop, orders_xml
from tests.support.wait import eventually

ORDERS = 2 * order_spool.ORDERS_A_CHUNK
NUMBERS = [str(number) for number in range(ORDERS)]
FILE = orders_xml(*NUMBERS, "0")  # the last is refused: its number was there before

# Where the import is when it dies, and what holds it there.
POINTS = {
    "before it knows which files were read": "lock table listener.imports in access exclusive mode",
    "before the file's row": "lock table listener.imports in share mode",
    "before the bundles are read": "lock table bundle_components in access exclusive mode",
    "before the numbers are looked up": "lock table shipped_orders in access exclusive mode",
    "before the first orders": "lock table orders_inbox in share mode",
    "between the orders and their lines": "lock table order_items_inbox in share mode",
    "after the first orders": "lock table listener.imported_orders in share mode",
    "in the middle of the orders": f"insert into orders_inbox (order_number, order_date) values ({ORDERS - 1}, now())",
    "after the last order": "lock table listener.quarantine in share mode",
    "before the file's figures": "lock table listener.quarantine in share row exclusive mode",
}
BLOCKED = "select pid from pg_stat_activity where application_name = 'test step' and wait_event_type = 'Lock'"
TABLES = ("orders_inbox", "order_items_inbox", "listener.imports", "listener.imported_orders", "listener.quarantine")
HELD = f"select {', '.join(f'(select count(*) from {table})' for table in TABLES)}"


@pytest.fixture
def shop(dsn: str, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(dsn, tmp_path)
    yield shop
    shop.close()


def die_at(shop: Shop, lock: str) -> None:
    """Run the import up to a lock, and end its session there."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            shop.run()
        except Transient as error:
            ended.append(error)

    with psycopg.connect(shop.dsn) as locker:
        locker.execute(lock.encode())
        importing = threading.Thread(target=run)
        importing.start()
        ((pid,),) = eventually(lambda: shop.rows(BLOCKED))
        shop.db.execute("select pg_terminate_backend(%s)", [pid])
        importing.join(10)
        locker.rollback()
    assert [str(error) for error in ended if "terminating connection" in str(error)]


@pytest.mark.parametrize("point", POINTS)
def test_what_dies_leaves_nothing_behind_and_is_done_again(shop: Shop, point: str) -> None:
    shop.put("orders.xml", FILE)
    die_at(shop, POINTS[point])
    assert shop.rows(HELD) == [(0, 0, 0, 0, 0)]
    shop.workflow = shop.another()
    shop.run()
    assert shop.numbers() == NUMBERS
    assert shop.rows(HELD) == [(ORDERS, ORDERS, 1, ORDERS, 1)]


def test_what_dies_after_the_commit_is_not_done_again(shop: Shop) -> None:
    shop.put("orders.xml", FILE)
    shop.run()
    before = shop.rows("select id, order_number, xmin::text from orders_inbox")
    shop.workflow.close()
    shop.workflow = shop.another()
    shop.run()
    assert shop.rows("select id, order_number, xmin::text from orders_inbox") == before
    assert shop.rows(HELD) == [(ORDERS, ORDERS, 1, ORDERS, 1)]
