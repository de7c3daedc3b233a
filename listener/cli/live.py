"""A terminal with a few lines at its bottom that are redrawn in place, and everything else above them.

The cursor is neither hidden nor left in a line that is drawn: it stands at the beginning of the next one. So whatever
ends the process, or stops it, there is nothing to be put right again.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TextIO

UP_AND_CLEAR = "\r\x1b[{rows}A\x1b[J"

STOPPED_SECONDS = 3.0
"""What was drawn so long ago is not redrawn in its place: the process was stopped, and others have written since."""


class Line(NamedTuple):
    """A line without its end. `text` may hold colours; `cells` is the room that it takes."""

    text: str
    cells: int


class LiveStream:
    """A stream to a terminal. Every method may be called from any thread, and raises OSError when it is gone."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self._clock = clock
        self._lock = threading.RLock()
        self._lines: Sequence[Line] = ()
        self._drawn_at = float("-inf")

    @property
    def is_live(self) -> bool:
        """Whether lines are drawn now."""
        return bool(self._lines)

    def size(self) -> tuple[int, int]:
        """Return (columns, rows) as they are now."""
        columns, rows = os.get_terminal_size(self.stream.fileno())
        return columns or 80, rows or 24  # a terminal may not know

    def write(self, text: str) -> int:
        """Write whole lines above what is drawn."""
        with self._lock:
            self._put(self._cleared() + text + self._drawn())
        return len(text)

    def is_ready(self) -> bool:
        """Whether lines may be drawn: not over the prompt of a shell that has us in the background, and not into a
        terminal that takes nothing now (Ctrl-S), where they would have a worker wait that has something to log.
        """
        fd = self.stream.fileno()
        with suppress(OSError):  # not the terminal that controls us: there is no shell to share it with
            if os.tcgetpgrp(fd) != os.getpgrp():
                self._lines = ()
                return False
        return bool(select.select((), (fd,), (), 0)[1])

    def flush(self) -> None:
        """Everything has been flushed."""

    def above(self, write: Callable[[], object]) -> None:
        """Have somebody else write whole lines to the same terminal."""
        with self._lock:
            self._put(self._cleared())
            write()
            self._put(self._drawn())

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw these lines in the place of those before; none: as if there had been none."""
        with self._lock:
            if not lines and not self._lines:
                return
            before, self._lines = self._cleared(), lines
            self._put(before + self._drawn())

    def leave(self) -> None:
        """Clear what is drawn, if the terminal is still there."""
        with suppress(OSError, ValueError):
            self.draw(())

    def _drawn(self) -> str:
        self._drawn_at = self._clock()
        return "".join(f"{line.text}\n" for line in self._lines)

    def _cleared(self) -> str:
        """Return what clears the lines. A terminal that became narrower since has broken those that are too long."""
        if not self._lines or self._clock() - self._drawn_at > STOPPED_SECONDS:
            return ""
        columns, height = self.size()
        rows = sum(max(1, -(-line.cells // columns)) for line in self._lines)
        return UP_AND_CLEAR.format(rows=min(rows, height - 1))

    def _put(self, text: str) -> None:
        if text:
            self.stream.write(text)
            self.stream.flush()
