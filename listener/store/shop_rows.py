"""Rows of `orders_inbox` as the sync sees and changes them. A row is written only where something differs.

A pending row (`store.inbox.PENDING`) is never changed here, and none is made: no statement writes 'awaiting_shipment'
or takes an id away. What somebody else has locked, or changed since it was read, is left, and the caller is told.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from listener.database import Connection
from listener.shipstation.details import ItemRow
from listener.store.outside import instant, text
from listener.store.text import storable


class LocalRow(NamedTuple):
    """A row that may show an order of ShipStation.

    line_ids:   ShipStation's ids that the row's lines were uploaded under
    is_ledgers: it is the one that the ledger means by this number
    """

    id: int
    order_number: str
    order_key: str
    status: str
    shipstation_order_id: str
    source_system: str
    created_at: datetime | None
    customer_email: str
    total_items: int
    line_ids: list[str]
    is_ledgers: bool

    @property
    def is_pending(self) -> bool:
        """In the words of `store.inbox.PENDING`: it waits to be uploaded."""
        return self.status == "awaiting_shipment" and not self.shipstation_order_id


# OFFSET 0: a probe of an index for each, whatever the planner knows of the tables.
ROWS_SQL = f"""
with page as materialized (
    select id, pg_catalog.upper(pg_catalog.btrim(number)) as key
    from unnest(%(ids)s::text[], %(numbers)s::text[]) as page (id, number)),
ledger as materialized (
    select page.id, l.order_inbox_id as row_id from page, lateral (
        select order_inbox_id from listener.ledger where order_key = page.key offset 0) l),
found as (
    select page.id, o.id as row_id from page, lateral (
        select o.id from orders_inbox o where pg_catalog.upper(pg_catalog.btrim(o.order_number)) = page.key offset 0) o
    union select id, row_id from ledger
    union select related.id, l.order_inbox_id
    from unnest(%(of)s::text[], %(others)s::text[]) as related (id, other), lateral (
        select order_inbox_id from listener.links where shipstation_order_id = related.other offset 0) l)
select found.id, o.id, o.order_number, pg_catalog.upper(pg_catalog.btrim(o.order_number)), o.status,
       coalesce(o.shipstation_order_id, ''), {text("o.source_system")}, {instant("o.created_at")},
       {text("o.customer_email")}, coalesce(o.total_items, 0),
       array(select distinct shipstation_order_id from shipstation_order_line_items i where i.order_inbox_id = o.id),
       exists (select from ledger where ledger.id = found.id and ledger.row_id = o.id)
from found, lateral (select * from orders_inbox where id = found.row_id offset 0) o
order by o.id
"""


def rows_for(
    connection: Connection, orders: Sequence[tuple[str, str]], related: Sequence[tuple[str, str]]
) -> dict[str, list[LocalRow]]:
    """Return, by ShipStation's id, the rows that may show these (id, number).

    Found by number, by the ledger, and by what was linked to the orders or to those `related`: (id, other id) pairs.
    """
    parameters = {
        "ids": [order_id for order_id, _ in orders],
        "numbers": [storable(number) for _, number in orders],
        "of": [order_id for order_id, _ in related],
        "others": [other for _, other in related],
    }
    rows: dict[str, list[LocalRow]] = {order_id: [] for order_id, _ in orders}
    for order_id, *row in connection.execute(ROWS_SQL, parameters):
        rows[order_id].append(LocalRow(*row))
    return rows


class RowChange(NamedTuple):
    """What a row is to show. `seen_*`: what it showed when that was decided; None elsewhere leaves a value alone."""

    row_id: int
    seen_status: str
    seen_id: str
    status: str
    shipstation_order_id: str
    carrier_code: str | None
    carrier_id: str | None
    service_code: str | None
    service_name: str | None
    total_items: int | None
    drop_tracking: bool


class Written(StrEnum):
    """What became of a change."""

    SAME = "same"  # the row shows it already
    DONE = "done"
    BUSY = "busy"  # somebody has it locked, or has changed it since


_DIFFERS = """
(o.status, coalesce(o.shipstation_order_id, ''), o.shipping_carrier_code, o.shipping_carrier_id,
 o.shipping_service_code, o.shipping_service_name, o.total_items, o.tracking_number) is distinct from
(w.status, w.shipstation_id, coalesce(w.carrier_code, o.shipping_carrier_code),
 coalesce(w.carrier_id, o.shipping_carrier_id), coalesce(w.service_code, o.shipping_service_code),
 coalesce(w.service_name, o.shipping_service_name), coalesce(w.total_items, o.total_items),
 case when w.drop_tracking then null else o.tracking_number end)
"""
# Rows are locked in the order of their ids. What is locked by others is left out, so nobody waits for anybody.
CHANGE_SQL = f"""
with wanted as materialized (
    select * from unnest(%(row_ids)s::integer[], %(seen_statuses)s::text[], %(seen_ids)s::text[], %(statuses)s::text[],
                         %(shipstation_ids)s::text[], %(carrier_codes)s::text[], %(carrier_ids)s::text[],
                         %(service_codes)s::text[], %(service_names)s::text[], %(totals)s::integer[],
                         %(drops)s::boolean[])
        as w (row_id, seen_status, seen_id, status, shipstation_id, carrier_code, carrier_id, service_code,
              service_name, total_items, drop_tracking)),
