"""The sync's reading of ShipStation's orders: page by page, from the watermark less an overlap to the end of the list.

Kept from one reading to the next is only what saves work: what the last pages said, so that the overlap is not taken
over again and again, and whether pages broke, so that one error is not yet taken for a broken order.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from listener.budget import NoBudget
from listener.errors import Transient
from listener.headway import Headway
from listener.shipstation.client import Answer, SpoiledPage
from listener.shipstation.listing import Page, decode_page
from listener.shipstation.pacific import earlier, overlap, tick
from listener.shipstation.watermark import read_watermark
from listener.store import mirror
from listener.store.mirror import Reach
from listener.store.sync import Outset
from listener.workflows.plan_rows import Json, Listed
from listener.workflows.read_list import ReadList, Taken
from listener.workflows.sync_step import SyncStep

logger = logging.getLogger(__name__)

LONGEST_REST_SECONDS = 120.0
"""A reading that rested longer begins anew at the watermark, whose overlap covers what happened just before."""

OUTAGE_SECONDS = 1800.0
"""When not even single orders can be listed it is an outage: for so long a broken page is not taken apart again."""

SAY_EVERY_SECONDS = 30.0
REMEMBERED = 1000
"""Orders of the last pages that are known when they are read again; of more of them the last page alone is kept."""


class ReadOrders:
    """One reading after the other. Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._list: ReadList | None = None
        self._since: datetime | None = None  # the watermark that this reading began with
        self._called = False  # the call that a cycle makes in any case has been made
        self._page_at = 0.0
        self._said_at: float | None = None
        self._read: dict[str, Json] = {}  # orders of the last pages, as they were listed
        self._read_to: datetime | None = None  # where the watermark stands
        self._unreadable: frozenset[str] = frozenset()
        self._spoiled = 0  # pages that something has spoiled since the list was last read to its end
        self._outage_until = float("-inf")
        self.at_end = False
        self.fetched = 0

    @property
    def has_rested(self) -> bool:
        """It waited too long between two pages, and is to begin anew."""
        return not self.at_end and self._clock() - self._page_at > LONGEST_REST_SECONDS

    @property
    def headway(self) -> Headway | None:
        """How far the reading is, if it takes more than a page."""
        if self.at_end or self._list is None or not self._list.shown:
            return None
        shown, total = self._list.shown, self._list.total
        of = "" if total is None else f" of {total}"
        return Headway("sync with ShipStation", shown, total, "orders", f"{shown}{of} changed orders read")

    def begin(self, outset: Outset) -> None:
        """Begin a reading, and a cycle with it."""
        self.fetched = 0
        self._called, self._said_at, self._since = False, None, None
        self.begin_anew(outset)

    def begin_anew(self, outset: Outset) -> None:
        """Begin the reading again in the midst of a cycle."""
        watermark = read_watermark(outset.watermark, outset.now)
        start = watermark - overlap(watermark)
        if outset.behind is not None:  # what lies before has been read, but for what spoils it, and is read again later
            start = max(start, min(earlier(tick(outset.behind)), outset.now))
        self._since = self._since or watermark
        self._read_to = watermark if outset.watermark is not None else None
        self._list, self.at_end, self._page_at = ReadList(start), False, self._clock()

    def step(self, step: SyncStep) -> None:
        """Read a page and take it over. Raises NoBudget, Transient, psycopg.Error; then nothing is half done."""
        assert self._list is not None  # noqa: S101  a step follows a beginning
        asked_at = self._clock()
        try:
            page, listed = self._ask(step, self._list.query())
        except SpoiledPage as error:
            self._take_apart(step, self._list, error)
            self._page_at = asked_at
            return
        taken = self._list.took(page)
        reach = Reach(taken.start, taken.watermark, taken.at_end, self._clock() - asked_at) if taken.start else None
        self._name_unreadable(page)
        self._take_over(step, listed, taken, reach)
        self._spoiled = 0 if taken.at_end else self._spoiled
        self.at_end, self._page_at = taken.at_end, asked_at
        self._say_how_far(self._list.pages_left)

    def _ask(self, step: SyncStep, query: dict[str, str]) -> tuple[Page, list[Listed]]:
        def read(answer: Answer) -> tuple[Page, list[Listed]]:
            body = answer.json()
            page = decode_page(body, step.now())
            return page, step.listed([order for order in body["orders"] if isinstance(order, dict)])

        must, self._called = not self._called, True
        try:
            return step.ask("GET /orders", lambda: step.shipstation.list_orders(query), read, must=must)
        except NoBudget:
            self._called = not must
            raise

    def _take_over(self, step: SyncStep, listed: list[Listed], taken: Taken, reach: Reach | None) -> None:
        """Take over what the last pages have not shown yet."""
        news = [one for one in listed if self._read.get(one.order.shipstation_order_id) != one.raw]
        moves = taken.watermark is not None and (self._read_to is None or taken.watermark > self._read_to)
        if news or moves or taken.stretch:
            step.show(news, reach, taken.watermark, taken.stretch)
        elif reach:
            mirror.move_watermark(step.connection, reach)
        self.fetched += sum(self._since is None or one.order.modified_at > self._since for one in news)
        if taken.watermark is not None:
            self._read_to = max(taken.watermark, self._read_to or taken.watermark)
        self._read |= {one.order.shipstation_order_id: one.raw for one in listed}
        if len(self._read) > REMEMBERED:
            self._read = {one.order.shipstation_order_id: one.raw for one in listed}

    def _take_apart(self, step: SyncStep, reading: ReadList, error: SpoiledPage) -> None:
        """Read around what spoils a page. The first time the error is raised: it may be an outage that passes."""
        self._spoiled += 1
        if self._spoiled == 1 or self._clock() < self._outage_until:
            raise error
        try:
            taken = reading.spoiled()
        except Transient:
            self._spoiled, self._outage_until = 0, self._clock() + OUTAGE_SECONDS
            raise
        if taken is None:
            return
        if taken.stretch:
            logger.warning("The sync skips %s", taken.stretch.error, extra={"event": "skipped"})
        step.show([], None, taken.watermark, taken.stretch)
        self._read_to = taken.watermark or self._read_to

    def _name_unreadable(self, page: Page) -> None:
        unreadable = frozenset(page.unreadable)
        if unreadable - self._unreadable:
            numbers = ", ".join(number or "?" for number in sorted(unreadable))
            logger.warning("ShipStation lists orders without an id: %s", numbers, extra={"event": "no_id"})
        self._unreadable |= unreadable

    def _say_how_far(self, pages_left: int | None) -> None:
        """Say how a long reading gets on, now and then; a cycle of one page is nobody's news."""
        now = self._clock()
        if self.at_end and self._said_at is not None:
            logger.info("Sync: up to date, %d orders read", self.fetched, extra={"event": "sync_up_to_date"})
        elif not self.at_end and self.fetched and now - (self._said_at or float("-inf")) >= SAY_EVERY_SECONDS:
            self._said_at = now
            pages = "more" if pages_left is None else f"{pages_left} pages"
            logger.info("Sync: %d orders read, %s to go", self.fetched, pages, extra={"event": "sync_progress"})
