"""Open orders of the shop, compared with what is known of ShipStation; what is to be looked up stands in sync_failures.

Each statement reads `orders_inbox` once, from end to end. They run once a day.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from listener.database import Connection

_OPEN = """
o.status = any (%(open)s) and coalesce(o.shipstation_order_id, '') <> ''
and o.created_at < localtimestamp - interval '1 day'
"""
# Whom a person has to look for is not asked for every day.
_NOT_GONE = """
not exists (select from listener.conflicts c where c.order_key = pg_catalog.upper(pg_catalog.btrim(o.order_number))
            and c.kind = %(gone)s and c.shipstation_order_ids = array[o.shipstation_order_id])
"""
_PUT_DOWN = """
insert into listener.sync_failures (kind, id, order_number, error, next_try)
select distinct on (id) 'look up', id, number, error, clock_timestamp() from wanted order by id
on conflict (kind, id) do nothing
"""

# A row that differs from its order; a row without an id whose number ShipStation has; a shipped one of which nobody has
# written what has left.
DIFFERING_SQL = f"""
with wanted (id, number, error) as (
    select o.shipstation_order_id, o.order_number, 'it is ' || o.status || ' here and ' || m.status || ' there'
    from orders_inbox o join listener.mirror m on m.shipstation_order_id = o.shipstation_order_id
    where {_OPEN} and {_NOT_GONE} and exists (
        select from unnest(%(statuses)s::text[], %(words)s::text[]) as known (status, word) where status = m.status)
    and not exists (
        select from unnest(%(statuses)s::text[], %(words)s::text[]) as known (status, word)
        where status = m.status and word = o.status)
    union all
    select m.shipstation_order_id, o.order_number, 'its row has no id'
    from orders_inbox o join listener.mirror m on m.order_key = pg_catalog.upper(pg_catalog.btrim(o.order_number))
    where o.status in ('pending', 'uploaded', 'synced_manual', 'on_hold', 'awaiting_payment')
      and coalesce(o.shipstation_order_id, '') = '' and m.status <> 'cancelled'
      and o.created_at < localtimestamp - interval '1 day'
    union all
    select o.shipstation_order_id, o.order_number, 'it is shipped, and not among the shipped orders'
    from orders_inbox o
    where o.status = 'shipped' and coalesce(o.shipstation_order_id, '') <> '' and {_NOT_GONE}
      and o.created_at > localtimestamp - interval '60 days'
      and not exists (select from shipped_orders s where s.order_number = o.order_number offset 0))
{_PUT_DOWN}
"""


def put_down_differing(
    connection: Connection, accepted: Mapping[str, Sequence[str]], open_words: Sequence[str], gone: str
) -> int:
    """Have looked up what is not as it should be, as far as the mirror tells; return how many orders that is.

    accepted: ShipStation's statuses, and what a row may say of each
    """
    pairs = [(status, word) for status, words in accepted.items() for word in words]
    parameters = {
        "open": list(open_words),
        "gone": gone,
        "statuses": [status for status, _ in pairs],
        "words": [word for _, word in pairs],
    }
    return connection.execute(DIFFERING_SQL, parameters).rowcount


COUNT_SQL = f"select o.status, count(*) from orders_inbox o where {_OPEN} group by o.status"


def count_open(connection: Connection, open_words: Sequence[str]) -> dict[str, int]:
    """Return how many open orders there are that are older than a day, by what their rows say."""
    return dict(connection.execute(COUNT_SQL, {"open": list(open_words)}).fetchall())


UNLISTED_SQL = f"""
with wanted (id, number, error) as (
    select o.shipstation_order_id, o.order_number, 'it is open here, and not among those that are open there'
    from orders_inbox o
    where {_OPEN} and {_NOT_GONE} and not exists (
        select from listener.mirror m where m.shipstation_order_id = o.shipstation_order_id and m.seen_at >= %(since)s
        offset 0))
{_PUT_DOWN}
"""


def put_down_unlisted(connection: Connection, since: datetime, open_words: Sequence[str], gone: str) -> int:
    """Have looked up what has been seen in no list since then; return how many orders that is."""
    return connection.execute(UNLISTED_SQL, {"open": list(open_words), "gone": gone, "since": since}).rowcount
