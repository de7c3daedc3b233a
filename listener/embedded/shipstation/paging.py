"""What the list calls share: pages, sort directions and the edges of date filters, read from query strings.

Names in a query are in lower case already; a value that can't be read refuses the call with a ModelState.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from listener.embedded.shipstation.calls import CallRefused, JsonObject, invalid
from listener.embedded.shipstation.pacific import parse_wall_clock

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500  # more is cut down to it: the reference names the bound, not what lies beyond

Query = Mapping[str, str]
Span = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page was asked for."""

    page: int
    size: int

    def within(self, rows: slice) -> slice:
        """Return the part of a run of rows that is on the page."""
        first = rows.start + (self.page - 1) * self.size
        return slice(min(first, rows.stop), min(first + self.size, rows.stop))

    def envelope(self, name: str, rows: list[JsonObject], total: int) -> JsonObject:
        """Wrap a page as every list call does; nothing found means pages 0."""
        return {name: rows, "total": total, "page": self.page, "pages": -(-total // self.size)}


def read_paging(query: Query) -> Paging:
    """Return the page a query asks for: the first hundred rows unless it says otherwise."""
    size = _positive(query, "pagesize", DEFAULT_PAGE_SIZE)
    return Paging(_positive(query, "page", 1), min(size, MAX_PAGE_SIZE))


def read_sort(query: Query, sorts: Mapping[str, str], default: str) -> str:
    """Return the field to sort by, one of the values of `sorts`."""
    asked = query.get("sortby")
    if asked and asked.lower() not in sorts:
        raise _unreadable("sortBy", asked)
    return sorts[asked.lower()] if asked else default


def read_descending(query: Query) -> bool:
    """Return whether the last comes first; ascending is the default also where sortBy is given."""
    asked = query.get("sortdir", "").upper()
    if asked not in ("", "ASC", "DESC"):
        raise _unreadable("sortDir", asked)
    return asked == "DESC"


def read_span(query: Query, name: str) -> Span:
    """Return the two edges of a date filter in whole seconds, None where it is open."""
    return _edge(query, f"{name}start"), _edge(query, f"{name}end")


def read_integer(name: str, text: str) -> int:
    """Return a whole number of a query."""
    if not (text.isascii() and text.isdigit()):
        raise _unreadable(name, text)
    return int(text)


def _edge(query: Query, name: str) -> datetime | None:
    if not (text := query.get(name)):
        return None
    if (value := parse_wall_clock(text)) is None:
        raise _unreadable(name, text)
    return value.replace(microsecond=0)  # filters know seconds, stamps know milliseconds


def _positive(query: Query, name: str, default: int) -> int:
    value = read_integer(name, text) if (text := query.get(name)) else default
    if value < 1:
        raise _unreadable(name, text or "")
    return value


def _unreadable(name: str, text: str) -> CallRefused:
    return invalid({f"request.{name}": [f"The value '{text}' is not valid for {name}."]})
