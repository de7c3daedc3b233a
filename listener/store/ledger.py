"""The ledger: what we tried at ShipStation, written before we do it. One row an order, its key the number.

`order_states` is the table of its states. `row_written` says whether `orders_inbox` shows the outcome.
A claim and a resolve stand only under the leader's epoch: `leader.stand_fast` is their first statement. A record finds
its rows by the epoch they were sent under and the state `sending`, which a new leader has changed before anything else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from listener.database import Connection, Later
from listener.store.outside import instant
from listener.store.text import storable

# A plain upsert after a look let two processes claim the same orders: only the rows that this returns are ours.
CLAIM_SQL = """
insert into listener.ledger as l
    (order_key, order_inbox_id, order_number, state, shipstation_key, epoch, owner, started_at, first_seen_at)
select key, id, number, 'sending', shipstation_key, %(epoch)s, (select holder from listener.leader where id = 1),
       clock_timestamp(), clock_timestamp()
from unnest(%(keys)s::text[], %(ids)s::integer[], %(numbers)s::text[], %(shipstation_keys)s::text[])
     as claimed (key, id, number, shipstation_key)
on conflict (order_key) do update set
    state = 'sending', order_inbox_id = excluded.order_inbox_id, order_number = excluded.order_number,
    shipstation_key = excluded.shipstation_key, epoch = excluded.epoch, owner = excluded.owner, doubt = null,
    started_at = excluded.started_at, not_before = null, settled_at = null, http_status = null, error = null,
    row_status = null, row_written = false, attempts = case when l.state = 'rejected' then 0 else l.attempts end,
    batch_limit = case when l.state = 'waiting' then l.batch_limit end,
    first_seen_at = case when l.state = 'rejected' then excluded.first_seen_at else l.first_seen_at end
where l.state = 'waiting' and l.not_before <= now() or l.state = 'rejected' and l.row_written
returning l.order_key
"""


class Candidate(NamedTuple):
    """An order about to be sent. `batch_limit`: with how many it may share a request (None: any number)."""

    order_key: str
    order_inbox_id: int
    order_number: str
    shipstation_key: str
    batch_limit: int | None = None


def claim(connection: Connection, candidates: Sequence[Candidate], epoch: int) -> Later[set[str]]:
    """Write `sending` for each; the answer is the keys that are ours to send."""
    parameters = {
        "epoch": epoch,
        "keys": [c.order_key for c in candidates],
        "ids": [c.order_inbox_id for c in candidates],
        "numbers": [c.order_number for c in candidates],
        "shipstation_keys": [c.shipstation_key for c in candidates],
    }
    claimed = connection.execute(CLAIM_SQL, parameters)
    return lambda: {key for (key,) in claimed}


class Verdict(NamedTuple):
    """What is set down for one order that is not sent, or not sent yet."""

    candidate: Candidate
    state: str
    error: str | None = None
    row_status: str | None = None
    shipstation_order_id: str | None = None
    wait_seconds: float | None = None
    looks: int = 0
    conflict: tuple[str, ...] = ()


SET_ASIDE_SQL = """
insert into listener.ledger as l (order_key, order_inbox_id, order_number, shipstation_key, state, error, row_status,
                                  shipstation_order_id, not_before, looks, settled_at)
select key, id, number, shipstation_key, state, error, row_status, shipstation_id,
       clock_timestamp() + pg_catalog.make_interval(secs => wait), looks,
       case when state <> 'waiting' then clock_timestamp() end
from unnest(%(keys)s::text[], %(ids)s::integer[], %(numbers)s::text[], %(shipstation_keys)s::text[], %(states)s::text[],
            %(errors)s::text[], %(row_statuses)s::text[], %(shipstation_ids)s::text[], %(waits)s::float8[],
            %(looks)s::integer[])
     as aside (key, id, number, shipstation_key, state, error, row_status, shipstation_id, wait, looks)
on conflict (order_key) do update set
    state = excluded.state, order_inbox_id = excluded.order_inbox_id, error = excluded.error,
    row_status = excluded.row_status, row_written = false, not_before = excluded.not_before, looks = excluded.looks,
    shipstation_order_id = coalesce(excluded.shipstation_order_id, l.shipstation_order_id),
    first_seen_at = case when l.state = 'rejected' then excluded.first_seen_at else l.first_seen_at end,
    settled_at = excluded.settled_at
