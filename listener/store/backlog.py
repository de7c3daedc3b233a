"""What waits, and for what: due orders, claims without an outcome, failures, the budget, mirror, sync. For doctor."""

from psycopg.rows import class_row

from listener.database import Connection
from listener.doctor.seen.server import Session
from listener.doctor.seen.work import (
    Calls,
    FlagRow,
    FlagRows,
    ForeignRun,
    Mirror,
    Oldest,
    Outcomes,
    Switch,
    Unsettled,
    Waiting,
    Watermark,
)
from listener.events import SYNC, WORKFLOWS
from listener.flags import Flags, parse_flags
from listener.state import OLD_BEHAVIOUR_SECONDS
from listener.store.api_calls import burst_of, calls_a_second
from listener.store.config import read_flag_rows
from listener.store.inbox import COUNTED_UP_TO, DUE, inbox_has_due
from listener.store.mirror import read_state
from listener.store.outside import instant
from listener.store.sessions import session_of
from listener.store.story import lockers, read_surroundings

FLAG_ROWS_SQL = """
select id, parameter_name as name, value from configuration_params
where category = 'Polling' and sku is null order by id
"""

ACCEPTED_SQL = """
select distinct on (parameter_name) parameter_name, new_value from listener.config_log
where verdict = 'accepted' order by parameter_name, id desc
"""


def flag_rows(connection: Connection) -> FlagRows:
    """Return the flags' rows, and what was last in force of each by its receipts."""
    rows = connection.cursor(row_factory=class_row(FlagRow)).execute(FLAG_ROWS_SQL).fetchall()
    return FlagRows(tuple(rows), dict(connection.execute(ACCEPTED_SQL).fetchall()))


SWITCHES_SQL = """
select workflow_name, enabled, updated_by, last_updated::timestamptz as last_updated from workflow_controls
order by workflow_name
"""


def switches(connection: Connection) -> tuple[Switch, ...]:
    """Return the workflows' switches."""
    return tuple(connection.cursor(row_factory=class_row(Switch)).execute(SWITCHES_SQL).fetchall())


FOREIGN_RUNS_SQL = """
select w.workflow_name, w.enabled, extract(epoch from localtimestamp - w.last_run_at)::float8 as seconds_ago,
       %(is_led)s and w.last_run_at > l.since::timestamp as beside_us
from workflow_controls w, listener.leader l
where l.id = 1 and w.workflow_name = any (%(ours)s)
  and w.last_run_at between localtimestamp - pg_catalog.make_interval(secs => %(seconds)s)
                        and localtimestamp + pg_catalog.make_interval(secs => %(seconds)s)
order by w.workflow_name
"""


def foreign_runs(connection: Connection, seconds: float) -> tuple[ForeignRun, ...]:
    """Return which workflows of ours another program has run in the last seconds, by the server's own clock and zone.

    The listener never writes `last_run_at`, so whoever moves it is another.
    """
    is_led = read_surroundings(connection).leader is not None
    parameters = {"is_led": is_led, "ours": [*WORKFLOWS], "seconds": seconds}
    return tuple(connection.cursor(row_factory=class_row(ForeignRun)).execute(FOREIGN_RUNS_SQL, parameters).fetchall())


def flags_of(connection: Connection) -> Flags:
    """Return the flags as a listener that starts now would have them."""
    return parse_flags(read_flag_rows(connection), Flags())[0]


OLDEST_SQL = f"""
select o.id, o.order_number, coalesce(extract(epoch from clock_timestamp() - {instant("o.created_at")}), 0)::float8
from orders_inbox o where {DUE} order by o.id limit 1
"""


def read_waiting(connection: Connection) -> Waiting:
    """Return what is due, what the oldest of it waits for, and whether anybody leads."""
    around = read_surroundings(connection)
    due = inbox_has_due(connection)()
    row = connection.execute(OLDEST_SQL).fetchone()
    fast = around.flags.fast_polling_enabled
    return Waiting(
        due=due,
        oldest=Oldest(row[0], row[1], row[2], _lockers(connection, row[0])) if row else None,
        is_led=around.leader is not None,
        paused_by=around.paused_by,
        heartbeat=around.flags.fast_polling_interval if fast else OLD_BEHAVIOUR_SECONDS,
        has_budget=around.call_in <= 0,
    )


