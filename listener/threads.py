"""One thread for one workflow, which runs one piece of work after another.

A thread of concurrent.futures would hold up the end of the process until its last call returns; these do not, so that
a request that hangs cannot keep a stopping listener alive.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_AFTER_SECONDS = 30.0


def nothing_to_close() -> None:
    """The default of `on_idle`."""


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
