"""What a supervisor is told, systemd or any other that sets NOTIFY_SOCKET: a datagram of `NAME=value` a piece of news.
Source: systemd's manual, sd_notify(3) and sd_watchdog_enabled(3).

READY=1    once, when LISTEN is in force and flags and switches are known: then it leads or stands by
STATUS=    in words, whenever they change
WATCHDOG=1 each half of WATCHDOG_USEC, from the main loop alone: when that stands still, it stays away
STOPPING=1 when it was asked to end

The rule: nothing here can hold up the loop or end it. What cannot be delivered is dropped.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from math import inf

from listener.log import Redact, escape
from listener.state import State

UNDELIVERED_SECONDS = 1.0
LONGEST_STATUS = 500


class Supervisor:
    """The way to the supervisor; without one, or with one that speaks otherwise, it does nothing."""

    def __init__(self, environment: Mapping[str, str], redact: Redact = str) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket:
            self._socket.setblocking(False)
        self._every_seconds = _half_of_watchdog(environment) if self._socket else inf
        self._redact = redact
        self._ready = False
        self._status = ""
        self.due_at = 0.0 if self._every_seconds < inf else inf
        """When the watchdog is to be fed again, in monotonic seconds; inf: there is none."""

    def tell(self, state: State, degraded: Sequence[str], now: float) -> None:
        """Say what has changed; called at every turn of the loop."""
        if self._socket is None:
            return
        if now >= self.due_at:
            self.due_at = now + (self._every_seconds if self._send("WATCHDOG=1") else UNDELIVERED_SECONDS)
        if not self._ready and state.listening and state.configured:
            self._ready = self._send("READY=1")
        self._say(words_of(state, degraded))

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def _say(self, words: str) -> None:
        status = escape(self._redact(words))[:LONGEST_STATUS]
        if status != self._status and self._send(f"STATUS={status}"):
            self._status = status

    def _send(self, line: str) -> bool:
        """Send a line; return whether it was taken. A full or closed socket is the supervisor's affair."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(line.encode(), self._address)
        except OSError:
            return False
        return True


def words_of(state: State, degraded: Sequence[str]) -> str:
    """Return how it is, in one line."""
    if state.stopping:
        return "Stopping: the step under way is finished first"
    if state.dormant:
        return "The database may sleep: nothing is asked of it until the next look"
    if not (state.listening or state.leading):
        return "Waiting for the database"
    words = "Leads" if state.leading else "Stands by"
    return f"{words}; {'; '.join(degraded)}" if degraded else words


def _address(given: str) -> str:
    """Return the address of the socket: a path, or a name beginning with @ (which stands for a zero byte)."""
    return f"\0{given[1:]}" if given.startswith("@") else given if given.startswith("/") else ""


def _half_of_watchdog(environment: Mapping[str, str]) -> float:
    """Return half of the watchdog's time in seconds; inf: there is none, or it is meant for another process."""
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return inf
    return int(microseconds) / 2_000_000
