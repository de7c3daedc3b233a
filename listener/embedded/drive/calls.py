"""One call to the simulator and its answer: plain values, so that rules and faults need no socket to be tested.

Errors have the shape that the service's page on errors gives: one object `error` with code, message and `errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

LIST_PATH = "/drive/v3/files"
TOKEN_PATH = "/token"  # noqa: S105  a path


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: `body` is encoded as JSON unless it is bytes; `cut` closes the line half-way through."""

    status: int
    body: Any
    content_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the rules see it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def downloads(self) -> bool:
        """It asks for a file's bytes."""
        return self.query.get("alt") == "media"


class CallRefused(Exception):
    """The whole call is refused, and `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(status: int, reason: str, message: str, domain: str = "global", **where: str) -> Answer:
    """Return an error as the service shapes it; `where`: locationType and location."""
    entry = {"message": message, "domain": domain, "reason": reason, **where}
    return Answer(status, {"error": {"code": status, "message": message, "errors": [entry]}})


def bad_parameter(name: str, value: str, reason: str = "invalid") -> CallRefused:
    """Return the refusal of a parameter's value."""
    return CallRefused(error(400, reason, f"Invalid Value: {value}", locationType="parameter", location=name))


def not_found(file_id: str) -> CallRefused:
    """Return the refusal of a file that is not there, or is not shared with the caller: the service does not say."""
    message = f"File not found: {file_id}."
    return CallRefused(error(404, "notFound", message, locationType="parameter", location="fileId"))