def _lockers(connection: Connection, row_id: int) -> tuple[Session, ...]:
    sessions = (session_of(connection, locker.pid) for locker in lockers(connection, [row_id]))
    return tuple(session for session in sessions if session is not None)


UNSETTLED_SQL = """
select order_number, state, epoch, owner, extract(epoch from clock_timestamp() - started_at)::float8 as seconds,
       count(*) over ()::integer as total
from listener.ledger
where state in ('sending', 'unknown') and started_at <= clock_timestamp() - pg_catalog.make_interval(secs => %s)
order by started_at limit 3
"""


def unsettled(connection: Connection, seconds: float) -> tuple[Unsettled, ...]:
    """Return the first of the orders that were sent longer ago than that and have no outcome."""
    return tuple(connection.cursor(row_factory=class_row(Unsettled)).execute(UNSETTLED_SQL, [seconds]).fetchall())


OUTCOMES_SQL = f"""
select (select count(*) from (select from listener.ledger where state = 'held_back' limit {COUNTED_UP_TO}) counted)
           as held_back,
       (select count(*) from (select from listener.ledger where state = 'rejected'
                              and settled_at > now() - interval '7 days' limit {COUNTED_UP_TO}) counted) as failed,
       (select count(*) from (select from listener.conflicts where at > now() - interval '7 days'
                              limit {COUNTED_UP_TO}) counted) as conflicts
"""


def read_outcomes(connection: Connection) -> Outcomes:
    """Return how many orders need a person."""
    row = connection.cursor(row_factory=class_row(Outcomes)).execute(OUTCOMES_SQL).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    return row


CALLS_SQL = """
with last as (select status, error, at from listener.api_calls where status is not null or error is not null
              order by id desc limit 1),
budget as (
    select least(%(burst)s, tokens + greatest(0, extract(epoch from clock_timestamp() - refilled_at))
                                     * %(rate)s)::float8 as tokens
    from listener.budget where id = 1)
select %(limit)s::integer as "limit",
       (select count(*) from listener.api_calls where at > clock_timestamp() - interval '1 hour')::integer
           as used_last_hour,
       tokens, (greatest(0, 1 - tokens) / %(rate)s)::float8 as next_in_seconds,
       (select extract(epoch from clock_timestamp() - max(at))::float8 from listener.api_calls where status = 429)
           as throttled_seconds_ago,
       (select status from last) as last_status, (select error from last) as last_error,
       (select extract(epoch from clock_timestamp() - at)::float8 from last) as last_seconds_ago
from budget
"""


def read_calls(connection: Connection) -> Calls:
    """Return how the budget stands; nothing is taken from it."""
    limit = flags_of(connection).api_calls_per_hour
    parameters = {"burst": burst_of(limit), "rate": calls_a_second(limit), "limit": limit}
    row = connection.cursor(row_factory=class_row(Calls)).execute(CALLS_SQL, parameters).fetchone()
    return row or Calls(limit, 0, 0.0, 0.0, None, None, None, None)


def read_mirror(connection: Connection, grace: float, most: float) -> Mirror:
    """Return how far the mirror was read. It is fresh for a cycle of the sync and `grace` seconds, or for `most`."""
    state = read_state(connection)
    seconds = min(flags_of(connection).sync_interval + grace, most)
    return Mirror(state.is_full, state.orders, state.watermark, state.fresh_seconds_ago, seconds, state.now)


WATERMARK_SQL = """
select (select last_sync_timestamp from sync_watermark where workflow_name = %(sync)s),
       coalesce((select enabled from workflow_controls where workflow_name = %(sync)s), true), clock_timestamp()
"""


def read_watermark(connection: Connection) -> Watermark:
    """Return how far the sync has come."""
    row = connection.execute(WATERMARK_SQL, {"sync": SYNC}).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    text, enabled, now = row
    return Watermark(text, flags_of(connection).sync_interval, enabled, now)
