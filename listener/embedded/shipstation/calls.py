"""One call to the simulator and its answer: plain values, so that rules and faults need no socket to be tested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]
ModelState = dict[str, list[str]]

MALFORMED = object()
"""Stands for a body that is not JSON; a body that is absent is None."""

THROTTLED_BODY = {"message": "Too Many Requests"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: `body` is encoded as JSON unless it is text already; `cut` closes the line half-way through."""

    status: int
    body: Any
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    limit_headers: bool = True
    cut: bool = False


def never_refuse(_number: str) -> str | None:
    """Return no reason: the default of `Call.refuse`."""
    return None


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the rules see it. Query names are in lower case: the service does not look at their case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    refuse: Callable[[str], str | None] = never_refuse

    def order_numbers(self) -> frozenset[str]:
        """Return the order numbers the request names in its body or its query."""
        orders = self.body if isinstance(self.body, list) else [self.body]
        named = [order.get("orderNumber") for order in orders if isinstance(order, dict)]
        named.append(self.query.get("ordernumber"))
        return frozenset(number for number in named if isinstance(number, str))


class CallRefused(Exception):
    """The whole call is refused: nothing was changed, and `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def invalid(state: ModelState) -> CallRefused:
    """Return the refusal that binding errors get: parameter to list of complaints."""
    return CallRefused(Answer(400, {"Message": "The request is invalid.", "ModelState": state}))


def not_found(what: str) -> CallRefused:
    """Return the refusal of something the account does not have."""
    return CallRefused(Answer(404, {"Message": f"{what} was not found."}))


def server_error(message: str, status: int = 500) -> Answer:
    """Return the shape of an exception on the service's side."""
    return Answer(
        status,
        {
            "Message": "An error has occurred.",
            "ExceptionMessage": message,
            "ExceptionType": "System.NullReferenceException",
            "StackTrace": None,
        },
    )
