"""The life of a simulated service: real HTTP on loopback, a log of what has come, and faults on order.

A service is a subclass that answers requests. It imports nothing of the program it is there to test, so that a
misunderstanding can't stand on both sides.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from threading import Condition
from typing import Any, Generic, Self, TypeVar

from listener.embedded.faults import F, Faults, Injected
from listener.embedded.loopback import LOOPBACK, LoopbackServer, RawRequest, Reply


@dataclass(slots=True)
class Request:
    """One call: when its head was complete, what it asked, and the status it got.

    `status` is None until the answer leaves, and stays None when the connection was dropped instead.
    """

    received_at: float
    received_monotonic: float
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None = None
    dropped: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


R = TypeVar("R", bound=Request)


class Simulator(ABC, Generic[F, R]):
    """start() and stop() may alternate: what the service holds, its log and its port stay."""

    fault: type[F]
    """The faults of this service."""

    def __init__(self, port: int, faults: Faults[F]) -> None:
        self._port = port
        self._changed = Condition()
        self._faults = faults
        self._requests: list[R] = []
        self._server = LoopbackServer(self._reply)

    @abstractmethod
    def _reply(self, raw: RawRequest) -> Reply:
        """Answer one request. Called from many threads at once."""

    # Life

    def start(self) -> Self:
        """Listen; OSError when the port is taken. Returns itself."""
        self._faults.open()
        self._port = self._server.start(self._port)
        return self

    def stop(self) -> None:
        """Vanish at once: held requests are dropped, connections closed, threads ended."""
        self._faults.close()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port, 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self._port}"

    # What has come

    @property
    def requests(self) -> list[R]:
        """Every call so far, in order of arrival; a request's status appears when its answer leaves."""
        with self._changed:
            return list(self._requests)

    def wait_until(self, claim: Callable[[], bool], timeout: float) -> bool:
        """Wait until a claim about the simulator holds, asked again at each change; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(claim, timeout)

    def wait_for_requests(self, count: int, timeout: float, *, path: str | None = None) -> bool:
        """Wait until at least so many calls have come, of one path if given, answered or not."""
        return self.wait_until(lambda: self._received(path) >= count, timeout)

    def _received(self, path: str | None) -> int:
        return len(self._requests) if path is None else sum(request.path == path for request in self._requests)

    def _settle(self, request: R, status: int | None) -> None:
        # Before the answer leaves: a client that has it must find the status here.
        with self._changed:
            request.status, request.dropped = status, status is None
            self._changed.notify_all()

    # What goes wrong

    def inject(self, fault: F | str, **options: Any) -> Injected[F]:
        """Put a fault in force: a fault of this service, its text form, or a kind with its options."""
        if isinstance(fault, str):
            fault = self.fault(fault, **options) if options else self.fault.parse(fault)
        return self._faults.inject(fault)

    def hold(self, **options: Any) -> Injected[F]:
        """Hold the answers of matching requests: `arrived.wait()` until one is there, `release()` to let them go."""
        return self.inject(self.fault("hold", **options))

    def clear_faults(self) -> None:
        """End every fault; held requests go on."""
        self._faults.clear()

    @property
    def faults_in_force(self) -> tuple[Injected[F], ...]:
        return self._faults.in_force
