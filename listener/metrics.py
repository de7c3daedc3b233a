"""The counters: the one set behind the METRICS lines, /status.json and what else is told about the running listener.

A figure is counted here or nowhere. Every method may be called from any thread; `snapshot` is made of plain values that
no later call changes. What is not known yet is 0, null or empty.
"""

import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TypedDict, Unpack

from listener.events import IMPORT, SYNC, UPLOAD, Source
from listener.flags import Flags

logger = logging.getLogger(__name__)

LATENCIES_KEPT = 10_000

CONTROL_NAMES = {"upload": UPLOAD, "xml-import": IMPORT, "sync": SYNC}
"""A workflow's name in a METRICS line, and its name in `workflow_controls`. Every method here takes either."""


class Fields(TypedDict, total=False):
    """What `set` takes: the listener as a whole."""

    role: str  # leader or standby
    listening: bool
    deaf: bool
    degraded: Sequence[str]
    pending: int
    oldest_pending_seconds: float
    held_back: int
    flags: Flags
    db_connections: int
    api_used_last_hour: int
    api_limit: int
    api_waiting_seconds: float  # until a call may be made, when one is wanted
    mirror_orders: int  # orders of ShipStation that the mirror holds
    mirror_full: bool  # the first reading has come to its end


class WorkflowFields(TypedDict, total=False):
    """What `set_workflow` takes; the times are aware."""

    enabled: bool
    state: str
    last_run_at: datetime | None
    next_due_at: datetime | None
    backoff_until: datetime | None


@dataclass(slots=True)
class Workflow:
    """The counters and the state of one workflow."""

    enabled: bool = True
    state: str | None = None
    checks: int = 0
    skips: int = 0
    check_ms: float = 0.0
    processed: int = 0
    errors: int = 0
    last_run_at: datetime | None = None
    next_due_at: datetime | None = None
    backoff_until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "enabled": self.enabled,
            "state": self.state,
            "checks": self.checks,
            "skips": self.skips,
            "skip_rate": round(self.skips / self.checks, 4) if self.checks else 0.0,
            "processed": self.processed,
            "errors": self.errors,
            "check_ms_avg": round(self.check_ms / self.checks, 3) if self.checks else 0.0,
            "last_run_at": _instant(self.last_run_at),
            "next_due_at": _instant(self.next_due_at),
            "backoff_until": _instant(self.backoff_until),
        }


class Metrics:
    """The counters of one process."""

    def __init__(self, version: str) -> None:
        self._lock = Lock()
        self._version = version
        self._started_at = datetime.now(UTC)
        self._fields: Fields = {
            "role": "standby",
            "listening": False,
            "deaf": False,
            "degraded": [],
            "pending": 0,
            "oldest_pending_seconds": 0.0,
            "held_back": 0,
            "flags": Flags(),
            "db_connections": 0,
            "api_used_last_hour": 0,
            "api_limit": 0,
            "api_waiting_seconds": 0.0,
            "mirror_orders": 0,
            "mirror_full": False,
        }
        self._workflows = {name: Workflow() for name in CONTROL_NAMES.values()}
        self._wakes = {source.value: 0 for source in Source}
        self._missed = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._measured = 0

    def check(self, workflow: str, *, exists: bool, count: int, duration_ms: float, action: str, source: str) -> None:
        """Count a check of `upload` or `xml-import`, and log its METRICS line. action: process, skip or error.

        A failed check counts as a check; the failed step that it is part of is counted by `error`.
        """
        with self._lock:
            counters = self._workflow(workflow)
            counters.checks += 1
            counters.skips += action == "skip"
            counters.check_ms += duration_ms
        logger.info(
            "METRICS: workflow=%s exists=%s count=%d duration_ms=%.2f action=%s source=%s",
            *(workflow, exists, count, duration_ms, action, source),
            extra={"event": "check"},
        )

    def wake(self, source: str) -> None:
        """Count a wake."""
        with self._lock:
            self._wakes[source] += 1

    def missed(self) -> None:
        """Count a notification that should have come and did not."""
        with self._lock:
            self._missed += 1

    def processed(self, workflow: str, n: int = 1) -> None:
        """Count orders, or files, that a workflow finished."""
        with self._lock:
            self._workflow(workflow).processed += n

    def error(self, workflow: str) -> None:
        """Count a failed step of a workflow."""
        with self._lock:
            self._workflow(workflow).errors += 1

    def order_latency(self, ms: float) -> None:
        """Record how long an order took, from the claim that first saw it to the record of its acceptance."""
        with self._lock:
            self._latencies.append(ms)
            self._measured += 1

    def set(self, **fields: Unpack[Fields]) -> None:
        """Replace what is known of the listener as a whole."""
        with self._lock:
            if unknown := fields.keys() - self._fields.keys():
                raise TypeError(f"no such field: {', '.join(sorted(unknown))}")
            self._fields.update(fields)

    def set_workflow(self, workflow: str, **fields: Unpack[WorkflowFields]) -> None:
        """Replace what is known of one workflow."""
        with self._lock:
            for name, value in fields.items():
                setattr(self._workflow(workflow), name, value)

    def snapshot(self) -> dict[str, Any]:
        """Return the body of /status.json."""
        with self._lock:
            known: Fields = self._fields.copy()
            latencies, measured = list(self._latencies), self._measured
            body: dict[str, Any] = {
                **{name: value for name, value in known.items() if not name.startswith(("api_", "mirror_"))},
                "workflows": {name: workflow.as_json() for name, workflow in self._workflows.items()},
                "wakes": dict(self._wakes),
                "missed_notifications": self._missed,
            }
        body["degraded"], body["flags"] = list(known["degraded"]), asdict(known["flags"])
        body["api_budget"] = {"used_last_hour": known["api_used_last_hour"], "limit": known["api_limit"]}
        body["api_budget"]["waiting_seconds"] = known["api_waiting_seconds"]
        body["mirror"] = {"full": known["mirror_full"], "orders": known["mirror_orders"]}
        body["order_latency_ms"] = _percentiles(latencies) | {"n": measured}
        body["version"], body["started_at"] = self._version, self._started_at.isoformat()
        return body

    def _workflow(self, name: str) -> Workflow:
        return self._workflows[CONTROL_NAMES.get(name, name)]


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """Return p50 and p99 by nearest rank, None when nothing was measured."""
    values = sorted(values)
    return {
        f"p{percent}": round(values[math.ceil(len(values) * percent / 100) - 1], 3) if values else None
        for percent in (50, 99)
    }


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
