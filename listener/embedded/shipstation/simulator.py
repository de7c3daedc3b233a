"""A ShipStation that runs here: one account in memory, over HTTP on loopback, with faults on order.

One call's way: control or call → log → faults before → key and limit → rules of the account → faults after → answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from listener.embedded import simulator
from listener.embedded.faults import ConnectionDropped
from listener.embedded.loopback import RawRequest, Reply, encode_reply
from listener.embedded.shipstation.account import Account
from listener.embedded.shipstation.calls import MALFORMED, Answer, Call, JsonObject
from listener.embedded.shipstation.control import PREFIX, control
from listener.embedded.shipstation.fault import Fault
from listener.embedded.shipstation.faults import Faults
from listener.embedded.shipstation.gate import Gate, Ticket
from listener.embedded.shipstation.routes import answer as answer_call
from listener.embedded.shipstation.user import ShipStationUser
from listener.embedded.simulator import Simulator

Clock = Callable[[], datetime]

DEMO_KEY, DEMO_SECRET = "demo-key", "demo-secret"


def utc_now() -> datetime:
    """Return the present as an aware instant: the simulator's clock unless a test sets its own."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Request(simulator.Request):
    """`body` is the parsed JSON, None when there was none or it could not be read; it is not to be changed."""

    @classmethod
    def of(cls, raw: RawRequest, call: Call) -> "Request":
        body = None if call.body is MALFORMED else call.body
        return cls(raw.received_at, raw.received_monotonic, call.method, call.path, call.query, body)

    @property
    def orders(self) -> int:
        """How many orders the call carries: those of createorder and createorders, else 0."""
        if self.path == "/orders/createorders" and isinstance(self.body, list):
            return len(self.body)
        return int(self.path == "/orders/createorder" and isinstance(self.body, dict))

    def as_json(self) -> JsonObject:
        return {**simulator.Request.as_json(self), "orders": self.orders}


class ShipStationSimulator(Simulator[Fault, Request]):
    """`url` is what SHIPSTATION_BASE_URL is to be. `clock` may be set at any time."""

    fault = Fault
    _faults: Faults

    def __init__(
        self, *, port: int = 0, api_key: str = DEMO_KEY, api_secret: str = DEMO_SECRET, clock: Clock = utc_now
    ) -> None:
        super().__init__(port, Faults())
        self.clock = clock
        self.api_key, self.api_secret = api_key, api_secret
        self.partial_failure_status = 200  # of createorders with failed orders; some read the reference as 202
        self._account = Account(self._now)
        self._gate = Gate(self._now, api_key, api_secret)
        self.user = ShipStationUser(self._account, self._changed)

    def _now(self) -> datetime:
        return self.clock()  # looked up at each use: a test may put another in its place

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

    def wait_for_orders(self, count: int, timeout: float) -> bool:
        """Wait until the account has at least so many orders; False after `timeout` seconds."""
        return self.wait_until(lambda: len(self._account.orders) >= count, timeout)

    @property
    def limit_per_minute(self) -> int | None:
        """Calls a minute for each key; None is no limit."""
        return self._gate.limit_per_minute

    @limit_per_minute.setter
    def limit_per_minute(self, limit: int | None) -> None:
        self._gate.limit_per_minute = limit

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
