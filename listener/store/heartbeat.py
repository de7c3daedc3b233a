"""What is left in the database of the listener that leads: for whoever asks how it is and does not reach its page."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from listener.database import Connection
from listener.leader import LEADS
from listener.store.inbox import COUNTED_UP_TO, PENDING

# polling_state has no zone: it is read in the zone in which it is written, the session's.
HEARTBEAT_SQL = f"""
select leader.holder, leader.host, leader.process_id as pid, leader.epoch,
    (select since from listener.leader where id = 1) as since, clock_timestamp() as now,
    (select extract(epoch from localtimestamp - last_upload_check)::float8 from polling_state where id = 1)
        as beat_seconds_ago,
    (select count(*) from (select from orders_inbox o where {PENDING} limit {COUNTED_UP_TO}) counted) as pending,
    (select count(*) from (select from listener.ledger where state = 'held_back' limit {COUNTED_UP_TO}) counted)
        as held_back,
    (select count(*) from pg_catalog.pg_stat_activity where datname = current_database()) as connections,
    (select count(*) from listener.api_calls where at > now() - interval '1 hour') as api_calls,
    (select fresh_at from listener.mirror_state where id = 1) as mirror_fresh_at,
    (select full_at is not null from listener.mirror_state where id = 1) as mirror_full
from (select) nothing left join (select * from listener.leader where {LEADS}) leader on true
"""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What can be seen. `holder` is None when nobody leads; `since` is when the last one began to."""

    holder: str | None
    host: str | None
    pid: int | None
    epoch: int | None
    since: datetime | None
    now: datetime
    beat_seconds_ago: float | None
    pending: int
    held_back: int
    connections: int
    api_calls: int
    mirror_fresh_at: datetime | None
    mirror_full: bool | None


def read_heartbeat(connection: Connection) -> Heartbeat:
    """Return what the leader, or the last one, has left."""
    row = connection.cursor(row_factory=class_row(Heartbeat)).execute(HEARTBEAT_SQL).fetchone()
    assert row is not None  # noqa: S101  it has one row
    return row
