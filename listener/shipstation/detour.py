"""Around an order that spoils every page it is on: the list before it, after it, and beside it is read all the same.

Such an order says neither its number nor its time of change. So smaller and smaller pages are asked for until it is
the next one; then the one behind it closes off a stretch of the list; and the pages of that stretch are read from the
last to the first (what leaves it makes the rest move towards the pages still to be read), a page that fails in halves,
until nothing fails but the order alone. The stretch is to be read again later: who skips must come back.

Pure. Source: the service answers 500 to a page with an order that it can't show; `tests/data` has none, the simulator
does it on request.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from listener.errors import Transient
from listener.shipstation.listing import Page
from listener.shipstation.pacific import later, tick, to_pacific

LARGEST_PAGE = 256
FURTHEST_PROBE = 10
"""So many orders in a row that all spoil their page are an outage."""

TRIES = 3
MOST_FAILURES_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class Detour:
    """A stretch of the list that can't be read whole.

    end:     None while it is not known where it ends
    probe:   while end or count are not known: which page, of one order, is asked for
    spans:   what is left to read of it, as (page size, page), the next one last; None: its orders are not counted yet
    skipped: orders that could not be read
    """

    start: datetime
    end: datetime | None = None
    probe: int = 1
    spans: tuple[tuple[int, int], ...] | None = None
    tries: int = 0
    failures: int = 0
    skipped: int = 0

    @property
    def over(self) -> bool:
        """All of it has been read, but for what was skipped."""
        return self.spans == ()


def query_of(detour: Detour) -> dict[str, str]:
    """Return what to ask for next."""
    size, page = detour.spans[-1] if detour.spans else (1, detour.probe)
    query = {
        "modifyDateStart": to_pacific(detour.start),
        "sortBy": "ModifyDate",
        "sortDir": "ASC",
        "pageSize": str(size),
        "page": str(page),
    }
    return query if detour.end is None else query | {"modifyDateEnd": to_pacific(detour.end)}


def after_page(detour: Detour, page: Page) -> Detour:
    """Return how to go on after an answer."""
    if detour.end is None:
        last = max(page.stamps, default=page.read_at)  # nothing is behind it: then now is
        return replace(detour, end=later(tick(last), 2), probe=1, failures=0)
    if detour.spans is None:
        return replace(detour, spans=_spans(max(page.total, len(page.orders))), failures=0)
    return replace(detour, spans=detour.spans[:-1], tries=0, failures=0)


def after_failure(detour: Detour) -> Detour:
    """Return how to go on after a page that failed. Raises Transient when it is no single order that spoils them."""
    failures = detour.failures + 1
    if failures > MOST_FAILURES_IN_A_ROW or (detour.spans is None and detour.probe >= FURTHEST_PROBE):
        raise Transient("ShipStation's list of orders cannot be read, not one by one either")
    if detour.spans is None:
        return replace(detour, probe=detour.probe + 1, failures=failures)
    *rest, (size, page) = detour.spans
    if size > 1:
        return replace(detour, spans=(*rest, (size // 2, 2 * page - 1), (size // 2, 2 * page)), failures=failures)
    if detour.tries + 1 < TRIES:
        return replace(detour, tries=detour.tries + 1, failures=failures)
    return replace(detour, spans=tuple(rest), tries=0, failures=failures, skipped=detour.skipped + 1)


def _spans(count: int) -> tuple[tuple[int, int], ...]:
    size = 1
    while size < min(count, LARGEST_PAGE):
        size *= 2
    return tuple((size, page) for page in range(1, -(-count // size) + 1))
