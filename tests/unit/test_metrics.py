"""The counters: the METRICS lines, and the snapshot that /status.json serves."""

import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener import metrics as module
from listener.events import Source
from listener.flags import Flags
from listener.metrics import LATENCIES_KEPT, Metrics
from listener.minutes import Figures


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def check(metrics: Metrics, workflow: str = "upload", **changed: Any) -> None:
    values: dict[str, Any] = {"exists": False, "count": 0, "duration_ms": 1.0, "action": "skip", "source": "heartbeat"}
    metrics.check(workflow, **(values | changed))


def test_a_check_logs_the_line_that_grep_and_awk_look_for(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check(metrics, exists=True, count=3, duration_ms=0.412, action="process", source=Source.NOTIFY)
    check(metrics, "xml-import", duration_ms=2.1)
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "listener.metrics",
            "INFO",
            "METRICS: workflow=upload exists=True count=3 duration_ms=0.41 action=process source=notify",
        ),
        (
            "listener.metrics",
            "INFO",
            "METRICS: workflow=xml-import exists=False count=0 duration_ms=2.10 action=skip source=heartbeat",
        ),
    ]


UNKNOWN_WORKFLOW = {
    "enabled": True,
    "state": None,
    "checks": 0,
    "skips": 0,
    "skip_rate": 0,
    "processed": 0,
    "errors": 0,
    "check_ms_avg": 0,
    "last_run_at": None,
    "next_due_at": None,
    "backoff_until": None,
    "progress": None,
    "last_error": None,
    "last_error_at": None,
}


def test_what_is_not_known_yet_is_zero_null_or_empty(metrics: Metrics) -> None:
    snapshot = metrics.snapshot()
    assert datetime.fromisoformat(snapshot.pop("started_at")).utcoffset() is not None
    flags = snapshot.pop("flags")
    assert (flags["fast_polling_enabled"], flags["fast_polling_interval"], flags["idle_policy"]) == (
        True,
        15,
        "always_on",
    )
    assert snapshot == {
        "role": "standby",
        "leader": None,
        "listening": False,
        "deaf": False,
        "degraded": [],
        "pending": 0,
        "oldest_pending_seconds": 0,
        "held_back": 0,
        "workflows": dict.fromkeys(["shipstation-upload", "xml-import", "unified-shipstation-sync"], UNKNOWN_WORKFLOW),
        "wakes": dict.fromkeys(["notify", "heartbeat", "startup", "reconnect", "retry", "manual"], 0),
        "missed_notifications": 0,
        "api_budget": {"used_last_hour": 0, "limit": 0, "waiting_seconds": 0},
        "mirror": {"full": False, "orders": 0, "age_seconds": None},
        "recent": {
            "heartbeat_checks": 0,
            "heartbeat_skips": 0,
            "check_ms_avg": None,
            "steps": 0,
            "errors": 0,
            "error_lines": 0,
            "missed": 0,
            "api_calls_throttled": 0,
            "order_latency_ms_max": 0,
        },
        "order_latency_ms": {"p50": None, "p99": None, "n": 0},
        "db_connections": 0,
        "version": "1.2.3",
    }


def test_checks_are_counted_by_workflow_with_their_rate_and_average(metrics: Metrics) -> None:
    for action, duration_ms in (("skip", 1.0), ("process", 2.0), ("skip", 3.0), ("error", 4.0)):
        check(metrics, action=action, duration_ms=duration_ms)
    check(metrics, "xml-import", action="process", duration_ms=7)
    workflows = metrics.snapshot()["workflows"]
    upload, imports = workflows["shipstation-upload"], workflows["xml-import"]
    assert (upload["checks"], upload["skips"], upload["skip_rate"], upload["check_ms_avg"]) == (4, 2, 0.5, 2.5)
    assert (imports["checks"], imports["skips"], imports["skip_rate"], imports["check_ms_avg"]) == (1, 0, 0, 7)


def test_a_failed_step_is_counted_once_though_its_check_failed_too(metrics: Metrics) -> None:
    check(metrics, action="error")
    metrics.error("upload", "no answer")
    assert metrics.snapshot()["workflows"]["shipstation-upload"]["errors"] == 1


def test_the_last_error_of_a_workflow_stays_when_it_goes_on(metrics: Metrics) -> None:
    assert metrics.snapshot()["workflows"]["shipstation-upload"]["last_error"] is None
    metrics.error("upload", "the first")
    metrics.error("upload", "the last")
    metrics.processed("upload")
    upload = metrics.snapshot()["workflows"]["shipstation-upload"]
    assert upload["last_error"] == "the last"
    assert datetime.fromisoformat(upload["last_error_at"]).tzinfo is not None


