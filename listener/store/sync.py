"""What the sync knows from one cycle to the next: its watermark, what it could not take over, when it reconciled.

Its connection may be a transaction pooler's: limits and search_path are set inside each transaction, and a statement
that stands alone names its tables in full. Every transaction holds the leader's epoch still.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row

from listener.database import Connection
from listener.leader import stand_fast
from listener.store.text import storable

SEARCH_PATH = "public"

# Who stands still in a transaction that holds the epoch (a host that froze, or vanished) keeps the next from leading.
LIMITS_SQL = """
select pg_catalog.set_config(name, value, true)
from (values ('statement_timeout', '15s'), ('lock_timeout', '1s'), ('search_path', %s),
             ('idle_in_transaction_session_timeout', '5s')) as limits (name, value)
"""


@contextmanager
def sync_transaction(connection: Connection, epoch: int) -> Iterator[None]:
    """Run one transaction under the leader's epoch. Raises LeadLost when another leads."""
    with connection.transaction():
        connection.execute(LIMITS_SQL, [SEARCH_PATH])
        stand_fast(connection, epoch)
        yield


class Outset(NamedTuple):
    """What a cycle begins with. `now` is the server's clock.

    watermark:  as it stands in `sync_watermark`
    behind:     the end of the last stretch of the list that could not be read whole
    failures, shipments: something of the kind is due
    """

    epoch: int
    now: datetime
    watermark: str | None
    behind: datetime | None
    reconciled_at: datetime | None
    failures: bool
    shipments: bool


OUTSET_SQL = """
select (select epoch from listener.leader where id = 1) as epoch, clock_timestamp() as now,
       (select last_sync_timestamp from public.sync_watermark where workflow_name = 'unified-shipstation-sync')
           as watermark,
       (select max((payload ->> 'end')::timestamptz) from listener.sync_failures where kind = 'stretch') as behind,
       (select reconciled_at from listener.sync_state where id = 1) as reconciled_at,
       exists (select from listener.sync_failures where next_try <= clock_timestamp()) as failures,
       exists (select from listener.links where shipments_due <= clock_timestamp()) as shipments
"""


def outset(connection: Connection) -> Outset:
    """Return what a cycle begins with, in one statement."""
    row = connection.cursor(row_factory=namedtuple_row).execute(OUTSET_SQL).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    return Outset(*row)


WATERMARK_SQL = """
select last_sync_timestamp from sync_watermark where workflow_name = 'unified-shipstation-sync' for update
"""
MOVE_WATERMARK_SQL = """
insert into sync_watermark (workflow_name, last_sync_timestamp) values ('unified-shipstation-sync', %s)
on conflict (workflow_name) do update set last_sync_timestamp = excluded.last_sync_timestamp,
    updated_at = current_timestamp
"""


def lock_watermark(connection: Connection) -> str | None:
    """Return the watermark's text, held still until the transaction ends."""
    row = connection.execute(WATERMARK_SQL).fetchone()
    return str(row[0]) if row else None


def write_watermark_text(connection: Connection, text: str) -> None:
    """Put another text there; the first time, make the row."""
    connection.execute(MOVE_WATERMARK_SQL, [text])


class Failure(NamedTuple):
    """What could not be taken over. `id` is ShipStation's of the order; of a stretch, where it begins."""

    kind: str
    id: str
    order_number: str | None
    payload: Any
    error: str
    tries: int = 0


FAIL_SQL = """
insert into listener.sync_failures as f (kind, id, order_number, payload, error, next_try)
select kind, id, number, payload::json, error, clock_timestamp() + pg_catalog.make_interval(secs => %(first)s)
from unnest(%(kinds)s::text[], %(ids)s::text[], %(numbers)s::text[], %(payloads)s::text[], %(errors)s::text[])
     as failed (kind, id, number, payload, error)
on conflict (kind, id) do update set
    order_number = excluded.order_number, payload = excluded.payload, error = excluded.error, tries = f.tries + 1,
    next_try = clock_timestamp() + pg_catalog.make_interval(
        secs => least(60 * 2 ^ least(f.tries + 1, 20), case excluded.kind when 'apply' then 3600 else 86400 end))
"""


def record_failures(connection: Connection, failures: Sequence[Failure], *, first_try_in: float = 60.0) -> None:
    """Put these aside, to be tried again after a minute, or when said otherwise, then after twice as long each time.

    At the latest after an hour where that costs no call, else after a day.
    """
    parameters = {
        "first": first_try_in,
        "kinds": [failure.kind for failure in failures],
        "ids": [failure.id for failure in failures],
        "numbers": [storable(failure.order_number) for failure in failures],
        "payloads": [None if failure.payload is None else json.dumps(failure.payload) for failure in failures],
        "errors": [storable(failure.error) for failure in failures],
    }
    if failures:
        connection.execute(FAIL_SQL, parameters)


DUE_FAILURES_SQL = """
select kind, id, order_number, payload, error, tries from listener.sync_failures
where kind = any (%s) and next_try <= clock_timestamp() order by next_try, id limit %s
"""


def due_failures(connection: Connection, kinds: Sequence[str], limit: int) -> list[Failure]:
    """Return what is to be tried again now, longest due first."""
    return [Failure(*row) for row in connection.execute(DUE_FAILURES_SQL, [list(kinds), limit])]


FORGET_SQL = "delete from listener.sync_failures where kind = %s and id = any (%s)"


def forget_failures(connection: Connection, kind: str, ids: Sequence[str]) -> None:
    """Take out what has been taken over after all."""
    connection.execute(FORGET_SQL, [kind, list(ids)])


POSTPONE_SQL = """
update listener.sync_failures set error = %(error)s, tries = tries + 1,
    next_try = clock_timestamp() + pg_catalog.make_interval(secs => least(60 * 2 ^ least(tries + 1, 20), 86400))
where kind = %(kind)s and id = any (%(ids)s)
"""


def postpone_failures(connection: Connection, kind: str, ids: Sequence[str], error: str) -> None:
    """Leave these for later: they failed again."""
    connection.execute(POSTPONE_SQL, {"kind": kind, "ids": list(ids), "error": storable(error)})


RECONCILED_SQL = """
insert into listener.sync_state (id, reconciled_at) values (1, %s)
on conflict (id) do update set reconciled_at = excluded.reconciled_at
"""


def note_reconciled(connection: Connection, began_at: datetime) -> None:
    """Remember when the reconciliation that has ended began."""
    connection.execute(RECONCILED_SQL, [began_at])
