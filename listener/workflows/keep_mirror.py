"""Keeping the mirror fresh: reading what changed at ShipStation, page by page, within the budget.

One way for all: from the watermark, less an overlap, to the last page. The first reading begins 180 days back and is
the same, only longer. Fresh is a mirror whose last reading came to its end not long ago; until the first one
has, single orders are looked up by number. A reading that fails is an error and never an empty list.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from listener.budget import Budget
from listener.database import Connection
from listener.errors import Transient
from listener.flags import Flags
from listener.metrics import Metrics
from listener.orders import order_key
from listener.shipstation.client import Answer, ShipStation, TooManyRequests
from listener.shipstation.listing import Cursor, Page, decode_page, newest, next_cursor, query_of
from listener.shipstation.pacific import overlap
from listener.store import mirror
from listener.workflows.adopt import MIRROR_DAYS

logger = logging.getLogger(__name__)

LIST, LOOK_UP = "GET /orders", "GET /orders?orderNumber"

CYCLE_GRACE_SECONDS = 30
GOOD_FOR_AT_MOST_SECONDS = 600
LONGEST_REST_SECONDS = 120.0
"""A reading that rested longer begins anew at its watermark, whose overlap covers what happened just before."""


class KeepMirror:
    """The mirror, and how far it has been read. Used by one thread."""

    def __init__(
        self, shipstation: ShipStation, budget: Budget, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shipstation = shipstation
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._cursor: Cursor | None = None
        self._cursor_at = 0.0
        self._fresh_at = float("-inf")
        self._looked_up: dict[str, float] = {}
        self.is_full = False
        self.pages_left: int | None = None  # of the reading under way; None: not known yet

    def load(self, connection: Connection) -> None:
        """Learn from the database how far the mirror has been read: what another process knows counts."""
        state = mirror.read_state(connection)
        self.is_full, self._cursor, self.pages_left = state.is_full, None, None
        if state.fresh_seconds_ago is not None:
            self._fresh_at = self._clock() - max(0.0, state.fresh_seconds_ago)
        self._metrics.set(mirror_orders=state.orders, mirror_full=state.is_full)

    def is_fresh(self, flags: Flags) -> bool:
        """Whether it holds everything, and was read to the end not longer ago than a cycle of the sync and 30 s."""
        return self.is_full and self._clock() - self._fresh_at < self._good_for(flags)

    def knows(self, key: str, flags: Flags) -> bool:
        """Whether it can say of this number (normal form) what ShipStation has under it."""
        looked_up_at = self._looked_up.get(key, float("-inf"))
        return self.is_fresh(flags) or self._clock() - looked_up_at < self._good_for(flags)

    def read_page(self, connection: Connection, call_id: int) -> bool:
        """Read the next page of what changed; return whether that was the last. Raises NoBudget, Transient."""
        asked_at, was_full = self._clock(), self.is_full
        rested = asked_at - self._cursor_at > LONGEST_REST_SECONDS
        cursor = self._cursor if self._cursor and not rested else self._beginning(connection, None)
        page = self._page(connection, query_of(cursor), call_id)
        following = next_cursor(cursor, page)
        self._take_over(connection, page, moves=True, at_end=following is None, asked_at=asked_at)
        self._cursor, self._cursor_at = following, asked_at
        self.pages_left = max(page.pages - page.page, 0)
        if not was_full:
            self._note_progress(connection)
        return following is None

    def read_since(self, connection: Connection, flags: Flags, since: datetime) -> None:
        """Read everything that changed since then, less an overlap, to the last page. Raises NoBudget, Transient.

        While the first reading is under way this is one beside it, and moves no watermark.
        """
        moves = self.is_full
        cursor: Cursor | None = self._beginning(connection, since)
        while cursor is not None:
            (call_id,) = self._budget.take(connection, flags, LIST)
            asked_at = self._clock()
            page = self._page(connection, query_of(cursor), call_id)
            cursor = next_cursor(cursor, page)
            self._take_over(connection, page, moves=moves, at_end=cursor is None, asked_at=asked_at)
        if moves:
            self._cursor = None

    def look_up(self, connection: Connection, number: str, call_id: int) -> None:
        """Ask for one number, which may not be in the mirror yet, or no more. Raises NoBudget, Transient.

        The service finds by prefix: more than a page of longer numbers is no answer.
        """
        query = {"orderNumber": number.strip(), "sortBy": "CreateDate", "pageSize": "500"}
        page = self._page(connection, query, call_id)
        if page.pages > 1 or page.total > len(page.orders) + len(page.unreadable):
            raise Transient(f"ShipStation has more than 500 orders whose number begins with {number}")
        self._take_over(connection, page, moves=False, at_end=False, asked_at=self._clock())
        self._looked_up[order_key(number)] = self._clock()

    def forget_old_look_ups(self, flags: Flags) -> None:
        """Drop what was looked up too long ago to count."""
        since = self._clock() - self._good_for(flags)
        self._looked_up = {key: at for key, at in self._looked_up.items() if at > since}

    def _good_for(self, flags: Flags) -> float:
        return min(flags.sync_interval + CYCLE_GRACE_SECONDS, GOOD_FOR_AT_MOST_SECONDS)

    def _beginning(self, connection: Connection, since: datetime | None) -> Cursor:
        state = mirror.read_state(connection)
        if since is not None:
            since -= overlap(since)
        if since is not None and not self.is_full:
            return Cursor(since)
        start = state.now - timedelta(days=MIRROR_DAYS)
        if state.watermark is not None:
            start = max(start, state.watermark - overlap(state.watermark))
        return Cursor(start if since is None else min(start, since))

    def _page(self, connection: Connection, query: dict[str, str], call_id: int) -> Page:
        """Make one call, note it in the journal, and believe what its headers say of the window."""
        answer: Answer | None = None
        fault: Transient | None = None
        try:
            answer = self._shipstation.list_orders(query)
            self._budget.answered(answer)
            return decode_page(answer.json(), mirror.read_state(connection).now)
        except TooManyRequests as error:
            answer, fault = error.answer, error
            raise self._budget.throttled(error.answer.headers) from error
        except Transient as error:
            fault = error
            raise
        finally:
            self._budget.note(connection, call_id, answer, 0, fault)

    def _take_over(self, connection: Connection, page: Page, *, moves: bool, at_end: bool, asked_at: float) -> None:
        if page.unreadable:
            numbers = ", ".join(number or "?" for number in page.unreadable)
            logger.warning("ShipStation lists orders without an id: %s", numbers, extra={"event": "no_id"})
        with connection.transaction():
            mirror.apply_orders(connection, page.orders)
            if moves:
                ago = self._clock() - asked_at
                mirror.move_watermark(connection, newest(page), at_end=at_end, asked_ago=ago)
        if moves and at_end:
            self._fresh_at = asked_at
            self.is_full = True

    def _note_progress(self, connection: Connection) -> None:
        """Say how the first reading gets on; the later ones are a page each, and nobody's news."""
        state = mirror.read_state(connection)
        how_far = f"{self.pages_left} pages to go" if not state.is_full else "it is full"
        text = "Mirror: %d orders of the last %d days read from ShipStation, %s"
        logger.info(text, state.orders, MIRROR_DAYS, how_far, extra={"event": "mirror"})
        self._metrics.set(mirror_orders=state.orders, mirror_full=state.is_full)
