"""Import order files: one check of the source, and one file at most, a step.

What tells a file from one that was read before is its identity and content, never its time or a count. The file and its
orders go in by one transaction: a crash leaves nothing half done, and a repeated step finds the file's row and stops.
A check that finds nothing new costs one statement, which moves `polling_state` and touches nothing else.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg

from listener.database import UNINSTALLED, Connection, is_uninstalled
from listener.errors import Rejected, Transient
from listener.events import StepReport
from listener.metrics import Metrics
from listener.orders import RefusedOrder, XmlOrder
from listener.sources.source import SETTLED_AFTER_SECONDS, Changed, Listing, OrderSource, SourceFile
from listener.sources.xcart import ParsedFile, expand, parse_orders
from listener.store import imports
from listener.store.imports import Counts, FileRow

logger = logging.getLogger(__name__)

PIECE_BYTES = 2**16


class ImportXml:
    """The workflow `xml-import`, for one thread. `connect` opens its connection when there is something to say."""

    def __init__(self, connect: Callable[[], Connection], source: OrderSource, metrics: Metrics) -> None:
        self._connect = connect
        self._source = source
        self._metrics = metrics
        self._connection: Connection | None = None
        self._known: set[tuple[str, str]] | None = None
        self._unreadable: tuple[tuple[str, str], ...] = ()

    def step(self, source_of_wake: str) -> StepReport:
        """Look at the source, and import the first new file. Raises Transient; what was not committed is done again."""
        try:
            listing, new = self._check(source_of_wake)
            self._name_unreadable(listing)
            unsettled = bool(listing.unsettled) or (bool(new) and not self._import(new[0]))
        except psycopg.Error as error:
            self.close()
            self._known = None  # the tables may have been rolled back, or restored
            raise Transient(_sentence(error)) from error
        return StepReport(
            done=len(new[:1]), more=len(new) > 1, retry_after=SETTLED_AFTER_SECONDS if unsettled else None
        )

    def close(self) -> None:
        """Close the connection, if there is one; the next step opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _check(self, wake: str) -> tuple[Listing, list[SourceFile]]:
        """Return what is there and which of it is new, by one METRICS line."""
        started, action, new = time.perf_counter(), "error", []
        try:
            listing = self._source.listing()
            self._move_polling_state(len(listing.files))
            known = self._known_files()
            new = [file for file in listing.files if (file.file_id, file.revision) not in known]
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

    def _known_files(self) -> set[tuple[str, str]]:
        if self._known is None:
            self._known = imports.known_files(self._open(), self._source.source)
        return self._known

    def _name_unreadable(self, listing: Listing) -> None:
        for name, reason in listing.unreadable:
            if (name, reason) not in self._unreadable:
                logger.warning("%s cannot be read: %s", name, reason, extra={"event": "file_unreadable"})
        self._unreadable = listing.unreadable

    def _import(self, file: SourceFile) -> bool:
        """Import one file, or record why not; return False when it has to be looked at again."""
        row = FileRow(self._source.source, file.file_id, file.revision, file.name)
        try:
            counts = import_file(self._open(), row, parse_orders(self._read(file)))
        except Changed:
            return False
        except Rejected as error:
            imports.record_failed_file(self._open(), row, str(error))
            logger.warning("%s cannot be imported: %s", file.name, error, extra={"event": "file_failed"})
        else:
            self._report(file.name, counts)
        self._known_files().add((file.file_id, file.revision))
        return True

    def _read(self, file: SourceFile) -> bytes:
        with self._source.open(file) as content:
            return b"".join(iter(lambda: content.read(PIECE_BYTES), b""))

    def _report(self, name: str, counts: Counts | None) -> None:
        if counts is None:
            return  # somebody else imported it, and said so
        self._metrics.processed("xml-import", counts.new)
        skipped = counts.in_file - counts.new - counts.known - counts.refused
        logger.info(
            "Imported %s: %d orders, %d new, %d known, %d refused%s",
            *(name, *counts, f", {skipped} without a key product" if skipped else ""),
            extra={"event": "file_imported"},
        )


def import_file(connection: Connection, file: FileRow, parsed: ParsedFile) -> Counts | None:
    """Put a parsed file into the database in one transaction; None when somebody else has done so.

    A number is remembered when its order is in, or was known. One that was refused, or held no key product, is not:
    the next revision of the file may have it mended, or the shop a key product more.
    """
    with imports.import_transaction(connection):
        unknown = imports.new_numbers(connection, [order.order_number for order in parsed.orders])
        fresh = [order for order in parsed.orders if order.order_number in unknown]
        wanted, refused = _expand(connection, fresh)
        if (import_id := imports.begin_import(connection, file)) is None:
            return None
        inserted, refused_there = imports.insert_orders(connection, wanted)
        refused = [*parsed.refused, *refused, *refused_there]
        known = len(parsed.orders) - len(fresh) + len(wanted) - inserted - len(refused_there)
        kept = {order.order_number for order in wanted} - {order.order_number for order in refused_there}
        kept.update(order.order_number for order in parsed.orders if order.order_number not in unknown)
        imports.keep_numbers(connection, import_id, list(kept))
        imports.quarantine(connection, import_id, refused)
        counts = Counts(len(parsed.orders) + len(parsed.refused), inserted, known, len(refused))
        imports.finish_import(connection, import_id, counts)
    return counts


def _expand(connection: Connection, orders: Sequence[XmlOrder]) -> tuple[list[XmlOrder], list[RefusedOrder]]:
    """Return the orders as they are to be shipped, without those that hold no key product, and those that cannot be."""
    bundles, key_products = imports.active_bundles(connection), imports.key_products(connection)
    wanted, refused = [], []
    for order in orders:
        try:
            if items := expand(order.items, bundles, key_products):
                wanted.append(replace(order, items=items))
        except Rejected as error:
            refused.append(RefusedOrder(order.line, order.order_number, str(error)))
    return wanted, refused


def _sentence(error: psycopg.Error) -> str:
    return UNINSTALLED if is_uninstalled(error) else str(error).strip().partition("\n")[0]
