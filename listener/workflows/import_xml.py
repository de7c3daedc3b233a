"""The workflow `xml-import`: a check of the source, and then the files that are new, for as long as a step may take.

What tells a file from one that was read before is its identity and content, never its time or a count. A check that
finds nothing new costs one statement, which moves `polling_state` and touches nothing else.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import psycopg

from listener.database import Connection, fault_of
from listener.errors import Rejected, Transient
from listener.events import StepReport
from listener.metrics import Metrics
from listener.sources.source import SETTLED_AFTER_SECONDS, Changed, Listing, OrderSource, SourceFile
from listener.store import imports
from listener.store.imports import Counts, FileRow
from listener.workflows.import_file import import_file, read_file
from listener.workflows.import_progress import Progress
from listener.workflows.order_spool import OrderSpool

logger = logging.getLogger(__name__)

STEP_SECONDS = 1.0
"""A step begins no file after that: so a thousand small ones do not need a thousand checks."""


class _Key(NamedTuple):
    """What tells a file from every other."""

    file_id: str
    revision: str


def _key(file: SourceFile) -> _Key:
    return _Key(file.file_id, file.revision)


class ImportXml:
    """The workflow, for one thread. `connect` opens its connection when there is something to say."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        source: OrderSource,
        metrics: Metrics,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._give_way = give_way
        self._source = source
        self._metrics = metrics
        self._connection: Connection | None = None
        self._known: set[tuple[str, str]] = set()
        self._begun: set[_Key] = set()  # and not brought to an end: such a file must not stand before the others
        self._unreadable: tuple[tuple[str, str], ...] = ()

    def step(self, source_of_wake: str, *, quiet: bool = False) -> StepReport:
        """Look at the source, and import what is new. Raises Transient; what was not committed is done again.

        quiet: only say whether there is anything new, and leave the database alone
        """
        try:
            listing, new = self._check(source_of_wake, quiet=quiet)
            self._name_unreadable(listing)
            if quiet:
                self.close()
                return StepReport(more=bool(new), retry_after=SETTLED_AFTER_SECONDS if listing.unsettled else None)
            done, left_alone = self._import_some(new)
        except psycopg.Error as error:
            self.close()
            self._known = set()  # the tables may have been rolled back, or restored
            raise Transient(fault_of(error)) from error
        unsettled = bool(listing.unsettled) or left_alone
        return StepReport(done, more=done < len(new), retry_after=SETTLED_AFTER_SECONDS if unsettled else None)

    def close(self) -> None:
        """Close the connection, if there is one; the next step opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _check(self, wake: str, *, quiet: bool) -> tuple[Listing, list[SourceFile]]:
        """Return what is there and which of it is new, by one METRICS line."""
        started, action, new = time.perf_counter(), "error", []
        try:
            listing = self._source.listing()
            if not quiet:
                self._move_polling_state(len(listing.files))
            new = self._new(listing, quiet=quiet)
            action = "process" if new else "skip"
        finally:
            self._metrics.check(
                "xml-import",
                exists=bool(new),
                count=len(new),
                duration_ms=(time.perf_counter() - started) * 1000,
                action=action,
                source=wake,
            )
        return listing, new

    def _move_polling_state(self, files: int) -> None:
        """Also finds out whether a kept connection still lives: a pooler may have closed it since."""
        kept = self._connection
        try:
            imports.move_polling_state(self._open(), files)
        except psycopg.OperationalError:
            if kept is None or not kept.closed:
                raise
            self.close()
            imports.move_polling_state(self._open(), files)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _new(self, listing: Listing, *, quiet: bool) -> list[SourceFile]:
        """Return the files that nobody has read, by name. Of the others only those are remembered that are there."""
        files = {_key(file): file for file in listing.files}
        if (unknown := files.keys() - self._known) and not quiet:
            self._known |= imports.known_files(self._open(), self._source.source, unknown)
        self._known &= files.keys()
        self._begun &= files.keys() - self._known
        new = sorted(files.keys() - self._known, key=lambda key: (key in self._begun, files[key].name, key))
        return [files[key] for key in new]

    def _name_unreadable(self, listing: Listing) -> None:
        for name, reason in listing.unreadable:
            if (name, reason) not in self._unreadable:
                logger.warning("%s cannot be read: %s", name, reason, extra={"event": "file_unreadable"})
        self._unreadable = listing.unreadable

    def _import_some(self, files: list[SourceFile]) -> tuple[int, bool]:
        """Import files for as long as a step may take; return how many, and whether one has to be looked at again."""
        until = time.monotonic() + STEP_SECONDS
        left_alone = False
        for done, file in enumerate(files, 1):
            left_alone |= not self._import(file)
            if time.monotonic() >= until:
                return done, left_alone
        return len(files), left_alone

    def _import(self, file: SourceFile) -> bool:
        """Import one file, or record why not; return False when it was changed meanwhile."""
        key, row = _key(file), FileRow(self._source.source, file.file_id, file.revision, file.name)
        self._begun.add(key)
        progress = Progress(file, self._metrics)
        try:
            with OrderSpool() as spool:
                read_file(self._source, file, spool, progress, self._give_way)
                counts = import_file(self._open(), row, spool, progress, self._give_way)
        except Changed:
            return False
        except Rejected as error:
            imports.record_failed_file(self._open(), row, str(error))
            logger.warning("%s cannot be imported: %s", file.name, error, extra={"event": "file_failed"})
        except OSError as error:
            where = f"{tempfile.gettempdir()} has no room for them, or cannot be used ({error.strerror})"
            raise Transient(f"the orders of {file.name} cannot be put aside: {where}; see TMPDIR") from error
        else:
            self._report(file.name, counts)
        finally:
            progress.end()
        self._known.add(key)
        return True

    def _report(self, name: str, counts: Counts | None) -> None:
        if counts is None:
            return  # somebody else imported it, and said so
        self._metrics.processed("xml-import", counts.new)
        skipped = counts.in_file - counts.new - counts.known - counts.refused
        figures = (counts.in_file, counts.new, counts.known, counts.refused)
        logger.info(
            "Imported %s: %d orders, %d new, %d known, %d refused%s",
            *(name, *figures, f", {skipped} without a key product" if skipped else ""),
            extra={"event": "file_imported"},
        )
        if refused := counts.refused - counts.standing:
            text = "Of the orders of %s, %d are refused: `listener imports --quarantine` says why"
            logger.warning(text, name, refused, extra={"event": "orders_refused"})
