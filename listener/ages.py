"""How long the oldest order has been waiting, counted from when we first saw it. Pure; times are monotonic seconds.

A row's `created_at` is the writer's, in the writer's zone, of when its transaction began; it says nothing of when the
order could first be seen. Row ids grow, so it is enough to remember the newest id of each look: an order was first
seen at the first look whose newest id was not below its own.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

LOOKS_KEPT = 10_000


@dataclass(slots=True)
class FirstSeen:
    """The newest ids of former looks, ascending, and when each was first seen."""

    ids: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def look(self, oldest_id: int | None, newest_id: int | None, now: float) -> float:
        """Take in a look at the pending rows; return for how many seconds the oldest has been known, 0 for none."""
        if oldest_id is None or newest_id is None:
            self.ids, self.times = [], []
            return 0.0
        if not self.ids or newest_id > self.ids[-1]:
            self.ids.append(newest_id)
            self.times.append(now)
        passed = max(bisect_left(self.ids, oldest_id), len(self.ids) - LOOKS_KEPT)
        self.ids, self.times = self.ids[passed:], self.times[passed:]
        return now - self.times[0]
