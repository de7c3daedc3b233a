"""Import one file: read it to its end, then have its orders and its own row in the database by one transaction.

Reading and writing are apart, so that the transaction is short: it never waits for a disk or a network, and nothing is
written of a file that breaks off. A crash leaves nothing half done, and a repeated step finds the file's row and stops.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from listener.database import Connection
from listener.errors import Rejected
from listener.orders import RefusedOrder, XmlOrder
from listener.sources.source import Content, OrderSource, SourceFile
from listener.sources.xcart import Bundles, expand, read_orders
from listener.store import import_orders, imports
from listener.store.imports import Counts, FileRow
from listener.workflows.import_progress import Progress
from listener.workflows.order_spool import Entry, OrderSpool

PIECE_BYTES = 2**15
"""As many as take a millisecond or two: then whoever must be quick is let before."""

GiveWay = Callable[[], None]


def read_file(source: OrderSource, file: SourceFile, spool: OrderSpool, progress: Progress, give_way: GiveWay) -> None:
    """Put a file's orders aside. Raises Rejected for what is no export, Changed when it is not the listed one."""
    with source.open(file) as content:
        pieces = _pieces(content, lambda size: progress.read(size, spool.orders), give_way)
        try:
            for entry in read_orders(pieces):
                spool.put(entry)
        except Rejected:
            for _ in pieces:
                pass  # perhaps it was written to while it was read, and is no bad file at all
            raise


def _pieces(content: Content, tell: Callable[[int], None], give_way: GiveWay) -> Iterator[bytes]:
    while piece := content.read(PIECE_BYTES):
        yield piece
        tell(len(piece))
        give_way()


def import_file(
    connection: Connection, file: FileRow, spool: OrderSpool, progress: Progress, give_way: GiveWay
) -> Counts | None:
    """Write what was put aside of a file; None when somebody else has done so."""
    with imports.import_transaction(connection):
        if (import_id := imports.begin_import(connection, file)) is None:
            return None
        rules = _Rules(import_orders.active_bundles(connection), import_orders.key_products(connection))
        counts = Counts()
        for entries in spool.chunks():
            counts = counts.plus(_import_chunk(connection, import_id, rules, entries))
            progress.wrote(counts.in_file, spool.orders)
            give_way()
        if counts.refused:
            standing = imports.drop_standing_refusals(connection, import_id, file)
            counts = counts._replace(standing=min(standing, counts.refused))
        imports.finish_import(connection, import_id, counts)
    return counts


@dataclass(frozen=True, slots=True)
class _Rules:
    bundles: Bundles
    key_products: frozenset[str]


def _import_chunk(connection: Connection, import_id: int, rules: _Rules, entries: Sequence[Entry]) -> Counts:
    """Write some orders of a file; return what became of them.

    A number is remembered when its order is in, or was known. One that was refused, or held no key product, is not:
    the next revision of the file may have it mended, or the shop a key product more.
    """
    orders = [entry for entry in entries if isinstance(entry, XmlOrder)]
    refused = [entry for entry in entries if isinstance(entry, RefusedOrder)]
    unknown = import_orders.new_numbers(connection, [order.order_number for order in orders])
    fresh = [order for order in orders if order.order_number in unknown]
    wanted, unfit = _expand(rules, fresh)
    inserted, refused_there = import_orders.insert_orders(connection, wanted)
    refused = sorted(chain(refused, unfit, refused_there), key=lambda order: order.line)
    known = len(orders) - len(fresh) + len(wanted) - inserted - len(refused_there)
    kept = {order.order_number for order in wanted} - {order.order_number for order in refused_there}
    kept.update(order.order_number for order in orders if order.order_number not in unknown)
    import_orders.keep_numbers(connection, import_id, list(kept))
    imports.quarantine(connection, import_id, refused)
    return Counts(len(entries), inserted, known, len(refused))


def _expand(rules: _Rules, orders: Sequence[XmlOrder]) -> tuple[list[XmlOrder], list[RefusedOrder]]:
    """Return the orders as they are to be shipped, without those that hold no key product, and those that cannot be."""
    wanted, refused = [], []
    for order in orders:
        try:
            if items := expand(order.items, rules.bundles, rules.key_products):
                wanted.append(replace(order, items=items))
        except Rejected as error:
            refused.append(RefusedOrder(order.line, order.order_number, str(error)))
    return wanted, refused
