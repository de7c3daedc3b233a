"""The figures of each minute, `listener.minutes`: written by the beat, read by whoever asks how it ran."""

import json
from collections.abc import Sequence
from datetime import datetime

from psycopg.rows import dict_row

from listener.database import Connection
from listener.minutes import Minute, columns_of, minute_of


def as_rows(minutes: Sequence[Minute]) -> str:
    """Return what KEEP_MINUTES_SQL takes."""
    return json.dumps([columns_of(minute) for minute in minutes])


# A minute that was written, and of which that was not heard, is there already. What the table has no column for is left
# out, and what is not in the row is null: another version's minutes cost no more than themselves.
KEEP_MINUTES_SQL = """
insert into listener.minutes
select * from jsonb_populate_recordset(null::listener.minutes, %(minutes)s::jsonb)
on conflict do nothing
"""


def keep_minutes(connection: Connection, minutes: Sequence[Minute]) -> None:
    """Write minutes that are over."""
    connection.execute(KEEP_MINUTES_SQL, {"minutes": as_rows(minutes)})


READ_MINUTES_SQL = "select * from listener.minutes where minute >= %s and minute < %s order by minute, process"


# A day of whole minutes is a megabyte: who draws a day reads what is drawn.
READ_COURSE_SQL = """
select minute, process, latencies, latency_ms_max, errors, missed, api_calls
from listener.minutes where minute >= %s and minute < %s order by minute, process
"""


def read_course(connection: Connection, since: datetime, until: datetime) -> list[Minute]:
    """Return the minutes that began in a time with what `history` shows of them, and nothing else."""
    rows = connection.cursor(row_factory=dict_row).execute(READ_COURSE_SQL, [since, until])
    return [minute_of(row) for row in rows]


def read_minutes(connection: Connection, since: datetime, until: datetime) -> list[Minute]:
    """Return the minutes that began in a time, in their order; of a minute in which two processes led, both."""
    rows = connection.cursor(row_factory=dict_row).execute(READ_MINUTES_SQL, [since, until])
    return [minute_of(row) for row in rows]
