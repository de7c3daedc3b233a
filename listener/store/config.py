"""Flags, workflow controls, and the receipts of their changes.

The configuration is one value of one row, so that it can be asked for without waiting, over libpq, and as part of
another statement: hence no parameters and no percent sign in it. Whoever may write to the tables can't make it large:
it has the rows that have a meaning, once, and of a value as much as shows whether it is one.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import class_row

from listener.database import Connection
from listener.events import WORKFLOWS
from listener.flags import READERS

LONGEST_VALUE = 1000
"""Characters of a flag's value that are read: no good one is half as long."""

_NAMES = ", ".join(f"'{name}'" for name in READERS)
_FLAGS = f"""
(select coalesce(json_agg(json_build_array(parameter_name, value) order by id), '[]')
 from (select distinct on (parameter_name) id, parameter_name, left(value, {LONGEST_VALUE}) as value
       from configuration_params where category = 'Polling' and sku is null and parameter_name in ({_NAMES})
       order by parameter_name, id desc) as flags)
"""

_SWITCHES = ", ".join(f"'{name}'" for name in WORKFLOWS)
_WORKFLOWS = f"""
(select coalesce(json_object_agg(workflow_name, enabled), json_build_object()) from workflow_controls
 where workflow_name in ({_SWITCHES}))
"""

_REQUEUED = "(select coalesce(max(id), 0) from listener.requeues)"

READ_CONFIG_SQL = f"""
select json_build_object('flags', {_FLAGS}, 'workflows', {_WORKFLOWS}, 'requeued', {_REQUEUED})::text
"""

# Without the newest requeue, which stands in schema listener: a rollback of that must not switch a workflow on.
READ_SWITCHES_SQL = f"select json_build_object('flags', {_FLAGS}, 'workflows', {_WORKFLOWS})::text"

# The flags alone: a table of switches that is missing or may not be read counts as every workflow being on.
READ_FLAGS_SQL = f"select json_build_object('flags', {_FLAGS}, 'workflows', json_build_object())::text"


class Tables(NamedTuple):
    """What the tables say: (parameter_name, value) by id, the newest of each name; what is enabled; the newest requeue
    (None: unknown).
    """

    flags: list[tuple[str, str]]
    workflows: dict[str, bool]
    requeued: int | None


def decode_config(text: str) -> Tables:
    """Return what READ_CONFIG_SQL answered, or one of those that read less."""
    config = json.loads(text)
    flags = [(name, value) for name, value in config["flags"]]
    return Tables(flags, config["workflows"], config.get("requeued"))


LOCAL_SETTINGS_SQL = """
select set_config('statement_timeout', '15s', true), set_config('lock_timeout', '5s', true),
       set_config('search_path', 'public', true)
"""


def limit_transaction(connection: Connection) -> None:
    """Bound what a command's transaction waits for, and let it see the tables that the listener sees."""
    connection.execute(LOCAL_SETTINGS_SQL)


VIEW_SETTINGS_SQL = """
select set_config('statement_timeout', '2s', true), set_config('lock_timeout', '500ms', true),
       set_config('search_path', 'public', true), set_config('max_parallel_workers_per_gather', '0', true),
       set_config('jit', 'off', true)
"""


def limit_view(connection: Connection) -> None:
    """Bound what a page's transaction may cost: whoever looks must not be felt by the upload."""
    connection.execute(VIEW_SETTINGS_SQL)


def read_flag_rows(connection: Connection) -> list[tuple[str, str]]:
    """Return the flags' rows as the listener reads them."""
    row = connection.execute(READ_FLAGS_SQL).fetchone()
    assert row is not None  # noqa: S101  a select without from has one row
    return decode_config(row[0]).flags


ALL_FLAG_ROWS_SQL = f"""
select left(parameter_name, 100), left(value, {LONGEST_VALUE}) from configuration_params
where category = 'Polling' and sku is null order by id
"""


def all_flag_rows(connection: Connection) -> list[tuple[str, str]]:
    """Return the rows of category Polling in the order of their id, those without a meaning too."""
    return connection.execute(ALL_FLAG_ROWS_SQL).fetchall()


# $1 parameter_name, $2 old, $3 new, $4 verdict, $5 reason, $6 source, $7 seconds since it was seen, $8 seconds since it
# is in force (null when it was refused): texts all of them, as libpq sends them. A bad row is read again at every
# heartbeat and by every process that starts; it is one refusal for as long as nothing else happens to that flag.
RECORD_RECEIPT_SQL = """
insert into listener.config_log
    (parameter_name, old_value, new_value, verdict, reason, source, seen_at, in_force_at)
select $1::text, $2::text, $3::text, $4::text, $5::text, $6::text,
       at - make_interval(secs => $7::double precision), at - make_interval(secs => $8::double precision)
from clock_timestamp() as at
where $4::text <> 'refused' or not exists (
    select from (select verdict, new_value from listener.config_log where parameter_name = $1::text
                 order by id desc limit 1) as newest
    where verdict = 'refused' and new_value is not distinct from $3::text)
"""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line of the history: a change that was taken, or a value that was refused."""

    seen_at: datetime
    in_force_at: datetime | None
    parameter_name: str
    old_value: str | None
    new_value: str | None
    verdict: str
    reason: str | None
    source: str | None


READ_HISTORY_SQL = """
select seen_at, in_force_at, parameter_name, old_value, new_value, verdict, reason, source
from (select * from listener.config_log order by id desc limit %s) as newest
order by id
"""


def read_history(connection: Connection, limit: int) -> list[Receipt]:
    """Return the newest `limit` receipts, the newest last."""
    return connection.cursor(row_factory=class_row(Receipt)).execute(READ_HISTORY_SQL, [limit]).fetchall()


# Of the newest changes only: a flag that was last changed long before those is shown without its receipt.
NEWEST_RECEIPTS_SQL = """
select distinct on (parameter_name) seen_at, in_force_at, parameter_name, left(old_value, 200) as old_value,
       left(new_value, 200) as new_value, verdict, left(reason, 500) as reason, source
from (select * from listener.config_log order by id desc limit 500) as newest
order by parameter_name, id desc
"""


def newest_receipts(connection: Connection) -> list[Receipt]:
    """Return the last receipt of each flag."""
    return connection.cursor(row_factory=class_row(Receipt)).execute(NEWEST_RECEIPTS_SQL).fetchall()


SWITCH_WORKFLOW_SQL = """
update workflow_controls set enabled = %s, last_updated = localtimestamp, updated_by = %s where workflow_name = %s
"""


def switch_workflow(connection: Connection, name: str, *, enabled: bool, who: str) -> bool:
    """Switch a workflow on or off; its trigger rings. False when it has no row."""
    return connection.execute(SWITCH_WORKFLOW_SQL, [enabled, who, name]).rowcount == 1
