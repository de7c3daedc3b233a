"""Who stands in the way of a session that waits for a lock. sql/003_notify.up.sql says it in the same words."""

from listener.database import Connection

# What a query says up to its first literal: values are nobody's business here.
WHO_BLOCKS_SQL = r"""
select array_agg(distinct blocker.pid), string_agg(distinct case when a.pid is null then 'a prepared transaction' else
    concat_ws(', ', 'pid ' || a.pid, 'user ' || a.usename, 'application ' || nullif(a.application_name, ''),
              'for ' || date_trunc('second', clock_timestamp() - a.xact_start)) ||
    coalesce(': ' || left(regexp_replace(substring(a.query, '^.*?(?=''|\$|\m[0-9]|$)'), '\s+', ' ', 'g'), 60), '')
    end, '; ')
from unnest(pg_blocking_pids(%s)) as blocker (pid) left join pg_stat_activity a on a.pid = nullif(blocker.pid, 0)
"""


def who_blocks(connection: Connection, pid: int) -> tuple[list[int], str]:
    """Return the pids that keep the session `pid` waiting (0: a prepared transaction's), and who that is in words."""
    row = connection.execute(WHO_BLOCKS_SQL, [pid]).fetchone()
    return (list(row[0]), str(row[1])) if row and row[0] else ([], "")
