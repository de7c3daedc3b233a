"""600 orders as production has them, in the plan's proportions: nearly all shipped, and two that still wait.

Every one of them that has left the inbox is at ShipStation under a number without a key of ours, as the old scripts
made them. Data is invented.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from listener.embedded.shipstation import ShipStationSimulator
from scripts.rehearsal.shipstation_api import create_orders
from tests.support.shop import Connection

SHIPPED, CANCELLED, ON_HOLD, THERE, PENDING = range(5)
STATUSES = {SHIPPED: "shipped", CANCELLED: "cancelled", ON_HOLD: "on_hold"}  # the others await shipment
COUNTS = {SHIPPED: 581, CANCELLED: 16, ON_HOLD: 1, THERE: 1, PENDING: 1}
"""The plan counts 571 shipped, 16 cancelled, 1 on hold and 2 that await shipment; ten more have been shipped since.
Of the two, one is at ShipStation and one is not."""

FIRST_NUMBER = 400_001
DAYS = 120

ORDER_SQL = """
insert into orders_inbox (order_number, order_date, status, shipstation_order_id, total_items, tracking_number,
                          created_at, ship_name, ship_street1, ship_city, ship_state, ship_postal_code, ship_country)
values (%s, %s, %s, %s, 1, %s, %s, 'Ada Example', '1 Sample Street', 'Springfield', 'IL', '62701', 'US')
"""
ITEMS_SQL = """
insert into order_items_inbox (order_inbox_id, sku, quantity, unit_price_cents)
select id, '17001', 1, 1999 from orders_inbox
"""
SHIPPED_SQL = """
with orders as (
    insert into shipped_orders (ship_date, order_number, total_items, shipstation_order_id)
    select order_date::text, order_number, 1, shipstation_order_id from orders_inbox where status = 'shipped'
    returning order_number, ship_date)
insert into shipped_items (ship_date, base_sku, quantity_shipped, order_number)
select ship_date, '17001', 1, order_number from orders
"""
SETTINGS_SQL = """
insert into configuration_params (category, parameter_name, value) values
    ('Polling', 'fast_polling_interval', '1'), ('Polling', 'api_calls_per_hour', '1000000')
"""
"""The shop's own rows, which no rollback takes away: a rehearsal has no time to wait 15 s for a heartbeat."""


def kinds() -> Iterator[tuple[str, int]]:
    """Yield each order's number and what became of it, oldest first; those that wait are the newest."""
    number = FIRST_NUMBER
    for kind, count in COUNTS.items():
        for _ in range(count):
            yield str(number), kind
            number += 1


def make_past(shop: Connection, account: ShipStationSimulator) -> list[str]:
    """Fill the tables and the account; return the numbers of all orders."""
    orders = list(kinds())
    now = datetime.now(UTC).replace(tzinfo=None)
    born = {
        number: now - timedelta(days=DAYS) * (len(orders) - place) / len(orders)
        for place, (number, _) in enumerate(orders, 1)
    }
    _at_shipstation(account, orders)
    ids = {order["orderNumber"]: str(order["orderId"]) for order in account.orders}
    tracking = {shipment["orderNumber"]: shipment["trackingNumber"] for shipment in account.shipments}
    with shop.transaction(), shop.cursor() as cursor:
        cursor.executemany(
            ORDER_SQL,
            [
                _row(number, born[number], STATUSES.get(kind), ids.get(number), tracking.get(number))
                for number, kind in orders
            ],
        )
        cursor.execute(ITEMS_SQL)
        cursor.execute(SHIPPED_SQL)
        cursor.execute(SETTINGS_SQL)
    return [number for number, _ in orders]


def _row(number: str, born: datetime, status: str | None, there: str | None, tracking: str | None) -> list[Any]:
    return [number, born.date(), status or "awaiting_shipment", there, tracking, born]


def _at_shipstation(account: ShipStationSimulator, orders: list[tuple[str, int]]) -> None:
    create_orders(account, [number for number, kind in orders if kind != PENDING])
    for number, kind in orders:
        if kind == SHIPPED:
            account.user.ship(number)
        elif kind == CANCELLED:
            account.user.cancel(number)
        elif kind == ON_HOLD:
            account.user.hold(number, (datetime.now(UTC) + timedelta(days=30)).date().isoformat())
