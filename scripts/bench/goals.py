"""What the figures are held against: each goal with what was measured, and whether it is met. Pure."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from figures import Table, percentile
from latency import CLAIMED, REQUEST, best_peer
from writers import BUDGET, DRAINING, NONE, ROW, SAME_DRAIN, STATEMENT, median_commits

Figures = dict[str, Any]
DISK, SLOW, NO_FLUSH = "the disk's flush", "2 ms flush", "no flush"
CLIENTS = 16


@dataclass(frozen=True)
class Goal:
    """`measure` returns None when the run does not tell."""

    scenario: str
    text: str
    measure: Callable[[Figures], float | None]
    unit: str = ""
    at_most: float | None = None
    below: float | None = None
    at_least: float | None = None

    @property
    def wanted(self) -> str:
        if self.below is not None:
            return f"< {self.below:,g}{self.unit}"
        sign, bound = ("<=", self.at_most) if self.at_most is not None else (">=", self.at_least)
        return f"{sign} {bound:,g}{self.unit}"

    def met(self, value: float) -> bool:
        if self.below is not None:
            return value < self.below
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0)


def _p50(flush: str, name: str) -> Callable[[Figures], float | None]:
    return lambda figures: percentile(figures["ms"][flush][name], 50)


def _below_best_peer(flush: str) -> Callable[[Figures], float | None]:
    def times(figures: Figures) -> float | None:
        best = best_peer(figures["ms"][flush])
        return best / percentile(figures["ms"][flush][CLAIMED], 50) if best else None

    return times


def _share(flush: str, variant: str, base: str) -> Callable[[Figures], float | None]:
    def share(figures: Figures) -> float | None:
        if CLIENTS not in figures["clients"]:
            return None
        return median_commits(figures, flush, variant, CLIENTS) / median_commits(figures, flush, base, CLIENTS) * 100

    return share


def _times_plain(figures: Figures) -> float | None:
    """The better of the two plain triggers counts."""
    against = [_share(SLOW, DRAINING, plain)(figures) for plain in (ROW, STATEMENT)]
    shares = [share for share in against if share is not None]
    return min(shares) / 100 if shares else None


def _largest_to_smallest(figures: Figures) -> float | None:
    by_size = {int(size): percentile(values, 50) for size, values in figures["empty"].items()}
    return by_size[10_000_000] / by_size[10_000] if 10_000_000 in by_size else None


def _largest(figures: Figures) -> float | None:
    values = figures["empty"].get("10000000")
    return percentile(values, 50) if values else None


def _an_hour(figures: Figures) -> float:
    return float(sum(figures["statements"].values())) * 3600 / float(figures["seconds"])


GOALS = (
    *(
        goal
        for flush in (DISK, NO_FLUSH)
        for goal in (
            Goal("latency", f"COMMIT to claimed, p50, {flush}", _p50(flush, CLAIMED), " ms", at_most=1.0),
            Goal("latency", f"best peer's p50 by that, {flush}", _below_best_peer(flush), " times", at_least=3),
            Goal("latency", f"COMMIT to request, p50, {flush}", _p50(flush, REQUEST), " ms", at_most=2.5),
        )
    ),
    Goal(
        "writers",
        "16 writers, listener awake at its default budget, of no trigger",
        _share(DISK, BUDGET, NONE),
        " %",
        at_least=90,
    ),
    Goal(
        "writers",
        "16 writers beside a drain without budget, of the same drain without trigger",
        _share(DISK, DRAINING, SAME_DRAIN),
        " %",
        at_least=90,
    ),
    Goal(
        "writers",
        "16 writers beside a drain without budget, of no trigger and no drain",
        _share(DISK, DRAINING, NONE),
        " %",
        at_least=90,
    ),
    Goal("writers", "the same, 2 ms flush, of the better plain NOTIFY trigger", _times_plain, " times", at_least=4),
    Goal(
        "drain",
        "orders a second through the whole upload",
        lambda figures: statistics.median(next(iter(figures["a_second"].values()))),
        at_least=3000,
    ),
    Goal("growth", "check on 10,000,000 orders by that on 10,000, p50", _largest_to_smallest, " times", at_most=1.2),
    Goal("growth", "check on 10,000,000 orders, p50", _largest, " ms", below=1),
    Goal("idle", "statements an idle hour", _an_hour, at_most=600),
    Goal("idle", "connections when idle, median", lambda figures: statistics.median(figures["connections"]), at_most=2),
    Goal("idle", "memory when idle", lambda figures: float(figures["memory_mb"]), " MB", below=60),
    Goal(
        "config",
        "COMMIT of a flag to in force while a request hangs, p99",
        lambda figures: percentile(next(iter(figures["ms"].values())), 99),
        " ms",
        at_most=10,
    ),
)


def verdicts(figures: Mapping[str, Figures]) -> Table:
    """Hold what was measured, by scenario, against the goals; those that were not measured are left out."""
    rows = []
    for goal in GOALS:
        value = goal.measure(figures[goal.scenario]) if goal.scenario in figures else None
        if value is not None:
            rows.append([goal.text, goal.wanted, f"{value:,.4g}{goal.unit}", "met" if goal.met(value) else "MISSED"])
    return Table("goals", ["", "wanted", "measured", ""], rows)
