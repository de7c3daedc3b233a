"""Each criterion of the rollout at its limit, and what is said when there is too little to judge by."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.events import IMPORT, SYNC, UPLOAD
from listener.flags import Flags
from listener.minutes import MINUTE, Figures, Minute
from listener.rollout import STAGE_HOURS, Criterion, Evidence, LastChange, Verdict, Window, criteria, duration

OK, NOT_MET, NO_DATA = Verdict.OK, Verdict.NOT_MET, Verdict.NO_DATA
UNTIL = datetime(2026, 3, 4, 10, tzinfo=UTC)
HOURS = 2

QUIET: dict[str, Any] = {
    "checks": {"upload heartbeat skip": 4, "xml-import heartbeat skip": 4, "sync heartbeat skip": 1},
    "check_ms": {"upload": 2.0, "xml-import": 40.0},
    "check_ms_max": {"upload": 0.9, "xml-import": 14.0},
    "gap_seconds_max": {"upload": 15.2, "xml-import": 15.2, "polling_state": 15.2, "sync": 120.4},
    "steps": {"upload": 4},
    "connections_max": 5,
    "latencies": {"10": 1},
    "latency_ms_max": 8.0,
    "api_calls": {"200 POST /orders/createorders": 1},
}


def minutes(n: int = HOURS * 60, **changed: Any) -> list[Minute]:
    """Return the last n minutes of a listener that is well, but for what is said otherwise of the middle one."""
    found = [
        Minute(UNTIL - (n - i) * MINUTE, "p", Figures(**{name: fresh(value) for name, value in QUIET.items()}))
        for i in range(n)
    ]
    for name, value in changed.items():
        setattr(found[n // 2].figures, name, value)
    return found


def fresh(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def evidence(stage: int = 2, **changed: Any) -> Evidence:
    given = Evidence(
        window=Window(UNTIL - timedelta(hours=HOURS), UNTIL, UNTIL - timedelta(days=9)),
        minutes=minutes(),
        flags=Flags(),
        refused=frozenset(),
        switches={UPLOAD: True, IMPORT: stage == 2, SYNC: stage == 2},
        last_change=LastChange("sync_interval", "120", "180", "notify", 0.0004),
        twice=[],
    )
    return replace(given, **changed)


def line(name: str, stage: int = 2, **changed: Any) -> Criterion:
    (found,) = [criterion for criterion in criteria(stage, evidence(stage, **changed)) if criterion.name == name]
    return found


def every(figures: Mapping[str, Any]) -> list[Minute]:
    """Return minutes that all have these figures."""
    found = minutes()
    for minute in found:
        for name, value in figures.items():
            setattr(minute.figures, name, fresh(value))
    return found


@pytest.mark.parametrize("stage", [1, 2])
def test_a_listener_that_is_well_meets_its_stage(stage: int) -> None:
    assert {criterion.verdict for criterion in criteria(stage, evidence(stage))} == {OK}


def test_the_first_stage_is_the_upload_alone() -> None:
    first = {criterion.name for criterion in criteria(1, evidence(1))}
    second = {criterion.name for criterion in criteria(2, evidence(2))}
    assert second - first == {
        "sync_interval",
        "xml-import heartbeats that skip",
        "xml-import check on average",
        "longest gap between xml-import checks",
        "longest gap between sync cycles",
    }
    assert first <= second


def test_a_new_listener_meets_nothing_that_is_measured() -> None:
    empty = evidence(1, minutes=[], last_change=None, window=Window(UNTIL - timedelta(hours=48), UNTIL, None))
    verdicts = {criterion.name: criterion.verdict for criterion in criteria(1, empty)}
    settled = {"fast_polling_enabled", "fast_polling_interval", UPLOAD, IMPORT, SYNC, "orders uploaded twice"}
    assert {verdicts.pop(name) for name in settled} == {OK}
    assert set(verdicts.values()) == {NO_DATA}


LIMITS: list[tuple[str, Callable[[Any], dict[str, Any]], Any, Any]] = [
    ("upload heartbeats that skip", lambda n: {"checks": beats("upload", n)}, 81, 80),
    ("xml-import heartbeats that skip", lambda n: {"checks": beats("xml-import", n)}, 81, 80),
    ("upload check on average", lambda ms: {"check_ms": {"upload": 4 * ms}}, 9.99, 10),
    ("xml-import check on average", lambda ms: {"check_ms": {"xml-import": 4 * ms}}, 49.9, 50),
    ("longest gap between upload checks", lambda gap: {"gap_seconds_max": {"upload": gap}}, 60, 60.1),
    ("longest gap between xml-import checks", lambda gap: {"gap_seconds_max": {"xml-import": gap}}, 60, 60.1),
    ("longest gap in polling_state", lambda gap: {"gap_seconds_max": {"polling_state": gap}}, 60, 60.1),
    ("longest gap between sync cycles", lambda gap: {"gap_seconds_max": {"sync": gap}}, 240, 240.1),
    ("an order takes at most", lambda s: {"latency_ms_max": s * 1000}, 120, 120.1),
    ("an order takes at most", lambda s: {"oldest_pending_seconds_max": s}, 120, 120.1),
    ("steps that fail", lambda n: {"steps": {"upload": 1000}, "errors": {"upload": n}}, 9, 10),
    ("connections at most", lambda n: {"connections_max": n}, 9, 10),
    ("ERROR lines in the log", lambda n: {"error_lines": n}, 0, 1),
    ("429 answers of ShipStation", lambda n: {"api_calls": {"429 GET /orders": n}}, 0, 1),
    ("orders missed", lambda n: {"missed": n}, 0, 1),
    ("orders missed", lambda s: {"oldest_pending_seconds_max": s}, 120, 121),
]


def beats(workflow: str, skips: int) -> dict[str, int]:
    return {f"{workflow} heartbeat skip": skips, f"{workflow} heartbeat process": 100 - skips}


@pytest.mark.parametrize(("name", "figures", "good", "bad"), LIMITS)
def test_a_criterion_holds_up_to_its_limit(
    name: str, figures: Callable[[Any], dict[str, Any]], good: Any, bad: Any
) -> None:
    assert line(name, minutes=every(figures(good))).verdict is OK
    assert line(name, minutes=every(figures(bad))).verdict is NOT_MET


def test_the_busiest_hour_counts() -> None:
    name, others = "API calls in the busiest hour", 59
    for n, verdict in ((199, OK), (200, NOT_MET)):
        found = line(name, minutes=minutes(api_calls={"200 GET /orders": n - others}))
        assert (found.measured, found.verdict) == (str(n), verdict)


def test_one_bad_minute_in_the_middle_is_enough() -> None:
    for figures in ({"error_lines": 1}, {"missed": 1}, {"connections_max": 11}, {"latency_ms_max": 121_000.0}):
        assert NOT_MET in {each.verdict for each in criteria(2, evidence(minutes=minutes(**figures)))}


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("upload heartbeats that skip", {"checks": {}}),
        ("upload check on average", {"checks": {}}),
        ("longest gap between upload checks", {"gap_seconds_max": {}}),
        ("longest gap between sync cycles", {"gap_seconds_max": {}}),
        ("an order takes at most", {"latencies": {}}),
        ("steps that fail", {"steps": {}}),
        ("connections at most", {"connections_max": 0}),
    ],
)
def test_what_was_not_seen_is_neither_good_nor_bad(name: str, figures: dict[str, Any]) -> None:
    assert line(name, minutes=every(figures)).verdict is NO_DATA


def test_both_skip_rates_are_told_and_the_heartbeats_decides() -> None:
    checks = {"upload heartbeat skip": 99, "upload heartbeat process": 1, "upload notify process": 300}
    found = line("upload heartbeats that skip", minutes=every({"checks": checks}))
    assert (found.verdict, found.measured, found.note) == (OK, "99.0% of 12,000", "of all checks: 24.8% of 48,000")


def test_the_first_stage_wants_orders_in_half_a_minute() -> None:
    slow = every({"latency_ms_max": 31_000.0})
    assert line("an order takes at most", stage=1, minutes=slow).verdict is NOT_MET
    assert line("an order takes at most", stage=2, minutes=slow).verdict is OK


def test_what_a_heartbeat_found_may_have_waited_since_the_look_before() -> None:
    figures = {
        "checks": {"upload heartbeat process": 1},
        "latency_ms_max": 80_000.0,
        "gap_seconds_max": {"upload": 50.0},
    }
    found = line("an order takes at most", minutes=every(figures))
    assert (found.verdict, found.measured) == (NOT_MET, "2 min")
    assert found.note.endswith("a heartbeat found some, up to 50.0 s after their commit")


def test_flags_and_workflows_must_be_as_the_stage_has_them() -> None:
    assert line("fast_polling_interval", flags=Flags(fast_polling_interval=30)).verdict is NOT_MET
    assert line("sync_interval", flags=Flags(sync_interval=300)).verdict is NOT_MET
    assert line("fast_polling_enabled", flags=Flags(fast_polling_enabled=False)).verdict is NOT_MET
    refused = line("sync_interval", refused=frozenset({"sync_interval"}))
    assert (refused.verdict, refused.measured) == (NOT_MET, "120")
    paused = line(IMPORT, switches={IMPORT: False})
    assert (paused.verdict, paused.note) == (NOT_MET, f"`listener resume {IMPORT}`")
    running = line(SYNC, stage=1, switches={})
    assert (running.verdict, running.measured, running.note) == (NOT_MET, "on", f"`listener pause {SYNC}`")


def test_a_change_that_a_heartbeat_saw_counts_from_the_look_before() -> None:
    change = LastChange("sync_interval", "120", "180", "heartbeat", 0.001)
    found = line("last flag change in force", last_change=change)
    assert (found.verdict, found.measured) == (OK, "<= 15.2 s")
    slow = every({"gap_seconds_max": {"polling_state": 60.0}})
    assert line("last flag change in force", last_change=change, minutes=slow).verdict is NOT_MET
    late = change._replace(source="notify", seconds=60.5)
    assert line("last flag change in force", last_change=late).verdict is NOT_MET
    assert line("last flag change in force", last_change=None).verdict is NO_DATA


def test_orders_that_are_there_twice_are_named() -> None:
    found = line("orders uploaded twice", twice=["A-1", "A-2"])
    assert (found.verdict, found.measured, found.note) == (NOT_MET, "2", "A-1, A-2")


def test_stability_is_of_the_whole_time_and_a_lost_minute_is_seen() -> None:
    days = Window(UNTIL - timedelta(hours=48), UNTIL, UNTIL - timedelta(days=9))
    whole = minutes(48 * 60)
    found = line("minutes with figures", minutes=whole, window=days)
    assert (found.verdict, found.measured, found.note) == (OK, "100.0% of 2,880", "")
    found = line("minutes with figures", minutes=whole[:100] + whole[114:], window=days)
    assert (found.verdict, found.measured) == (OK, "99.5% of 2,880")
    assert found.note == "the longest time without: 14 min from 2026-03-02 11:40 UTC"
    assert line("minutes with figures", minutes=whole[:100] + whole[115:], window=days).verdict is NOT_MET
    assert line("minutes with figures", minutes=whole[:-15], window=days).verdict is NOT_MET, "it does not run any more"


def test_a_listener_that_has_not_run_for_long_enough_has_too_little_data() -> None:
    window = Window(UNTIL - timedelta(hours=48), UNTIL, UNTIL - timedelta(hours=HOURS))
    found = line("minutes with figures", window=window)
    assert (found.verdict, found.measured) == (NO_DATA, "2.0 of 48.0 h so far")


def test_the_plan_watches_two_days_and_three() -> None:
    assert STAGE_HOURS == {1: 48, 2: 72}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00041, "0.41 ms"), (0.02, "20 ms"), (1.26, "1.3 s"), (119.9, "119.9 s"), (780, "13 min")]
)
def test_a_time_is_told_as_people_read_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
