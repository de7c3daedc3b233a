"""One minute of one process in figures: a row of `listener.minutes`, and what many of them say together.

What happens is counted into the minute under way and nowhere else; whatever is told of a longer time is the sum of its
minutes. A minute without a row is one of which nothing is known, never one in which nothing happened.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil, inf
from typing import Any

Numbers = dict[str, float]

POLLING_STATE = "polling_state"
"""Among the names of what is looked at in turn: the upload's columns of that table were moved."""

MINUTE = timedelta(minutes=1)

LATENCY_BOUNDS_MS = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000),
)
CHECK_BOUNDS_MS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 15_000)
"""The upper bounds of the histograms. They have the limits of the plan among them: 10 and 50 ms, 30, 60 and 120 s."""


@dataclass(slots=True)
class Figures:
    """What was counted in a minute, or in many. Fields that end in `_max` hold the largest, all others the sum.

    Workflows go by their names in METRICS lines. What was not counted is 0 or not there.
    """

    checks: Numbers = field(default_factory=dict)  # by workflow, source and action: "upload heartbeat skip"
    check_ms: Numbers = field(default_factory=dict)  # by workflow: how long its checks took together
    check_ms_max: Numbers = field(default_factory=dict)
    check_times: Numbers = field(default_factory=dict)  # by workflow and upper bound in ms: "upload 0.5"
    gap_seconds_max: Numbers = field(default_factory=dict)  # between two answered checks of a workflow
    steps: Numbers = field(default_factory=dict)  # by workflow
    errors: Numbers = field(default_factory=dict)  # steps that failed, by workflow
    processed: Numbers = field(default_factory=dict)  # by workflow
    wakes: Numbers = field(default_factory=dict)  # by source
    api_calls: Numbers = field(default_factory=dict)  # by status ("none": no answer) and endpoint: "200 GET /orders"
    config_changes: Numbers = field(default_factory=dict)  # by verdict
    latencies: Numbers = field(default_factory=dict)  # orders by upper bound in ms of what they took
    latency_ms: float = 0.0
    latency_ms_max: float = 0.0
    missed: int = 0
    error_lines: int = 0  # lines of level ERROR in the log
    pending_max: int = 0
    oldest_pending_seconds_max: float = 0.0
    connections_max: int = 0
    mirror_age_seconds_max: float = 0.0

    def add(self, other: "Figures") -> None:
        """Take in another minute."""
        for each in fields(self):
            combine = max if each.name.endswith("_max") else operator.add
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, _combined(mine, theirs, combine))

    def checks_of(self, workflow: str, source: str = "", action: str = "") -> int:
        """Return how many checks a workflow made: all, or those of one source, or with one outcome."""
        wanted = (workflow, source, action)
        return sum(
            int(n)
            for name, n in self.checks.items()
            if all(want in ("", part) for want, part in zip(wanted, name.split(" "), strict=True))
        )

    def check_ms_average(self, workflow: str) -> float | None:
        """Return how long a check of the workflow took on average; None when there was none."""
        checks = self.checks_of(workflow)
        return self.check_ms.get(workflow, 0.0) / checks if checks else None

    def calls(self, status: str = "") -> int:
        """Return how many calls of ShipStation were made: all, or those that were answered so."""
        return sum(int(n) for name, n in self.api_calls.items() if status in ("", name.partition(" ")[0]))

    @property
    def orders(self) -> int:
        """How many orders were uploaded, and so measured."""
        return int(sum(self.latencies.values()))

    def latency_percentile(self, percent: float) -> float | None:
        """Return the time in ms that so many of a hundred orders did not exceed: by nearest rank, at most a bucket
        too high; None when there was no order.
        """
        by_bound = sorted((float(bound), n) for bound, n in self.latencies.items())
        rank, seen = ceil(self.orders * percent / 100), 0.0
        for bound, n in by_bound:
            seen += n
            if seen >= rank:
                return min(bound, self.latency_ms_max)
        return None


