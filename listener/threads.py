"""One thread for one workflow: work goes in one piece at a time, what came of it goes to a callback.

A thread of concurrent.futures would hold up the end of the process until its last call returns; these do not, so that
a request that hangs cannot keep a stopping listener alive.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """A daemon thread that runs what it is given, in order."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in the thread, and `then` with its result, also there. `work` handles its own errors."""
        self._queue.put(lambda: then(work()))

    def stop(self, timeout: float) -> None:
        """Let the thread end after what it is doing, and wait for it for at most `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            piece()
