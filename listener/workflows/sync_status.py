"""The sync: what happens at ShipStation comes back. One cycle each `sync_interval`, in steps of one call at most.

A cycle reads the list of orders by time of change, from the watermark less an overlap to its end; tries again what
could not be taken over; reads the labels of what was shipped; and once a day compares all that is open. The first call
of a cycle is made in any case, later ones leave some for orders. A cycle that finds nothing new is that one call.

A crash costs a cycle: what has been done stands in the database, and is done again where it does not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from listener.budget import Budget, NoBudget, SharedWindow
from listener.database import Connection
from listener.events import SYNC, StepReport, Synced
from listener.flags import Flags
from listener.headway import Headway
from listener.leader import LeadLost
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.store import sync
from listener.store.sync import Outset
from listener.workflows.read_labels import ReadLabels
from listener.workflows.read_orders import ReadOrders
from listener.workflows.reconcile import Reconcile
from listener.workflows.retry_failures import RetryFailures
from listener.workflows.sync_step import SyncStep


@dataclass(slots=True)
class _Cycle:
    """One cycle. `began_at` is in monotonic seconds, the outset's `now` is the same moment by the server."""

    outset: Outset
    began_at: float
    seconds: float = 0.0
    changed: int = 0

    def tally(self, changed: int) -> None:
        """Count rows that were changed."""
        self.changed += changed


class SyncStatus:
    """The workflow `unified-shipstation-sync`, for one thread. `connect` opens its connection when it is needed."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        shipstation: ShipStation,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        window: SharedWindow | None = None,
    ) -> None:
        self._connect = connect
        self._shipstation = shipstation
        self._metrics = metrics
        self._clock = clock
        self._budget = Budget(metrics, clock, window)
        self._connection: Connection | None = None
        self._cycle: _Cycle | None = None
        self._orders = ReadOrders(clock)
        self._failures = RetryFailures()
        self._labels = ReadLabels()
        self._reconcile = Reconcile()

    def step(self, epoch: int, flags: Flags, source: str) -> Synced:
        """Make one step. Raises Transient and psycopg.Error: then the cycle is over, and nothing is half done."""
        if self._overdue_in(flags) == 0:  # what is left of this cycle goes on in the next one
            return Synced(StepReport(done=self._end(flags, source)), over=True)
        started = self._clock()
        try:
            more = self._go_on(self._begin(epoch, flags))
            self._show(self._labels.headway if self._orders.at_end else self._orders.headway)
        except NoBudget as none_left:
            self._count(started)
            return Synced(StepReport(retry_after=min(none_left.seconds, self._overdue_in(flags))), over=False)
        except Exception:
            self._count(started)
            self._end(flags, source, failed=True)
            raise
        self._count(started)
        if more:
            return Synced(StepReport(more=True), over=False)
        return Synced(StepReport(done=self._end(flags, source)), over=True)

    def close(self) -> None:
        """Close the connection, if there is one; the next step opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _overdue_in(self, flags: Flags) -> float:
        """Return in how many seconds the list should be read again, though the cycle that has read it is not over."""
        if self._cycle is None or not self._orders.at_end:
            return float("inf")
        return max(0.0, self._cycle.began_at + flags.sync_interval - self._clock())

    def _begin(self, epoch: int, flags: Flags) -> SyncStep:
        """Return the step; begin a cycle, or its reading anew, where there is none or it rested too long."""
        if self._cycle is None:
            began_at = self._clock()
            self._cycle = _Cycle(self._outset(epoch), began_at)
            self._orders.begin(self._cycle.outset)
            self._reconcile.begin_cycle()
        elif self._orders.has_rested:
            self._orders.begin_anew(self._outset(epoch))
        began_at, at = self._cycle.began_at, self._cycle.outset.now

        def now() -> datetime:
            return at + timedelta(seconds=self._clock() - began_at)

        return SyncStep(self._open(), epoch, flags, self._shipstation, self._budget, now, self._cycle.tally)

    def _outset(self, epoch: int) -> Outset:
        """Ask what there is. A kept connection may have been closed since by a pooler: then another is opened."""
        kept = self._connection
        try:
            outset = sync.outset(self._open())
        except psycopg.OperationalError:
            if kept is None or not kept.closed:
                raise
            self.close()
            outset = sync.outset(self._open())
        if outset.epoch != epoch:
            raise LeadLost("another listener leads now: this one stands by")
        return outset

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _go_on(self, step: SyncStep) -> bool:
        """Do what comes next in the cycle; return whether there is more."""
        cycle = self._cycle
        assert cycle is not None  # noqa: S101  it has begun
        if not self._orders.at_end:
            self._orders.step(step)
            if self._orders.at_end and self._orders.fetched:
                cycle.outset = cycle.outset._replace(shipments=True)  # perhaps
        elif cycle.outset.failures:
            cycle.outset = cycle.outset._replace(failures=self._failures.step(step), shipments=True)
        elif cycle.outset.shipments:
            cycle.outset = cycle.outset._replace(shipments=self._labels.step(step))
        elif not self._reconcile.step(step, cycle.outset.reconciled_at):
            cycle.outset = sync.outset(step.connection)  # what it has put down is done at once
        return not self._orders.at_end or self._has_more(cycle.outset)

    def _has_more(self, outset: Outset) -> bool:
        reconciles = self._reconcile.is_due(outset.reconciled_at, outset.now)
        return outset.failures or outset.shipments or reconciles

    def _count(self, started: float) -> None:
        if self._cycle is not None:
            self._cycle.seconds += self._clock() - started

    def _show(self, headway: Headway | None) -> None:
        self._metrics.set_workflow(SYNC, progress=headway)

    def _end(self, flags: Flags, source: str, *, failed: bool = False) -> int:
        """End the cycle with its METRICS line; return how many rows it has changed."""
        cycle, self._cycle = self._cycle, None
        self._show(None)
        fetched, changed = (self._orders.fetched, cycle.changed) if cycle else (0, 0)
        self._metrics.sync_check(
            fetched=fetched,
            changed=changed,
            interval=flags.sync_interval,
            duration_ms=cycle.seconds * 1000 if cycle else 0.0,
            action="error" if failed else "process" if fetched or changed else "skip",
            source=source,
        )
        self._metrics.processed("sync", changed)
        return changed
