"""The faults in force and what they do to the requests that pass: the only place where a request is made to wait.

Waiting ends the moment the simulator closes, and a request that waited before its work is then dropped undone.
"""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from random import Random
from threading import Event, Lock
from typing import Any

from listener.embedded.shipstation.calls import Answer, Call, JsonObject
from listener.embedded.shipstation.fault import AFTER, BEFORE, Fault


class ConnectionDropped(Exception):
    """The connection is to be closed without an answer."""


class Injected:
    """A fault in force. `arrived` is set when it hits for the first time, `hits` counts; release() ends it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self.arrived = Event()
        self._released = Event()
        self._random = Random(fault.seed)  # noqa: S311  a fault has to repeat, not to be secret

    def release(self) -> None:
        """Let go whatever it holds, and hit nothing from now on."""
        self._released.set()

    def wait_for_release(self) -> None:
        """Wait without a limit: closing the simulator releases every fault."""
        self._released.wait()

    @property
    def spent(self) -> bool:
        return self._released.is_set() or self.hits == self.fault.times

    @property
    def over(self) -> bool:
        """Return whether it can be forgotten. A hold that has hit may still keep a request waiting."""
        return self._released.is_set() or (self.spent and self.fault.kind != "hold")

    def concerns(self, call: Call) -> bool:
        """Return whether the call is of the path and method the fault is for."""
        return fnmatchcase(call.path, self.fault.path) and self.fault.method.upper() in ("", call.method)

    def names_any(self, numbers: frozenset[str]) -> bool:
        """Return whether one of the numbers is among the fault's; a fault that names none is for all."""
        return not self.fault.orders or not numbers.isdisjoint(self.fault.orders)

    def draw(self) -> bool:
        """Decide whether this one is hit, and count it. The caller holds the lock of all faults."""
        if self.spent or (self.fault.probability < 1 and self._random.random() >= self.fault.probability):
            return False
        self.hits += 1
        self.arrived.set()
        return True

    def shuffled(self, results: list[JsonObject]) -> list[JsonObject]:
        """Return the results in another order, whatever the dice say."""
        other = self._random.sample(results, len(results))
        return other if other != results else results[::-1]


class Faults:
    """All faults in force. Safe for threads; without any it costs a call one look at an empty tuple."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._injected: tuple[Injected, ...] = ()
        self._closed = Event()

    @property
    def in_force(self) -> tuple[Injected, ...]:
        return tuple(injected for injected in self._injected if not injected.spent)

    def inject(self, fault: Fault) -> Injected:
        injected = Injected(fault)
        with self._lock:
            self._injected = (*(one for one in self._injected if not one.over), injected)
        return injected

    def clear(self) -> None:
        """End every fault; what they hold goes on."""
        with self._lock:
            ended, self._injected = self._injected, ()
        for injected in ended:
            injected.release()

    def open(self) -> None:
        self._closed.clear()

    def close(self) -> None:
        """End every wait at once; faults that hold nothing stay in force for the next start."""
        self._closed.set()
        for injected in self._injected:
            if injected.fault.kind == "hold":
                injected.release()

    def before(self, call: Call) -> Answer | None:
        """Act on a request before its work; an answer returned here replaces work and answer."""
        if not self._injected:
            return None
        numbers = call.order_numbers()
        answer = self._act(call, BEFORE, numbers)
        if answer is None and call.method == "POST":
            spoiled = next(self._hit_by(call, numbers, "poison"), None)
            answer = spoiled.fault.answer() if spoiled else None
        return answer

    def after(self, call: Call, answer: Answer) -> Answer:
        """Act on a request after its work; returns the answer to give."""
        if not self._injected:
            return answer
        answer = self._spoil_page(call, self._rearrange(call, answer))
        answer = self._act(call, AFTER, call.order_numbers()) or answer
        cut = next(self._hit_by(call, call.order_numbers(), "cut"), None)
        return replace(answer, cut=True) if cut else answer

    def refusal(self, call: Call, number: str) -> str | None:
        """Return why this one order is to be refused, or None."""
        if not self._injected:
            return None
        injected = next(self._hit_by(call, frozenset({number}), "partial", "locked"), None)
        return injected.fault.refusal() if injected else None

    def _act(self, call: Call, stage: str, numbers: frozenset[str]) -> Answer | None:
        """Let the faults of a stage act in the order they were injected; the first that answers or drops ends it."""
        for injected in self._injected:
            if injected.fault.stage != stage or not self._hit(injected, call, numbers):
                continue
            self._wait(injected)
            if injected.fault.kind.startswith("drop"):
                raise ConnectionDropped
            if (answer := injected.fault.answer()) is not None:
                return answer
        return None

    def _wait(self, injected: Injected) -> None:
        if injected.fault.kind == "delay":
            self._closed.wait(injected.fault.seconds)
        elif injected.fault.kind == "hold" and not self._closed.is_set():
            injected.wait_for_release()  # closing sets the flag first and releases then: no hold is slept through
        else:
            return
        if self._closed.is_set():
            raise ConnectionDropped

    def _rearrange(self, call: Call, answer: Answer) -> Answer:
        results = _rows(answer, "results")
        if not results:
            return answer
        kept = [row for row in results if not any(self._hit_by(call, frozenset({row["orderNumber"]}), "missing"))]
        for injected in self._hit_by(call, call.order_numbers(), "permute"):
            kept = injected.shuffled(kept)
        return replace(answer, body={**answer.body, "results": kept})

    def _spoil_page(self, call: Call, answer: Answer) -> Answer:
        numbers = frozenset(row["orderNumber"] for row in _rows(answer, "orders"))
        if not numbers:
            return answer
        spoiled = next(self._hit_by(call, numbers, "poison"), None)
        return (spoiled and spoiled.fault.answer()) or answer

    def _hit_by(self, call: Call, numbers: frozenset[str], *kinds: str) -> Iterator[Injected]:
        for injected in self._injected:
            if injected.fault.kind in kinds and self._hit(injected, call, numbers):
                yield injected

    def _hit(self, injected: Injected, call: Call, numbers: frozenset[str]) -> bool:
        with self._lock:
            return injected.concerns(call) and injected.names_any(numbers) and injected.draw()


def _rows(answer: Answer, name: str) -> list[JsonObject]:
    body: Any = answer.body
    return body.get(name, []) if isinstance(body, dict) else []
