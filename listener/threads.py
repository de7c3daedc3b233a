"""One thread for one workflow, which runs one piece of work after another.

A thread of concurrent.futures would hold up the end of the process until its last call returns; these do not, so that
a request that hangs cannot keep a stopping listener alive.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_AFTER_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 0.005


def nothing_to_close() -> None:
    """The default of `on_idle`."""


class RightOfWay:
    """Holds up a thread that computes for long while one that must be quick has work.

    Python runs one thread at a time. Whoever needs the processor for a moment only would wait for it again and again
    while another computes; so that one asks, every few milliseconds, whether it should let others have it.
    """

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def take(self) -> None:
        """Work has come that must be quick."""
        self._free.clear()

    def give_back(self) -> None:
        """It is done."""
        self._free.set()

    def give_way(self) -> None:
        """Wait a little while it is not done. It may itself be waiting, for an answer: so not for long."""
        self._free.wait(LONGEST_PAUSE_SECONDS)


class Worker:
    """A daemon thread that runs what it is given, in order; after 30 s without work it runs `on_idle`, once."""

    def __init__(
        self,
        name: str,
        on_idle: Callable[[], None] = nothing_to_close,
        idle_after: float = IDLE_AFTER_SECONDS,
    ) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._on_idle = on_idle
        self._idle_after = idle_after
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` in the thread. It handles its own errors."""
        self._queue.put(work)

    def stop(self, timeout: float) -> None:
        """Let the thread end after what it is doing, and wait for it for at most `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        piece = self._queue.get()
        while piece is not None:
            piece()
            piece = self._next()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._queue.get(timeout=self._idle_after)
        except Empty:
            self._on_idle()
            return self._queue.get()
