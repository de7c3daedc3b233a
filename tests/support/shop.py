"""The shop's side: writers of orders and flags, as they write in production. Data is invented."""

from collections.abc import Sequence
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

INSERT_ORDER = """
insert into orders_inbox (order_number, order_date, status, customer_email, total_items, ship_name, ship_street1,
                          ship_city, ship_state, ship_postal_code, ship_country)
values (%s, current_date, %s, 'customer@example.com', %s, 'Ada Example', '1 Sample Street', 'Springfield', 'IL',
        '62701', 'US') returning id
"""


def insert_order(
    connection: Connection,
    number: str,
    *,
    status: str = "awaiting_shipment",
    items: Sequence[tuple[str, int, int]] = (("17001", 1, 1999),),
) -> int:
    """Insert an order and its items (SKU, quantity, cents) in one transaction, or in the one that is open."""
    with connection.transaction():
        pieces = sum(quantity for _, quantity, _ in items)
        row = connection.execute(INSERT_ORDER, [number, status, pieces]).fetchone()
        assert row is not None
        insert_items(connection, row[0], items)
    return int(row[0])


def insert_items(connection: Connection, order_id: int, items: Sequence[tuple[str, int, int]]) -> None:
    for sku, quantity, cents in items:
        connection.execute(
            "insert into order_items_inbox (order_inbox_id, sku, quantity, unit_price_cents) values (%s, %s, %s, %s)",
            [order_id, sku, quantity, cents],
        )


def set_flag(connection: Connection, name: str, value: str) -> None:
    """Set a flag as an operator does."""
    connection.execute(
        "update configuration_params set value = %s where category = 'Polling' and parameter_name = %s and sku is null",
        [value, name],
    )


def switch(connection: Connection, workflow: str, *, on: bool) -> None:
    connection.execute("update workflow_controls set enabled = %s where workflow_name = %s", [on, workflow])


def only_the_bell(connection: Connection) -> None:
    """Set the heartbeat to an hour, and open the budget wide: what goes now goes because something rang."""
    set_flag(connection, "fast_polling_interval", "3600")
    set_flag(connection, "api_calls_per_hour", "1000000")


def row_of(connection: Connection, number: str) -> tuple[Any, ...]:
    """Return (status, shipstation_order_id, failure_reason) of an order."""
    query = "select status, shipstation_order_id, failure_reason from orders_inbox where order_number = %s"
    row = connection.execute(query, [number]).fetchone()
    assert row is not None
    return row


def value_of(connection: Connection, query: str, *parameters: Any) -> Any:
    """Return the first column of the first row; None when there is none."""
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
