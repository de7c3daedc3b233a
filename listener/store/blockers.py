"""What a session that installs is waiting for: who stands in its way (sql/003_notify.up.sql says it in the same words),
or the build of an index.
"""

from typing import NamedTuple

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


class IndexBuild(NamedTuple):
    """How far an index is in the pass over the table, or over what is sorted, that is under way."""

    name: str
    done: int
    total: int | None
    unit: str


INDEX_BUILD_SQL = """
select c.relname, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total
from pg_stat_progress_create_index p join pg_class c on c.oid = p.index_relid where p.pid = %s
"""


def index_build(connection: Connection, pid: int) -> IndexBuild | None:
    """Return how far the session `pid` is with the index that it builds; None: it builds none."""
    row = connection.execute(INDEX_BUILD_SQL, [pid]).fetchone()
    if row is None:
        return None
    name, blocks, of_blocks, tuples, of_tuples = row
    if of_blocks:
        return IndexBuild(name, blocks, of_blocks, "pages")
    return IndexBuild(name, tuples, of_tuples, "rows") if of_tuples else IndexBuild(name, 0, None, "")
