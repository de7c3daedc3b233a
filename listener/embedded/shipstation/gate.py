"""Who may call, and how often: Basic authentication and the fixed 60-second window of each key and secret pair.

A window opens with the first call after the last one closed, counts every call whatever becomes of it, and lets the
calls beyond the limit wait for its end; Reset is the whole seconds until then, never 0.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from listener.embedded.shipstation.calls import THROTTLED_BODY, Answer

WINDOW = timedelta(seconds=60)
UNLIMITED = 1_000_000  # what the headers show when there is no limit: a client that counts down must never reach 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """One call's place in its window: what stands in the way of it, and the headers its answer carries."""

    refusal: Answer | None
    headers: dict[str, str]


class Gate:
    """The windows of every pair that has called. Not safe for threads: the caller holds a lock."""

    def __init__(self, clock: Callable[[], datetime], api_key: str, api_secret: str) -> None:
        self.limit_per_minute: int | None = 40
        self._clock = clock
        self._expected = "Basic " + b64encode(f"{api_key}:{api_secret}".encode()).decode()
        self._windows: dict[str, tuple[datetime, int]] = {}

    def admit(self, authorization: str) -> Ticket:
        """Count a call and say whether it may go on: 401 for the wrong pair, 429 for one too many."""
        now = self._clock()
        opened, used = self._windows.get(authorization, (now, 0))
        if not timedelta(0) <= now - opened < WINDOW:  # also when the clock was set back
            opened, used = now, 0
        self._windows[authorization] = (opened, used + 1)
        return Ticket(self._refusal(authorization, used), self._headers(used + 1, now - opened))

    def _refusal(self, authorization: str, used: int) -> Answer | None:
        if authorization != self._expected:
            return Answer(401, {"Message": "Authorization has been denied for this request."})
        limit = self.limit_per_minute
        return Answer(429, THROTTLED_BODY) if limit is not None and used >= limit else None

    def _headers(self, used: int, elapsed: timedelta) -> dict[str, str]:
        limit = self.limit_per_minute
        return {
            "X-Rate-Limit-Limit": str(UNLIMITED if limit is None else limit),
            "X-Rate-Limit-Remaining": str(UNLIMITED if limit is None else max(0, limit - used)),
            "X-Rate-Limit-Reset": str(ceil((WINDOW - elapsed).total_seconds())),
        }
