"""Applies the files of `sql/`, each of which does the same when psql runs it.

A line `-- next` splits a file into pieces, and each piece is one command of its own: CREATE INDEX CONCURRENTLY and a
COMMIT inside a DO block can stand in no transaction. Nothing here knows what a file does; what was there before is
remembered in the database, by the files themselves. No lock is held over an install: through a transaction pooler it
would stay behind on a server connection that others get.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import Diagnostic

from listener import retry
from listener.errors import Fatal
from listener.headway import Headway, Show, show_nobody
from listener.watch import Watch, watching

INSTALL = ("001_polling.up.sql", "002_ledger.up.sql", "003_notify.up.sql")
UNINSTALL = ("003_notify.down.sql", "002_ledger.down.sql", "001_polling.down.sql")
BASE_TABLES = "base_tables.sql"
ROLLBACKS = {"flags": "rollback/flags.sql", "notify": "rollback/notify.sql", "all": "rollback/all.sql"}
FLAGS_BACK = "rollback/flags_back.sql"

Session = psycopg.Connection[tuple[Any, ...]]
Tell = Callable[[str], None]


def _tell_nobody(_: str) -> None:
    """Drop what the server has to say."""


def install(url: str, *, base_tables: bool = False, tell: Tell = _tell_nobody, show: Show = show_nobody) -> list[str]:
    """Apply the up files; return their names. Raises Fatal, and a second run goes on where this one stopped."""
    return _apply(url, install_files(base_tables=base_tables), tell, show)


def install_files(*, base_tables: bool = False) -> tuple[str, ...]:
    """Return the names of the files that `install` applies, relative to `sql_dir()`."""
    return (BASE_TABLES, *INSTALL) if base_tables else INSTALL


def uninstall(url: str, *, tell: Tell = _tell_nobody, show: Show = show_nobody) -> list[str]:
    """Apply the down files; return their names. Raises Fatal, before anything is lost, when triggers are left."""
    return _apply(url, UNINSTALL, tell, show)


def rollback(url: str, what: str, *, tell: Tell = _tell_nobody, show: Show = show_nobody) -> list[str]:
    """Apply the file of one rollback, 'flags', 'notify' or 'all'; return its name. Raises Fatal."""
    return _apply(url, (ROLLBACKS[what],), tell, show)


def flags_back(url: str, *, tell: Tell = _tell_nobody, show: Show = show_nobody) -> list[str]:
    """Take the rollback of the flags back; return the file's name. The others' way back is `install`. Raises Fatal."""
    return _apply(url, (FLAGS_BACK,), tell, show)


def sql_dir() -> Path:
    """Return the folder of the files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / INSTALL[0]).is_file():
            return folder
    raise Fatal(f"the SQL files are neither in {package} nor beside it: install the package again")


def script(files: Iterable[str]) -> str:
    """Return the files as one text that psql can run."""
    return "\n".join(f"-- ===== sql/{file}\n{_read(file)}" for file in files)


def pieces(text: str) -> list[str]:
    """Split a file at its lines `-- next`."""
    found = [""]
    for line in text.splitlines(keepends=True):
        if line.strip() == "-- next":
            found.append("")
        else:
            found[-1] += line
    return [piece for piece in found if piece.strip()]


@contextmanager
def open_session(url: str, tell: Tell = _tell_nobody) -> Iterator[Session]:
    """Yield an autocommit session on schema public. Raises Fatal."""
    try:
        session = psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="listener install")
    except psycopg.Error as error:
        raise Fatal(f"no connection to the database: {_advice(error)}") from error
    try:
        session.add_notice_handler(lambda notice: _pass_on(notice, tell))
        session.execute("set search_path = public")
        yield session
    except psycopg.Error as error:
        raise Fatal(_advice(error)) from error
    finally:
        with suppress(psycopg.Error):  # behind a pooler others get this server connection
            session.execute("reset all")
        session.close()


def run_pieces(session: Session, file: str, some: slice = slice(None)) -> str:
    """Run a file's pieces (or a slice of them) one by one; return the file's name. Raises Fatal, which names it."""
    for piece in pieces(_read(file))[some]:
        try:
            session.execute(piece.encode())
        except psycopg.Error as error:
            raise Fatal(f"sql/{file}: {_advice(error)}") from error
    return file


def _apply(url: str, files: Iterable[str], tell: Tell, show: Show) -> list[str]:
    show(Headway("waiting for the database"))
    with open_session(url, tell) as session, watching(url, session.info.backend_pid, tell, show) as watch:
        return [_run(session, file, watch) for file in files]


LOCK_TIMEOUT = "55P03"
COLLISIONS = ("23505", "40P01", "42P06", "42P07", "42710", "XX000")
"""SQLSTATEs of two that make the same object at once (IF NOT EXISTS does not see what is not committed yet)."""


def _run(session: Session, file: str, watch: Watch) -> str:
    """Run a whole file, again when a lock was not to be had, or when it collided with another install."""
    watch.begin(f"applying sql/{file}")
    tries = retry.colliding(lambda fault: _sqlstate(fault) in (*COLLISIONS, LOCK_TIMEOUT))
    try:
        return str(tries(run_pieces, session, file))
    except Fatal as fault:
        if _sqlstate(fault) == LOCK_TIMEOUT and watch.who:
            text = f"sql/{file}: no lock in {tries.statistics['attempt_number']} tries; in the way: {watch.who}. "
            raise Fatal(text + "Wait for that to end, or end it, then run this again") from fault
        raise


def _sqlstate(fault: BaseException) -> str | None:
    return getattr(fault.__cause__, "sqlstate", None)


def _read(file: str) -> str:
    return (sql_dir() / file).read_text(encoding="utf-8")


def _pass_on(notice: Diagnostic, tell: Tell) -> None:
    """Tell warnings and what the files RAISE, but not the server's own remarks on IF NOT EXISTS."""
    if notice.sqlstate == "00000" or notice.severity_nonlocalized == "WARNING":
        tell(f"{(notice.severity_nonlocalized or 'notice').lower()}: {notice.message_primary}")


ADVICE = {
    "42501": "run this as the owner of the shop's tables",
    "55P03": "another transaction holds a lock on it: wait for it to end, then run this again",
    "57014": "it took longer than the file allows: run this again when the database is less busy",
    **dict.fromkeys(("23505", "40P01", "XX000"), "somebody else is installing at the same time: run this again"),
    "25006": "this server is read-only, a standby perhaps: give the address of the primary",
}


def _advice(error: psycopg.Error) -> str:
    """Return an error in one line that says what to do. Connection strings are not repeated: they hold passwords."""
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return "DATABASE_URL is not understood: it looks like postgresql://user:password@host:5432/database"
    said = error.diag.message_primary or str(error).strip().split("\n", 1)[0]
    if error.sqlstate in ADVICE:
        return f"{said}; {ADVICE[error.sqlstate]}"
    if error.sqlstate is None:
        return f"{said}; {way_in(said)}"
    return said


def way_in(said: str) -> str:
    """Return what to do about a connection that was refused or got lost."""
    if "authentication" in said or "no password supplied" in said or "role " in said:
        return "correct the user and the password in DATABASE_URL"
    if "database " in said and "does not exist" in said:
        return "create it, or correct the name in DATABASE_URL"
    return "check the host and port in DATABASE_URL, and that the server is running"
