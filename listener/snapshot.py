"""The body of /status.json, made from what was counted and what was set. Pure, and of plain values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypedDict

from listener.events import IMPORT, SYNC, UPLOAD, Leader, Source
from listener.flags import Flags
from listener.headway import Headway
from listener.minutes import Figures

CONTROL_NAMES = {"upload": UPLOAD, "xml-import": IMPORT, "sync": SYNC}
"""A workflow's name in a METRICS line, and its name in `workflow_controls`."""

LINE_NAMES = {control: line for line, control in CONTROL_NAMES.items()}


class Fields(TypedDict, total=False):
    """What is known of the listener as a whole."""

    role: str  # leader or standby
    leader: Leader | None  # who leads, as far as is known
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
    mirror_fresh_at: datetime | None  # when it was last read to its end; aware


NOTHING: Fields = {
    "role": "standby",
    "leader": None,
    "listening": False,
    "deaf": False,
    "degraded": (),
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
    "mirror_fresh_at": None,
}
"""What is known at the start."""


class WorkflowFields(TypedDict, total=False):
    """What is known of one workflow, besides its counts; the times are aware."""

    enabled: bool
    state: str
    last_run_at: datetime | None
    next_due_at: datetime | None
    backoff_until: datetime | None
    progress: Headway | None  # how far it is with what takes long


@dataclass(slots=True)
class Workflow:
    """The state of one workflow."""

    enabled: bool = True
    state: str | None = None
    last_run_at: datetime | None = None
    next_due_at: datetime | None = None
    backoff_until: datetime | None = None
    progress: Headway | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None

    def as_json(self, name: str, figures: Figures) -> dict[str, Any]:
        checks, skips = figures.checks_of(name), figures.checks_of(name, action="skip")
        return {
            "enabled": self.enabled,
            "state": self.state,
            "checks": checks,
            "skips": skips,
            "skip_rate": round(skips / checks, 4) if checks else 0.0,
            "processed": figures.processed.get(name, 0),
            "errors": figures.errors.get(name, 0),
            "check_ms_avg": round(figures.check_ms_average(name) or 0.0, 3),
            "last_run_at": _instant(self.last_run_at),
            "next_due_at": _instant(self.next_due_at),
            "backoff_until": _instant(self.backoff_until),
            "progress": self.progress and self.progress.text,
            "last_error": self.last_error,
            "last_error_at": _instant(self.last_error_at),
        }


def body_of(
    known: Fields, workflows: Mapping[str, Workflow], totals: Figures, recent: Figures, now: datetime
) -> dict[str, Any]:
    """Return the body, but for the process' own name and age and the percentiles of its orders.

    totals: counted since the process began; recent: in the last quarter of an hour.
    """
    return {
        **{name: value for name, value in known.items() if not name.startswith(("api_", "mirror_"))},
        "leader": _who(known["leader"]),
        "degraded": list(known["degraded"]),
        "flags": asdict(known["flags"]),
        "workflows": {name: workflow.as_json(LINE_NAMES[name], totals) for name, workflow in workflows.items()},
        "wakes": {source.value: totals.wakes.get(source.value, 0) for source in Source},
        "missed_notifications": totals.missed,
        "api_budget": {
            "used_last_hour": known["api_used_last_hour"],
            "limit": known["api_limit"],
            "waiting_seconds": known["api_waiting_seconds"],
        },
        "mirror": {
            "full": known["mirror_full"],
            "orders": known["mirror_orders"],
            "age_seconds": age_seconds(known["mirror_fresh_at"], now),
        },
        "recent": _recent(recent),
    }


def _who(leader: Leader | None) -> dict[str, Any] | None:
    return None if leader is None else asdict(leader) | {"since": _instant(leader.since)}


def age_seconds(at: datetime | None, now: datetime) -> float | None:
    """Return how long ago that was."""
    return None if at is None else round((now - at).total_seconds(), 1)


def _recent(figures: Figures) -> dict[str, Any]:
    """Return what of the last quarter of an hour tells well from ill; only the upload's checks are as fast as that."""
    average = figures.check_ms_average("upload")
    return {
        "heartbeat_checks": figures.checks_of("upload", Source.HEARTBEAT),
        "heartbeat_skips": figures.checks_of("upload", Source.HEARTBEAT, "skip"),
        "check_ms_avg": None if average is None else round(average, 3),
        "steps": sum(figures.steps.values()),
        "errors": sum(figures.errors.values()),
        "error_lines": figures.error_lines,
        "missed": figures.missed,
        "api_calls_throttled": figures.calls("429"),
        "order_latency_ms_max": round(figures.latency_ms_max, 3),
    }


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p50 and p99 by nearest rank, None when nothing was measured."""
    values = sorted(values)
    return {
        f"p{percent}": round(values[math.ceil(len(values) * percent / 100) - 1], 3) if values else None
        for percent in (50, 99)
    }


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
