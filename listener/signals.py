"""Signals and other threads reach the loop through one socket pair in its selector.

A handler that only sets a flag does not shorten a select() (PEP 475); a byte on the pair does. SIGUSR1 asks for a look.
The first SIGTERM or SIGINT asks for an orderly end. The second ends the process at once: what was being sent stands in
the ledger as `sending`, and the next start looks it up.
"""

import os
import selectors
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_SIGNAL = signal.SIGUSR1


class Signals:
    """A context manager that catches SIGTERM, SIGINT and SIGUSR1, in the main thread."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.stop = False
        self.look = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        selector.register(self._reader, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers_before = {number: signal.signal(number, self._caught) for number in STOP_SIGNALS}
        self._handlers_before[LOOK_SIGNAL] = signal.signal(LOOK_SIGNAL, self._asked_to_look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)

    def wake(self) -> None:
        """Wake the loop, from any thread."""
        try:
            self._writer.send(b"\0")
        except BlockingIOError:
            return  # the pair is full: a wake-up is on its way already

    def drain(self) -> None:
        """Take what has been sent; called before the loop looks at anything that a wake-up stands for."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def _asked_to_look(self, number: int, frame: FrameType | None) -> None:
        self.look = True

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            os._exit(128 + number)
        self.stop = True
