"""ShipStation's own window: how many requests it still takes, and until when to wait. Pure; `now` is monotonic seconds.

The limit holds per API key, in fixed windows of a minute, and others may share the key; so what the last answer's
headers said is believed rather than counted. Until the first answer 40 a minute are assumed.
Source: ShipStation API V1, "API Requirements" (rate limits; X-Rate-Limit-Reset is seconds left, not a time).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

WINDOW_SECONDS = 60.0
ASSUMED_LIMIT = 40

LONGEST_WAIT_SECONDS = 3600.0
"""What asks for more than an hour is not meant so."""

LONGEST_NUMBER = 12


@dataclass(frozen=True, slots=True)
class Window:
    """Requests that may still be made before `reset_at`."""

    remaining: int = ASSUMED_LIMIT
    reset_at: float = inf

    def wait(self, now: float, requests: int = 1) -> float:
        """Return the seconds until so many requests may be made; 0 when they may be made now."""
        return 0.0 if self.remaining >= requests else max(0.0, self.reset_at - now)

    def after_request(self, now: float) -> "Window":
        """Count a request that is about to leave."""
        if now >= self.reset_at:
            return Window(ASSUMED_LIMIT - 1, now + WINDOW_SECONDS)
        return Window(self.remaining - 1, min(self.reset_at, now + WINDOW_SECONDS))

    def without_request(self) -> "Window":
        """Take back the count of a request that did not leave."""
        return Window(self.remaining + 1, self.reset_at)

    def after_answer(self, headers: Mapping[str, str], now: float) -> "Window":
        """Believe the headers of an answer; without them, keep counting."""
        remaining, reset = _number(headers, "X-Rate-Limit-Remaining"), _number(headers, "X-Rate-Limit-Reset")
        if remaining is None or reset is None:
            return self
        return Window(remaining, now + min(reset, LONGEST_WAIT_SECONDS))

    def after_throttling(self, headers: Mapping[str, str], now: float) -> "Window":
        """Return the closed window after «Too Many Requests»: for as long as the headers say, else a minute."""
        for name in ("X-Rate-Limit-Reset", "Retry-After"):
            if (seconds := _number(headers, name)) is not None:
                return Window(0, now + min(max(1, seconds), LONGEST_WAIT_SECONDS))
        return Window(0, now + WINDOW_SECONDS)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else None
