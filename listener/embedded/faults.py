"""The faults in force of one simulated service: the only place where a request is made to wait.

Waiting ends the moment the simulator closes, and a request that waited before its work is then dropped undone.
"""

from collections.abc import Callable, Iterator
from random import Random
from threading import Event, Lock
from typing import Any, Generic, TypeVar

from listener.embedded.fault import AnyFault

F = TypeVar("F", bound=AnyFault)
T = TypeVar("T")


class ConnectionDropped(Exception):
    """The connection is to be closed without an answer."""


class Injected(Generic[F]):
    """A fault in force. `arrived` is set when it hits for the first time, `hits` counts; release() ends it."""

    def __init__(self, fault: F) -> None:
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

    def draw(self) -> bool:
        """Decide whether this one is hit, and count it. The caller holds the lock of all faults."""
        if self.spent or (self.fault.probability < 1 and self._random.random() >= self.fault.probability):
            return False
        self.hits += 1
        self.arrived.set()
        return True

    def shuffled(self, results: list[T]) -> list[T]:
        """Return the results in another order, whatever the dice say."""
        other = self._random.sample(results, len(results))
        return other if other != results else results[::-1]


class Faults(Generic[F]):
    """All faults in force. Safe for threads. `concerns` tells of a fault whether it is for the request at hand."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._injected: tuple[Injected[F], ...] = ()
        self._closed = Event()

    @property
    def in_force(self) -> tuple[Injected[F], ...]:
        return tuple(injected for injected in self._injected if not injected.spent)

    def inject(self, fault: F) -> Injected[F]:
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

    def act(self, stage: str, concerns: Callable[[F], bool]) -> Any:
        """Let the faults of a stage act in the order they were injected; return the first answer that one gives.

        Raises ConnectionDropped when there is to be none.
        """
        for injected in self._injected:
            if injected.fault.stage != stage or not self._hit(injected, concerns):
                continue
            self._wait(injected)
            if injected.fault.kind.startswith("drop"):
                raise ConnectionDropped
            if (answer := injected.fault.answer()) is not None:
                return answer
        return None

    def hit_by(self, concerns: Callable[[F], bool], *kinds: str) -> Iterator[Injected[F]]:
        """Yield the faults of these kinds that hit the request."""
        for injected in self._injected:
            if injected.fault.kind in kinds and self._hit(injected, concerns):
                yield injected

    def _wait(self, injected: Injected[F]) -> None:
        if injected.fault.kind == "delay":
            self._closed.wait(injected.fault.seconds)
        elif injected.fault.kind == "hold" and not self._closed.is_set():
            injected.wait_for_release()  # closing sets the flag first and releases then: no hold is slept through
        else:
            return
        if self._closed.is_set():
            raise ConnectionDropped

    def _hit(self, injected: Injected[F], concerns: Callable[[F], bool]) -> bool:
        with self._lock:
            return concerns(injected.fault) and injected.draw()
