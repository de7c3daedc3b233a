"""What a kind of fault is: a generator that begins the fault, yields while it is in force, and ends it.

The dice are the round's own, so that a round can be had again by its seed and its number.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.chaos.world import World

Act = Callable[[World, random.Random], Iterator[None]]


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    lasts:    how many seconds it is in force, drawn between these
    slow:     it waits for what takes its time: a heartbeat, a deadline
    may_miss: an order may be found by a heartbeat that no notification announced
    why_not:  why it cannot be made here; '' when it can
    """

    name: str
    act: Act
    lasts: tuple[float, float]
    slow: bool
    may_miss: bool
    why_not: Callable[[], str]

    def in_force(self, world: World, dice: random.Random) -> AbstractContextManager[None]:
        """The fault is in force for as long as the block lasts."""
        return contextmanager(self.act)(world, dice)


KINDS: list[Kind] = []
"""All of them; a module of this package adds its own when it is imported."""


def kind(
    name: str,
    *,
    lasts: tuple[float, float] = (0.2, 2.0),
    slow: bool = False,
    may_miss: bool = False,
    why_not: Callable[[], str] = _nothing,
) -> Callable[[Act], Act]:
    """Add a generator to the table of kinds, under the name that reports show."""

    def add(act: Act) -> Act:
        KINDS.append(Kind(name, act, lasts, slow, may_miss, why_not))
        return act

    return add
