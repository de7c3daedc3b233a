"""What `validate` asks: minutes, how things are set, the last change of a flag, and orders that are there twice."""

from datetime import datetime

from listener.database import Connection
from listener.flags import Flags, parse_flags
from listener.rollout import Evidence, LastChange, Window
from listener.store.config import READ_CONFIG_SQL, decode_config
from listener.store.minutes import read_minutes


def read_evidence(connection: Connection, hours: int) -> Evidence:
    """Return all that is known of the last `hours` hours; read in one transaction, it is of one moment."""
    window = read_window(connection, hours)
    row = connection.execute(READ_CONFIG_SQL).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    tables = decode_config(row[0])
    flags, refusals = parse_flags(tables.flags, Flags())
    return Evidence(
        window=window,
        minutes=read_minutes(connection, window.since, window.until),
        flags=flags,
        refused=frozenset(refusal.parameter_name for refusal in refusals),
        switches=tables.workflows,
        last_change=last_change(connection),
        twice=uploaded_twice(connection, window.since),
    )


# A minute is written by the beat or ping that follows it: within half a minute, as long as the server answers.
WINDOW_SQL = """
select until - make_interval(hours => %s), until, (select min(minute) from listener.minutes)
from (select date_trunc('minute', now() - interval '30 seconds') as until) as window_end
"""


def read_window(connection: Connection, hours: int) -> Window:
    """Return the last `hours` hours, to the last minute that must have been written."""
    row = connection.execute(WINDOW_SQL, [hours]).fetchone()
    assert row is not None  # noqa: S101  a select from one row has one
    return Window(*row)


LAST_CHANGE_SQL = """
select parameter_name, old_value, new_value, source, extract(epoch from in_force_at - seen_at)::float8
from listener.config_log where verdict = 'accepted' order by id desc limit 1
"""


def last_change(connection: Connection) -> LastChange | None:
    """Return the last flag change that was taken."""
    row = connection.execute(LAST_CHANGE_SQL).fetchone()
    return LastChange(*row) if row else None


# Alive there, and none of them merged into another: two such orders for one number are two parcels. An order that was
# there twice before is no fault of the time that is looked at, so one of them must have been made in it.
TWICE_SQL = """
select m.order_key from listener.mirror m
where m.status <> 'cancelled' and m.merged_into is null
  and exists (select from listener.ledger l where l.order_key = m.order_key)
group by m.order_key having count(*) > 1 and max(m.created_at) >= %s
order by m.order_key limit 1000
"""


def uploaded_twice(connection: Connection, since: datetime) -> list[str]:
    """Return the orders of ours that ShipStation has more than once since then, as far as is known."""
    return [key for (key,) in connection.execute(TWICE_SQL, [since])]
