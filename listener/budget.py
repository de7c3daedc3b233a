"""May ShipStation be called now? Two limits: its own window, and the budget that all our processes share.

A token is taken, and noted in the journal, before its call; never inside a claim's transaction, which would hold the
one row that all processes share.

The threads of a process share ShipStation's window as well, each with a Budget of its own. One of them may have a call
that it must make (the sync, once a cycle): while it waits for that, the others leave a call for it.
"""

import time
from collections.abc import Callable, Mapping
from threading import Lock

from listener.database import Connection, Later
from listener.errors import Transient
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import Answer, TooManyRequests
from listener.shipstation.window import Window
from listener.store import api_calls

KEPT_FOR_ORDERS = 5
"""Calls that whatever can wait leaves for orders that come in meanwhile."""

GRACE_SECONDS = 5.0
"""How long after its time a call that must be made is kept free for whoever waits for it."""


class NoBudget(Exception):
    """No call may be made for `seconds`: nothing is wrong, and orders gather meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no API call may be made for {seconds:.1f} s")
        self.seconds = seconds


class SharedWindow:
    """ShipStation's window, as the threads of a process see it together. Every method may be called from any of them.

    What an answer says of the window does not count the calls that other threads have taken and not been answered yet:
    they are taken off again, whether or not it had seen them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._window = Window()
        self._uncounted: dict[Budget, int] = {}  # calls taken that no answer has spoken of yet
        self._waiting: dict[Budget, float] = {}  # until when a call is kept free for whom

    def take(self, who: "Budget", now: float, calls: int, leaving: int) -> float:
        """Take calls, or return the seconds until they may be had."""
        with self._lock:
            if (wait := self._window.wait(now, calls + leaving)) > 0:
                return wait
            for _ in range(calls):
                self._window = self._window.after_request(now)
            self._uncounted[who] = self._uncounted.get(who, 0) + calls
            return 0.0

    def give_back(self, who: "Budget", calls: int = 1) -> None:
        """Take back calls that do not leave."""
        with self._lock:
            for _ in range(min(calls, self._uncounted.get(who, 0))):
                self._uncounted[who] -= 1
                self._window = self._window.without_request()

    def answered(self, who: "Budget", headers: Mapping[str, str], now: float) -> None:
        """Believe what the headers of an answer say."""
        with self._lock:
            self._uncounted[who] = 0
            said = self._window.after_answer(headers, now)
            if said is not self._window:
                self._window = Window(said.remaining - sum(self._uncounted.values()), said.reset_at)

    def throttled(self, headers: Mapping[str, str], now: float) -> float:
        """Close the window for as long as ShipStation asks; return how long."""
        with self._lock:
            self._uncounted.clear()  # what is given back must not open it again
            self._window = self._window.after_throttling(headers, now)
            return self._window.wait(now)

    def keep_free(self, who: "Budget", until: float | None) -> None:
        """Keep a call free until then, for one who must have it; None: he has it."""
        with self._lock:
            self._waiting.pop(who, None)
            if until is not None:
                self._waiting[who] = until

    def kept_free(self, who: "Budget", now: float) -> int:
        """Return how many calls are kept free for others."""
        with self._lock:
            return sum(until > now for other, until in self._waiting.items() if other is not who)


class Budget:
    """The calls that may still be made. Used by one thread."""

    def __init__(
        self, metrics: Metrics, clock: Callable[[], float] = time.monotonic, window: SharedWindow | None = None
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._window = window or SharedWindow()
        self._endpoints: dict[int, str] = {}  # of calls that were taken and not made yet

    def take(
        self, connection: Connection, flags: Flags, *endpoints: str, leaving: int = 0, must: bool = False
    ) -> list[int]:
        """Take calls, all of them or none; return their ids in the journal. Raises NoBudget.

        leaving: so many must be left for what is more urgent.
        must:    while this one waits for its turn, the other threads leave a call for it
        """
        try:
            ids = self._take(connection, flags, endpoints, leaving + self._window.kept_free(self, self._clock()))
        except NoBudget as none_left:
            if must:
                self._window.keep_free(self, self._clock() + none_left.seconds + GRACE_SECONDS)
            raise
        if must:
            self._window.keep_free(self, None)
        return ids

    def _take(self, connection: Connection, flags: Flags, endpoints: tuple[str, ...], leaving: int) -> list[int]:
        calls = len(endpoints)
        if (wait := self._window.take(self, self._clock(), calls, leaving)) > 0:
            raise NoBudget(wait)
        ids: list[int] = []
        try:
            ids, wait = api_calls.take_calls(connection, flags.api_calls_per_hour, endpoints, leaving=leaving)
        finally:
            if not ids:
                self._window.give_back(self, calls)
        if not ids:
            raise NoBudget(wait)
        self._endpoints.update(zip(ids, endpoints, strict=True))
        return ids

    def take_when_due(self, connection: Connection, flags: Flags, endpoint: str) -> Later[tuple[int, int | None]]:
        """Make the upload's check, and take a call if an order is due: (how many are, the call's id in the journal).

        No id: none is due, or `take` says why there is no call.
        """
        kept_free = self._window.kept_free(self, self._clock())
        asked = api_calls.take_when_due(connection, flags.api_calls_per_hour, endpoint, leaving=kept_free)

        def answer() -> tuple[int, int | None]:
            due, call_id = asked()
            if call_id is None:
                return due, None
            self._endpoints[call_id] = endpoint
            if self._window.take(self, self._clock(), 1, kept_free) == 0:
                return due, call_id
            self._endpoints.pop(call_id)
            api_calls.give_back_call(connection, call_id, flags.api_calls_per_hour)
            return due, None

        return answer

    def give_back(self, connection: Connection, call_id: int, flags: Flags) -> None:
        """Return a call that was taken and not made after all."""
        self._endpoints.pop(call_id, None)
        self._window.give_back(self)
        api_calls.give_back_call(connection, call_id, flags.api_calls_per_hour)

    def answered(self, answer: Answer) -> None:
        """Believe what the headers of an answer say of the window."""
        self._window.answered(self, answer.headers, self._clock())

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
        return NoBudget(self._window.throttled(headers, self._clock()))
