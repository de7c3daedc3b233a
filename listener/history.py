"""How it ran: minutes put together to stretches of five, as the page draws them. Pure.

A stretch without a minute is one of which nothing is known: it is a gap in the drawing, never a zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from listener.minutes import Figures, Minute, add_to

STRETCH = timedelta(minutes=5)
SHOWN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Point:
    """What a stretch shows; the percentiles are those of its orders, in ms."""

    orders: int
    p50: float | None
    p99: float | None
    errors: int
    missed: int
    calls: int


def begin_of(at: datetime) -> datetime:
    """Return when the stretch began that an instant lies in."""
    return at - (at - datetime.fromtimestamp(0, UTC)) % STRETCH


def points_of(minutes: Iterable[Minute]) -> dict[datetime, Point]:
    """Return the points of the stretches that have minutes, by their begin."""
    stretches: dict[datetime, list[Minute]] = {}
    for minute in minutes:
        stretches.setdefault(begin_of(minute.minute), []).append(minute)
    return {begin: _point(found) for begin, found in stretches.items()}


def as_columns(points: Mapping[datetime, Point], now: datetime) -> dict[str, Any]:
    """Return the last hours as columns of equal length, oldest first; `at` is in seconds since 1970."""
    end = begin_of(now)
    begins = [end - SHOWN + STRETCH * step for step in range(1, SHOWN // STRETCH + 1)]
    shown = [points.get(begin) for begin in begins]
    columns = ("orders", "p50", "p99", "errors", "missed", "calls")
    return {
        "at": [int(begin.timestamp()) for begin in begins],
        "seconds": int(STRETCH.total_seconds()),
        **{name: [getattr(point, name) if point else None for point in shown] for name in columns},
    }


def _point(minutes: Iterable[Minute]) -> Point:
    figures = Figures()
    for each in (minute.figures for minute in minutes):
        for counted, more in ((figures.latencies, each.latencies), (figures.errors, each.errors)):
            for name, n in more.items():
                add_to(counted, name, n)
        figures.latency_ms_max = max(figures.latency_ms_max, each.latency_ms_max)
        figures.missed += each.missed
        add_to(figures.api_calls, "all", each.calls())
    return Point(
        orders=figures.orders,
        p50=figures.latency_percentile(50),
        p99=figures.latency_percentile(99),
        errors=int(sum(figures.errors.values())),
        missed=figures.missed,
        calls=figures.calls(),
    )
