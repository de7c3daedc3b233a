"""The API budget: one row that all processes share, and the journal of calls.

A bucket of burst min(20, max(2, limit / 2)), refilled with the rest of the limit over an hour, holds any sixty minutes
to `limit` calls. Counting journal rows would be no limit: two processes that both count 199 of 200 both pass.
"""

from collections.abc import Sequence

from listener.database import Connection, Later
from listener.store.inbox import CHECK_SQL
from listener.store.text import storable

BURST = 20


def burst_of(limit: int) -> float:
    """Return how many calls may be made at once under a limit of `limit` an hour."""
    return min(BURST, max(2, limit / 2))


def calls_a_second(limit: int) -> float:
    """Return how fast the bucket fills under a limit of `limit` an hour."""
    return max(limit - burst_of(limit), 0.5) / 3600


UNHURRIED = "select pg_catalog.set_config('synchronous_commit', 'off', true)"
"""This transaction's COMMIT need not wait for the disk. A server that crashes may forget the calls of its last half
second: a few too many in an hour, and no order."""

# clock_timestamp(), because the time a transaction began says nothing of now. A clock that was set back refills
# nothing and costs no more than the refill of that time.
FILLED = "least(%(burst)s, tokens + greatest(0, extract(epoch from clock_timestamp() - refilled_at)) * %(rate)s)"

TAKE_SQL = f"""
with unhurried as ({UNHURRIED}),
filled as (select {FILLED} as tokens from listener.budget, unhurried where id = 1 for update of budget),
taken as (
    update listener.budget b set tokens = f.tokens - %(calls)s, refilled_at = clock_timestamp()
    from filled f where b.id = 1 and f.tokens >= %(needed)s returning b.id),
noted as (
    insert into listener.api_calls (endpoint) select unnest(%(endpoints)s::text[]) from taken returning id)
select array(select id from noted order by id), (select (%(needed)s - tokens) / %(rate)s from filled)
"""


def take_calls(
    connection: Connection, limit: int, endpoints: Sequence[str], *, leaving: int = 0
) -> tuple[list[int], float]:
    """Take a call for each endpoint, all or none; return (their ids in the journal, 0), or ([], seconds until then).

    leaving: so many calls must be left for others afterwards.
    On its own, in autocommit: never inside a claim's transaction, which would hold the one row that all share.
    """
    calls = len(endpoints)
    parameters = {**_bucket(limit, calls, leaving), "calls": calls, "endpoints": list(endpoints)}
    row = connection.execute(TAKE_SQL, parameters).fetchone()
    ids, wait = row if row else ([], 1.0)
    return (ids, 0.0) if ids else ([], max(0.05, float(wait or 1.0)))


# The condition is looked at again when the row was another process's meanwhile: no token is taken twice.
TAKE_WHEN_DUE_SQL = f"""
with unhurried as ({UNHURRIED}),
due as materialized ({CHECK_SQL}),
taken as (
    update listener.budget set tokens = {FILLED} - 1, refilled_at = clock_timestamp()
    from unhurried where id = 1 and {FILLED} >= %(needed)s and (select count from due) > 0 returning id),
noted as (insert into listener.api_calls (endpoint) select %(endpoint)s from taken returning id)
select (select count from due), (select id from noted)
"""


def take_when_due(
    connection: Connection, limit: int, endpoint: str, *, leaving: int = 0
) -> Later[tuple[int, int | None]]:
    """Make the check, and take a call if an order is due: (how many are due, the id of the call in the journal)."""
    parameters = {**_bucket(limit, 1, leaving), "endpoint": endpoint}
    taken = connection.execute(TAKE_WHEN_DUE_SQL, parameters)
    return lambda: taken.fetchone() or (0, None)


def _bucket(limit: int, calls: int, leaving: int) -> dict[str, float]:
    burst = burst_of(limit)
    return {"burst": burst, "rate": calls_a_second(limit), "needed": max(calls, min(calls + leaving, burst))}


NOTE_SQL = f"""
with unhurried as ({UNHURRIED})
update listener.api_calls set status = %(status)s, duration_ms = %(duration_ms)s, orders = %(orders)s, error = %(error)s
from unhurried where id = %(id)s
"""


def note_answer(
    connection: Connection, call_id: int, *, status: int | None, duration_ms: float, orders: int, error: str | None
) -> None:
    """Write into the journal what came of a call."""
    parameters = {
        "id": call_id,
        "status": status,
        "duration_ms": duration_ms,
        "orders": orders,
        "error": storable(error),
    }
    connection.execute(NOTE_SQL, parameters)


GIVE_BACK_SQL = """
with gone as (delete from listener.api_calls where id = %(id)s returning id)
update listener.budget set tokens = least(%(burst)s, tokens + 1) where id = 1 and exists (select from gone)
"""


def give_back_call(connection: Connection, call_id: int, limit: int) -> None:
    """Return the token of a call that was not made, and take its line out of the journal."""
    connection.execute(GIVE_BACK_SQL, {"id": call_id, "burst": burst_of(limit)})
