"""The flag manual_order_pattern: which expressions are taken, and which order numbers it finds. Pure.

Python's `re` holds the interpreter for as long as it searches, so that a slow expression would stop the whole process,
signals included; and it tries every way in which an expression can be laid over a text before it says no. So the ways
are counted before an expression is taken, and a number longer than any that ShipStation knows is not searched.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]  # re's own reading of an expression
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from listener.errors import Rejected
from listener.orders import LONGEST_NUMBER, order_key

LONGEST = 200

MOST_STEPS = 300_000
"""Steps of the worst search, some ten milliseconds. `^[A-Z]+-[0-9]+-[0-9]+$` may take a fifth of that."""

Ways = list[int]
"""In how many ways a search can have come to each place of the longest number."""


def is_manual(number: str, pattern: str) -> bool:
    """Return whether orders of such a number are never uploaded: the pattern is found in it, as written or upper."""
    bare = number.strip()
    return len(bare) <= LONGEST_NUMBER and any(re.search(pattern, form) for form in {bare, order_key(bare)})


@lru_cache(maxsize=8)
def fault_of(pattern: str) -> str | None:
    """Return why an expression is not taken, None: it is."""
    # An empty one would be found in every order number, and so nothing would ever be uploaded.
    if not 1 <= len(pattern) <= LONGEST:
        return f"must be a regular expression of 1 to {LONGEST} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": a warning about some later Python's reading
            tree = _parser.parse(pattern)
            _Count(tree.state.flags).walk(tree, [1] * (LONGEST_NUMBER + 1))
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return f"must be a regular expression of 1 to {LONGEST} characters"
    except Rejected as error:
        return str(error)
    return None


class _Count:
    """Counts the steps of a search that fails at the very last, in a number that every part of the pattern fits."""

    def __init__(self, flags: int) -> None:
        self._multiline = bool(flags & re.MULTILINE)
        self._steps = 0
        self._rules: dict[Any, Callable[[Any, Ways], Ways]] = {
            **dict.fromkeys((sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN), lambda _, ways: [0, *ways[:-1]]),
            **dict.fromkeys((sre.MAX_REPEAT, sre.MIN_REPEAT), self._repeat),
            **dict.fromkeys((sre.ASSERT, sre.ASSERT_NOT), self._look),
            sre.SUBPATTERN: lambda group, ways: self.walk(group[-1], ways),
            sre.BRANCH: self._branch,
            sre.AT: self._at,
        }

    def walk(self, tree: Any, ways: Ways) -> Ways:
        """Return in how many ways a search comes to each place behind `tree`. Raises Rejected: too many, or unknown."""
        for operation, argument in tree:
            self._step(ways)
            if operation not in self._rules:
                raise Rejected("must do without references to its own groups, and without possessive parts")
            ways = self._rules[operation](argument, ways)
        return ways

    def _step(self, ways: Ways) -> None:
        # At least so many, so that the counting comes to an end, too.
        self._steps += max(sum(ways), LONGEST_NUMBER)
        if self._steps > MOST_STEPS:
            raise Rejected("would take too long to search for: too many repeats, or one inside another, as in (a+)+")

    def _branch(self, argument: Any, ways: Ways) -> Ways:
        return _sum([self.walk(alternative, ways) for alternative in argument[1]])

    def _repeat(self, argument: Any, ways: Ways) -> Ways:
        least, most, tree = argument
        done = [ways] if least == 0 else []
        last = [0] * LONGEST_NUMBER + [1]
        empty = self.walk(tree, last)[-1]  # the ways that lead nowhere, which re tries up to the least number of times
        turn = 0
        while turn < most and any(ways):
            turn += 1
            self._step(ways)
            before, ways = ways, self.walk(tree, ways)
            if turn > least:
                ways = [now - empty * then for now, then in zip(ways, before, strict=True)]
            if turn >= least:
                done.append(ways)
        return _sum(done or [ways])

    def _look(self, argument: Any, ways: Ways) -> Ways:
        direction, tree = argument
        self.walk(tree, ways if direction > 0 else ways[::-1])
        return ways

    def _at(self, place: Any, ways: Ways) -> Ways:
        only_at_the_start = place == sre.AT_BEGINNING_STRING or (place == sre.AT_BEGINNING and not self._multiline)
        return [ways[0], *[0] * LONGEST_NUMBER] if only_at_the_start else ways


def _sum(several: Sequence[Ways]) -> Ways:
    return [sum(counts) for counts in zip(*several, strict=True)]
