"""Taking over what ShipStation has shown: one way for the upload and the sync.

The mirror comes first, and alone: what ShipStation has is true whoever has asked, and the upload must not wait for the
locks that the shop's rows need. Then, for the sync, the shop's rows and its watermark, in one transaction.

The upload's readings serve the mirror only. An order that is to be sent does not wait for rows of other orders, and
while the sync is switched off nobody but the program that does its work may touch them, or the watermark. What the
upload reads, the sync reads again from its own watermark; its pages in turn keep the mirror fresh for the upload.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from listener.database import Connection
from listener.shipstation.listing import RemoteOrder
from listener.store import mirror
from listener.store.mirror import Reach


@dataclass(frozen=True, slots=True)
class Shown:
    """What the shop's rows show now: how many of them changed, and how many orders were put aside."""

    changed: int = 0
    put_aside: int = 0


class Local(Protocol):
    """The shop's part of a page."""

    def transaction(self) -> AbstractContextManager[None]:
        """Begin one, under the leader's epoch."""

    def show(self) -> Shown:
        """Have the rows show what the page says, and move the watermark."""


def apply_page(
    connection: Connection, orders: Sequence[RemoteOrder], reach: Reach | None, local: Local | None = None
) -> Shown:
    """Take over a page. reach: None for a look-up, which says nothing of other orders."""
    with local.transaction() if local else connection.transaction():
        mirror.apply_orders(connection, orders)
        if reach:
            mirror.move_watermark(connection, reach)
    if local is None:
        return Shown()
    with local.transaction():
        return local.show()
