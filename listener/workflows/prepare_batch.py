"""Before a batch is claimed: a token for each of its calls, and certainty of what ShipStation has under its numbers.

The tokens are taken all together, before the first call, so that a refresh never eats the token of the send. When what
ShipStation has cannot be found out, nothing is sent. The first reading of the mirror takes many pages; until it is
through, few orders are looked up one by one, and for many the reading itself is the cheaper way.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from listener.budget import KEPT_FOR_ORDERS, Budget, NoBudget
from listener.database import Connection, Later
from listener.errors import Transient
from listener.flags import Flags
from listener.orders import order_key
from listener.store.api_calls import burst_of
from listener.store.inbox import due_rows, inbox_has_due
from listener.workflows.keep_mirror import LIST, LOOK_UP, KeepMirror

logger = logging.getLogger(__name__)

SEND = "POST /orders/createorders"

LOOK_UPS_A_STEP = 10


class Prepared(NamedTuple):
    """A batch may be claimed: the token of its send, and how many orders it may hold."""

    call_id: int
    limit: int


class PrepareBatch:
    """Prepares batches, and reads the mirror for the first time beside them. Used by one thread."""

    def __init__(self, mirror: KeepMirror, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._mirror = mirror
        self._budget = budget
        self._clock = clock
        self._ahead: int | None = None  # the token of the next send, taken with the check
        self._fill_at = 0.0
        self._failed_look_up = False

    def prepare(
        self, connection: Connection, flags: Flags, limit: int, due: int | None, locked: Sequence[int]
    ) -> Prepared | None:
        """Return what to claim, None when the mirror must be read further first. Raises NoBudget, Transient."""
        if self._ahead is not None:
            call_id, self._ahead = self._ahead, None
            return Prepared(call_id, limit)
        if self._mirror.is_fresh_by_now(connection, flags):
            (call_id,) = self._budget.take(connection, flags, SEND)
            return Prepared(call_id, limit)
        few = due is not None and due <= LOOK_UPS_A_STEP
        left = self._mirror.pages_left
        cheaper = not self._mirror.is_full and left is not None and (due or 0) <= left
        if self._mirror.list_in() > 0 or (few and cheaper):
            return self._look_up(connection, flags, limit, locked)
        try:
            return self._refresh(connection, flags, limit)
        except Transient as error:  # one order there may spoil every list it is in
            logger.info("Looking up orders singly: %s", error, extra={"event": "no_list"})
            return self._look_up(connection, flags, limit, locked)

    def look(self, connection: Connection, flags: Flags, *, sends_first: bool) -> Later[int]:
        """Make the check, and if nothing else is to be asked of ShipStation first, take the token of the send with it.

        sends_first: nothing is in doubt
        """
        self._ahead = None  # one that a failed pass has left is lost
        if not (sends_first and self._mirror.is_fresh(flags)):
            return inbox_has_due(connection)
        asked = self._budget.take_when_due(connection, flags, SEND)

        def answer() -> int:
            due, self._ahead = asked()
            return due

        return answer

    def give_back(self, connection: Connection, flags: Flags) -> None:
        """Give back the token that the pass did not need after all."""
        if self._ahead is not None:
            self._budget.give_back(connection, self._ahead, flags)
            self._ahead = None

    def fill(self, connection: Connection, flags: Flags) -> bool:
        """Read one page more of the first reading; return whether there is more to read at once."""
        if self.fill_in() != 0 or self._mirror.is_fresh_by_now(connection, flags):
            return False
        try:
            (call_id,) = self._budget.take(connection, flags, LIST, leaving=KEPT_FOR_ORDERS)
            return not self._mirror.read_page(connection, call_id)
        except NoBudget as none_left:
            self._fill_at = self._clock() + none_left.seconds
        except Transient as error:
            logger.warning("The mirror could not be read: %s", error, extra={"event": "mirror_failed"})
        return False

    def fill_in(self) -> float | None:
        """Return the seconds until the first reading goes on; None: it is through."""
        if self._mirror.is_full:
            return None
        return max(0.0, self._fill_at - self._clock(), self._mirror.list_in())

    def _refresh(self, connection: Connection, flags: Flags, limit: int) -> Prepared | None:
        page_id, send_id = self._budget.take(connection, flags, LIST, SEND)
        at_end = False
        try:
            at_end = self._mirror.read_page(connection, page_id)
        finally:
            if not at_end:
                self._budget.give_back(connection, send_id, flags)
        return Prepared(send_id, limit) if at_end else None

    def _look_up(self, connection: Connection, flags: Flags, limit: int, locked: Sequence[int]) -> Prepared:
        most = min(limit, LOOK_UPS_A_STEP, int(burst_of(flags.api_calls_per_hour)) - 1)
        numbers = due_rows(connection, most, locked).values()
        unknown = [number for number in numbers if not self._mirror.knows(order_key(number), flags)]
        *look_ups, send_id = self._budget.take(connection, flags, *[LOOK_UP] * len(unknown), SEND)
        made = 0
        try:
            for number in unknown:
                made += 1
                self._look_up_one(connection, number, look_ups[made - 1], may_fail=made < len(unknown))
        except (Transient, NoBudget):
            for not_made in (*look_ups[made:], send_id):
                self._budget.give_back(connection, not_made, flags)
            raise
        return Prepared(send_id, max(1, len(numbers)))

    def _look_up_one(self, connection: Connection, number: str, call_id: int, *, may_fail: bool) -> None:
        """Ask for one number. One that can't be looked up is left, but not two in a row: that is an outage."""
        try:
            self._mirror.look_up(connection, number, call_id)
        except Transient as error:
            if not may_fail or self._failed_look_up:
                self._failed_look_up = False
                raise
            self._failed_look_up = True
            logger.warning("Order %s can't be looked up: %s", number, error, extra={"event": "no_look_up"})
        else:
            self._failed_look_up = False
