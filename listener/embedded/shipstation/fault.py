"""What can be made to go wrong, as values: a fault says what it does, which requests it hits and how often.

KINDS is the list. Every kind also takes path (may hold *), method, order (repeatable), times, probability and seed;
`times` and `probability` count requests, for kinds marked "each order" orders. A wrong option is refused, not ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from listener.embedded.shipstation.account import LOCKED_MESSAGE
from listener.embedded.shipstation.calls import THROTTLED_BODY, Answer, server_error

BEFORE, AFTER = "before", "after"

COMMON = frozenset({"kind", "path", "method", "orders", "times", "probability", "seed"})
KINDS: Mapping[str, tuple[str, frozenset[str]]] = {
    # kind: when it acts unless told otherwise ("" where that is no choice), and the options it takes beside COMMON
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
MAINTENANCE = "<html><head><title>Down for maintenance</title></head><body><h1>503</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `status` 0 and `when` "" stand for the kind's own."""

    kind: str
    path: str = "*"
    method: str = ""
    orders: tuple[str, ...] = ()
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    seconds: float = 1.0
    when: str = ""
    status: int = 0
    message: str = ""
    body: str = ""
    headers: bool = True
    reset: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")
        self._refuse_foreign_options()
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability of {self.kind} is {self.probability}; it goes from 0 to 1")
        if self.when not in ("", BEFORE, AFTER):
            raise ValueError(f"when of {self.kind} is {self.when!r}; it is {BEFORE} or {AFTER}")
        if self.seconds < 0 or (self.times is not None and self.times < 1):
            raise ValueError(f"seconds of {self.kind} can't be negative, and times is at least 1")
        if self.kind == "poison" and not self.orders:
            raise ValueError("poison needs order=NUMBER: the order that spoils what it is in")

    def _refuse_foreign_options(self) -> None:
        allowed = COMMON | KINDS[self.kind][1]
        for field in fields(self):
            if field.name not in allowed and getattr(self, field.name) != field.default:
                takes = ", ".join(sorted(allowed - {"kind"}))
                raise ValueError(f"{self.kind} has no option {field.name}; it takes {takes}")

    @property
    def stage(self) -> str:
        """Return when it acts on a request: before the work, after it, or "" for what changes the work itself."""
        return self.when or KINDS[self.kind][0]

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


def parse_fault(text: str) -> Fault:
    """Read `kind` or `kind:option=value,option=value`, or raise ValueError saying what is wrong with it."""
    kind, _, options = text.partition(":")
    pairs = []
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"{option!r} in fault {text!r} should read option=value")
        pairs.append((name.strip(), value.strip()))
    return _build(kind.strip(), pairs)


def fault_from_json(value: object) -> Fault:
    """Read `{"kind": …, "option": …}` or the text form, or raise ValueError; order may be a list."""
    if isinstance(value, str):
        return parse_fault(value)
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ValueError('a fault is an object with a "kind", or its text form')
    return _build(value["kind"], ((name, option) for name, option in value.items() if name != "kind"))


def _build(kind: str, pairs: Iterable[tuple[str, Any]]) -> Fault:
    options: dict[str, Any] = {}
    for name, value in pairs:
        if name in ("order", "orders"):
            named = value if isinstance(value, list) else [value]
            options["orders"] = (*options.get("orders", ()), *map(str, named))
        elif name in _READERS:
            options[name] = _read(name, value)
        else:
            raise ValueError(f"{kind} has no option {name}; options are order, {', '.join(_READERS)}")
    return Fault(kind, **options)


def _read(name: str, value: Any) -> Any:
    try:
        return _READERS[name](value)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}={value} is not a value for {name}") from error


def _true_or_false(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


_READERS: Mapping[str, Any] = {
    "path": str,
    "method": str,
    "times": int,
    "probability": float,
    "seed": int,
    "seconds": float,
    "when": str,
    "status": int,
    "message": str,
    "body": str,
    "headers": _true_or_false,
    "reset": int,
}
