"""Order ids sorted by one value of their orders, always exact: what keeps a look-up quick among a hundred thousand."""

from bisect import bisect_left, bisect_right, insort
from datetime import datetime
from typing import Generic, TypeVar

Value = TypeVar("Value", str, datetime)

AFTER_ALL_IDS = 1 << 62
LAST_CHARACTER = "\U0010ffff"


class SortedIndex(Generic[Value]):
    """Insertion moves at most one block of memory; for stamps, which grow, it is an append."""

    def __init__(self) -> None:
        self._entries: list[tuple[Value, int]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, value: Value, order_id: int) -> None:
        insort(self._entries, (value, order_id))

    def remove(self, value: Value, order_id: int) -> None:
        del self._entries[bisect_left(self._entries, (value, order_id))]

    def ids(self, within: slice) -> list[int]:
        return [order_id for _value, order_id in self._entries[within]]

    def between(self, after: Value | None, before: Value | None) -> slice:
        """Return where the values strictly between the two stand; None is open."""
        first = 0 if after is None else bisect_right(self._entries, (after, AFTER_ALL_IDS))
        end = len(self._entries) if before is None else bisect_left(self._entries, (before, -1))
        return slice(first, max(first, end))

    def matching(self, first: Value, last: Value) -> slice:
        """Return where the values from `first` to `last` stand, both included."""
        return slice(bisect_left(self._entries, (first, -1)), bisect_right(self._entries, (last, AFTER_ALL_IDS)))


def folded(number: str) -> str:
    """Return an order number as searches compare it: without regard to case, as databases of that kind do."""
    return number.upper()
