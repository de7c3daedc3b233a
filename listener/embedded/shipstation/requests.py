"""The log of calls the simulator has received, in order of arrival, for tests and for looking at it from outside."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from listener.embedded.shipstation.calls import MALFORMED, Call, JsonObject
from listener.embedded.shipstation.http import RawRequest


@dataclass(slots=True)
class Request:
    """One call: when its head was complete, what it asked, and the status it got.

    `status` is None until the answer leaves, and stays None when the connection was dropped instead.
    `body` is the parsed JSON, None when there was none or it could not be read; it is not to be changed.
    """

    received_at: float
    received_monotonic: float
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None = None
    dropped: bool = False

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
        return {**asdict(self), "orders": self.orders}
