"""The figures of one process as they come in, minute by minute. Pure: the time comes in, and never goes back.

What is counted while the process does not lead belongs to no minute of its own; it goes into the next one in which it
does lead, so that no error is lost. What no row can be written for waits here, for a day.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from listener.minutes import MINUTE, Figures, Minute, Numbers, raise_to, total

RECENT_MINUTES = 15
"""What colours the status page: an outage is over a quarter of an hour after its end."""

UNWRITTEN_KEPT = 24 * 60


class MinuteBook:
    """Where everything is counted, once. Not thread-safe: `Metrics` has the lock."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._past = Figures()
        self._recent: deque[Minute] = deque(maxlen=RECENT_MINUTES)
        self._unwritten: deque[Minute] = deque(maxlen=UNWRITTEN_KEPT)
        self._begun: datetime | None = None
        self._looked_at: dict[str, datetime] = {}
        self._begin()

    def turn_to(self, now: datetime, *, leading: bool) -> Figures:
        """Return the figures of the minute that is under way, where to count; the one before it is closed."""
        minute = now.replace(second=0, microsecond=0)
        if self._begun is None or minute > self._begun:
            if self._led:
                self._close()
            self._begun = minute
        self._led |= leading
        return self._current

    def looked(self, name: str, now: datetime) -> None:
        """Note that a workflow has had an answer to its check, or that polling_state was moved, in this minute."""
        assert self._begun is not None  # noqa: S101  whoever counts has turned to the minute first
        seconds = max(0.0, (now - self._begun).total_seconds())
        if before := self._looked_at.get(name):
            gap = max(0.0, (now - before).total_seconds())
            raise_to(self._current.gap_seconds_max, name, round(gap, 3))
        self._looked_at[name], self._led = now, True
        self._first_at.setdefault(name, round(seconds, 3))
        self._last_at[name] = round(seconds, 3)

    def close(self) -> None:
        """End the minute under way before its time, because the process ends."""
        if self._led:
            self._close()

    @property
    def unwritten(self) -> list[Minute]:
        """The minutes that are over and not known to stand in the database, oldest first."""
        return list(self._unwritten)

    @property
    def latest(self) -> list[Minute]:
        """The unwritten minutes, and the one under way as it is so far."""
        if not self._led or self._begun is None:
            return self.unwritten
        so_far = Minute(self._begun, self._process, total([self._current]), dict(self._first_at), dict(self._last_at))
        return [*self._unwritten, so_far]

    def written(self, minutes: Sequence[Minute]) -> None:
        """Forget minutes that stand in the database now."""
        while minutes and self._unwritten and self._unwritten[0].minute <= minutes[-1].minute:
            self._unwritten.popleft()

    def totals(self) -> Figures:
        """Return all that was counted since the process began."""
        return total([self._past, self._current])

    def recent(self) -> Figures:
        """Return what was counted in the last quarter of an hour."""
        since = self._begun - RECENT_MINUTES * MINUTE if self._begun else None
        recent = [minute.figures for minute in self._recent if since is None or minute.minute > since]
        return total([*recent, self._current])

    def _begin(self) -> None:
        self._current, self._led = Figures(), False
        self._first_at: Numbers = {}
        self._last_at: Numbers = {}

    def _close(self) -> None:
        assert self._begun is not None  # noqa: S101  a minute in which it led has begun
        minute = Minute(self._begun, self._process, self._current, self._first_at, self._last_at)
        self._recent.append(minute)
        self._unwritten.append(minute)
        self._past.add(self._current)
        self._begin()
