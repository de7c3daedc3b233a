"""Imported files, and what was refused in them.

One file goes in by one transaction: its orders, its row in `listener.imports`, what was refused in it, and every number
that it holds. Connections may be a transaction pooler's: limits and search_path are set inside the transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import class_row

from listener.database import Connection
from listener.orders import RefusedOrder
from listener.store.text import storable

# By the files that are there, not all that ever were: of a file that grows each hour, many thousands have been read.
KNOWN_FILES_SQL = """
select file_id, revision from unnest(%s::text[], %s::text[]) as here (file_id, revision)
where exists (select from listener.imports i
              where i.source = %s and i.file_id = here.file_id and i.revision = here.revision offset 0)
"""


def known_files(connection: Connection, source: str, files: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (file_id, revision) that were read, well or badly."""
    ids, revisions = zip(*files, strict=True)
    return set(connection.execute(KNOWN_FILES_SQL, [list(ids), list(revisions), source]).fetchall())


# last_xml_count is an integer or, where the first rollout left it so, text: an integer is assigned to either.
MOVE_SQL = """
update polling_state set last_xml_check = localtimestamp, last_xml_count = %s
where id in (select id from polling_state where id = 1 for update skip locked)
"""


def move_polling_state(connection: Connection, files: int) -> None:
    """Show in `polling_state` that the source was looked at, unless somebody holds that row just now."""
    connection.execute(MOVE_SQL, [files])


LIMITS_SQL = """
select pg_catalog.set_config(name, value, true)
from (values ('statement_timeout', '60s'), ('lock_timeout', '2s'), ('search_path', 'public'),
             ('idle_in_transaction_session_timeout', '15s')) as limits (name, value)
"""


@contextmanager
def import_transaction(connection: Connection) -> Iterator[None]:
    """Run one transaction with our limits. A file of many orders takes longer than a statement of ours usually may."""
    with connection.transaction():
        connection.execute(LIMITS_SQL)
        yield


class FileRow(NamedTuple):
    """What identifies a file."""

    source: str
    file_id: str
    revision: str
    name: str


BEGIN_SQL = """
insert into listener.imports (source, file_id, revision, name, status) values (%s, %s, %s, %s, 'imported')
on conflict (source, file_id, revision) do nothing returning id
"""


def begin_import(connection: Connection, file: FileRow) -> int | None:
    """Write the file's row and return its id; None when somebody else has imported it."""
    row = connection.execute(BEGIN_SQL, file).fetchone()
    return int(row[0]) if row else None


class Counts(NamedTuple):
    """What became of a file's orders. `standing`: those of the refused that an earlier revision was refused for too."""

    in_file: int = 0
    new: int = 0
    known: int = 0
    refused: int = 0
    standing: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return both together."""
        return Counts(*map(sum, zip(self, other, strict=True)))


FINISH_SQL = """
update listener.imports set orders_in_file = %s, orders_new = %s, orders_known = %s, orders_refused = %s where id = %s
"""


def finish_import(connection: Connection, import_id: int, counts: Counts) -> None:
    """Write the file's figures."""
    connection.execute(FINISH_SQL, [counts.in_file, counts.new, counts.known, counts.refused, import_id])


FAILED_SQL = """
insert into listener.imports (source, file_id, revision, name, status, error) values (%s, %s, %s, %s, 'failed', %s)
on conflict (source, file_id, revision) do nothing
"""


def record_failed_file(connection: Connection, file: FileRow, error: str) -> None:
    """Write that the file cannot be read, and why: it is not tried again until it changes."""
    connection.execute(FAILED_SQL, [*file, storable(error)])


QUARANTINE_SQL = """
insert into listener.quarantine (import_id, line, order_number, reason)
select %s, line, number, reason
from unnest(%s::integer[], %s::text[], %s::text[]) as refused (line, number, reason)
"""


def quarantine(connection: Connection, import_id: int, refused: Sequence[RefusedOrder]) -> None:
    """Write which orders of the file were refused, where they stand and why."""
    columns = [[r.line for r in refused], [r.order_number for r in refused], [r.reason for r in refused]]
    connection.execute(QUARANTINE_SQL, [import_id, *columns])


# Files are cumulative: what is refused in one is refused in the next. It stands once, with the newest.
STANDING_SQL = """
delete from listener.quarantine old using listener.imports f
where f.source = %s and f.file_id = %s and f.id <> %s and old.import_id = f.id
  and (coalesce(old.order_number, ''), old.reason) in (
      select coalesce(new.order_number, ''), new.reason from listener.quarantine new where new.import_id = %s)
"""


def drop_standing_refusals(connection: Connection, import_id: int, file: FileRow) -> int:
    """Remove what an earlier revision of the file was refused for as well; return how many refusals that were."""
    return connection.execute(STANDING_SQL, [file.source, file.file_id, import_id, import_id]).rowcount


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read, well or badly. `total` counts all of them."""

    at: datetime
    source: str
    name: str
    file_id: str
    revision: str
    status: str
    orders: int
    new: int
    known: int
    refused: int
    error: str | None
    total: int


READ_FILES_SQL = """
select imported_at as at, source, name, file_id, revision, coalesce(status, 'imported') as status,
       orders_in_file as orders, orders_new as new, orders_known as known, orders_refused as refused, error,
       count(*) over () as total
from listener.imports order by id desc limit %s
"""


def read_files(connection: Connection, limit: int) -> list[ReadFile]:
    """Return the files that were read last, the newest first."""
    return connection.cursor(row_factory=class_row(ReadFile)).execute(READ_FILES_SQL, [limit]).fetchall()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order of a file that was not taken, and why. `total` counts all of them."""

    at: datetime | None
    source: str
    name: str
    revision: str
    line: int | None
    order_number: str | None
    reason: str
    total: int


REFUSALS_SQL = """
select q.at, f.source, f.name, f.revision, q.line, q.order_number, q.reason, count(*) over () as total
from listener.quarantine q join listener.imports f on f.id = q.import_id order by f.id desc, q.id limit %s
"""


def refusals(connection: Connection, limit: int) -> list[Refusal]:
    """Return what was refused in the files that were read last: the newest file first, its orders as they stand."""
    return connection.cursor(row_factory=class_row(Refusal)).execute(REFUSALS_SQL, [limit]).fetchall()
