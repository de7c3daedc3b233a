"""The mirror: what ShipStation is known to have, whoever made it there.

It is read by the time of change, page by page, so one row of state says all: up to which change (the watermark, always
a time that ShipStation has named, never ours), whether the first reading has come to its end, and when the last did.
An order that vanishes from ShipStation's lists (merged, deleted) keeps its row: "not listed" is not "never made".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from listener.database import Connection
from listener.shipstation.listing import RemoteOrder
from listener.store.text import storable

# A page may be older than what is known (the overlap is read again and again): only a later change counts.
APPLY_SQL = """
insert into listener.mirror as m (shipstation_order_id, order_key, order_number, shipstation_key, status, created_at,
                                  modified_at)
select distinct on (id) id, pg_catalog.upper(pg_catalog.btrim(number)), number, key, status, created_at, modified_at
from unnest(%(ids)s::text[], %(numbers)s::text[], %(keys)s::text[], %(statuses)s::text[],
            %(created)s::timestamptz[], %(modified)s::timestamptz[])
     as page (id, number, key, status, created_at, modified_at)
order by id, modified_at desc
on conflict (shipstation_order_id) do update set
    order_key = excluded.order_key, order_number = excluded.order_number, shipstation_key = excluded.shipstation_key,
    status = excluded.status, modified_at = excluded.modified_at
where excluded.modified_at >= m.modified_at
  and (excluded.order_number, excluded.status, excluded.modified_at) is distinct from
      (m.order_number, m.status, m.modified_at)
"""
MERGE_SQL = """
update listener.mirror m set merged_into = page.id
from unnest(%s::text[], %s::text[]) as page (id, merged_id)
where m.shipstation_order_id = page.merged_id and m.merged_into is distinct from page.id
"""


def apply_orders(connection: Connection, orders: Sequence[RemoteOrder]) -> None:
    """Take over what a page or a look-up has shown. What is known to be newer stays."""
    parameters = {
        "ids": [order.shipstation_order_id for order in orders],
        "numbers": [storable(order.order_number) for order in orders],
        "keys": [storable(order.shipstation_key) for order in orders],
        "statuses": [storable(order.status) for order in orders],
        "created": [order.created_at for order in orders],
        "modified": [order.modified_at for order in orders],
    }
    connection.execute(APPLY_SQL, parameters)
    merged = [(order.shipstation_order_id, merged_id) for order in orders for merged_id in order.merged_ids]
    if merged:
        connection.execute(MERGE_SQL, [[new for new, _ in merged], [old for _, old in merged]])


class There(NamedTuple):
    """One order at ShipStation; the id is that of the order it was merged into, if it was."""

    order_key: str
    shipstation_order_id: str
    shipstation_key: str | None
    status: str
    created_at: datetime
    modified_at: datetime


# OFFSET 0: a probe of the index for each, whatever the planner knows of the table.
_THERE = """
select order_key, coalesce(merged_into, shipstation_order_id), shipstation_key, status, created_at, modified_at
from (select distinct wanted from unnest(%s::text[]) as wanted) as asked,
     lateral (select * from listener.mirror where {column} = wanted offset 0) as there
order by created_at, shipstation_order_id
"""
BY_NUMBER_SQL = _THERE.format(column="order_key")


def with_these_numbers(connection: Connection, order_keys: Sequence[str]) -> list[There]:
    """Return what ShipStation has under these numbers (normal form), oldest first."""
    return [There(*row) for row in connection.execute(BY_NUMBER_SQL, [list(order_keys)])]


BY_KEY_SQL = _THERE.format(column="shipstation_key")


def with_these_keys(connection: Connection, shipstation_keys: Sequence[str]) -> list[There]:
    """Return what ShipStation has under these keys of ours, oldest first."""
    return [There(*row) for row in connection.execute(BY_KEY_SQL, [list(shipstation_keys)])]


class MirrorState(NamedTuple):
    """How far the mirror has been read. `now` is the server's clock; ages are seconds, None: never."""

    watermark: datetime | None
    is_full: bool
    fresh_seconds_ago: float | None
    orders: int
    now: datetime


