"""A listener that is killed in the middle of a file imports it again, and each order arrives once."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, value_of
from tests.support.wait import eventually

ORDERS = 600
BLOCKED = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name like 'listener %% step' and wait_event_type = 'Lock'
"""


def test_killed_in_the_middle_of_a_file(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    tmp_path: Path,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    (tmp_path / "orders.xml").write_bytes(orders_xml(ORDERS, datetime.now(UTC).date()))
    listener = listener_process(dsn, ORDER_SOURCE=str(tmp_path))
    with psycopg.connect(dsn) as other:
        other.execute(
            f"insert into orders_inbox (order_number, order_date) values ('{600000 + ORDERS}', now())".encode()
        )
        eventually(lambda: value_of(shop, BLOCKED), timeout=10)
        listener.kill()
        other.rollback()
    eventually(
        lambda: value_of(shop, "select count(*) from pg_locks where relation = 'orders_inbox'::regclass"),
        lambda locks: locks == 0,
    )
    assert value_of(shop, "select count(*) from orders_inbox") == 0
    listener = listener_process(dsn, ORDER_SOURCE=str(tmp_path))
    listener.wait_for(f"Imported orders.xml: {ORDERS} orders, {ORDERS} new, 0 known, 0 refused", 20)
    assert account.wait_for_orders(ORDERS, 30)
    assert Counter(order["orderNumber"] for order in account.orders) == Counter(
        {str(600001 + number): 1 for number in range(ORDERS)}
    )
