"""Bells that announce nothing, as anybody can ring them who may connect: too many in a row wait for a moment. Pure.

Each bell is a look, and a line of the log. A listener that ran to every one of a flood would look a hundred times a
second and find nothing; so after MOST of them within SECONDS the next is heeded only after PAUSE_SECONDS, together with
all that ring meanwhile. One order that was found, and the next bell is heeded at once again.
"""

from collections import deque
from math import inf

MOST = 20
SECONDS = 2.0
PAUSE_SECONDS = 0.1


class FalseAlarms:
    """Tells when the bell is heeded. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=MOST)
        self._heeded = False  # since the last look
        self.heed_at = inf
        """When the bell that has rung is to be heeded; inf: none has."""

    def rang(self, now: float) -> bool:
        """Note that the bell has rung; return whether it has to wait, and is the first of those that do."""
        if self.heed_at < inf:
            return False
        many = len(self._at) == MOST and now - self._at[0] < SECONDS
        self.heed_at = now + PAUSE_SECONDS if many else now
        return many

    def is_to_be_heeded(self, now: float) -> bool:
        """Return, once, that it is time to look."""
        if now < self.heed_at:
            return False
        self.heed_at, self._heeded = inf, True
        return True

    def looked(self, now: float, *, found: bool) -> None:
        """Note what a look was good for."""
        if found:
            self._at.clear()
        elif self._heeded:
            self._at.append(now)
        self._heeded = False