STATE_SQL = """
select watermark, full_at is not null, extract(epoch from clock_timestamp() - fresh_at)::float8,
       (select count(*) from listener.mirror), clock_timestamp()
from listener.mirror_state where id = 1
"""


def read_state(connection: Connection) -> MirrorState:
    """Return how far the mirror has been read."""
    row = connection.execute(STATE_SQL).fetchone()
    assert row is not None  # noqa: S101  sql/002_ledger.up.sql has put it there, and nobody removes it
    return MirrorState(*row)


FRESH_SQL = """
select full_at is not null, extract(epoch from clock_timestamp() - fresh_at)::float8
from listener.mirror_state where id = 1
"""


def read_freshness(connection: Connection) -> tuple[bool, float | None]:
    """Return whether the mirror holds everything, and how many seconds ago that was so. It costs next to nothing."""
    row = connection.execute(FRESH_SQL).fetchone()
    return (bool(row[0]), row[1]) if row else (False, None)


NOW_SQL = "select clock_timestamp()"


def server_now(connection: Connection) -> datetime:
    """Return the server's time."""
    row = connection.execute(NOW_SQL).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    now: datetime = row[0]
    return now


class Reach(NamedTuple):
    """How far a page brings the mirror.

    start:     where the list began that it is from; None: where the mirror's own watermark says
    watermark: the latest change on it, if any
    at_end:    nothing came after it; asked_ago: so many seconds ago, when it was asked for
    """

    start: datetime | None
    watermark: datetime | None
    at_end: bool
    asked_ago: float


# The watermark never goes back: what was read twice is only read twice. And a list that begins behind it says nothing
# of what lies between.
MOVE_SQL = """
update listener.mirror_state set watermark = greatest(watermark, %(watermark)s),
    full_at = case when %(at_end)s then coalesce(full_at, clock_timestamp()) else full_at end,
    fresh_at = case when %(at_end)s
        then greatest(fresh_at, clock_timestamp() - pg_catalog.make_interval(secs => %(asked_ago)s)) else fresh_at end
where id = 1 and (%(start)s::timestamptz is null or %(start)s <= coalesce(watermark, fresh_at))
"""


def move_watermark(connection: Connection, reach: Reach) -> None:
    """Note how far the mirror has been read, if nothing is missing before that."""
    connection.execute(MOVE_SQL, reach._asdict())


VERSIONS_SQL = "select shipstation_order_id, modified_at from listener.mirror where shipstation_order_id = any (%s)"


def versions(connection: Connection, ids: Sequence[str]) -> dict[str, datetime]:
    """Return when the orders with these ids were changed last, as far as is known."""
    return dict(connection.execute(VERSIONS_SQL, [list(ids)]).fetchall())


SEEN_SQL = "update listener.mirror set seen_at = clock_timestamp() where shipstation_order_id = any (%s)"


def note_seen(connection: Connection, ids: Sequence[str]) -> None:
    """Remember that these orders have just been in a list."""
    connection.execute(SEEN_SQL, [list(ids)])


# An order that was merged is not gone: it is part of another one.
GONE_SQL = """
insert into listener.conflicts (order_key, kind, shipstation_order_ids)
select pg_catalog.upper(pg_catalog.btrim(%(number)s)), %(kind)s, array[%(id)s::text]
where not exists (select from listener.mirror where shipstation_order_id = %(id)s and merged_into is not null)
on conflict do nothing returning order_key
"""


def note_gone(connection: Connection, shipstation_order_id: str, number: str, kind: str) -> str | None:
    """Write down that an order is not at ShipStation any more; return its number if that is news."""
    parameters = {"id": shipstation_order_id, "number": number, "kind": kind}
    row = connection.execute(GONE_SQL, parameters).fetchone()
    return str(row[0]) if row else None


CONFLICT_SQL = """
insert into listener.conflicts (order_key, kind, shipstation_order_ids) values (%s, %s, %s::text[])
on conflict do nothing
"""


def note_conflict(connection: Connection, order_key: str, kind: str, shipstation_order_ids: Sequence[str]) -> None:
    """Write down, once, what a person should look at."""
    connection.execute(CONFLICT_SQL, [order_key, kind, list(shipstation_order_ids)])
