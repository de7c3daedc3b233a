"""Orders that gave up or are held back, and another try for one of them.

The row is locked before the ledger's, as the claim does it: the other way round two would wait for each other. The
listener is rung whatever was written, because a backoff ends with the request, and only then looks at the inbox.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from listener.database import Connection
from listener.orders import shipstation_key
from listener.store.inbox import KEY, PENDING
from listener.store.story import read_order
from listener.store.text import storable
from listener.story.dossier import Dossier
from listener.story.requeue import Plan, Step, plan


@dataclass(frozen=True, slots=True)
class GaveUp:
    """An order that failed or is held back. `total` counts all of them."""

    row_id: int
    order_number: str
    state: str
    since: datetime | None
    attempts: int
    reason: str
    total: int


# A failed order whose row could not be written yet is still pending there; one that the shop has changed since is not
# ours to list.
FAILED_SQL = f"""
with gave_up as (
    select o.id as row_id, o.order_number, 'failed' as state,
           coalesce(l.settled_at, o.updated_at::timestamptz) as since, coalesce(l.attempts, 0) as attempts,
           coalesce(o.failure_reason, l.error, 'no reason is given') as reason
    from orders_inbox o
    left join listener.ledger l on l.order_key = {KEY} and l.order_inbox_id = o.id and l.state = 'rejected'
    where o.status = 'failed'
    union all
    select o.id, o.order_number, case l.state when 'rejected' then 'failed' else 'held back' end,
           l.settled_at, l.attempts, coalesce(l.error, 'no reason is given')
    from listener.ledger l join orders_inbox o on o.id = l.order_inbox_id
    where (l.state = 'held_back' or l.state = 'rejected' and not l.row_written) and {PENDING})
select *, count(*) over () as total from gave_up order by since desc nulls last, row_id desc limit %s
"""


def gave_up(connection: Connection, limit: int) -> list[GaveUp]:
    """Return the newest orders that failed or are held back."""
    return connection.cursor(row_factory=class_row(GaveUp)).execute(FAILED_SQL, [limit]).fetchall()


LOCK_ROWS_SQL = f"""
select o.id from orders_inbox o where {KEY} = pg_catalog.upper(pg_catalog.btrim(%s::text)) order by o.id for update
"""
LOCK_LEDGER_SQL = """
select from listener.ledger where order_key = pg_catalog.upper(pg_catalog.btrim(%s::text)) for update
"""


def requeue(connection: Connection, number: str, *, by: str, again: bool) -> tuple[Dossier, Plan]:
    """Have an order tried again, or not; return what was found and what became of it. Inside a transaction."""
    connection.execute(LOCK_ROWS_SQL, [storable(number)])
    connection.execute(LOCK_LEDGER_SQL, [storable(number)])
    order = read_order(connection, number)
    planned = plan(order, again=again)
    if planned.step in (Step.REFUSE, Step.LEAVE):
        return order, planned
    if planned.step is Step.LOOK_UP:
        connection.execute(LOOK_UP_SQL, [order.order_key])
    if planned.step in (Step.ADMIT, Step.REOPEN):
        _admit(connection, order, by)
    if planned.step in (Step.HURRY, Step.RETRY, Step.MAKE_ANEW):
        _set_waiting(connection, order, planned.step, by)
    if planned.step in (Step.REOPEN, Step.RETRY, Step.MAKE_ANEW):
        _reopen(connection, order, planned.step)
    _ring(connection, order.order_key, by)
    return order, planned


# What an order in doubt is in doubt about stays as it is.
LOOK_UP_SQL = "update listener.ledger set not_before = now() where order_key = %s and state = 'unknown'"

ADMIT_SQL = """
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, not_before, requeued_at,
                             error)
values (%(key)s, %(row_id)s, %(number)s, 'waiting', %(shipstation_key)s, now(), now(), 'requeued by ' || %(by)s::text)
"""


def _admit(connection: Connection, order: Dossier, by: str) -> None:
    assert order.row is not None  # noqa: S101  the plan is for a row
    number = order.row.order_number
    parameters = {"key": order.order_key, "row_id": order.row.id, "number": number, "by": storable(by)}
    connection.execute(ADMIT_SQL, parameters | {"shipstation_key": shipstation_key(order.order_key)})


# What starts over is new: its age, by which latency and the wait for its parts are counted, begins now.
WAIT_SQL = """
update listener.ledger set
    state = 'waiting', not_before = now(), requeued_at = now(), error = 'requeued by ' || %(by)s::text,
    order_inbox_id = %(row_id)s, settled_at = null, doubt = null, row_status = null, row_written = false,
    attempts = case when %(over)s then 0 else attempts end, looks = case when %(over)s then 0 else looks end,
    batch_limit = case when %(over)s then null else batch_limit end,
    first_seen_at = case when %(over)s then clock_timestamp() else first_seen_at end,
    again = again + %(anew)s::integer, shipstation_key = coalesce(%(shipstation_key)s, shipstation_key),
    shipstation_order_id = case when %(anew)s = 1 then null else shipstation_order_id end
where order_key = %(key)s
"""


def _set_waiting(connection: Connection, order: Dossier, step: Step, by: str) -> None:
    assert order.ledger is not None  # noqa: S101  the plan is for what the ledger holds
    assert order.row is not None  # noqa: S101  and for an order that has a row
    anew = step is Step.MAKE_ANEW
    parameters = {
        "key": order.order_key,
        "row_id": order.row.id,
        "by": storable(by),
        "over": step is not Step.HURRY,
        "anew": int(anew),
        "shipstation_key": shipstation_key(order.order_key, order.ledger.again + 1) if anew else None,
    }
    connection.execute(WAIT_SQL, parameters)


REOPEN_SQL = """
update orders_inbox set status = 'awaiting_shipment', failure_reason = null, updated_at = localtimestamp,
    shipstation_order_id = case when %(anew)s then null else shipstation_order_id end
where id = %(id)s and (status = 'failed' or %(anew)s)
"""


def _reopen(connection: Connection, order: Dossier, step: Step) -> None:
    """Make the row pending again: a failed one, or, for a new order, whatever it says."""
    assert order.row is not None  # noqa: S101  the plan is for a row
    connection.execute(REOPEN_SQL, {"id": order.row.id, "anew": step is Step.MAKE_ANEW})


NOTE_SQL = 'insert into listener.requeues (order_key, "by") values (%s, %s)'
RING_ORDERS_SQL = "notify orders_inbox"
RING_FLAGS_SQL = """select pg_catalog.pg_notify('configuration_params', '{"requeued": true}')"""


def _ring(connection: Connection, order_key: str, by: str) -> None:
    connection.execute(NOTE_SQL, [order_key, storable(by)])
    connection.execute(RING_ORDERS_SQL)
    connection.execute(RING_FLAGS_SQL)
