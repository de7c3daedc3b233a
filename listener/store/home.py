"""`listener.home`: which database this is, so that a restored copy does not ship.

A copy has all that the original has, pending orders included, and whoever tries it out may have the key to the same
ShipStation account. What a copy cannot have is the same place: the name of the database, the cluster's identifier and
the host are noted at the first run, and any difference holds the uploads until a person says that this is production.
"""

from typing import NamedTuple

from psycopg.errors import InsufficientPrivilege, UndefinedFunction

from listener.database import Connection

LOCALHOST = "localhost"
LOOPBACK = frozenset({"", LOCALHOST, "localhost.localdomain", "ip6-localhost", "::1"})


class Home(NamedTuple):
    """Where a database is. `system_identifier` is '' when the server does not tell it to us."""

    database: str
    system_identifier: str
    host: str


NAME_SQL = "select current_database()::text"
SYSTEM_SQL = "select system_identifier::text from pg_catalog.pg_control_system()"


def where_it_is(connection: Connection) -> Home:
    """Return where the database of this connection is, with the host as the connection names it."""
    row = connection.execute(NAME_SQL).fetchone()
    return Home(row[0] if row else "", _system_identifier(connection), _host(connection))


def _system_identifier(connection: Connection) -> str:
    try:
        row = connection.execute(SYSTEM_SQL).fetchone()
    except (InsufficientPrivilege, UndefinedFunction):
        return ""
    return str(row[0]) if row else ""


def _host(connection: Connection) -> str:
    """Return the host in effect, wherever libpq took it from: the URL, PGHOST, or a service file."""
    options = {option.keyword: (option.val or b"").decode() for option in connection.pgconn.info}
    return normal_host(options.get(b"host") or options.get(b"hostaddr") or "")


def normal_host(host: str) -> str:
    """Return the form of a host that is compared. A loopback address and a socket are this machine; a list stays."""
    host = host.strip().lower()
    if host in LOOPBACK or host.startswith(("/", "@")) or (host.startswith("127.") and "," not in host):
        return LOCALHOST
    return host


FIRST_RUN_SQL = """
insert into listener.home (id, database, system_identifier, host) values (1, %s, %s, %s) on conflict (id) do nothing
"""


def note_first_run(connection: Connection, here: Home) -> None:
    """Remember the place, unless one is remembered."""
    connection.execute(FIRST_RUN_SQL, here)


MOVE_IN_SQL = """
insert into listener.home as h (id, database, system_identifier, host) values (1, %s, %s, %s)
on conflict (id) do update set database = excluded.database, system_identifier = excluded.system_identifier,
    host = excluded.host, since = clock_timestamp()
"""


def move_in(connection: Connection, here: Home) -> None:
    """Remember this place instead of any other: it is production now."""
    connection.execute(MOVE_IN_SQL, here)


REMEMBERED_SQL = "select array[database, system_identifier, host] from listener.home where id = 1"


def read_home(connection: Connection) -> list[str] | None:
    """Return the place that is remembered, as the beat does; None before the first run."""
    row = connection.execute(REMEMBERED_SQL).fetchone()
    return row[0] if row else None


def differences(here: Home, remembered: list[str] | None) -> str:
    """Return in words what differs; '' when nothing does, or nothing is remembered. Pure."""
    if remembered is None:
        return ""
    home = Home(*remembered)
    found = []
    if here.database != home.database:
        found.append(f"the database is {here.database}, it was {home.database}")
    if here.host != home.host:
        found.append(f"the host is {here.host}, it was {home.host}")
    if here.system_identifier != home.system_identifier and here.system_identifier and home.system_identifier:
        found.append(f"the cluster is {here.system_identifier}, it was {home.system_identifier}")
    return "; ".join(found)
