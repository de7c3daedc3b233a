"""How far a long piece of work is, how fast it goes, and when it will be over. Pure: the clock's time comes in."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MEASURED_SECONDS = 30.0
"""The speed is that of so many seconds. Work that comes in larger steps is measured over its last two."""


@dataclass(frozen=True, slots=True)
class Headway:
    """How far something is that takes long.

    task:  what is done; the same piece of work keeps its name
    done:  so many of `unit`, of `total`; None: nobody can tell how many there will be
    unit:  none: they are not of a kind, and so there is no speed
    text:  the same as a sentence
    """

    task: str
    done: int = 0
    total: int | None = None
    unit: str = ""
    text: str = ""


Show = Callable[[Headway | None], None]
"""Is told how far something is; None: it is over."""


def show_nobody(_: Headway | None) -> None:
    """Drop it."""


class Pace:
    """The speed of one piece of work."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def note(self, done: int, now: float) -> None:
        """So much was done by now."""
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()  # it has begun anew
        if not self._marks or done > self._marks[-1][1]:
            self._marks.append((now, done))
        while len(self._marks) > 2 and self._marks[1][0] <= now - MEASURED_SECONDS:
            self._marks.popleft()

    def a_second(self, now: float) -> float | None:
        """Return how much is done in a second; None while that cannot be told."""
        if len(self._marks) < 2:
            return None
        (began, before), (_, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - began) if now > began else None

    def seconds_left(self, total: int, now: float) -> float | None:
        """Return when it will be over, if it goes on so; None while that cannot be told."""
        speed = self.a_second(now)
        return max(0, total - self._marks[-1][1]) / speed if speed else None
