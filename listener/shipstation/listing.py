"""Reading what ShipStation has while it changes: GET /orders, by the time of change, oldest first. Pure.

A changed order jumps to the end of this list and everything behind its old place moves up, so page 2 of a moving list
skips whatever slid onto page 1 meanwhile. Hence no page 2: the next request begins one second before the last change of
this page, the whole seconds that both pages touch being read twice. A page with nothing but one second on it leads
nowhere, as filters know no fractions. That second, and the one after it, is then closed off with an end, and its pages
are read from the last to the first: what leaves it makes the rest move towards the pages still to be read.

Nobody has said whether an edge of a filter belongs to what it bounds, or whether it looks at fractions. So a request
from A to E counts on the ticks (seconds; see `pacific.tick`) strictly between, and may get those of A and E as well.
That is why a second S is closed off as S - 1 … S + 2, and why reading goes on from S + 1, which can't show S again.

What holds when `next_cursor` has returned None: every order whose last change came after the tick of the first start
has been seen as it was when the last request was answered. Exceptions, all mended by the next reading if it begins
`pacific.overlap` before the watermark:
- an order changed within a closed-off tick after its reading had begun. It takes more than a page of changes in one
  second, read before it is over; in the repeated hour, more than a page in the hour. That hour, while it runs, may
  also hide an order that was not changed: stamps come in between.
- a change that shows late, or whose stamp lies before what has been read (the second pass of the repeated hour).
And a reading that rests for minutes between two pages should be begun anew: the overlap is counted from its end.
A list that is not in order, or does not begin where it was asked to, raises Transient: it can't be read to its end.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from listener.errors import Transient
from listener.shipstation.pacific import OVERLAP, earlier, from_pacific, is_repeated, later, tick, to_pacific

PAGE_SIZE = 500
"""ShipStation API V1, "List Orders": the most that a page holds. Nothing here relies on getting that many."""


@dataclass(frozen=True, slots=True)
class RemoteOrder:
    """An order as ShipStation lists it. What is absent is empty."""

    shipstation_order_id: str
    order_number: str
    shipstation_key: str | None
    status: str
    created_at: datetime
    modified_at: datetime
    merged_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of GET /orders.

    read_at:    our time of the answer
    unreadable: the numbers of the orders that have no usable id, '' where even the number is missing. They exist, so
                leaving them out in silence could let one be created again; and one of them must not keep the other 499
                from us for ever. So the page says so, and whoever takes it over has to do something about them.
    stamps:     the times of change that ShipStation has stated, in its order; an order without one has none here
    """

    orders: tuple[RemoteOrder, ...]
    page: int
    pages: int
    total: int
    read_at: datetime
    unreadable: tuple[str, ...] = ()
    stamps: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """What to ask for next.

    end:     set while a single tick is read with page numbers
    counted: its pages have been counted, and `page` goes down from the last
    """

    start: datetime
    end: datetime | None = None
    page: int = 1
    counted: bool = False


# JSON into orders.


def decode_page(body: Any, now: datetime) -> Page:
    """Return a page from its decoded JSON.

    Shape:  {orders: [...], total, page, pages}; an empty list has pages 0, and a list may have pages 0 too.
    Times:  an order without a readable modifyDate counts as changed when it was created, else as changed just now.
    Raises: Transient when this is not a whole page: no error reads as "nothing there".
    Source: ShipStation API V1, "List Orders".
    """
    elements = body.get("orders") if isinstance(body, dict) else None
    if not isinstance(elements, list):
        raise Transient("ShipStation's answer has no list of orders")
    # Nobody has promised these three; a list that does not say of how many pages it is one is whole.
    page, pages = _count(body, "page", 1), _count(body, "pages", 1)
    total = _count(body, "total", len(elements))
    orders = [element if isinstance(element, dict) else {} for element in elements]
    return Page(
        orders=tuple(decode_order(order, now) for order in orders if _identity(order)),
        page=page,
        pages=pages,
        total=total,
        read_at=now,
        unreadable=tuple(_text(order.get("orderNumber")) for order in orders if not _identity(order)),
        stamps=tuple(stamp for order in orders if (stamp := _modified(order))),
    )


def _count(body: dict[str, Any], name: str, otherwise: int) -> int:
    value = body.get(name, otherwise)
    if type(value) is not int or value < 0:
        raise Transient(f"ShipStation's list of orders does not say its {name}")
    return value


