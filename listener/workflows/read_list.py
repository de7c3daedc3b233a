"""One reading of ShipStation's list of orders: from where the watermark stands to its end, and around what spoils it.

It asks nobody: `query` says what to ask for, `took` and `spoiled` what came of it.
"""

from datetime import datetime
from typing import NamedTuple

from listener.shipstation import detour as around
from listener.shipstation import listing
from listener.shipstation.detour import Detour
from listener.shipstation.listing import Cursor, Page, newest, next_cursor, total_of
from listener.shipstation.pacific import earlier, to_pacific
from listener.store.sync import Failure


class Taken(NamedTuple):
    """What a page leads to.

    start:     where the list began that it is from; None: it says nothing of what lies before it
    watermark: where the watermark may move to
    stretch:   what is to be read again later, because orders in it were skipped
    """

    start: datetime | None
    watermark: datetime | None
    at_end: bool
    stretch: Failure | None = None


class ReadList:
    """Where a reading is."""

    def __init__(self, start: datetime) -> None:
        self._cursor = Cursor(start)
        self._size = listing.PAGE_SIZE
        self._detour: Detour | None = None
        self._newest: datetime | None = None
        self.pages_left: int | None = None
        self.shown = 0
        self.total: int | None = None  # of the orders that it will have shown at its end; None: not known

    def query(self) -> dict[str, str]:
        """Return what to ask for next."""
        if self._detour:
            return around.query_of(self._detour)
        return listing.query_of(self._cursor) | {"pageSize": str(self._size)}

    def took(self, page: Page) -> Taken:
        """Go on after this page. Raises Transient when it does not show how."""
        self.shown += len(page.orders)
        if self._detour:
            return self._took_beside(self._detour, page)
        start, following = self._cursor.start, next_cursor(self._cursor, page)
        self.pages_left = max(page.pages - page.page, 0)
        self.total = total_of(self._cursor, page, self.shown, self.total)
        if following is not None:
            self._cursor = following
        return Taken(start, newest(page), at_end=following is None)

    def spoiled(self) -> Taken | None:
        """Go on after a page that something on it has spoiled: with smaller ones, until it stands alone and is skipped.

        Returns what that leads to, as soon as it is done. Raises Transient when it is not one order that spoils them.
        """
        if self._detour:
            return self._beside(around.after_failure(self._detour))
        if self._cursor.end is not None:
            self._detour = Detour(self._cursor.start, self._cursor.end)
        elif self._size > 1:
            self._size //= 2
        else:
            self._detour = Detour(self._cursor.start, probe=2)
        return None

    def _took_beside(self, detour: Detour, page: Page) -> Taken:
        self._newest = max(filter(None, (self._newest, newest(page))), default=None)
        return self._beside(around.after_page(detour, page)) or Taken(None, None, at_end=False)

    def _beside(self, detour: Detour) -> Taken | None:
        """Go on beside the list; once it is over, return what it leads to, and go back to the list behind it."""
        self._detour = detour
        if not detour.over or detour.end is None:
            return None
        stretch = _stretch(detour.start, detour.end, detour.skipped) if detour.skipped else None
        taken = Taken(None, self._newest, at_end=False, stretch=stretch)
        self._detour, self._newest, self._size = None, None, listing.PAGE_SIZE
        self._cursor = Cursor(earlier(detour.end))
        return taken


def _stretch(start: datetime, end: datetime, skipped: int) -> Failure:
    error = f"{skipped} orders that spoil each page they are on, changed between {start} and {end}"
    return Failure("stretch", to_pacific(start), None, {"start": start.isoformat(), "end": end.isoformat()}, error)
