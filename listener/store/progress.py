"""`polling_state`, and the beat: the one statement of an idle heartbeat.

The beat looks at the inbox, reads flags and controls, moves `polling_state`, writes the figures of the minutes that are
over, and sees who holds our locks, whether we still lead and whether the triggers stand. It never waits for a row lock:
a beat that hung on a stranger's lock would keep the leader's lock on the server while the leader does nothing. Between
beats that are far apart a look sees to the triggers alone. Either rings the channel on which the bell is tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege, UndefinedTable
from psycopg.rows import class_row

from listener.database import Connection
from listener.locks import LOCK_CLASS, SILENCE_KEY
from listener.minutes import Minute
from listener.store.config import READ_CONFIG_SQL, READ_FLAGS_SQL
from listener.store.home import REMEMBERED_SQL
from listener.store.inbox import COUNTED_UP_TO, DUE, KEY, PENDING
from listener.store.minutes import KEEP_MINUTES_SQL, as_rows
from listener.store.rows import INCOMPLETE

_MOVE = """
update polling_state set last_upload_check = localtimestamp, last_upload_count = {count}
where id in (select id from polling_state where id = 1 for update skip locked)
"""

MOVE_SQL = _MOVE.format(count="%s")


def move_polling_state(connection: Connection, pending: int) -> bool:
    """Show in `polling_state` that the inbox was looked at; False when somebody holds that row just now."""
    return connection.execute(MOVE_SQL, [pending]).rowcount == 1


TRIGGERS = {
    "listener_orders_inserted": "dc0414e04cd93077e79f97f5f2726cb0",
    "listener_orders_updated": "d0c8c70c502f9b0b204147efc3149ac4",
    "listener_flags_inserted": "0ba968a428431fb1fc81179365964455",
    "listener_flags_changed": "0ba968a428431fb1fc81179365964455",
    "listener_flags_deleted": "0ba968a428431fb1fc81179365964455",
    "listener_workflows_inserted": "111e84e9313813e722ab008b088511e7",
    "listener_workflows_changed": "111e84e9313813e722ab008b088511e7",
    "listener_workflows_deleted": "111e84e9313813e722ab008b088511e7",
}
"""The triggers of sql/003_notify.up.sql, and the md5 of what each runs: an emptied body is as silent as none."""

MISSING_TRIGGERS = """
array(select name from unnest(%(triggers)s::text[], %(bodies)s::text[]) as wanted (name, body) where not exists (
        select from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
        where t.tgname = name and t.tgenabled in ('O', 'A') and pg_catalog.md5(p.prosrc) = body))
"""

# A NOTIFY fails where the queue is full; whether a bell is heard is then not the question.
RING = """
case when %(probe)s::text <> '' and pg_catalog.pg_notification_queue_usage() < 0.9
     then pg_catalog.pg_notify(%(probe)s::text, '') is not null else false end
"""

LOOK_SQL = f"""
select (select epoch from listener.leader where id = 1) as epoch, {MISSING_TRIGGERS} as missing_triggers, {RING} as rang
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look saw: the epoch, the triggers that do not stand, and whether the probe's channel was rung."""

    epoch: int
    missing_triggers: list[str]
    rang: bool


def look(connection: Connection, probe: str) -> Look:
    """Look at the triggers, and ring the channel `probe`, on which the LISTEN session must hear it; '' for none."""
    parameters = {"triggers": list(TRIGGERS), "bodies": list(TRIGGERS.values()), "probe": probe}
    row = connection.cursor(row_factory=class_row(Look)).execute(LOOK_SQL, parameters).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    return row


_BEAT = f"""
with due as materialized (
    select o.id, not exists (select from listener.ledger l where l.order_key = {KEY} offset 0) as fresh
    from orders_inbox o where {DUE} order by o.id limit {COUNTED_UP_TO}),
seen as materialized (
    select (select count(*) from (select from orders_inbox o where {PENDING} limit {COUNTED_UP_TO}) counted) as pending,
           count(*) as due, count(*) filter (where fresh) as fresh, min(id) as oldest_id, max(id) as newest_id
    from due),
moved as ({_MOVE.format(count="(select due from seen)")} returning id),
kept as ({KEEP_MINUTES_SQL})
select seen.*, exists (select from moved) as moved, (select epoch from listener.leader where id = 1) as epoch,
    ({{config}}) as config, ({REMEMBERED_SQL}) as home,
    (select count(*) from (select from listener.ledger where state = 'held_back' limit {COUNTED_UP_TO}) counted)
        as held_back,
    exists (select from listener.ledger where {INCOMPLETE}) as incomplete,
    (select count(*) from pg_catalog.pg_stat_activity where datname = current_database()) as connections,
    (select count(*) from listener.api_calls where at > now() - interval '1 hour') as api_calls,
    (select pid from pg_catalog.pg_locks where locktype = 'advisory' and classid = {LOCK_CLASS}
        and objid = {SILENCE_KEY} and objsubid = 2 and mode = 'ExclusiveLock' and granted
        and database = (select oid from pg_catalog.pg_database where datname = current_database())
        and pid <> pg_catalog.pg_backend_pid() limit 1) as muted_by,
    {MISSING_TRIGGERS} as missing_triggers, {RING} as rang
from seen
"""

BEAT_SQL = _BEAT.format(config=READ_CONFIG_SQL)
BEAT_WITHOUT_CONTROLS_SQL = _BEAT.format(config=READ_FLAGS_SQL)


@dataclass(frozen=True, slots=True)
class BeatRow:
    """What one beat saw. Counts stop at 10,000; `fresh` are due orders never tried, the ids are those of due ones.

    moved: polling_state was, because nobody held its row;  rang: the probe's channel was
    """

    pending: int
    due: int
    fresh: int
    oldest_id: int | None
    newest_id: int | None
    moved: bool
    epoch: int
    config: str
    home: list[str] | None
    held_back: int
    incomplete: bool
    connections: int
    api_calls: int
    muted_by: int | None
    missing_triggers: list[str]
    rang: bool = False


def beat(connection: Connection, minutes: Sequence[Minute] = (), probe: str = "") -> BeatRow:
    """Run the beat. Without a `workflow_controls` that can be read, every workflow counts as switched on.

    minutes: those that are over and not written yet
    probe:   a channel to ring, on which the LISTEN session must hear it; '' for none
    """
    try:
        return _beat(connection, BEAT_SQL, minutes, probe)
    except (UndefinedTable, InsufficientPrivilege):
        return _beat(connection, BEAT_WITHOUT_CONTROLS_SQL, minutes, probe)


def _beat(connection: Connection, query: str, minutes: Sequence[Minute], probe: str) -> BeatRow:
    wanted = {"triggers": list(TRIGGERS), "bodies": list(TRIGGERS.values())}
    parameters = {**wanted, "minutes": as_rows(minutes), "probe": probe}
    row = connection.cursor(row_factory=class_row(BeatRow)).execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101  an aggregate has one row
    return row
