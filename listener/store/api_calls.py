"""The API budget: one row that all processes share, and the journal of calls.

A bucket of burst min(20, max(2, limit / 2)), refilled with the rest of the limit over an hour, holds any sixty minutes
to `limit` calls. Counting journal rows would be no limit: two processes that both count 199 of 200 both pass.
"""

from listener.database import Connection
from listener.store.text import storable

BURST = 20


def burst_of(limit: int) -> float:
    """Return how many calls may be made at once under a limit of `limit` an hour."""
    return min(BURST, max(2, limit / 2))


# clock_timestamp(), because the time a transaction began says nothing of now. A clock that was set back refills
# nothing and costs no more than the refill of that time.
TAKE_SQL = """
with filled as (
    select least(%(burst)s, tokens + greatest(0, extract(epoch from clock_timestamp() - refilled_at)) * %(rate)s)
        as tokens
    from listener.budget where id = 1 for update),
taken as (
    update listener.budget b set tokens = f.tokens - %(calls)s, refilled_at = clock_timestamp()
    from filled f where b.id = 1 and f.tokens >= %(calls)s returning b.id),
noted as (
    insert into listener.api_calls (endpoint, orders) select %(endpoint)s, %(orders)s from taken returning id)
select (select id from noted), (select (%(calls)s - tokens) / %(rate)s from filled)
"""


def take_call(connection: Connection, limit: int, endpoint: str, orders: int = 0) -> tuple[int | None, float]:
    """Take one call and note it in the journal; return (its id, 0), or (None, seconds until there is one).

    On its own, in autocommit: never inside a claim's transaction, which would hold the one row that all share.
    """
    burst = burst_of(limit)
    rate = max(limit - burst, 0.5) / 3600
    parameters = {"burst": burst, "rate": rate, "calls": 1, "endpoint": endpoint, "orders": orders}
    row = connection.execute(TAKE_SQL, parameters).fetchone()
    call_id, wait = row if row else (None, 1.0)
    return (int(call_id), 0.0) if call_id is not None else (None, max(0.05, float(wait)))


NOTE_SQL = """
update listener.api_calls set status = %(status)s, duration_ms = %(duration_ms)s, orders = %(orders)s, error = %(error)s
where id = %(id)s
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
