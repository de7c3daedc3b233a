"""/metrics: what a scrape gets, and that the rules and the dashboard ask for nothing else."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import REGISTRY

from listener.events import Source
from listener.metrics import Metrics
from listener.status.prometheus import Exporter

DEPLOY = Path(__file__).parents[2] / "scripts" / "deploy"
NAME = re.compile(r"\b(?:listener|process)_[a-z_]+\b")
PROCESS = {"process_resident_memory_bytes"}  # Linux alone has it


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def scrape(metrics: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(Exporter(metrics).text().decode())}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    values = {
        sample.value
        for family in scrape(metrics).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }
    assert len(values) <= 1, f"{name} {labels} stands for several series"
    return values.pop() if values else None


def check(metrics: Metrics, ms: float, action: str = "skip") -> None:
    metrics.checked("upload", ms, action, Source.HEARTBEAT)


def test_a_figure_is_what_status_json_says(metrics: Metrics) -> None:
    metrics.set(role="leader", listening=True, pending=3, oldest_pending_seconds=1.5, held_back=2, db_connections=5)
    metrics.set(api_used_last_hour=7, api_limit=200, api_waiting_seconds=0.5, mirror_orders=9, mirror_full=True)
    metrics.set(degraded=["a", "b"], deaf=True, mirror_fresh_at=datetime.now(UTC) - timedelta(seconds=90))
    metrics.set_workflow("upload", enabled=False, backoff_until=datetime.now(UTC))
    expected = {
        "leader": 1,
        "listening": 1,
        "deaf": 1,
        "degraded_reasons": 2,
        "pending_orders": 3,
        "oldest_pending_seconds": 1.5,
        "held_back_orders": 2,
        "db_connections": 5,
        "api_calls_last_hour": 7,
        "api_calls_limit": 200,
        "api_waiting_seconds": 0.5,
        "mirror_orders": 9,
        "mirror_full": 1,
    }
    assert {name: value(metrics, f"listener_{name}") for name in expected} == expected
    assert value(metrics, "listener_mirror_age_seconds") == pytest.approx(90, abs=5)
    assert value(metrics, "listener_build_info", version="1.2.3") == 1
    assert value(metrics, "listener_workflow_enabled", workflow="upload") == 0
    assert value(metrics, "listener_workflow_backing_off", workflow="upload") == 1
    assert value(metrics, "listener_workflow_enabled", workflow="sync") == 1


def test_what_is_counted_is_a_counter(metrics: Metrics) -> None:
    check(metrics, 1)
    metrics.wake("notify")
    metrics.step("upload")
    metrics.error("upload", "no answer")
    metrics.processed("xml-import", 4)
    metrics.missed()
    metrics.error_line()
    metrics.config_change("refused")
    metrics.api_call("GET /orders", 200)
    metrics.api_call("GET /orders", 429)
    metrics.api_call("POST /orders/createorders", None)
    counted = {
        ("checks", "workflow=upload source=heartbeat action=skip"): 1,
        ("wakes", "source=notify"): 1,
        ("steps", "workflow=upload"): 1,
        ("step_errors", "workflow=upload"): 1,
        ("processed_orders", "workflow=xml-import"): 4,
        ("missed_notifications", ""): 1,
        ("log_errors", ""): 1,
        ("config_changes", "verdict=refused"): 1,
        ("api_calls", "status=429"): 1,
        ("api_calls", "status=none"): 1,
        ("api_calls_throttled", ""): 1,
    }
    for (name, labels), n in counted.items():
        given = dict(label.split("=") for label in labels.split())
        assert value(metrics, f"listener_{name}_total", **given) == n, name
    assert value(metrics, "listener_api_calls_total", endpoint="POST /orders/createorders") == 1


def test_a_counter_goes_on_from_minute_to_minute() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    metrics = Metrics("1", clock=lambda: now)
    metrics.set(role="leader")
    for _ in range(3):
        metrics.wake("notify")
        now += timedelta(minutes=1)
    assert value(metrics, "listener_wakes_total", source="notify") == 3


def test_counters_are_there_before_anything_happens(metrics: Metrics) -> None:
    samples = [sample for family in scrape(metrics).values() for sample in family.samples]
    totals = [sample for sample in samples if sample.name.startswith("listener_") and sample.name.endswith("_total")]
    assert {sample.value for sample in totals} == {0}
    assert len([sample for sample in totals if sample.name == "listener_checks_total"]) == 3 * 6 * 3
    assert {sample.name for sample in totals} == {
        f"listener_{name}_total"
        for name in (
            *("wakes", "checks", "steps", "step_errors", "processed_orders", "config_changes"),
            *("missed_notifications", "api_calls_throttled", "log_errors"),
        )
    }


def test_a_histogram_counts_upwards_in_seconds(metrics: Metrics) -> None:
    for ms in (0.2, 0.7, 49.0, 20_000.0):
        check(metrics, ms)
    metrics.order_latency(29_000.0)
    bucket = "listener_check_duration_seconds_bucket"
    expected = {"0.0002": 1, "0.0005": 1, "0.001": 2, "0.01": 2, "0.05": 3, "15": 3, "+Inf": 4}
    assert {bound: value(metrics, bucket, workflow="upload", le=bound) for bound in expected} == expected
    assert value(metrics, "listener_check_duration_seconds_sum", workflow="upload") == pytest.approx(20.0499)
    assert value(metrics, "listener_check_duration_seconds_count", workflow="upload") == 4
    assert value(metrics, "listener_check_duration_seconds_count", workflow="sync") == 0
    latency = {le: value(metrics, "listener_order_latency_seconds_bucket", le=le) for le in ("20", "30", "+Inf")}
    assert latency == {"20": 0, "30": 1, "+Inf": 1}
    assert value(metrics, "listener_order_latency_seconds_sum") == 29


def test_one_colour_is_on(metrics: Metrics) -> None:
    assert value(metrics, "listener_health", colour="red") == 1
    metrics.set(listening=True)
    colours = {colour: value(metrics, "listener_health", colour=colour) for colour in ("green", "amber", "red")}
    assert colours == {"green": 1, "amber": 0, "red": 0}


def test_an_age_that_is_not_known_is_left_out(metrics: Metrics) -> None:
    assert value(metrics, "listener_mirror_age_seconds") is None


def test_what_stands_in_a_label_can_forge_no_line(metrics: Metrics) -> None:
    metrics.api_call('GET "\n# HELP listener_forged x\nlistener_forged 1', 200)
    assert "listener_forged" not in scrape(metrics)


def test_the_librarys_own_registry_stays_as_it_was(metrics: Metrics) -> None:
    before = set(REGISTRY._names_to_collectors)
    Exporter(metrics).text()
    assert set(REGISTRY._names_to_collectors) == before


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((DEPLOY / "grafana.json").read_text())["panels"])


def names(metrics: Metrics) -> set[str]:
    metrics.set(mirror_fresh_at=datetime.now(UTC))
    metrics.api_call("GET /orders", 200)
    return {sample.name for family in scrape(metrics).values() for sample in family.samples} | PROCESS


def test_every_rule_asks_for_what_is_exported_and_says_what_it_is_about(metrics: Metrics) -> None:
    exported = names(metrics)
    assert len(rules()) > 10
    for rule in rules():
        asked = set(NAME.findall(rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= exported, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"]


def test_every_query_of_the_dashboard_asks_for_what_is_exported(metrics: Metrics) -> None:
    exported = names(metrics)
    queries = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    assert len(queries) > 20
    for title, query in queries:
        asked = set(NAME.findall(query))
        assert asked, title
        assert asked <= exported, title


def test_every_label_that_is_asked_for_is_exported(metrics: Metrics) -> None:
    names(metrics)
    labels = {
        (sample.name, name, text)
        for family in scrape(metrics).values()
        for sample in family.samples
        for name, text in sample.labels.items()
    }
    for query in (*(rule["expr"] for rule in rules()), *queries()):
        for name, matchers in re.findall(r"(listener_[a-z_]+)\{([^}]*)\}", query):
            for label, text in re.findall(r'(\w+)="([^"]*)"', matchers):
                assert (name, label, text) in labels, query


def queries() -> Iterator[str]:
    return (target["expr"] for panel in panels() for target in panel["targets"])


def test_the_panels_of_the_dashboard_do_not_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in panels()}) == len(panels())
