"""What the work session writes about the listener itself: the figures of its minutes. And what it throws away."""

from collections.abc import Callable

from listener.database import Connection
from listener.metrics import Metrics
from listener.minutes import Minute
from listener.store.minutes import keep_minutes
from listener.store.prune import ROWS_AT_A_TIME, prune

PRUNE_EVERY_SECONDS = 3600.0


class Bookkeeping:
    """The minutes that are over, and when it was last pruned. Used by one thread."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float], *, dry_run: bool) -> None:
        self._metrics = metrics
        self._clock = clock
        self._dry_run = dry_run
        self._prune_at = float("-inf")

    def unwritten(self, *, at_end: bool = False) -> list[Minute]:
        """A dry run finds orders and leaves them: its figures would say nothing of how the listener runs."""
        return [] if self._dry_run else self._metrics.unwritten_minutes(at_end=at_end)

    def write(self, connection: Connection, *, at_end: bool = False) -> bool:
        """Write the figures of the minutes that are over; return whether there were any."""
        minutes = self.unwritten(at_end=at_end)
        if minutes:
            keep_minutes(connection, minutes)
            self._metrics.minutes_written(minutes)
        return bool(minutes)

    def prune(self, connection: Connection) -> None:
        """Throw away what is too old, a little at a time: once an hour, or at each beat as long as there is so much.

        Else a shop that makes more than a thousand lines an hour would keep what is older for ever.
        """
        now = self._clock()
        if now >= self._prune_at:
            self._prune_at = now if prune(connection) >= ROWS_AT_A_TIME else now + PRUNE_EVERY_SECONDS