@dataclass(frozen=True, slots=True)
class Minute:
    """A row: what one process counted in the minute that began then, while it led.

    first_at, last_at: by workflow, and for POLLING_STATE: when it was first and last looked at, in seconds of the
    minute. They show the pauses between two processes, which neither of them can see.
    """

    minute: datetime
    process: str
    figures: Figures
    first_at: Numbers = field(default_factory=dict)
    last_at: Numbers = field(default_factory=dict)


def columns_of(minute: Minute) -> dict[str, Any]:
    """Return a minute as its row, by column, fit for JSON."""
    return {
        "minute": minute.minute.isoformat(),
        "process": minute.process,
        "first_at": minute.first_at,
        "last_at": minute.last_at,
        **{each.name: _rounded(getattr(minute.figures, each.name)) for each in fields(Figures)},
    }


def minute_of(columns: Mapping[str, Any]) -> Minute:
    """Return a row as a minute. What another version did not count is as if it were 0."""
    counted = {each.name: columns.get(each.name) for each in fields(Figures)}
    figures = Figures(**{name: value for name, value in counted.items() if value is not None})
    seen = {name: columns.get(name) or {} for name in ("first_at", "last_at")}
    return Minute(columns["minute"], columns["process"], figures, **seen)


def total(figures: Iterable[Figures]) -> Figures:
    """Return what they say together."""
    together = Figures()
    for each in figures:
        together.add(each)
    return together


def add_to(numbers: Numbers, name: str, by: float = 1) -> None:
    """Count something."""
    numbers[name] = numbers.get(name, 0) + by


def raise_to(numbers: Numbers, name: str, value: float) -> None:
    """Keep the largest."""
    numbers[name] = max(numbers.get(name, value), value)


def bucket(value: float, bounds: Sequence[float]) -> str:
    """Return the name of the bucket that a value falls into: its upper bound, which belongs to it."""
    place = bisect_left(bounds, value)
    return f"{bounds[place]:g}" if place < len(bounds) else str(inf)


def longest_gap(minutes: Sequence[Minute], name: str) -> float | None:
    """Return the longest time in seconds between two looks, of one process or of two; None with less than two looks.

    minutes: in the order of time. name: a workflow, or POLLING_STATE.
    """
    found = [gap for minute in minutes if (gap := minute.figures.gap_seconds_max.get(name)) is not None]
    looked = [minute for minute in minutes if name in minute.first_at]
    instants = sorted((_instant(m, m.first_at[name]), _instant(m, m.last_at[name])) for m in looked)
    found += [(after - before).total_seconds() for (_, before), (after, _) in pairwise(instants)]
    return max(found, default=None)


def most_calls_an_hour(minutes: Sequence[Minute]) -> int:
    """Return how many calls of ShipStation the busiest sixty minutes had."""
    most, called, begin = 0, 0, 0
    for minute in minutes:
        called += minute.figures.calls()
        while minute.minute - minutes[begin].minute >= 60 * MINUTE:
            called -= minutes[begin].figures.calls()
            begin += 1
        most = max(most, called)
    return most


def gaps(minutes: Iterable[Minute], since: datetime, until: datetime) -> list[tuple[datetime, int]]:
    """Return where minutes from `since` to before `until` have no row: when that begins, and how many are missing."""
    found, expected = [], since
    for at in sorted({minute.minute for minute in minutes if since <= minute.minute < until} | {until}):
        if at > expected:
            found.append((expected, round((at - expected) / MINUTE)))
        expected = at + MINUTE
    return found


def _combined(mine: Any, theirs: Any, combine: Callable[[Any, Any], Any]) -> Any:
    if not isinstance(mine, dict):
        return combine(mine, theirs)
    return mine | {name: combine(mine[name], value) if name in mine else value for name, value in theirs.items()}


def _rounded(value: Any) -> Any:
    """Sums of floats have sixteen digits, three of which mean something."""
    return {name: round(number, 3) for name, number in value.items()} if isinstance(value, dict) else round(value, 3)


def _instant(minute: Minute, seconds: float) -> datetime:
    return minute.minute + timedelta(seconds=seconds)
