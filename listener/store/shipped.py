"""`shipped_orders` and `shipped_items`: what has left the house, as long as ShipStation says so.

Written only where something differs. A number that stands here is never uploaded again; so does its row's id see to it,
and the ledger: what is taken out here when a label was voided is not sent again for that.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from listener.database import Connection
from listener.store.text import storable


class ShippedOrder(NamedTuple):
    """A row of `shipped_orders`. None leaves a value alone; `ordered_on` stands in for a ship date nobody knows."""

    order_number: str
    ship_date: date | None
    ordered_on: date
    customer_email: str | None
    total_items: int | None
    shipstation_order_id: str
    carrier_code: str | None
    carrier_id: str | None
    service_code: str | None
    service_name: str | None


PUT_ORDERS_SQL = """
insert into shipped_orders as s (order_number, ship_date, customer_email, total_items, shipstation_order_id,
    shipping_carrier_code, shipping_carrier_id, shipping_service_code, shipping_service_name)
select * from unnest(%(numbers)s::text[], %(dates)s::text[], %(emails)s::text[], %(totals)s::integer[],
                     %(ids)s::text[], %(carrier_codes)s::text[], %(carrier_ids)s::text[], %(service_codes)s::text[],
                     %(service_names)s::text[])
on conflict (order_number) do update set
    ship_date = case when s.order_number = any (%(dated)s) then excluded.ship_date else s.ship_date end,
    customer_email = coalesce(excluded.customer_email, s.customer_email),
    total_items = coalesce(excluded.total_items, s.total_items), shipstation_order_id = excluded.shipstation_order_id,
    shipping_carrier_code = coalesce(excluded.shipping_carrier_code, s.shipping_carrier_code),
    shipping_carrier_id = coalesce(excluded.shipping_carrier_id, s.shipping_carrier_id),
    shipping_service_code = coalesce(excluded.shipping_service_code, s.shipping_service_code),
    shipping_service_name = coalesce(excluded.shipping_service_name, s.shipping_service_name)
where (s.ship_date, s.customer_email, s.total_items, s.shipstation_order_id, s.shipping_carrier_code,
       s.shipping_carrier_id, s.shipping_service_code, s.shipping_service_name) is distinct from
      (case when s.order_number = any (%(dated)s) then excluded.ship_date else s.ship_date end,
       coalesce(excluded.customer_email, s.customer_email),
       coalesce(excluded.total_items, s.total_items), excluded.shipstation_order_id,
       coalesce(excluded.shipping_carrier_code, s.shipping_carrier_code),
       coalesce(excluded.shipping_carrier_id, s.shipping_carrier_id),
       coalesce(excluded.shipping_service_code, s.shipping_service_code),
       coalesce(excluded.shipping_service_name, s.shipping_service_name))
returning order_number
"""


def put_shipped_orders(connection: Connection, orders: Sequence[ShippedOrder]) -> set[str]:
    """Write that these have been shipped; return the numbers for which something changed."""
    orders = sorted(orders, key=lambda order: order.order_number)
    parameters = {
        "numbers": [order.order_number for order in orders],
        "dated": [order.order_number for order in orders if order.ship_date],
        "dates": [(order.ship_date or order.ordered_on).isoformat() for order in orders],
        "emails": [storable(order.customer_email) for order in orders],
        "totals": [order.total_items for order in orders],
        "ids": [order.shipstation_order_id for order in orders],
        "carrier_codes": [storable(order.carrier_code) for order in orders],
        "carrier_ids": [storable(order.carrier_id) for order in orders],
        "service_codes": [storable(order.service_code) for order in orders],
        "service_names": [storable(order.service_name) for order in orders],
    }
    return {number for (number,) in connection.execute(PUT_ORDERS_SQL, parameters)}


# An order's items are those given and no others: the programs before this one wrote the same item in several ways, and
# it must not count twice.
TAKE_ITEMS_SQL = """
delete from shipped_items i where i.order_number = any (%(numbers)s::text[])
and not exists (select from unnest(%(numbers)s::text[], %(skus)s::text[], %(lots)s::text[]) as w (number, sku, lot)
                where w.number = i.order_number and w.sku = i.base_sku and w.lot = i.sku_lot)
returning order_number
"""
PUT_ITEMS_SQL = """
insert into shipped_items as i (order_number, base_sku, sku_lot, quantity_shipped, ship_date)
select w.number, w.sku, w.lot, w.quantity, s.ship_date
from unnest(%(numbers)s::text[], %(skus)s::text[], %(lots)s::text[], %(quantities)s::integer[])
     as w (number, sku, lot, quantity)
join shipped_orders s on s.order_number = w.number
on conflict (order_number, base_sku, sku_lot) do update set quantity_shipped = excluded.quantity_shipped,
    ship_date = excluded.ship_date
where (i.quantity_shipped, i.ship_date) is distinct from (excluded.quantity_shipped, excluded.ship_date)
returning order_number
"""


def put_shipped_items(connection: Connection, items: Mapping[str, Mapping[tuple[str, str], int]]) -> set[str]:
    """Write what the orders held, {order number: {(SKU, "SKU - LOT"): pieces}}; return the numbers that changed.

    An order of which no items are known is left as it is.
    """
    lines = [(number, *identity, pieces) for number in sorted(items) for identity, pieces in items[number].items()]
    if not lines:
        return set()
    parameters = {
        "numbers": [number for number, *_ in lines],
        "skus": [storable(sku) for _, sku, _, _ in lines],
        "lots": [storable(lot) for _, _, lot, _ in lines],
        "quantities": [pieces for *_, pieces in lines],
    }
    taken = {number for (number,) in connection.execute(TAKE_ITEMS_SQL, parameters)}
    return taken | {number for (number,) in connection.execute(PUT_ITEMS_SQL, parameters)}


# Rows that bear another order's id are another order's.
TAKE_BACK_SQL = """
with gone as (
    delete from shipped_orders s using unnest(%(numbers)s::text[], %(ids)s::text[]) as w (number, id)
    where s.order_number = w.number and coalesce(s.shipstation_order_id, '') in ('', w.id)
    returning s.order_number)
delete from shipped_items i using gone where i.order_number = gone.order_number
"""


def take_back_shipped(connection: Connection, orders: Sequence[tuple[str, str]]) -> None:
    """Take out these (order number, ShipStation's id): they are not shipped any more."""
    parameters = {"numbers": [number for number, _ in orders], "ids": [order_id for _, order_id in orders]}
    if orders:
        connection.execute(TAKE_BACK_SQL, parameters)


LOCAL_ITEMS_SQL = """
select o.order_number, i.sku, coalesce(nullif(i.sku_lot, ''), i.sku), i.quantity
from orders_inbox o join order_items_inbox i on i.order_inbox_id = o.id where o.id = any (%s)
"""


def local_items(connection: Connection, row_ids: Sequence[int]) -> dict[str, dict[tuple[str, str], int]]:
    """Return what these rows hold themselves, in the form of `put_shipped_items`."""
    found: dict[str, dict[tuple[str, str], int]] = {}
    for number, sku, lot, pieces in connection.execute(LOCAL_ITEMS_SQL, [list(row_ids)]):
        found.setdefault(number, {})[sku, lot] = pieces
    return found
