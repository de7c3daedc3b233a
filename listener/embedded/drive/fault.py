"""What can be made to go wrong at Drive, as values; the token endpoint, /token, has the same faults.

KINDS is the list. Every kind also takes path (may hold *), method, alt (`media`: downloads alone), times, probability
and seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from listener.embedded.drive.calls import Answer, Call, error
from listener.embedded.fault import BEFORE, AnyFault

MAINTENANCE = b"<html><head><title>Error 503</title></head><body><h1>503</h1>The service is down.</body></html>"

USAGE = "usageLimits"
DOMAINS = {"userRateLimitExceeded": USAGE, "rateLimitExceeded": USAGE, "dailyLimitExceeded": USAGE}
DOMAINS |= {"accessNotConfigured": USAGE}


@dataclass(frozen=True, slots=True)
class Fault(AnyFault):
    """One thing that goes wrong."""

    KINDS: ClassVar[Mapping[str, tuple[str, frozenset[str]]]] = {
        "drop": (BEFORE, frozenset()),  # closes the connection without an answer
        "cut": ("", frozenset()),  # sends half of the answer, closes
        "short": ("", frozenset()),  # a download of half the bytes, whole as HTTP
        "other-bytes": ("", frozenset()),  # a download of as many bytes, but others
        "delay": (BEFORE, frozenset({"seconds", "when"})),
        "hold": (BEFORE, frozenset({"when"})),  # until released, or the faults are cleared
        "401": (BEFORE, frozenset()),
        "403": (BEFORE, frozenset({"reason", "retry_after"})),  # userRateLimitExceeded unless told otherwise
        "404": (BEFORE, frozenset()),
        "429": (BEFORE, frozenset({"retry_after"})),
        "500": (BEFORE, frozenset()),
        "503": (BEFORE, frozenset({"retry_after"})),  # HTML, as a balancer in front would send it
        "redirect": (BEFORE, frozenset({"location"})),
        "answer": (BEFORE, frozenset({"status", "body"})),  # any status, any text
    }
    COMMON: ClassVar[frozenset[str]] = AnyFault.COMMON | {"alt"}
    READERS: ClassVar[Mapping[str, Any]] = {
        **AnyFault.READERS,
        "alt": str,
        "reason": str,
        "retry_after": int,
        "location": str,
        "status": int,
        "body": str,
    }

    alt: str = ""
    reason: str = ""
    retry_after: int | None = None
    location: str = ""
    status: int = 0
    body: str = ""

    def hits(self, call: Call) -> bool:
        """Return whether it is for this call."""
        return self.concerns(call.method, call.path) and self.alt in ("", call.query.get("alt"))

    def answer(self) -> Answer | None:
        """Return the answer the fault gives in place of the true one, if it gives one."""
        wait = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        match self.kind:
            case "401":
                return error(401, "authError", "Invalid Credentials", locationType="header", location="Authorization")
            case "403" | "429":
                reason = self.reason or ("userRateLimitExceeded" if self.kind == "403" else "rateLimitExceeded")
                refusal = error(int(self.kind), reason, f"Refused: {reason}.", DOMAINS.get(reason, "global"))
                return Answer(refusal.status, refusal.body, headers=wait)
            case "404":
                return error(404, "notFound", "File not found: .", locationType="parameter", location="fileId")
            case "500":
                return error(500, "backendError", "Backend Error")
            case "503":
                return Answer(503, MAINTENANCE, "text/html", wait)
            case "redirect":
                return Answer(302, b"", "text/html", {"Location": self.location})
            case "answer":
                return Answer(self.status or 200, self.body.encode())
        return None
