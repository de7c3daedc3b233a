"""`listener.links`: which row shows which order of ShipStation, what it was made to show, and whose labels to read.

Written by the sync alone. An order that no row shows has no line here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from listener.database import Connection
from listener.store.text import storable


class Link(NamedTuple):
    """What a row shows of an order.

    whole_id:        the order that it was merged into, or split from
    shown_status:    None leaves what stands there
    parts:           of a part of a split order: [[SKU, "SKU - LOT", pieces], …]
    wants_shipments: it is shipped, so its labels are to be read, if those of this version have not been
    """

    shipstation_order_id: str
    order_inbox_id: int
    whole_id: str | None
    shown_status: str | None
    modified_at: datetime
    parts: list[list[Any]] | None
    wants_shipments: bool


PUT_SQL = """
insert into listener.links as l (shipstation_order_id, order_inbox_id, whole_id, shown_status, modified_at, parts,
                                 shipments_due)
select id, row_id, whole_id, shown, modified_at, parts, case when wants then clock_timestamp() end
from unnest(%(ids)s::text[], %(row_ids)s::integer[], %(wholes)s::text[], %(shown)s::text[],
            %(modified)s::timestamptz[], %(parts)s::jsonb[], %(wants)s::boolean[])
     as w (id, row_id, whole_id, shown, modified_at, parts, wants)
order by id
on conflict (shipstation_order_id) do update set
    order_inbox_id = excluded.order_inbox_id, whole_id = excluded.whole_id,
    shown_status = coalesce(excluded.shown_status, l.shown_status), modified_at = excluded.modified_at,
    parts = excluded.parts,
    shipments_due = case when excluded.shipments_due is null then null
                         when l.shipments_of is distinct from excluded.modified_at
                         then coalesce(l.shipments_due, excluded.shipments_due) end,
    shipments_of = case when excluded.shipments_due is not null then l.shipments_of end,
    shipments_tries = case when l.modified_at = excluded.modified_at or l.shipments_tries < 0 then l.shipments_tries
                           else 0 end
where (l.order_inbox_id, l.whole_id, l.shown_status, l.modified_at, l.parts) is distinct from
      (excluded.order_inbox_id, excluded.whole_id, coalesce(excluded.shown_status, l.shown_status),
       excluded.modified_at, excluded.parts)
   or excluded.shipments_due is null and (l.shipments_due is not null or l.shipments_of is not null)
"""


def put_links(connection: Connection, links: Sequence[Link]) -> None:
    """Remember these."""
    unique = {link.shipstation_order_id: link for link in links}.values()
    parameters = {
        "ids": [link.shipstation_order_id for link in unique],
        "row_ids": [link.order_inbox_id for link in unique],
        "wholes": [link.whole_id for link in unique],
        "shown": [storable(link.shown_status) for link in unique],
        "modified": [link.modified_at for link in unique],
        "parts": [None if link.parts is None else Jsonb(link.parts) for link in unique],
        "wants": [link.wants_shipments for link in unique],
    }
    if links:
        connection.execute(PUT_SQL, parameters)


SHOWN_SQL = "select shipstation_order_id, shown_status from listener.links where shipstation_order_id = any (%s)"


def shown_statuses(connection: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """Return what the rows of these orders were last made to show."""
    return dict(connection.execute(SHOWN_SQL, [list(ids)]).fetchall())


# Only where it is known what is left of the whole: a part alone would stand for all of it.
PARTS_SQL = """
select l.order_inbox_id, l.parts from listener.links l
where l.order_inbox_id = any (%s) and l.parts is not null and l.shown_status = 'shipped'
  and exists (select from listener.links w
              where w.order_inbox_id = l.order_inbox_id and w.whole_id is null and w.parts is not null)