def test_a_workflow_goes_by_either_of_its_names(metrics: Metrics) -> None:
    metrics.processed("upload", 2)
    metrics.processed("shipstation-upload")
    metrics.error("sync", "no answer")
    workflows = metrics.snapshot()["workflows"]
    assert workflows["shipstation-upload"]["processed"] == 3
    assert workflows["unified-shipstation-sync"]["errors"] == 1


@pytest.mark.parametrize("source", list(Source))
def test_wakes_are_counted_by_source(metrics: Metrics, source: Source) -> None:
    metrics.wake(source)
    metrics.wake(source.value)
    assert metrics.snapshot()["wakes"][source.value] == 2


def test_a_wake_that_nobody_knows_is_a_bug(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="whim"):
        metrics.wake("whim")


def test_missed_notifications_are_counted(metrics: Metrics) -> None:
    metrics.missed()
    assert metrics.snapshot()["missed_notifications"] == 1


def test_what_is_set_is_served(metrics: Metrics) -> None:
    metrics.set(role="leader", degraded=["deaf"], flags=Flags(sync_interval=180), api_used_last_hour=7, api_limit=200)
    metrics.set(api_waiting_seconds=12.5, mirror_full=True, mirror_orders=9)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    metrics.set_workflow("xml-import", enabled=False, state="disabled", next_due_at=at)
    snapshot = metrics.snapshot()
    assert (snapshot["role"], snapshot["degraded"], snapshot["flags"]["sync_interval"]) == ("leader", ["deaf"], 180)
    assert snapshot["api_budget"] == {"used_last_hour": 7, "limit": 200, "waiting_seconds": 12.5}
    assert snapshot["mirror"] == {"full": True, "orders": 9, "age_seconds": None}
    imports = snapshot["workflows"]["xml-import"]
    assert (imports["enabled"], imports["state"]) == (False, "disabled")
    assert imports["next_due_at"] == "2026-01-02T03:04:05+00:00"


def test_a_field_that_is_none_is_a_bug(metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="no such field: rolle"):
        metrics.set(rolle="leader")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        metrics.set_workflow("upload", stat="asleep")  # type: ignore[call-arg]


def test_percentiles_are_by_nearest_rank(metrics: Metrics) -> None:
    for ms in (30, 10, 20):
        metrics.order_latency(ms)
    assert metrics.snapshot()["order_latency_ms"] == {"p50": 20, "p99": 30, "n": 3}
    for ms in range(200, 3, -1):
        metrics.order_latency(ms)
    assert metrics.snapshot()["order_latency_ms"] == {"p50": 100, "p99": 198, "n": 200}


def test_one_latency_is_every_percentile(metrics: Metrics) -> None:
    metrics.order_latency(3.14159)
    assert metrics.snapshot()["order_latency_ms"] == {"p50": 3.142, "p99": 3.142, "n": 1}


def test_percentiles_are_of_the_latest_orders_and_n_is_of_all(metrics: Metrics) -> None:
    for ms in [1000] * LATENCIES_KEPT + [1] * LATENCIES_KEPT:
        metrics.order_latency(ms)
    assert metrics.snapshot()["order_latency_ms"] == {"p50": 1, "p99": 1, "n": 2 * LATENCIES_KEPT}


def test_a_snapshot_stays_as_it_was_taken(metrics: Metrics) -> None:
    degraded = ["deaf"]
    metrics.set(degraded=degraded)
    before = metrics.snapshot()
    text = json.dumps(before)
    degraded.append("muted")
    metrics.wake("notify")
    metrics.set_workflow("upload", state="asleep")
    assert json.dumps(before) == text


def test_threads_that_count_at_once_lose_nothing(metrics: Metrics) -> None:
    def count() -> None:
        for _ in range(500):
            check(metrics)
            metrics.wake("notify")
            metrics.processed("upload")

    logging.getLogger("listener.metrics").disabled = True
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        logging.getLogger("listener.metrics").disabled = False
    upload = metrics.snapshot()["workflows"]["shipstation-upload"]
    assert (upload["checks"], upload["processed"], metrics.snapshot()["wakes"]["notify"]) == (2000, 2000, 2000)


