"""What we write into `orders_inbox`: outcomes, once ShipStation or the ledger has settled them.

A row that the shop has changed meanwhile gets its id and nothing else. What is locked is left for the next pass.
"""

from collections.abc import Sequence

from listener.database import Connection
from listener.store.inbox import LOOKS, PENDING

INCOMPLETE = f"""state = 'rejected' and row_written and looks >= {LOOKS} and settled_at > now() - interval '1 hour'"""
"""An order that failed within the hour because its parts did not come: they may come yet."""

REVIVE_SQL = f"""
update orders_inbox o set status = 'awaiting_shipment', failure_reason = null, updated_at = localtimestamp
from listener.ledger l
where o.id = l.order_inbox_id and l.{INCOMPLETE.replace(" and ", " and l.")}
  and o.status = 'failed' and o.failure_reason = l.error
  and exists (select from order_items_inbox i where i.order_inbox_id = o.id)
  and coalesce(o.ship_street1, '') <> '' and coalesce(o.ship_city, '') <> ''
"""


def revive_completed(connection: Connection) -> int:
    """Make pending again what failed for want of parts and has them now; return how many orders that are."""
    return connection.execute(REVIVE_SQL).rowcount


REFUSE_DOUBLES_SQL = f"""
update orders_inbox o set status = 'failed', failure_reason = 'same number as row ' || double.other,
       updated_at = localtimestamp
from unnest(%(ids)s::integer[], %(others)s::integer[]) as double (id, other)
where o.id = double.id and {PENDING}
"""


def refuse_doubles(connection: Connection, doubles: Sequence[tuple[int, int]]) -> None:
    """Fail each row of these (id, other id) pairs: the other has the same number, but for case or blanks."""
    parameters = {"ids": [row_id for row_id, _ in doubles], "others": [other for _, other in doubles]}
    connection.execute(REFUSE_DOUBLES_SQL, parameters)


WRITE_IDS_SQL = """
update orders_inbox o set shipstation_order_id = there.shipstation_order_id,
       status = case when o.status = 'awaiting_shipment' then 'uploaded' else o.status end, updated_at = localtimestamp
from unnest(%(ids)s::integer[], %(shipstation_ids)s::text[]) as there (id, shipstation_order_id)
where o.id = there.id and coalesce(o.shipstation_order_id, '') = ''
"""


def write_ids(connection: Connection, there: Sequence[tuple[int, str]]) -> None:
    """Show what ShipStation has, as (row id, ShipStation's id), when there is no ledger any more to show it from."""
    parameters = {"ids": [row_id for row_id, _ in there], "shipstation_ids": [other for _, other in there]}
    connection.execute(WRITE_IDS_SQL, parameters)


# A row that the shop changed while we sent it gets its id and nothing else. What is locked follows in the next pass.
WRITE_ROWS_SQL = """
with wanted as (
    select o.id, l.order_key, l.shipstation_order_id, l.row_status, l.error
    from listener.ledger l join orders_inbox o on o.id = l.order_inbox_id
    where l.order_key = any (%(keys)s) and not l.row_written
      and l.state in ('accepted', 'adopted', 'rejected', 'excluded')
    order by o.id for update of o skip locked),
written as (
    update orders_inbox o set
        status = case when o.status = 'awaiting_shipment' then w.row_status else o.status end,
        shipstation_order_id = coalesce(nullif(o.shipstation_order_id, ''), w.shipstation_order_id),
        failure_reason = case when o.status <> 'awaiting_shipment' then o.failure_reason
                              when w.row_status = 'failed' then w.error end,
        updated_at = case when o.status = 'awaiting_shipment' then localtimestamp else o.updated_at end
    from wanted w where o.id = w.id
    returning o.id, w.order_key, w.shipstation_order_id),
lines as (
    insert into shipstation_order_line_items (order_inbox_id, sku, shipstation_order_id)
    select i.order_inbox_id, i.sku, w.shipstation_order_id
    from written w join order_items_inbox i on i.order_inbox_id = w.id where w.shipstation_order_id is not null
    on conflict (order_inbox_id, sku) do nothing)
update listener.ledger l set row_written = true from written w where l.order_key = w.order_key
returning l.order_key
"""


def write_rows(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Show in `orders_inbox` what the ledger has settled; return the keys whose rows could be written now."""
    return {key for (key,) in connection.execute(WRITE_ROWS_SQL, {"keys": list(keys)})}


TO_BE_SHOWN_SQL = """
select l.order_key from listener.ledger l join orders_inbox o on o.id = l.order_inbox_id
where l.state in ('accepted', 'adopted') and not l.row_written order by o.id limit 100
"""


def to_be_shown(connection: Connection) -> list[str]:
    """Return the first of the orders that are at ShipStation, and whose rows do not say so: they were locked."""
    return [key for (key,) in connection.execute(TO_BE_SHOWN_SQL)]
