"""A ShipStation that runs here: real HTTP on loopback, one account in memory, faults on order.

It imports nothing of the program it is there to test, so that a misunderstanding can't stand on both sides.
One call's way: control or call → log → faults before → key and limit → rules of the account → faults after → answer.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Condition
from typing import Any, Self
from urllib.parse import parse_qsl

from listener.embedded.shipstation.account import Account
from listener.embedded.shipstation.calls import MALFORMED, Answer, Call, JsonObject
from listener.embedded.shipstation.control import PREFIX, control
from listener.embedded.shipstation.fault import Fault, parse_fault
from listener.embedded.shipstation.faults import ConnectionDropped, Faults, Injected
from listener.embedded.shipstation.gate import Gate, Ticket
from listener.embedded.shipstation.http import LOOPBACK, LoopbackServer, RawRequest, Reply, encode_reply
from listener.embedded.shipstation.requests import Request
from listener.embedded.shipstation.routes import answer as answer_call
from listener.embedded.shipstation.user import ShipStationUser

Clock = Callable[[], datetime]

DEMO_KEY, DEMO_SECRET = "demo-key", "demo-secret"


def utc_now() -> datetime:
    """Return the present as an aware instant: the simulator's clock unless a test sets its own."""
    return datetime.now(UTC)


class ShipStationSimulator:
    """start() and stop() may alternate: account, log and port stay. `clock` may be set at any time."""

    def __init__(
        self, *, port: int = 0, api_key: str = DEMO_KEY, api_secret: str = DEMO_SECRET, clock: Clock = utc_now
    ) -> None:
        self.clock = clock
        self.api_key, self.api_secret = api_key, api_secret
        self.partial_failure_status = 200  # of createorders with failed orders; some read the reference as 202
        self._port = port
        self._changed = Condition()
        self._account = Account(self._now)
        self._gate = Gate(self._now, api_key, api_secret)
        self._faults = Faults()
        self._requests: list[Request] = []
        self._server = LoopbackServer(self._reply)
        self.user = ShipStationUser(self._account, self._changed)

    def _now(self) -> datetime:
        return self.clock()  # looked up at each use: a test may put another in its place

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
        """What SHIPSTATION_BASE_URL is to be."""
        return f"http://{LOOPBACK}:{self._port}"

    # What there is

    @property
    def orders(self) -> list[JsonObject]:
        """Every order of the account that is not deleted, oldest first, as the API shows it."""
        with self._changed:
            return self._account.objects()

    @property
    def order_count(self) -> int:
        with self._changed:
            return len(self._account.orders)

    def order_by_number(self, number: str) -> list[JsonObject]:
        """Return the orders of exactly that number: more than one is a duplicate."""
        with self._changed:
            return self._account.objects_with_number(number)

    @property
    def shipments(self) -> list[JsonObject]:
        with self._changed:
            return [dict(shipment) for shipment in self._account.shipments]

    @property
    def requests(self) -> list[Request]:
        """Every ShipStation call so far, in order of arrival; a request's status appears when its answer leaves."""
        with self._changed:
            return list(self._requests)

    def wait_until(self, claim: Callable[[], bool], timeout: float) -> bool:
        """Wait until a claim about the simulator holds, asked again at each change; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(claim, timeout)

    def wait_for_orders(self, count: int, timeout: float) -> bool:
        """Wait until the account has at least so many orders; False after `timeout` seconds."""
        return self.wait_until(lambda: len(self._account.orders) >= count, timeout)

    def wait_for_requests(self, count: int, timeout: float, *, path: str | None = None) -> bool:
        """Wait until at least so many calls have come, of one path if given, answered or not."""
        return self.wait_until(lambda: self._received(path) >= count, timeout)

    def _received(self, path: str | None) -> int:
        return len(self._requests) if path is None else sum(request.path == path for request in self._requests)

    # What goes wrong

    @property
    def limit_per_minute(self) -> int | None:
        """Calls a minute for each key; None is no limit."""
        return self._gate.limit_per_minute

    @limit_per_minute.setter
    def limit_per_minute(self, limit: int | None) -> None:
        self._gate.limit_per_minute = limit

    def inject(self, fault: Fault | str, **options: Any) -> Injected:
        """Put a fault in force: a Fault, its text form, or a kind with the options of Fault."""
        if isinstance(fault, str):
            fault = Fault(fault, **options) if options else parse_fault(fault)
        return self._faults.inject(fault)

    def hold(self, **options: Any) -> Injected:
        """Hold the answers of matching requests: `arrived.wait()` until one is there, `release()` to let them go."""
        return self.inject(Fault("hold", **options))

    def clear_faults(self) -> None:
        """End every fault; held requests go on."""
        self._faults.clear()

    @property
    def faults_in_force(self) -> tuple[Injected, ...]:
        return self._faults.in_force

    # One call

    def _reply(self, raw: RawRequest) -> Reply:
        call = _read_call(raw)
        if call.path.startswith(PREFIX):
            return _encode(control(self, call), {})
        request = Request.of(raw, call)
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            ticket = self._gate.admit(raw.headers.get("authorization", ""))
        try:
            answer = self._answer(replace(call, refuse=partial(self._faults.refusal, call)), ticket)
        except ConnectionDropped:
            self._settle(request, None)
            return Reply(close=True)
        self._settle(request, answer.status)
        return _encode(answer, ticket.headers)

    def _answer(self, call: Call, ticket: Ticket) -> Answer:
        answer = self._faults.before(call)
        if answer is None:
            with self._changed:
                answer = ticket.refusal or self._with_partial_status(answer_call(self._account, call))
                self._changed.notify_all()
        return self._faults.after(call, answer)

    def _with_partial_status(self, answer: Answer) -> Answer:
        failed = isinstance(answer.body, dict) and answer.body.get("hasErrors")
        return replace(answer, status=self.partial_failure_status) if failed else answer

    def _settle(self, request: Request, status: int | None) -> None:
        # Before the answer leaves: a client that has it must find the status here.
        with self._changed:
            request.status, request.dropped = status, status is None
            self._changed.notify_all()


def _read_call(raw: RawRequest) -> Call:
    path, _, query = raw.target.partition("?")
    names = {name.lower(): value for name, value in parse_qsl(query)}
    return Call(raw.method, path, names, _parse(raw, lenient=path.startswith(PREFIX)))


def _parse(raw: RawRequest, *, lenient: bool) -> Any:
    """Return the body as JSON; one that does not call itself JSON is not read, as the service would not."""
    if not raw.body:
        return None
    if not lenient and "json" not in raw.headers.get("content-type", ""):
        return MALFORMED
    try:
        return json.loads(raw.body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return MALFORMED


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON, though Python reads and writes it")


def _encode(answer: Answer, limits: dict[str, str]) -> Reply:
    text = answer.body
    if not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False, separators=(",", ":"))
    headers = {"Content-Type": answer.content_type, **(limits if answer.limit_headers else {}), **answer.headers}
    return encode_reply(answer.status, headers, text.encode(), cut=answer.cut)