def test_the_snapshot_is_json_with_instants_in_utc(metrics: Metrics) -> None:
    text = json.dumps(metrics.snapshot(), allow_nan=False)
    assert re.search(r'"started_at": "\d{4}-\d\d-\d\dT[\d:.]+\+00:00"', text)


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_minute_holds_all_that_was_counted_in_it() -> None:
    now = NOON
    metrics = Metrics("1", "listener p work", lambda: now)
    metrics.set(role="leader", pending=7, db_connections=5, oldest_pending_seconds=2.5)
    metrics.set(pending=3, db_connections=4, oldest_pending_seconds=0.0, mirror_fresh_at=now - timedelta(seconds=40))
    for source, action, ms in (("heartbeat", "skip", 0.4), ("notify", "process", 3.0), ("retry", "error", 9.0)):
        check(metrics, source=source, action=action, duration_ms=ms)
        now += timedelta(seconds=10)
    metrics.moved_polling_state()
    metrics.tick()
    metrics.step("xml-import")
    metrics.error("xml-import", "no such folder")
    metrics.processed("upload", 2)
    metrics.wake(Source.NOTIFY)
    metrics.missed()
    metrics.error_line()
    metrics.api_call("GET /orders", 200)
    metrics.api_call("GET /orders", None)
    metrics.config_change("refused")
    metrics.order_latency(12.5)
    metrics.order_latency(900_000.0)
    now += timedelta(seconds=30)
    (minute,) = metrics.unwritten_minutes()
    assert (minute.minute, minute.process) == (NOON, "listener p work")
    assert (minute.first_at, minute.last_at) == (
        {"upload": 0, "polling_state": 30},
        {"upload": 10, "polling_state": 30},
    )
    assert minute.figures == Figures(
        checks={"upload heartbeat skip": 1, "upload notify process": 1, "upload retry error": 1},
        check_ms={"upload": 12.4},
        check_ms_max={"upload": 9.0},
        check_times={"upload 0.5": 1, "upload 5": 1, "upload 10": 1},
        gap_seconds_max={"upload": 10},
        steps={"xml-import": 1},
        errors={"xml-import": 1},
        processed={"upload": 2},
        wakes={"notify": 1},
        api_calls={"200 GET /orders": 1, "none GET /orders": 1},
        config_changes={"refused": 1},
        latencies={"15": 1, "inf": 1},
        latency_ms=900_012.5,
        latency_ms_max=900_000,
        missed=1,
        error_lines=1,
        pending_max=7,
        oldest_pending_seconds_max=2.5,
        connections_max=5,
        mirror_age_seconds_max=70,
    )


def test_a_standby_has_no_minutes() -> None:
    now = NOON
    metrics = Metrics("1", clock=lambda: now)
    metrics.tick()
    now += timedelta(minutes=5)
    assert metrics.unwritten_minutes(at_end=True) == []


def test_a_minute_waits_until_it_is_known_to_be_written(metrics: Metrics) -> None:
    metrics.set(role="leader")
    minutes = metrics.unwritten_minutes(at_end=True)
    assert len(minutes) == 1
    assert metrics.unwritten_minutes() == minutes
    metrics.minutes_written(minutes)
    assert metrics.unwritten_minutes() == []


def test_what_colours_the_page_is_of_the_last_quarter_of_an_hour() -> None:
    now = NOON
    metrics = Metrics("1", clock=lambda: now)
    metrics.set(role="leader")
    check(metrics, duration_ms=99, action="process")
    metrics.api_call("GET /orders", 429)
    metrics.api_call("GET /orders", 200)
    assert metrics.snapshot()["recent"]["api_calls_throttled"] == 1
    now += timedelta(minutes=10)
    check(metrics, duration_ms=1, action="skip")
    check(metrics, duration_ms=2, action="skip", source="notify")
    assert metrics.snapshot()["recent"]["check_ms_avg"] == 34
    now += timedelta(minutes=10)
    assert metrics.snapshot()["recent"] == {
        "heartbeat_checks": 1,
        "heartbeat_skips": 1,
        "check_ms_avg": 1.5,
        "steps": 0,
        "errors": 0,
        "error_lines": 0,
        "missed": 0,
        "api_calls_throttled": 0,
        "order_latency_ms_max": 0,
    }
    assert metrics.snapshot()["workflows"]["shipstation-upload"]["checks"] == 3


def test_the_age_of_the_mirror_grows() -> None:
    now = NOON
    metrics = Metrics("1", clock=lambda: now)
    metrics.set(mirror_fresh_at=now)
    now += timedelta(seconds=90)
    assert metrics.snapshot()["mirror"]["age_seconds"] == 90


def test_times_of_orders_are_sorted_when_there_is_another_one(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_times: list[int] = []
    sort = module.percentiles
    monkeypatch.setattr(module, "percentiles", lambda times: sorted_times.append(len(times)) or sort(times))
    for ms in (5.0, 1.0):
        metrics.order_latency(ms)
        assert [metrics.snapshot()["order_latency_ms"]["p50"] for _ in range(3)] == [ms] * 3
    assert sorted_times == [1, 2]
