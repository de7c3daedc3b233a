"""How it ran, as the page draws it: stretches of five minutes."""

from datetime import UTC, datetime, timedelta

from listener.history import SHOWN, STRETCH, as_columns, begin_of, points_of
from listener.minutes import Figures, Minute

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAST = NOON - STRETCH


def minute(at: datetime, process: str = "p", **figures: object) -> Minute:
    return Minute(at, process, Figures(**figures))  # type: ignore[arg-type]


def uploaded(at: datetime, orders: int, process: str = "p") -> Minute:
    return minute(at, process, latencies={"5": orders}, latency_ms_max=4.2)


def test_the_minutes_of_a_stretch_are_one_point() -> None:
    minutes = [uploaded(NOON + timedelta(minutes=n), 2) for n in range(5)]
    assert {begin: point.orders for begin, point in points_of(minutes).items()} == {NOON: 10}


def test_two_processes_that_led_in_a_minute_count_together() -> None:
    point = points_of([uploaded(NOON, 1, "a"), uploaded(NOON, 2, "b")])[NOON]
    assert (point.orders, point.p50, point.p99) == (3, 4.2, 4.2)


def test_a_point_counts_failures_missed_bells_and_calls() -> None:
    point = points_of([minute(NOON, errors={"upload": 2, "sync": 1}, missed=1, api_calls={"200 GET /orders": 4})])[NOON]
    assert (point.errors, point.missed, point.calls) == (3, 1, 4)


def test_a_stretch_without_orders_has_no_percentile() -> None:
    point = points_of([minute(NOON)])[NOON]
    assert (point.orders, point.p50) == (0, None)


def test_columns_are_of_equal_length_and_end_with_the_stretch_under_way() -> None:
    columns = as_columns(points_of([uploaded(NOON, 3)]), NOON + timedelta(minutes=4, seconds=59))
    assert {len(column) for column in columns.values() if isinstance(column, list)} == {SHOWN // STRETCH}
    assert (columns["at"][-1], columns["orders"][-1], columns["seconds"]) == (int(NOON.timestamp()), 3, 300)


def test_what_is_not_known_is_null_and_never_zero() -> None:
    columns = as_columns(points_of([minute(NOON)]), NOON)
    assert (columns["orders"][-1], columns["orders"][-2], columns["missed"][-2]) == (0, None, None)


def test_stretches_begin_at_whole_five_minutes() -> None:
    assert begin_of(NOON + timedelta(minutes=9, seconds=59)) == NOON + STRETCH
    assert begin_of(NOON) == NOON
    assert begin_of(NOON - timedelta(microseconds=1)) == LAST
