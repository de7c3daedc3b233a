"""What minutes say: each by itself, and many together."""

import json
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from listener.minutes import (
    CHECK_BOUNDS_MS,
    LATENCY_BOUNDS_MS,
    POLLING_STATE,
    Figures,
    Minute,
    bucket,
    columns_of,
    gaps,
    longest_gap,
    minute_of,
    most_calls_an_hour,
    total,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def minute(after: int, process: str = "p", **given: Any) -> Minute:
    seen = {name: given.pop(name) for name in ("first_at", "last_at") if name in given}
    return Minute(NOON + timedelta(minutes=after), process, Figures(**given), **seen)


def looked(after: int, first: float, last: float, longest: float | None = None, process: str = "p") -> Minute:
    gap = {} if longest is None else {"upload": longest}
    return minute(after, process, gap_seconds_max=gap, first_at={"upload": first}, last_at={"upload": last})


def test_minutes_are_added_and_their_largest_kept() -> None:
    together = total(
        [
            Figures(checks={"upload heartbeat skip": 3}, missed=1, connections_max=4, check_ms_max={"upload": 0.5}),
            Figures(checks={"upload heartbeat skip": 1, "upload notify process": 2}, missed=2, connections_max=3),
            Figures(check_ms_max={"upload": 0.4, "xml-import": 7.0}),
        ]
    )
    assert together.checks == {"upload heartbeat skip": 4, "upload notify process": 2}
    assert (together.missed, together.connections_max) == (3, 4)
    assert together.check_ms_max == {"upload": 0.5, "xml-import": 7.0}


def test_adding_leaves_the_minutes_as_they_were() -> None:
    first, second = Figures(wakes={"notify": 1}), Figures(wakes={"notify": 2})
    total([first, second])
    assert (first.wakes, second.wakes) == ({"notify": 1}, {"notify": 2})


def test_checks_are_counted_by_workflow_source_and_action() -> None:
    figures = Figures(
        checks={
            "upload heartbeat skip": 9,
            "upload heartbeat process": 1,
            "upload notify process": 4,
            "sync retry skip": 2,
        }
    )
    assert figures.checks_of("upload") == 14
    assert figures.checks_of("upload", "heartbeat") == 10
    assert figures.checks_of("upload", "heartbeat", "skip") == 9
    assert figures.checks_of("upload", action="process") == 5
    assert figures.checks_of("xml-import") == 0


def test_the_average_of_no_check_is_not_zero() -> None:
    assert Figures(checks={"upload heartbeat skip": 4}, check_ms={"upload": 2.0}).check_ms_average("upload") == 0.5
    assert Figures().check_ms_average("upload") is None


def test_calls_are_counted_by_what_was_answered() -> None:
    figures = Figures(api_calls={"200 GET /orders": 5, "429 GET /orders": 1, "none POST /orders/createorders": 2})
    assert (figures.calls(), figures.calls("429"), figures.calls("none"), figures.calls("500")) == (8, 1, 2, 0)


@pytest.mark.parametrize(
    ("value", "name"), [(0, "1"), (1, "1"), (1.01, "2"), (30_000, "30000"), (600_000, "600000"), (600_001, "inf")]
)
def test_a_value_falls_into_the_first_bucket_that_is_not_below_it(value: float, name: str) -> None:
    assert bucket(value, LATENCY_BOUNDS_MS) == name
    assert value <= float(name)


def test_every_bucket_has_a_name_of_its_own() -> None:
    for bounds in (LATENCY_BOUNDS_MS, CHECK_BOUNDS_MS):
        assert [float(bucket(bound, bounds)) for bound in (*bounds, inf)] == [*bounds, inf]


def test_a_percentile_is_the_bucket_by_nearest_rank_and_never_above_the_largest() -> None:
    figures = Figures(latencies={"20": 1, "5": 98, "30000": 1}, latency_ms_max=21_000.0)
    assert figures.orders == 100
    assert [figures.latency_percentile(percent) for percent in (50, 98, 99, 100)] == [5, 5, 20, 21_000]
    assert Figures(latencies={"inf": 1}, latency_ms_max=900_000.0).latency_percentile(50) == 900_000
    assert Figures().latency_percentile(99) is None


def test_the_longest_gap_may_lie_within_a_minute_or_between_two_processes() -> None:
    minutes = [looked(0, 5, 50, longest=15.5), looked(1, 5, 50, longest=15)]
    assert longest_gap(minutes, "upload") == 15.5
    assert longest_gap([*minutes, looked(3, 20, 50, process="q")], "upload") == 90
    assert longest_gap(minutes, POLLING_STATE) is None


def test_two_processes_in_one_minute_are_put_in_the_order_of_their_looks() -> None:
    assert longest_gap([looked(0, 40, 58, 9, process="a"), looked(0, 1, 31, 15, process="b")], "upload") == 15


def test_one_look_makes_no_gap() -> None:
    assert longest_gap([looked(0, 5, 5)], "upload") is None


def test_the_busiest_hour_may_begin_at_any_minute() -> None:
    calls = {0: 10, 30: 10, 59: 10, 60: 30, 89: 1, 119: 1, 120: 1}
    minutes = [minute(after, api_calls={"200 GET /orders": n}) for after, n in calls.items()]
    assert most_calls_an_hour(minutes) == 51
    assert most_calls_an_hour([]) == 0


def test_what_has_no_row_is_a_gap_also_at_the_ends() -> None:
    minutes = [minute(2), minute(3), minute(3, "q"), minute(6)]
    assert gaps(minutes, NOON, NOON + timedelta(minutes=8)) == [
        (NOON, 2),
        (NOON + timedelta(minutes=4), 2),
        (NOON + timedelta(minutes=7), 1),
    ]
    assert gaps(minutes, NOON + timedelta(minutes=2), NOON + timedelta(minutes=4)) == []
    assert gaps([], NOON, NOON + timedelta(minutes=5)) == [(NOON, 5)]


def test_a_row_says_what_the_minute_says() -> None:
    before = minute(1, checks={"upload retry skip": 1}, latency_ms=2.5, first_at={"upload": 1.5}, last_at={"upload": 2})
    columns = json.loads(json.dumps(columns_of(before)))
    columns["minute"] = datetime.fromisoformat(columns["minute"])
    assert minute_of(columns) == before


def test_what_another_version_did_not_count_is_zero() -> None:
    columns = columns_of(minute(0, missed=1)) | {"missed": None, "checks": None, "first_at": None, "new": 7}
    del columns["error_lines"]
    assert minute_of(columns) == Minute(columns["minute"], "p", Figures())