where l.state in ('waiting', 'rejected')
"""


def set_aside(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """Write down why these orders are not sent now."""
    parameters: dict[str, list[Any]] = {
        "keys": [v.candidate.order_key for v in verdicts],
        "ids": [v.candidate.order_inbox_id for v in verdicts],
        "numbers": [v.candidate.order_number for v in verdicts],
        "shipstation_keys": [v.candidate.shipstation_key for v in verdicts],
        "states": [v.state for v in verdicts],
        "errors": [storable(v.error) for v in verdicts],
        "row_statuses": [v.row_status for v in verdicts],
        "shipstation_ids": [v.shipstation_order_id for v in verdicts],
        "waits": [v.wait_seconds for v in verdicts],
        "looks": [v.looks for v in verdicts],
    }
    connection.execute(SET_ASIDE_SQL, parameters)


# A row that was cleaned up and came back with a new id is still the same order.
RELINK_SQL = """
update listener.ledger l set order_inbox_id = s.id, row_written = false
from unnest(%s::text[], %s::integer[]) as s (key, id)
where l.order_key = s.key and l.state in ('accepted', 'adopted', 'rejected', 'excluded')
"""


def relink(connection: Connection, rows: Sequence[tuple[str, int]]) -> None:
    """Have the outcomes of these (order_key, row id) pairs written to the rows again."""
    connection.execute(RELINK_SQL, [[key for key, _ in rows], [row_id for _, row_id in rows]])


class Settled(NamedTuple):
    """What became of one order that was being sent.

    refused:     counts an attempt
    doubt:       why an `unknown` one is to be looked up
    batch_limit: with how many it may share a request from now on; None leaves that as it is
    """

    order_key: str
    state: str
    shipstation_order_id: str | None = None
    row_status: str | None = None
    error: str | None = None
    wait_seconds: float | None = None
    refused: bool = False
    doubt: str | None = None
    batch_limit: int | None = None


RECORD_SQL = """
update listener.ledger l set
    state = case when s.refused and l.attempts + 1 >= %(max_attempts)s then 'rejected' else s.state end,
    row_status = case when s.refused and l.attempts + 1 >= %(max_attempts)s then 'failed' else s.row_status end,
    attempts = l.attempts + s.refused::integer,
    shipstation_order_id = coalesce(s.shipstation_id, l.shipstation_order_id),
    error = s.error, http_status = coalesce(%(http_status)s, l.http_status), row_written = false, doubt = s.doubt,
    batch_limit = coalesce(s.batch_limit, l.batch_limit),
    not_before = clock_timestamp() + pg_catalog.make_interval(
        secs => case when s.refused then least(10 * (l.attempts + 1) ^ 2, 3600) else s.wait end),
    settled_at = case when s.state in ('waiting', 'unknown') and not (s.refused and l.attempts + 1 >= %(max_attempts)s)
                      then l.settled_at else clock_timestamp() end
from unnest(%(keys)s::text[], %(states)s::text[], %(shipstation_ids)s::text[], %(row_statuses)s::text[],
            %(errors)s::text[], %(waits)s::float8[], %(refused)s::boolean[], %(doubts)s::text[],
            %(batch_limits)s::integer[])
     as s (key, state, shipstation_id, row_status, error, wait, refused, doubt, batch_limit)
where l.order_key = s.key and l.state = %(from_state)s and l.epoch = coalesce(%(epoch)s, l.epoch)
returning l.order_key, l.state, extract(epoch from clock_timestamp() - l.first_seen_at)::float8
"""


class Recorded(NamedTuple):
    """One order whose outcome stands in the ledger now."""

    order_key: str
    state: str
    seconds_since_seen: float


def record(
    connection: Connection, settled: Sequence[Settled], *, epoch: int, http_status: int | None, max_attempts: int
) -> list[Recorded]:
    """Write the outcomes of a request that was sent under `epoch`, by key; what another has settled since stays."""
    return _record(connection, settled, "sending", epoch, http_status, max_attempts)


def resolve(connection: Connection, settled: Sequence[Settled], *, max_attempts: int) -> list[Recorded]:
    """Write what was found out of orders in doubt. Inside a transaction that stands fast: only the leader resolves."""
    return _record(connection, settled, "unknown", None, None, max_attempts)


def _record(
    connection: Connection,
    settled: Sequence[Settled],
    from_state: str,
    epoch: int | None,
    http_status: int | None,
    max_attempts: int,
) -> list[Recorded]:
    parameters: Mapping[str, Any] = {
        "epoch": epoch,
        "http_status": http_status,
        "max_attempts": max_attempts,
        "from_state": from_state,
        "keys": [s.order_key for s in settled],
        "states": [s.state for s in settled],
        "shipstation_ids": [storable(s.shipstation_order_id) for s in settled],
        "row_statuses": [s.row_status for s in settled],
        "errors": [storable(s.error) for s in settled],
        "waits": [s.wait_seconds for s in settled],
        "refused": [s.refused for s in settled],
        "doubts": [s.doubt for s in settled],
        "batch_limits": [s.batch_limit for s in settled],
    }
    return [Recorded(*row) for row in connection.execute(RECORD_SQL, parameters)]


DOUBT_SQL = """
update listener.ledger set state = 'unknown', doubt = 'no answer', not_before = now(),
       error = 'the answer was not recorded'
