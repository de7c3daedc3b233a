"""Keeping the mirror fresh: reading what changed at ShipStation, page by page, within the budget.

One way for all: from the watermark, less an overlap, to the last page. The first reading begins 180 days back and is
the same, only longer. Fresh is a mirror whose last reading came to its end not long ago, and since this process began:
before that another uploader may have been at work, and have been ended between its request and its row. Until the first
reading has come to its end, single orders are looked up by number. A reading that fails is an error and never an empty
list.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from listener.budget import Budget
from listener.database import Connection
from listener.errors import Transient
from listener.events import UPLOAD
from listener.flags import Flags
from listener.headway import Headway
from listener.metrics import Metrics
from listener.orders import order_key
from listener.shipstation.client import Answer, ShipStation
from listener.shipstation.listing import Cursor, Page, decode_page, newest, next_cursor, query_of, total_of
from listener.shipstation.pacific import overlap
from listener.store import mirror
from listener.store.mirror import Reach
from listener.workflows.adopt import MIRROR_DAYS
from listener.workflows.apply_page import apply_page
from listener.workflows.ask import ask

logger = logging.getLogger(__name__)

LIST, LOOK_UP = "GET /orders", "GET /orders?orderNumber"

CYCLE_GRACE_SECONDS = 30
GOOD_FOR_AT_MOST_SECONDS = 600
LIST_AGAIN_SECONDS = 300.0
LONGEST_REST_SECONDS = 120.0
"""A reading that rested longer begins anew at its watermark, whose overlap covers what happened just before."""


class KeepMirror:
    """The mirror, and how far it has been read. Used by one thread: the upload's."""

    def __init__(
        self, shipstation: ShipStation, budget: Budget, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shipstation = shipstation
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._began_at = clock()
        self._cursor: Cursor | None = None
        self._cursor_at = 0.0
        self._since: datetime | None = None
        self._side_cursor: Cursor | None = None
        self._side_at = 0.0
        self._list_again_at = float("-inf")
        self._fresh_at = float("-inf")
        self._looked_up: dict[str, float] = {}
        self.is_full = False
        self.pages_left: int | None = None  # of the reading under way; None: not known yet
        self._read = 0  # orders, by the reading under way
        self._total: int | None = None  # of them
        self._is_shown = False  # how far it is

    def load(self, connection: Connection) -> None:
        """Learn from the database how far the mirror has been read."""
        state = mirror.read_state(connection)
        self.is_full, self._cursor, self.pages_left = state.is_full, None, None
        if state.fresh_seconds_ago is not None:
            self._fresh_at = self._clock() - max(0.0, state.fresh_seconds_ago)
            self._show_age()
        self._metrics.set(mirror_orders=state.orders, mirror_full=state.is_full)
        self._show(None)

    def is_fresh(self, flags: Flags) -> bool:
        """Whether it holds everything, and was read to the end not longer ago than a cycle of the sync and 30 s."""
        since = max(self._began_at, self._clock() - self._good_for(flags))
        return self.is_full and self._fresh_at >= since

    def is_fresh_by_now(self, connection: Connection, flags: Flags) -> bool:
        """Whether it is fresh, though perhaps not by our own reading: the sync reads it too, in another thread."""
        if not self.is_fresh(flags):
            self.is_full, seconds_ago = mirror.read_freshness(connection)
            if seconds_ago is not None:
                self._fresh_at = max(self._fresh_at, self._clock() - max(0.0, seconds_ago))
        fresh = self.is_fresh(flags)
        if fresh and self._is_shown:
            self._show(None)
        return fresh

    def knows(self, key: str, flags: Flags) -> bool:
        """Whether it can say of this number (normal form) what ShipStation has under it."""
        looked_up_at = self._looked_up.get(order_key(key), float("-inf"))
        return self.is_fresh(flags) or self._clock() - looked_up_at < self._good_for(flags)

    def read_page(self, connection: Connection, call_id: int) -> bool:
        """Read the next page of what changed; return whether that was the last. Raises NoBudget, Transient."""
        asked_at, was_full = self._clock(), self.is_full
        rested = asked_at - self._cursor_at > LONGEST_REST_SECONDS
        cursor = self._cursor if not rested else None
        if cursor is None:
            cursor, self._read, self._total = self._beginning(connection, None), 0, None
        page = self._list(connection, cursor, call_id)
        following = next_cursor(cursor, page)
        self._take_over(connection, page, moves=True, at_end=following is None, asked_at=asked_at)
        self._cursor, self._cursor_at = following, asked_at
        self.pages_left = max(page.pages - page.page, 0)
        self._read += len(page.orders)
        known = self._read if was_full else self._note_progress(connection)
        self._total = total_of(cursor, page, known, self._total)
        self._show(_headway(known, self._total) if following else None)
        return following is None

    def read_since(self, connection: Connection, flags: Flags, since: datetime) -> None:
        """Read everything that changed since then, less an overlap, to the last page. Raises NoBudget, Transient.

        When the budget ends in the midst of it, the next call goes on from there. While the first reading of the mirror
        is under way this is one beside it, and moves no watermark.
        """
        if self.list_in() > 0:
            raise Transient("ShipStation's list of orders could not be read a moment ago")
        moves, cursor, asked_at = self.is_full, self._resumed(since), self._clock()
        if cursor is None:
            self._since, cursor = since, self._beginning(connection, since)
        while cursor is not None:
            (call_id,) = self._budget.take(connection, flags, LIST)
            asked_at = self._clock()
            page = self._list(connection, cursor, call_id)
            cursor = next_cursor(cursor, page)
            self._take_over(connection, page, moves=moves, at_end=cursor is None, asked_at=asked_at)
            self._side_cursor, self._side_at = cursor, asked_at
        if moves:
            self._cursor = None

    def _resumed(self, since: datetime) -> Cursor | None:
        """Return where a reading from `since`, or from before, was left a moment ago."""
        covers = self._since is not None and self._since <= since
        rested = self._clock() - self._side_at > LONGEST_REST_SECONDS
        return self._side_cursor if covers and not rested else None

    def look_up(self, connection: Connection, number: str, call_id: int) -> bool:
        """Ask for one number, which may not be in the mirror yet; return whether it is known now.

        It is not when more orders than a page holds have numbers that begin with it: the service finds by prefix.
        Raises NoBudget, Transient.
        """
        query = {"orderNumber": number.strip(), "sortBy": "CreateDate", "pageSize": "500"}
        page = self._page(connection, query, call_id)
        self._take_over(connection, page, moves=False, at_end=False, asked_at=self._clock())
        if page.pages > 1 or page.total > len(page.orders) + len(page.unreadable):
            logger.info("Too many orders of ShipStation begin with %s", number, extra={"event": "prefix"})
            return False
        since = self._clock() - GOOD_FOR_AT_MOST_SECONDS
        self._looked_up = {key: at for key, at in self._looked_up.items() if at > since}
        self._looked_up[order_key(number)] = self._clock()
        return True

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

    def list_in(self) -> float:
        """Return the seconds for which lists are left alone, because one failed: trying would eat the calls that single
        look-ups need. 0: a list may be asked for.
        """
        return max(0.0, self._list_again_at - self._clock())

    def _list(self, connection: Connection, cursor: Cursor, call_id: int) -> Page:
        try:
            return self._page(connection, query_of(cursor), call_id)
        except Transient:
            self._list_again_at = self._clock() + LIST_AGAIN_SECONDS
            raise

    def _page(self, connection: Connection, query: dict[str, str], call_id: int) -> Page:
        def read(answer: Answer) -> Page:
            return decode_page(answer.json(), mirror.server_now(connection))

        return ask(connection, self._budget, call_id, lambda: self._shipstation.list_orders(query), read)

    def _take_over(self, connection: Connection, page: Page, *, moves: bool, at_end: bool, asked_at: float) -> None:
        if page.unreadable:
            numbers = ", ".join(number or "?" for number in page.unreadable)
            logger.warning("ShipStation lists orders without an id: %s", numbers, extra={"event": "no_id"})
        reach = Reach(None, newest(page), at_end, self._clock() - asked_at) if moves else None
        apply_page(connection, page.orders, reach)
        if moves and at_end:
            self._fresh_at = asked_at
            self.is_full = True
            self._show_age()

    def _show_age(self) -> None:
        age = timedelta(seconds=self._clock() - self._fresh_at)
        self._metrics.set(mirror_fresh_at=datetime.now(UTC) - age)

    def _show(self, headway: Headway | None) -> None:
        self._is_shown = headway is not None
        self._metrics.set_workflow(UPLOAD, progress=headway)

    def _note_progress(self, connection: Connection) -> int:
        """Say how the first reading gets on, and return how many orders it knows; a later one is hardly more than a
        page, and nobody's news.
        """
        state = mirror.read_state(connection)
        text = "Mirror: %d orders of the last %d days read from ShipStation, "
        if state.is_full:
            logger.info(text + "it is full", state.orders, MIRROR_DAYS, extra={"event": "mirror"})
        else:
            figures = (state.orders, MIRROR_DAYS, self.pages_left)
            logger.info(text + "%d pages to go", *figures, extra={"event": "mirror_progress"})
        self._metrics.set(mirror_orders=state.orders, mirror_full=state.is_full)
        return state.orders


def _headway(known: int, total: int | None) -> Headway:
    of = "" if total is None else f" of {total}"
    return Headway("mirror of ShipStation", known, total, "orders", f"{known}{of} orders read from ShipStation")
