"""May ShipStation be called now? Two limits: its own window, and the budget that all our processes share.

A token is taken, and noted in the journal, before its call; never inside a claim's transaction, which would hold the
one row that all processes share.
"""

import time
from collections.abc import Callable, Mapping

from listener.database import Connection
from listener.errors import Transient
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import Answer, TooManyRequests
from listener.shipstation.window import Window
from listener.store import api_calls


class NoBudget(Exception):
    """No call may be made for `seconds`: nothing is wrong, and orders gather meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no API call may be made for {seconds:.1f} s")
        self.seconds = seconds


class Budget:
    """The calls that may still be made. Used by one thread."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._window = Window()
        self._endpoints: dict[int, str] = {}  # of calls that were taken and not made yet
        self._uncounted = 0  # calls taken that no answer has spoken of yet

    def take(self, connection: Connection, flags: Flags, *endpoints: str, leaving: int = 0) -> list[int]:
        """Take calls, all of them or none; return their ids in the journal. Raises NoBudget.

        leaving: so many must be left for what is more urgent.
        """
        if (wait := self._window.wait(self._clock(), len(endpoints) + leaving)) > 0:
            raise NoBudget(wait)
        ids, wait = api_calls.take_calls(connection, flags.api_calls_per_hour, endpoints, leaving=leaving)
        if not ids:
            raise NoBudget(wait)
        for _ in endpoints:
            self._window = self._window.after_request(self._clock())
        self._uncounted += len(endpoints)
        self._endpoints.update(zip(ids, endpoints, strict=True))
        return ids

    def give_back(self, connection: Connection, call_id: int, flags: Flags) -> None:
        """Return a call that was taken and not made after all."""
        self._endpoints.pop(call_id, None)
        if self._uncounted:
            self._uncounted -= 1
            self._window = self._window.without_request()
        api_calls.give_back_call(connection, call_id, flags.api_calls_per_hour)

    def answered(self, answer: Answer) -> None:
        """Believe what the headers of an answer say of the window."""
        self._uncounted = 0
        self._window = self._window.after_answer(answer.headers, self._clock())

    def note(
        self, connection: Connection, call_id: int, answer: Answer | None, orders: int, error: Transient | None
    ) -> None:
        """Write into the journal what came back. The orders' own outcomes go first: a journal can be incomplete."""
        status, duration_ms = (answer.status, answer.duration_ms) if answer else (None, 0.0)
        throttled = isinstance(error, TooManyRequests)  # it may have said so with any status
        self._metrics.api_call(self._endpoints.pop(call_id, "?"), 429 if throttled else status)
        fault = str(error) if error else None
        api_calls.note_answer(connection, call_id, status=status, duration_ms=duration_ms, orders=orders, error=fault)

    def throttled(self, headers: Mapping[str, str]) -> NoBudget:
        """Close the window as ShipStation asked; return what to raise."""
        self._uncounted = 0
        self._window = self._window.after_throttling(headers, self._clock())
        return NoBudget(self._window.wait(self._clock()))
