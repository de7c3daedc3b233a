"""The server itself: what it is, how many connections it has left, what time it is there. For doctor."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg.rows import class_row

from listener.database import Connection
from listener.doctor.seen.server import Clocks, Connections, Server

SERVER_SQL = """
select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
       current_database()::text as database, current_user::text as role, ''::text as host,
       pg_catalog.pg_postmaster_start_time() as started, pg_catalog.pg_is_in_recovery() as is_standby,
       setting = 'on' as read_only, source as read_only_by
from pg_catalog.pg_settings where name = 'default_transaction_read_only'
"""


def read_server(connection: Connection) -> Server:
    """Return what this connection leads to."""
    row = connection.cursor(row_factory=class_row(Server)).execute(SERVER_SQL).fetchone()
    assert row is not None  # noqa: S101  the setting is there in every version
    return replace(row, host=connection.info.host)


# A session without a database is the server's own. Of other roles' sessions a plain role sees little more than these.
CONNECTIONS_SQL = """
with clients as (select datname, usename from pg_catalog.pg_stat_activity where datname is not null)
select (select count(*) from clients)::integer as of_server,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0) as most_of_server,
       (select count(*) from clients where datname = current_database())::integer as of_database,
       nullif(d.datconnlimit, -1) as most_of_database,
       (select count(*) from clients where usename = current_user)::integer as of_role,
       nullif(r.rolconnlimit, -1) as most_of_role,
       d.datname::text as database, r.rolname::text as role
from pg_catalog.pg_database d, pg_catalog.pg_roles r
where d.datname = current_database() and r.rolname = current_user
"""


def read_connections(connection: Connection) -> Connections:
    """Return how many connections there are, ours among them, and how many there may be."""
    row = connection.cursor(row_factory=class_row(Connections)).execute(CONNECTIONS_SQL).fetchone()
    assert row is not None  # noqa: S101  we are connected to a database, as a role
    return row


CLOCK_SQL = "select extract(epoch from pg_catalog.clock_timestamp())::float8"


def compare_clocks(connection: Connection, clock: Callable[[], float] = time.time) -> Clocks:
    """Return how far the server's clock is ahead of this machine's: it was read somewhere within the round trip."""
    before = clock()
    row = connection.execute(CLOCK_SQL).fetchone()
    after = clock()
    there = float(row[0]) if row else before
    return Clocks(there - (before + after) / 2, (after - before) / 2)


LOOKING_SQL = """
select set_config('transaction_read_only', 'on', true), set_config('statement_timeout', '5s', true),
       set_config('lock_timeout', '1s', true), set_config('search_path', 'public', true)
"""


@contextmanager
def only_looking(connection: Connection) -> Iterator[None]:
    """Run a transaction that can change nothing, waits for little, and is taken back."""
    with connection.transaction(force_rollback=True):
        connection.execute(LOOKING_SQL)
        yield
