"""Tracking: the parcel's number, carrier and service on the rows of shipped orders. Written only where one differs."""

from collections.abc import Sequence
from typing import NamedTuple

from listener.database import Connection
from listener.store.text import storable


class TrackingRow(NamedTuple):
    """What a row is to show of its labels; None leaves a value alone."""

    row_id: int
    order_number: str
    tracking_number: str | None
    carrier_code: str | None
    service_code: str | None
    service_name: str | None
    by_sku: dict[str, str]


SHOW_TRACKING_SQL = """
with wanted as materialized (
    select * from unnest(%(row_ids)s::integer[], %(trackings)s::text[], %(carriers)s::text[], %(services)s::text[],
                         %(names)s::text[]) as w (row_id, tracking, carrier, service, name)),
differing as materialized (
    select o.id from wanted w, lateral (select * from orders_inbox where id = w.row_id offset 0) o
    where (o.tracking_number, o.shipping_carrier_code, o.shipping_service_code, o.shipping_service_name)
          is distinct from (coalesce(w.tracking, o.tracking_number), coalesce(w.carrier, o.shipping_carrier_code),
                            coalesce(w.service, o.shipping_service_code), coalesce(w.name, o.shipping_service_name))),
ours as materialized (
    select o.id, o.status from orders_inbox o where o.id = any (array(select id from differing))
    order by o.id for update skip locked),
written as (
    update orders_inbox o set tracking_number = coalesce(w.tracking, o.tracking_number),
        shipping_carrier_code = coalesce(w.carrier, o.shipping_carrier_code),
        shipping_service_code = coalesce(w.service, o.shipping_service_code),
        shipping_service_name = coalesce(w.name, o.shipping_service_name), updated_at = localtimestamp
    from wanted w, ours where o.id = w.row_id and ours.id = o.id and ours.status = 'shipped' returning o.id)
select differing.id, exists (select from written where written.id = differing.id) from differing
"""
SHOW_ON_ORDERS_SQL = """
update shipped_orders s set shipping_carrier_code = coalesce(w.carrier, s.shipping_carrier_code),
    shipping_service_code = coalesce(w.service, s.shipping_service_code),
    shipping_service_name = coalesce(w.name, s.shipping_service_name)
from unnest(%(numbers)s::text[], %(carriers)s::text[], %(services)s::text[], %(names)s::text[])
     as w (number, carrier, service, name)
where s.order_number = w.number and (s.shipping_carrier_code, s.shipping_service_code, s.shipping_service_name)
      is distinct from (coalesce(w.carrier, s.shipping_carrier_code), coalesce(w.service, s.shipping_service_code),
                        coalesce(w.name, s.shipping_service_name))
"""
# An item's own parcel where that is known, else the order's first.
SHOW_ON_ITEMS_SQL = """
update shipped_items i set tracking_number = shown.tracking
from (select i.id, coalesce(
          (select own.tracking from unnest(%(own_numbers)s::text[], %(own_skus)s::text[], %(own_trackings)s::text[])
               as own (number, sku, tracking) where own.number = i.order_number and own.sku = i.base_sku limit 1),
          w.tracking) as tracking
      from unnest(%(numbers)s::text[], %(trackings)s::text[]) as w (number, tracking)
      join shipped_items i on i.order_number = w.number) shown
where i.id = shown.id and shown.tracking is not null and i.tracking_number is distinct from shown.tracking
"""


def show_tracking(connection: Connection, rows: Sequence[TrackingRow]) -> dict[int, bool]:
    """Show these on rows that are shipped, and in `shipped_*`; return {row id: it was written} of those that differed.

    A row that is locked, or is not shipped any more, is not written.
    """
    own = [(row.order_number, sku, tracking) for row in rows for sku, tracking in row.by_sku.items()]
    parameters = {
        "row_ids": [row.row_id for row in rows],
        "numbers": [row.order_number for row in rows],
        "trackings": [storable(row.tracking_number) for row in rows],
        "carriers": [storable(row.carrier_code) for row in rows],
        "services": [storable(row.service_code) for row in rows],
        "names": [storable(row.service_name) for row in rows],
        "own_numbers": [number for number, _, _ in own],
        "own_skus": [storable(sku) for _, sku, _ in own],
        "own_trackings": [storable(tracking) for _, _, tracking in own],
    }
    differed: dict[int, bool] = dict(connection.execute(SHOW_TRACKING_SQL, parameters).fetchall())
    if rows:
        connection.execute(SHOW_ON_ORDERS_SQL, parameters)
        connection.execute(SHOW_ON_ITEMS_SQL, parameters)
    return differed
