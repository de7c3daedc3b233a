"""What every step of the sync has at hand: a session, the epoch it stands under, and ShipStation to ask."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from listener.budget import KEPT_FOR_ORDERS, Budget
from listener.database import Connection
from listener.flags import Flags
from listener.shipstation.client import Answer, ShipStation
from listener.shipstation.listing import decode_order
from listener.store.mirror import Reach
from listener.store.sync import Failure, sync_transaction
from listener.workflows.apply_page import Shown, apply_page
from listener.workflows.ask import ask
from listener.workflows.plan_rows import Json, Listed
from listener.workflows.show_orders import ShowOrders

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncStep:
    """One step.

    now:   the server's time, reckoned on from the cycle's beginning
    tally: counts rows that were changed
    """

    connection: Connection
    epoch: int
    flags: Flags
    shipstation: ShipStation
    budget: Budget
    now: Callable[[], datetime]
    tally: Callable[[int], None]

    def transaction(self) -> AbstractContextManager[None]:
        """Begin a transaction under the epoch."""
        return sync_transaction(self.connection, self.epoch)

    def ask(
        self, endpoint: str, question: Callable[[], Answer], read: Callable[[Answer], T], *, must: bool = False
    ) -> T:
        """Make one call, and leave some for orders. Raises NoBudget, Transient.

        must: the one call that a cycle makes in any case
        """
        leaving = 0 if must else KEPT_FOR_ORDERS
        (call_id,) = self.budget.take(self.connection, self.flags, endpoint, leaving=leaving, must=must)
        return ask(self.connection, self.budget, call_id, question, read)

    def listed(self, orders: Sequence[Json]) -> list[Listed]:
        """Return orders as they were listed; those without an id are not among them."""
        decoded = [Listed(decode_order(raw, self.now()), raw) for raw in orders]
        return [one for one in decoded if one.order.shipstation_order_id]

    def show(
        self,
        listed: Sequence[Listed],
        reach: Reach | None = None,
        watermark: datetime | None = None,
        stretch: Failure | None = None,
    ) -> Shown:
        """Take orders over: into the mirror and the shop's rows, and move the watermarks."""
        shop = ShowOrders(self.connection, self.epoch, self.flags, listed, watermark, stretch)
        shown = apply_page(self.connection, [one.order for one in listed], reach, shop)
        self.tally(shown.changed)
        return shown
