"""How the listener is: green, amber or red, and why, in words. Pure: all of it is read from a snapshot.

Red: orders do not move, or an alert threshold of the plan is crossed; look now. Amber: a target is missed, or something
does not work that another thing makes up for; look tomorrow. A standby that hears and could lead is green.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from listener.state import OLD_BEHAVIOUR_SECONDS

Snapshot = dict[str, Any]
Measure = Callable[[Snapshot], float | None]

FEW = 20
"""Heartbeats or steps below which a rate says nothing: five minutes of them."""


class Colour(StrEnum):
    """From well to ill."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure that is to stay low. `measure` is None when there is nothing to judge; `says` has a place for it."""

    says: str
    measure: Measure
    amber_above: Callable[[Snapshot], float]
    red_above: Callable[[Snapshot], float]

    def judge(self, snapshot: Snapshot) -> tuple[Colour, str] | None:
        """Return its colour and a sentence, None when it is well."""
        value = self.measure(snapshot)
        if value is None or value <= self.amber_above(snapshot):
            return None
        colour = Colour.RED if value > self.red_above(snapshot) else Colour.AMBER
        return colour, self.says.format(value)


def colour_of(snapshot: Snapshot) -> tuple[Colour, tuple[str, ...]]:
    """Return the colour of a snapshot and what speaks for it, the gravest first; green has no reasons."""
    found = list(_judge(snapshot))
    colour = max((colour for colour, _ in found), key=list(Colour).index, default=Colour.GREEN)
    ordered = [reason for graver in (Colour.RED, Colour.AMBER) for colour_, reason in found if colour_ is graver]
    return colour, tuple(dict.fromkeys(ordered))


def unready_reasons(snapshot: Snapshot) -> Iterator[str]:
    """Say why orders are not on their way now, through this process; nothing when they are."""
    if snapshot["role"] != "leader":
        yield "standby: another listener leads, or none could yet"
    if snapshot["deaf"] and not snapshot["flags"]["fast_polling_enabled"]:
        yield "deaf, and fast_polling_enabled is false: nothing looks for orders between the slow rounds"
    oldest, heartbeat = snapshot["oldest_pending_seconds"], heartbeat_seconds(snapshot)
    if oldest > 2 * heartbeat:
        yield f"the oldest due order waits for {oldest:.0f} s, more than two heartbeats of {heartbeat:.0f} s"


def heartbeat_seconds(snapshot: Snapshot) -> float:
    """Return how often orders are looked for unasked."""
    flags = snapshot["flags"]
    return float(flags["fast_polling_interval"]) if flags["fast_polling_enabled"] else OLD_BEHAVIOUR_SECONDS


def _judge(snapshot: Snapshot) -> Iterator[tuple[Colour, str]]:
    for limit in LIMITS:
        if verdict := limit.judge(snapshot):
            yield verdict
    if _stands_still(snapshot):
        for reason in snapshot["degraded"] or ["there is no connection to the database yet"]:
            yield Colour.RED, reason
    else:
        for reason in snapshot["degraded"]:
            yield Colour.AMBER, reason


def _stands_still(snapshot: Snapshot) -> bool:
    """No order can move. Why, `degraded` says."""
    state = snapshot["workflows"]["shipstation-upload"]["state"]
    cut_off = snapshot["role"] != "leader" and not snapshot["listening"] and state != "dormant"
    asleep_for_good = snapshot["deaf"] and not snapshot["flags"]["fast_polling_enabled"]
    return cut_off or asleep_for_good or state in ("lost", "held")


def _recent(name: str) -> Measure:
    return lambda snapshot: snapshot["recent"][name]


def _share(part: str, whole: str) -> Measure:
    def share(snapshot: Snapshot) -> float | None:
        recent = snapshot["recent"]
        return recent[part] / recent[whole] if recent[whole] >= FEW else None

    return share


def _heartbeats_that_found(snapshot: Snapshot) -> float | None:
    skipped = _share("heartbeat_skips", "heartbeat_checks")(snapshot)
    return None if skipped is None else 1 - skipped


def _slowest_order_seconds(snapshot: Snapshot) -> float:
    return float(snapshot["recent"]["order_latency_ms_max"]) / 1000


def _two_heartbeats(snapshot: Snapshot) -> float:
    return 2 * heartbeat_seconds(snapshot)


def _always(value: float) -> Callable[[Snapshot], float]:
    return lambda _: value


# The numbers are the plan's: its targets, and its alert thresholds.
LIMITS = (
    Limit(
        "the oldest due order waits for {:.0f} s",
        lambda snapshot: snapshot["oldest_pending_seconds"],
        _two_heartbeats,
        lambda snapshot: max(60, _two_heartbeats(snapshot)),
    ),
    Limit(
        "ShipStation throttled {:.0f} calls in the last quarter of an hour",
        _recent("api_calls_throttled"),
        _always(0),
        _always(0),
    ),
    Limit("{:.1%} of the steps fail", _share("errors", "steps"), _always(0.01), _always(0.05)),
    Limit("a check takes {:.1f} ms on average", _recent("check_ms_avg"), _always(10), _always(50)),
    Limit(
        "{:.0%} of the heartbeats find work that no bell announced", _heartbeats_that_found, _always(0.2), _always(0.5)
    ),
    Limit("the database has {:.0f} connections", lambda snapshot: snapshot["db_connections"], _always(9), _always(15)),
    Limit(
        "{:.0f} API calls were made in the last hour",
        lambda snapshot: snapshot["api_budget"]["used_last_hour"],
        lambda snapshot: snapshot["api_budget"]["limit"] - 1 if snapshot["api_budget"]["limit"] else math.inf,
        lambda snapshot: max(250, snapshot["api_budget"]["limit"]),
    ),
    Limit("an order took {:.0f} s", _slowest_order_seconds, _always(30), _always(math.inf)),
    Limit("{:.0f} notifications were missed", _recent("missed"), _always(0), _always(math.inf)),
    Limit("the log has {:.0f} new lines of level ERROR", _recent("error_lines"), _always(0), _always(math.inf)),
)