where state = 'sending' and epoch <= %s
"""


def doubt_what_was_sent(connection: Connection, epoch: int) -> int:
    """Turn what was being sent under this epoch or an earlier one into `unknown`; return how many orders that are.

    For whoever knows that no such request of his own is under way: a new leader, or a pass before it claims.
    """
    return connection.execute(DOUBT_SQL, [epoch]).rowcount


POSTPONE_SQL = """
update listener.ledger set not_before = clock_timestamp() + interval '1 minute', error = %(error)s
where order_key = any (%(keys)s) and state = 'unknown'
"""


def postpone_look_up(connection: Connection, keys: Sequence[str], error: str) -> None:
    """Leave orders in doubt alone for a minute, because they could not be looked up."""
    connection.execute(POSTPONE_SQL, {"keys": list(keys), "error": storable(error)})


class Doubtful(NamedTuple):
    """An order that may or may not be at ShipStation. `row_created_at` is None when its row is gone."""

    order_key: str
    order_number: str
    shipstation_key: str
    doubt: str
    again: int
    error: str | None
    started_at: datetime
    seconds_since_started: float
    row_created_at: datetime | None


_DOUBTFUL = f"""
select order_key, l.order_number, shipstation_key, coalesce(doubt, 'no answer'), again, error, started_at,
       extract(epoch from clock_timestamp() - started_at)::float8, {instant("o.created_at")}
from listener.ledger l left join orders_inbox o on o.id = l.order_inbox_id where state = 'unknown'
"""
DOUBTFUL_SQL = f"{_DOUBTFUL} and not_before <= now() order by started_at"


def doubtful(connection: Connection) -> list[Doubtful]:
    """Return the orders in doubt that are due for a look-up, oldest first."""
    return [Doubtful(*row) for row in connection.execute(DOUBTFUL_SQL)]


# Nobody waits here: an order that the upload is settling at this moment is the upload's.
DOUBTFUL_WITH_KEYS_SQL = f"""{_DOUBTFUL}
and shipstation_key = any (%s) and doubt is distinct from 'locked there' order by order_key for update of l skip locked
"""


def doubtful_with(connection: Connection, shipstation_keys: Sequence[str]) -> list[Doubtful]:
    """Return the orders in doubt that were sent under these keys, locked. Inside a transaction that stands fast."""
    return [Doubtful(*row) for row in connection.execute(DOUBTFUL_WITH_KEYS_SQL, [list(shipstation_keys)])]


SUSPECTS_SQL = """
select max(batch_limit) filter (where state = 'waiting' and not_before <= now()), count(*) from listener.ledger
where state in ('waiting', 'unknown') and batch_limit is not null
"""


def suspects(connection: Connection) -> tuple[int | None, int]:
    """Return how many of the orders that were refused as a whole request may go together now, and how many there are.

    The largest groups come first: a half that is good has gone before the bad one is halved again.
    """
    limit, count = connection.execute(SUSPECTS_SQL).fetchone() or (None, 0)
    return limit, count


# A waiting order that is due and still pending is seen by the check; one that is not pending any more (the shop has
# cancelled it) must not be woken for, again and again.
NEXT_DUE_SQL = """
select extract(epoch from (select min(not_before) from listener.ledger where state = 'waiting' and not_before > now())
                          - clock_timestamp())::float8,
       extract(epoch from (select min(not_before) from listener.ledger where state = 'unknown')
                          - clock_timestamp())::float8
"""


def seconds_until_due(connection: Connection) -> tuple[float | None, float | None]:
    """Return when the next waiting order, and the next one in doubt, are due; seconds from now, None: there is none."""
    waiting, doubtful = connection.execute(NEXT_DUE_SQL).fetchone() or (None, None)
    return (None if waiting is None else max(0.0, waiting)), (None if doubtful is None else max(0.0, doubtful))
