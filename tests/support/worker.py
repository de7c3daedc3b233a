"""The listener's least-privilege role, as sql/roles.sql makes it, and a login that is a member of it."""

from contextlib import suppress

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.errors import Fatal
from listener.install import open_session, run_pieces

LOGIN = "listener_login"


def as_worker(url: str) -> str:
    """Let the role in to this database, if it is there and the listener installed; return the address for its login.

    Where that cannot get in (no server yet, a pooler that knows one user alone) or is beside the point (no address at
    all, a role of the test's own), the address stays as it is.
    """
    try:
        user = conninfo_to_dict(url).get("user")
    except psycopg.ProgrammingError:
        return url
    if user in (None, LOGIN):
        return url
    with suppress(psycopg.OperationalError, Fatal), psycopg.connect(url, autocommit=True) as owner:
        if owner.execute("select to_regclass('listener.installed')").fetchone() != (None,):
            with open_session(url) as session:
                run_pieces(session, "roles.sql")
        make_login(owner)
    theirs = make_conninfo(url, user=LOGIN)
    with suppress(psycopg.OperationalError):
        psycopg.connect(theirs).close()
        return theirs
    return url


def make_login(owner: psycopg.Connection) -> None:
    if owner.execute("select to_regrole(%s)", [LOGIN]).fetchone() == (None,):
        owner.execute(sql.SQL("create role {} login").format(sql.Identifier(LOGIN)))
    if owner.execute("select to_regrole('listener_worker')").fetchone() != (None,):
        owner.execute(sql.SQL("grant listener_worker to {}").format(sql.Identifier(LOGIN)))
