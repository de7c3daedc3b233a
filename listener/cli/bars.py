"""Bars for what takes long, at the bottom of a terminal. Who works does not know of them: a thread asks how far it is.

The rule: a bar is a help and not a need. Where it cannot be drawn it is given up, and nothing else changes. What draws
it is imported when the first one is drawn; without a terminal there is no bar, no thread and no import.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self, TextIO

from listener.cli.live import LiveStream
from listener.headway import Headway, Pace, Show, show_nobody

if TYPE_CHECKING:
    from listener.cli.bars_view import View

logger = logging.getLogger(__name__)

LONG_SECONDS = 1.0
"""What is over sooner has no bar."""

DRAW_EVERY_SECONDS = 0.2
LOOK_EVERY_SECONDS = 0.5

TOLD_BY_A_BAR = frozenset({"import_progress", "mirror_progress", "sync_progress"})
"""Events of the log that say no more than the bar does."""

Ask = Callable[[], Sequence[Headway]]


class Terminal(NamedTuple):
    """Where a command shows what it waits for. `above` writes something else to it."""

    show: Show
    above: Callable[[Callable[[], object]], object]


@contextmanager
def waiting() -> Iterator[Terminal]:
    """Show at a terminal what is waited for in the length of a block, where that takes long; elsewhere nothing."""
    if not has_bars(sys.stderr, os.environ):
        yield Terminal(show_nobody, lambda write: write())
        return
    board, live = Board(), LiveStream(sys.stderr)
    with Bars(live, board.ask):
        yield Terminal(board.show, live.above)


def has_bars(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether a stream leads to a terminal that can redraw a line."""
    return stream.isatty() and environment.get("TERM", "dumb") not in ("", "dumb", "unknown")


class Board:
    """How far the one thing is that a short command waits for. To be shown on by any thread."""

    def __init__(self) -> None:
        self._shown: Headway | None = None

    def show(self, headway: Headway | None) -> None:
        """Show this from now on; None: nothing."""
        self._shown = headway

    def ask(self) -> Sequence[Headway]:
        """Return what is shown."""
        shown = self._shown
        return [shown] if shown else []


class Bars:
    """Draws a bar for whatever `ask` returns, as long as it does, in the length of a block."""

    def __init__(self, stream: LiveStream, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._ask = ask
        self._clock = clock
        self._known: dict[str, tuple[float, Pace]] = {}  # by task: since when, and how fast
        self._view: View | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener-bars", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(1)

    def _run(self) -> None:
        try:
            while not self._over.wait(DRAW_EVERY_SECONDS if self._known else LOOK_EVERY_SECONDS):
                self._turn()
        except (OSError, ValueError):  # the terminal is gone, or the stream closed
            return
        except Exception:
            logger.warning("There will be no bars, they cannot be drawn", exc_info=True, extra={"event": "no_bars"})
        finally:
            self._stream.leave()

    def _turn(self) -> None:
        now = self._clock()
        shown = self._ask()
        self._known = {each.task: self._known.get(each.task) or (now, Pace()) for each in shown}
        for each in shown:
            self._known[each.task][1].note(each.done, now)
        if not self._stream.is_live and not any(now - since >= LONG_SECONDS for since, _ in self._known.values()):
            return
        if not self._stream.is_ready():
            return
        columns, height = self._stream.size()
        rows = [(each, *self._known[each.task]) for each in shown[: height - 2]]
        self._stream.draw(self._open_view().lines(rows, now, columns) if rows else ())

    def _open_view(self) -> "View":
        if self._view is None:
            from listener.cli.bars_view import View  # noqa: PLC0415  it brings rich, which the worker never needs

            self._view = View(self._stream.stream)
        return self._view
