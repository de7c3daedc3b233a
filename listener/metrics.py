"""The counters: the one set behind the METRICS lines, /status.json and what else is told about the running listener.

A figure is counted here or nowhere, and once: into the minute under way. Longer times are sums of minutes. Every method
may be called from any thread; `snapshot` is made of plain values that no later call changes. What is not known yet is
0, null or empty.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Unpack

from listener.events import Source
from listener.headway import Headway
from listener.minute_book import MinuteBook
from listener.minutes import (
    CHECK_BOUNDS_MS,
    LATENCY_BOUNDS_MS,
    POLLING_STATE,
    Figures,
    Minute,
    add_to,
    bucket,
    raise_to,
)
from listener.snapshot import (
    CONTROL_NAMES,
    LINE_NAMES,
    NOTHING,
    Fields,
    Workflow,
    WorkflowFields,
    age_seconds,
    body_of,
    percentiles,
)

logger = logging.getLogger(__name__)

LATENCIES_KEPT = 10_000


class Metrics:
    """The counters of one process. Workflows go by either of their names."""

    def __init__(
        self, version: str, process: str = "", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`process`: its name in `listener.minutes`."""
        self._lock = Lock()
        self._version = version
        self._clock = clock
        self._book = MinuteBook(process)
        self._started_at = clock()
        self._fields: Fields = NOTHING.copy()
        self._workflows = {name: Workflow() for name in CONTROL_NAMES.values()}
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._percentiles: tuple[int, dict[str, float | None]] = (0, percentiles(()))  # of so many orders

    def check(self, workflow: str, *, exists: bool, count: int, duration_ms: float, action: str, source: str) -> None:
        """Count a check of `upload` or `xml-import`, and log its METRICS line. action: process, skip or error.

        A failed check counts as a check; the failed step that it is part of is counted by `error`.
        """
        self.checked(workflow, duration_ms, action, source)
        logger.info(
            "METRICS: workflow=%s exists=%s count=%d duration_ms=%.2f action=%s source=%s",
            *(workflow, exists, count, duration_ms, action, source),
            extra={"event": "check"},
        )

    def checked(self, workflow: str, duration_ms: float, action: str, source: str) -> None:
        """Count a check whose METRICS line is another's."""
        name = _line_name(workflow)
        with self._counting() as figures:
            add_to(figures.checks, f"{name} {source} {action}")
            add_to(figures.check_ms, name, duration_ms)
            add_to(figures.check_times, f"{name} {bucket(duration_ms, CHECK_BOUNDS_MS)}")
            raise_to(figures.check_ms_max, name, duration_ms)
            if action != "error":
                self._book.looked(name, self._clock())

    def sync_check(
        self, *, fetched: int, changed: int, interval: int, duration_ms: float, action: str, source: str
    ) -> None:
        """Count a cycle of the sync, and log its METRICS line.

        fetched: orders that were changed since the watermark; changed: rows that were; action: process, skip or error
        """
        self.checked("sync", duration_ms, action, source)
        logger.info(
            "METRICS: workflow=sync fetched=%d changed=%d interval=%d duration_ms=%.2f action=%s source=%s",
            *(fetched, changed, interval, duration_ms, action, source),
            extra={"event": "check"},
        )

    def moved_polling_state(self) -> None:
        """Note that the upload's columns of `polling_state` were moved."""
        with self._counting():
            self._book.looked(POLLING_STATE, self._clock())

    def wake(self, source: str) -> None:
        """Count a wake."""
        with self._counting() as figures:
            add_to(figures.wakes, Source(source).value)

    def missed(self) -> None:
        """Count a notification that should have come and did not."""
        with self._counting() as figures:
            figures.missed += 1

    def step(self, workflow: str) -> None:
        """Count a step of a workflow; a heartbeat is one as well."""
        with self._counting() as figures:
            add_to(figures.steps, _line_name(workflow))

    def processed(self, workflow: str, n: int = 1) -> None:
        """Count orders, or files, that a workflow finished."""
        with self._counting() as figures:
            add_to(figures.processed, _line_name(workflow), n)

    def error(self, workflow: str, reason: str) -> None:
        """Count a failed step of a workflow, and keep why it failed: the last one is shown for as long as we run."""
        with self._counting() as figures:
            add_to(figures.errors, _line_name(workflow))
            counters = self._workflow(workflow)
            counters.last_error, counters.last_error_at = reason, self._clock()

    def error_line(self) -> None:
        """Count a line of level ERROR in the log."""
        with self._counting() as figures:
            figures.error_lines += 1

    def api_call(self, endpoint: str, status: int | None) -> None:
        """Count a call of ShipStation; no status: no answer came."""
        with self._counting() as figures:
            add_to(figures.api_calls, f"{'none' if status is None else status} {endpoint}")

    def config_change(self, verdict: str) -> None:
        """Count a changed flag: accepted or refused."""
        with self._counting() as figures:
            add_to(figures.config_changes, verdict)

    def order_latency(self, ms: float) -> None:
        """Record how long an order took, from the claim that first saw it to the record of its acceptance."""
        with self._counting() as figures:
            self._latencies.append(ms)
            add_to(figures.latencies, bucket(ms, LATENCY_BOUNDS_MS))
            figures.latency_ms += ms
            figures.latency_ms_max = max(figures.latency_ms_max, ms)

    def tick(self) -> None:
        """Have a minute end when it is over, though nothing is to be counted."""
        with self._counting() as figures:
            age = age_seconds(self._fields["mirror_fresh_at"], self._clock()) or 0.0
            figures.mirror_age_seconds_max = max(figures.mirror_age_seconds_max, age)

    def unwritten_minutes(self, *, at_end: bool = False) -> list[Minute]:
        """Return the minutes that are over and not in the database; at_end: the one under way with them."""
        with self._counting():
            if at_end:
                self._book.close()
            return self._book.unwritten

    def latest_minutes(self) -> list[Minute]:
        """Return the minutes that are not known to stand in the database, the one under way with them."""
        with self._counting():
            return self._book.latest

    def minutes_written(self, minutes: Sequence[Minute]) -> None:
        """Take note that these are in the database."""
        with self._lock:
            self._book.written(minutes)

    def totals(self) -> Figures:
        """Return what was counted since the process began."""
        with self._lock:
            return self._book.totals()

    def set(self, **fields: Unpack[Fields]) -> None:
        """Replace what is known of the listener as a whole."""
        with self._counting() as figures:
            if unknown := fields.keys() - self._fields.keys():
                raise TypeError(f"no such field: {', '.join(sorted(unknown))}")
            self._fields.update(fields)
            figures.pending_max = max(figures.pending_max, fields.get("pending", 0))
            figures.connections_max = max(figures.connections_max, fields.get("db_connections", 0))
            oldest = fields.get("oldest_pending_seconds", 0.0)
            figures.oldest_pending_seconds_max = max(figures.oldest_pending_seconds_max, oldest)

    def set_workflow(self, workflow: str, **fields: Unpack[WorkflowFields]) -> None:
        """Replace what is known of one workflow."""
        with self._lock:
            for name, value in fields.items():
                setattr(self._workflow(workflow), name, value)

    def progress(self) -> list[Headway]:
        """Return how far the workflows are that have to do for long."""
        with self._lock:
            return [workflow.progress for workflow in self._workflows.values() if workflow.progress]

    def snapshot(self) -> dict[str, Any]:
        """Return the body of /status.json."""
        with self._counting():
            totals = self._book.totals()
            body = body_of(self._fields, self._workflows, totals, self._book.recent(), self._clock())
        body["order_latency_ms"] = self._latency_percentiles(totals.orders) | {"n": totals.orders}
        body["version"], body["started_at"] = self._version, self._started_at.isoformat()
        return body

    def _latency_percentiles(self, orders: int) -> dict[str, float | None]:
        """Return the percentiles of `orders` orders, sorting them only when there has been another one since."""
        known, found = self._percentiles
        if known != orders:
            with self._lock:
                latencies = list(self._latencies)
            found = percentiles(latencies)
            self._percentiles = orders, found
        return found

    @contextmanager
    def _counting(self) -> Iterator[Figures]:
        """Yield the minute under way, to no other thread at the same time."""
        with self._lock:
            yield self._book.turn_to(self._clock(), leading=self._fields["role"] == "leader")

    def _workflow(self, name: str) -> Workflow:
        return self._workflows[CONTROL_NAMES.get(name, name)]


def _line_name(workflow: str) -> str:
    return LINE_NAMES.get(workflow, workflow)