def decode_order(order: dict[str, Any], now: datetime) -> RemoteOrder:
    """Return what one listed order is; `now` stands for times that it does not say."""
    created, modified = _stamp(order.get("createDate")), _modified(order)
    return RemoteOrder(
        shipstation_order_id=_identity(order),
        order_number=_text(order.get("orderNumber")),
        shipstation_key=_text(order.get("orderKey")) or None,
        status=_text(order.get("orderStatus")),
        created_at=created or modified or now,
        modified_at=modified or created or now,
        merged_ids=_merged_ids(order.get("advancedOptions")),
    )


def _identity(order: dict[str, Any]) -> str:
    identity = _text(order.get("orderId"))
    return "" if identity == "0" else identity


def _merged_ids(options: Any) -> tuple[str, ...]:
    merged = options.get("mergedIds") if isinstance(options, dict) else None
    return tuple(filter(None, map(_text, merged))) if isinstance(merged, list) else ()


def _text(value: Any) -> str:
    return str(value) if type(value) in (int, str) else ""


def _modified(order: dict[str, Any]) -> datetime | None:
    """Return the time of the last change. All of the repeated hour is one time.

    An order changed at 01:50 and, an hour later, at 01:10 would seem older than it was, and what is older than what is
    known counts for nothing.
    """
    stamp = _stamp(order.get("modifyDate"))
    return tick(stamp) if stamp and is_repeated(stamp) else stamp


def _stamp(value: Any) -> datetime | None:
    try:
        stamp = from_pacific(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # A date that was never set is year 1 in the service's language, and one without an end is year 9999.
    return stamp if stamp and 2000 <= stamp.year < 3000 else None


# Where to go on.


def query_of(cursor: Cursor) -> dict[str, str]:
    """Return the query of the request that a cursor stands for."""
    query = {
        "modifyDateStart": to_pacific(tick(cursor.start)),
        "sortBy": "ModifyDate",
        "sortDir": "ASC",
        "pageSize": str(PAGE_SIZE),
        "page": str(cursor.page),
    }
    return query if cursor.end is None else query | {"modifyDateEnd": to_pacific(cursor.end)}


def next_cursor(cursor: Cursor, page: Page) -> Cursor | None:
    """Return what to ask for after this page, always something further on; None: everything has been read.

    Raises Transient when the page does not show how to go on. The module's text says what "everything" is.
    """
    if cursor.end is not None:
        return _next_within(cursor, page)
    if _pages(page) <= 1:
        return None
    start, last = tick(cursor.start), _last_tick(page)
    if last < start:
        raise Transient("ShipStation's list of orders does not begin where it was asked to")
    if (further := earlier(last)) > start:
        return Cursor(further)
    return Cursor(start, end=later(start, 3))


def _next_within(cursor: Cursor, page: Page) -> Cursor:
    # Beyond its last page, a list that has become shorter may show that one. Any other page was not asked for.
    if cursor.page > 1 and page.orders and page.page not in (cursor.page, page.pages):
        raise Transient(f"ShipStation was asked for page {cursor.page} and gave page {page.page}")
    if not cursor.counted and _pages(page) > 1:
        return replace(cursor, page=_pages(page), counted=True)
    if cursor.page > 1:
        return replace(cursor, page=cursor.page - 1)
    return Cursor(later(tick(cursor.start), 2))


def _pages(page: Page) -> int:
    """Return how many pages there are, seen from the first: what is said of them, or what the total makes necessary.

    A service that cuts the page size down might count its pages by the size that was asked for.
    """
    count = len(page.orders) + len(page.unreadable)
    return max(page.pages, -(-page.total // count) if count else page.total)


def _last_tick(page: Page) -> datetime:
    ticks = [tick(stamp) for stamp in page.stamps]
    if not ticks:
        raise Transient("ShipStation's list of orders goes on, but does not say when they were changed")
    if any(after < before for before, after in pairwise(ticks)):
        raise Transient("ShipStation's list of orders is not in the order of their last change")
    return ticks[-1]


def total_of(cursor: Cursor, page: Page, known: int, said: int | None) -> int | None:
    """Return how many orders a reading will have shown at its end; None while that cannot be told.

    known: those that it has shown, with this page; said: what was returned for the page before
    """
    if cursor.end is None:
        return known + max(0, page.total - len(page.orders) - len(page.unreadable))
    return None if said is None else max(said, known)  # its total is that of a tick


def newest(page: Page) -> datetime | None:
    """Return where the watermark may move to when the page has been taken over: its latest stated change, if any.

    Safe for every page that a cursor led to, in its turn: what lies before has been read, but for ticks that are being
    read backwards, and `overlap` covers these. A time that lies in the future beyond the overlap is somebody's mistake
    and counts for nothing: the next reading would begin there and miss all that happens until then.
    """
    return max((stamp for stamp in page.stamps if stamp <= page.read_at + OVERLAP), default=None)
