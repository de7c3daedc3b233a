"""What can be made to go wrong at ShipStation, as values: a fault says what it does.

KINDS is the list. Every kind also takes path (may hold *), method, order (repeatable), times, probability and seed;
`times` and `probability` count requests, for kinds marked "each order" orders.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from listener.embedded.fault import AFTER, BEFORE, AnyFault
from listener.embedded.shipstation.account import LOCKED_MESSAGE
from listener.embedded.shipstation.calls import THROTTLED_BODY, Answer, server_error

MAINTENANCE = "<html><head><title>Down for maintenance</title></head><body><h1>503</h1></body></html>"


def _true_or_false(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


@dataclass(frozen=True, slots=True)
class Fault(AnyFault):
    """One thing that goes wrong. `status` 0 and `when` "" stand for the kind's own."""

    KINDS: ClassVar[Mapping[str, tuple[str, frozenset[str]]]] = {
        "drop-before-commit": (BEFORE, frozenset()),  # closes the connection, nothing was done
        "drop-after-commit": (AFTER, frozenset()),  # does the work, closes without answering
        "cut": ("", frozenset()),  # does the work, sends half of the answer, closes
        "delay": (BEFORE, frozenset({"seconds", "when"})),
        "hold": (BEFORE, frozenset({"when"})),  # until released, or the faults are cleared
        "429": (BEFORE, frozenset({"headers", "reset", "when"})),
        "throttle-in-body": (BEFORE, frozenset({"status", "when"})),  # status 200, the words of a 429
        "500": (BEFORE, frozenset({"message", "when"})),
        "503": (BEFORE, frozenset({"when"})),  # HTML, as a balancer in front would send it
        "answer": (BEFORE, frozenset({"status", "body", "when"})),  # any status, any text
        "partial": ("", frozenset({"message"})),  # each order: refused with the message
        "locked": ("", frozenset()),  # each order: refused as a shipped or cancelled one is
        "missing": ("", frozenset()),  # each order: done, but left out of the results
        "permute": ("", frozenset()),  # results come in another order
        "poison": ("", frozenset({"status", "message"})),  # a batch, or a page of orders, that holds the order fails
    }
    COMMON: ClassVar[frozenset[str]] = AnyFault.COMMON | {"orders"}
    READERS: ClassVar[Mapping[str, Any]] = {
        **AnyFault.READERS,
        "status": int,
        "message": str,
        "body": str,
        "headers": _true_or_false,
        "reset": int,
    }
    REPEATED: ClassVar[Mapping[str, str]] = {"order": "orders", "orders": "orders"}

    orders: tuple[str, ...] = ()
    status: int = 0
    message: str = ""
    body: str = ""
    headers: bool = True
    reset: int | None = None

    def __post_init__(self) -> None:
        AnyFault.__post_init__(self)
        if self.kind == "poison" and not self.orders:
            raise ValueError("poison needs order=NUMBER: the order that spoils what it is in")

    def names_any(self, numbers: frozenset[str]) -> bool:
        """Return whether one of the numbers is among the fault's; a fault that names none is for all."""
        return not self.orders or not numbers.isdisjoint(self.orders)

    def answer(self) -> Answer | None:
        """Return the answer the fault gives in place of the true one, if it gives one."""
        match self.kind:
            case "429":
                spent = {"X-Rate-Limit-Remaining": "0"}
                spent |= {} if self.reset is None else {"X-Rate-Limit-Reset": str(self.reset)}
                return Answer(429, THROTTLED_BODY, headers=spent if self.headers else {}, limit_headers=self.headers)
            case "throttle-in-body":
                return Answer(self.status or 200, THROTTLED_BODY)
            case "500" | "poison":
                return server_error(self.message or "Object reference not set to an object.", self.status or 500)
            case "503":
                return Answer(503, MAINTENANCE, content_type="text/html")
            case "answer":
                return Answer(self.status or 200, self.body)
        return None

    def refusal(self) -> str:
        """Return the errorMessage of an order it refuses."""
        return LOCKED_MESSAGE if self.kind == "locked" else self.message or "The order could not be saved."