differing as materialized (
    select w.row_id from wanted w, lateral (select * from orders_inbox where id = w.row_id offset 0) o
    where {_DIFFERS}),
ours as materialized (
    select o.id, o.status, coalesce(o.shipstation_order_id, '') as shipstation_id from orders_inbox o
    where o.id = any (array(select row_id from differing)) order by o.id for update skip locked),
written as (
    update orders_inbox o set
        status = w.status, shipstation_order_id = w.shipstation_id,
        shipping_carrier_code = coalesce(w.carrier_code, o.shipping_carrier_code),
        shipping_carrier_id = coalesce(w.carrier_id, o.shipping_carrier_id),
        shipping_service_code = coalesce(w.service_code, o.shipping_service_code),
        shipping_service_name = coalesce(w.service_name, o.shipping_service_name),
        total_items = coalesce(w.total_items, o.total_items),
        tracking_number = case when w.drop_tracking then null else o.tracking_number end,
        failure_reason = case when o.status = 'failed' and w.status <> 'failed' then null else o.failure_reason end,
        updated_at = localtimestamp
    from wanted w join ours on ours.id = w.row_id
    where o.id = w.row_id and ours.status = w.seen_status and ours.shipstation_id = w.seen_id
    returning o.id)
select w.row_id, case when exists (select from written where id = w.row_id) then 'done'
                      when exists (select from differing where row_id = w.row_id) then 'busy' else 'same' end
from wanted w
"""


def change_rows(connection: Connection, changes: Sequence[RowChange]) -> dict[int, Written]:
    """Have these rows show what they are to show; return what became of each, by row id."""
    parameters = {
        "row_ids": [c.row_id for c in changes],
        "seen_statuses": [c.seen_status for c in changes],
        "seen_ids": [c.seen_id for c in changes],
        "statuses": [c.status for c in changes],
        "shipstation_ids": [c.shipstation_order_id for c in changes],
        "carrier_codes": [storable(c.carrier_code) for c in changes],
        "carrier_ids": [storable(c.carrier_id) for c in changes],
        "service_codes": [storable(c.service_code) for c in changes],
        "service_names": [storable(c.service_name) for c in changes],
        "totals": [c.total_items for c in changes],
        "drops": [c.drop_tracking for c in changes],
    }
    return {row_id: Written(became) for row_id, became in connection.execute(CHANGE_SQL, parameters)}


class Items(NamedTuple):
    """The lines of one row. `replace`: they are ShipStation's to say; else they are given to a row that has none."""

    row_id: int
    replace: bool
    rows: list[ItemRow]


TAKE_ITEMS_SQL = """
delete from order_items_inbox i where i.order_inbox_id = any (%(replaced)s)
and not exists (select from unnest(%(row_ids)s::integer[], %(skus)s::text[]) as w (row_id, sku)
                where w.row_id = i.order_inbox_id and w.sku = i.sku)
returning order_inbox_id
"""
PUT_ITEMS_SQL = """
insert into order_items_inbox as i (order_inbox_id, sku, sku_lot, quantity, unit_price_cents)
select w.* from unnest(%(row_ids)s::integer[], %(skus)s::text[], %(lots)s::text[], %(quantities)s::integer[],
                       %(cents)s::integer[]) as w (row_id, sku, sku_lot, quantity, cents)
where w.row_id = any (%(replaced)s)
   or not exists (select from order_items_inbox there where there.order_inbox_id = w.row_id)
on conflict (order_inbox_id, sku) do update set sku_lot = excluded.sku_lot, quantity = excluded.quantity,
    unit_price_cents = excluded.unit_price_cents
where i.order_inbox_id = any (%(replaced)s)
  and (i.sku_lot, i.quantity, i.unit_price_cents)
      is distinct from (excluded.sku_lot, excluded.quantity, excluded.unit_price_cents)
returning order_inbox_id
"""


def put_items(connection: Connection, items: Sequence[Items]) -> set[int]:
    """Give rows their lines; return the ids of the rows for which something changed."""
    lines = [(of.row_id, row) for of in items for row in of.rows]
    if not lines:
        return set()
    parameters = {
        "replaced": [of.row_id for of in items if of.replace and of.rows],
        "row_ids": [row_id for row_id, _ in lines],
        "skus": [storable(row.sku) for _, row in lines],
        "lots": [storable(row.sku_lot) for _, row in lines],
        "quantities": [row.quantity for _, row in lines],
        "cents": [row.unit_price_cents for _, row in lines],
    }
    taken = {row_id for (row_id,) in connection.execute(TAKE_ITEMS_SQL, parameters)}
    return taken | {row_id for (row_id,) in connection.execute(PUT_ITEMS_SQL, parameters)}