"""


def shipped_parts(connection: Connection, row_ids: Sequence[int]) -> dict[int, dict[tuple[str, str], int]]:
    """Return what has left of split orders, by row: all parts that are shipped, summed."""
    sums: dict[int, dict[tuple[str, str], int]] = {}
    for row_id, parts in connection.execute(PARTS_SQL, [list(row_ids)]):
        of_row = sums.setdefault(row_id, {})
        for sku, lot, pieces in parts:
            of_row[sku, lot] = of_row.get((sku, lot), 0) + int(pieces)
    return sums


class Wanted(NamedTuple):
    """An order whose labels are to be read, as of the version `modified_at`."""

    shipstation_order_id: str
    modified_at: datetime
    tries: int


WANTED_SQL = """
select shipstation_order_id, modified_at, shipments_tries from listener.links
where shipments_due <= clock_timestamp() order by shipments_due, modified_at limit %s
"""


def wanted_shipments(connection: Connection, limit: int) -> list[Wanted]:
    """Return the orders whose labels are due to be read, longest due first."""
    return [Wanted(*row) for row in connection.execute(WANTED_SQL, [limit])]


READ_SQL = """
update listener.links l set shipments_due = null, shipments_of = w.modified_at, shipments_tries = 0
from unnest(%(ids)s::text[], %(modified)s::timestamptz[]) as w (id, modified_at)
where l.shipstation_order_id = w.id and l.modified_at = w.modified_at and l.shipments_due is not null
"""
LATER_SQL = """
update listener.links l set shipments_tries = l.shipments_tries + %(tries)s,
    shipments_due = clock_timestamp() + pg_catalog.make_interval(
        secs => case when %(tries)s = 0 then 600 else 600 * 4 ^ least(l.shipments_tries + 1, 5) end)
from unnest(%(ids)s::text[], %(modified)s::timestamptz[]) as w (id, modified_at)
where l.shipstation_order_id = w.id and l.modified_at = w.modified_at and l.shipments_due is not null
"""


def note_shipments_read(connection: Connection, read: Sequence[Wanted]) -> None:
    """Remember that the labels of these versions have been read; one that has changed since stays due."""
    connection.execute(READ_SQL, _versions(read))


def put_off_shipments(connection: Connection, wanted: Sequence[Wanted], *, tried: bool) -> None:
    """Ask for the labels of these later. tried: ShipStation has said that there are none."""
    connection.execute(LATER_SQL, _versions(wanted) | {"tries": int(tried)})


def _versions(wanted: Sequence[Wanted]) -> dict[str, list[Any]]:
    return {"ids": [w.shipstation_order_id for w in wanted], "modified": [w.modified_at for w in wanted]}


ALL_OF_THEM = -1
"""In the place of tries: a list may not show all labels of this order, so it is asked for singly."""

WANT_ALL_SQL = f"""
update listener.links set shipments_due = clock_timestamp(), shipments_of = null, shipments_tries = {ALL_OF_THEM}
where shipstation_order_id = any (%s) and (shipments_of is not null or shipments_due is not null)
"""


def want_all_shipments(connection: Connection, ids: Sequence[str]) -> None:
    """Have all labels of these orders read, whenever they were made."""
    connection.execute(WANT_ALL_SQL, [list(ids)])


class Tracked(NamedTuple):
    """A shipped row, and the order at ShipStation whose labels are its own."""

    shipstation_order_id: str
    row_id: int
    order_number: str
    tracking_number: str


# An order that was merged into another goes with that one's labels; a part that was split off has labels of its own.
TRACKED_SQL = """
with linked as (
    select l.shipstation_order_id as id, l.order_inbox_id as row_id from listener.links l
    where l.shipstation_order_id = any (%(ids)s) and l.whole_id is null
    union
    select l.whole_id, l.order_inbox_id from listener.links l where l.whole_id = any (%(ids)s) and l.parts is null)
select linked.id, o.id, o.order_number, coalesce(o.tracking_number, '')
from linked, lateral (select * from orders_inbox where id = linked.row_id offset 0) o
where o.status = 'shipped' order by o.id
"""


def tracked_rows(connection: Connection, ids: Sequence[str]) -> list[Tracked]:
    """Return the shipped rows that show these orders."""
    return [Tracked(*row) for row in connection.execute(TRACKED_SQL, {"ids": list(ids)})]
