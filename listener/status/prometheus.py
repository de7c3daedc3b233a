"""/metrics: the counters in Prometheus' text format, with names and units as its conventions want them.

Nothing is counted here: each answer is made from `Metrics` when it is asked for. A counter is there with 0 before
anything happens, because a rate of Prometheus does not see a series that begins with 1.
Sources: Prometheus, "Metric and label naming", "Writing exporters".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from listener.events import Source
from listener.health import Colour, colour_of
from listener.metrics import Metrics
from listener.minutes import CHECK_BOUNDS_MS, LATENCY_BOUNDS_MS, Figures, Numbers, bucket
from listener.snapshot import CONTROL_NAMES

__all__ = ["CONTENT_TYPE", "Exporter"]

ACTIONS = ("process", "skip", "error")
VERDICTS = ("accepted", "refused")


class Exporter(Collector):
    """The metrics of one process, in a registry of their own."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return the answer to a scrape."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; named so by the library."""
        snapshot, totals = self._metrics.snapshot(), self._metrics.totals()
        yield InfoMetricFamily("listener_build", "The running version.", {"version": snapshot["version"]})
        yield from _gauges(snapshot)
        yield from _workflow_gauges(snapshot["workflows"])
        yield from _counters(totals)
        yield from _histograms(totals)


def _gauges(snapshot: dict[str, Any]) -> Iterator[Metric]:
    budget, mirror, colour = snapshot["api_budget"], snapshot["mirror"], colour_of(snapshot)[0]
    health = GaugeMetricFamily("listener_health", "1 for the colour that it has.", labels=["colour"])
    for each in Colour:
        health.add_metric([each], each is colour)
    yield health
    gauges: dict[str, tuple[str, float | None]] = {
        "leader": ("Whether this process leads.", snapshot["role"] == "leader"),
        "listening": ("Whether LISTEN is in force.", snapshot["listening"]),
        "deaf": ("Whether LISTEN is not heard on this host.", snapshot["deaf"]),
        "degraded_reasons": ("What does not work as it should.", len(snapshot["degraded"])),
        "pending_orders": ("Orders that wait for their upload.", snapshot["pending"]),
        "oldest_pending_seconds": ("How long the oldest due order has been known.", snapshot["oldest_pending_seconds"]),
        "held_back_orders": ("Orders that are held back for their age.", snapshot["held_back"]),
        "db_connections": ("Connections to the database, everybody's.", snapshot["db_connections"]),
        "api_calls_last_hour": ("Calls of ShipStation in the last hour, of all processes.", budget["used_last_hour"]),
        "api_calls_limit": ("Calls of ShipStation that may be made in an hour.", budget["limit"]),
        "api_waiting_seconds": ("Time until a call that is wanted may be made.", budget["waiting_seconds"]),
        "mirror_orders": ("Orders that ShipStation is known to have.", mirror["orders"]),
        "mirror_full": ("Whether the first reading of them has come to its end.", mirror["full"]),
        "mirror_age_seconds": ("Time since they were last read to the end.", mirror["age_seconds"]),
    }
    for name, (words, value) in gauges.items():
        if value is not None:
            yield GaugeMetricFamily(f"listener_{name}", words, value)


def _workflow_gauges(workflows: dict[str, Any]) -> Iterator[Metric]:
    gauges: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
        "enabled": ("Whether the workflow is switched on.", lambda workflow: workflow["enabled"]),
        "backing_off": ("Whether it waits after an error.", lambda workflow: workflow["backoff_until"] is not None),
    }
    for name, (words, measure) in gauges.items():
        family = GaugeMetricFamily(f"listener_workflow_{name}", words, labels=["workflow"])
        for line_name, control_name in CONTROL_NAMES.items():
            family.add_metric([line_name], measure(workflows[control_name]))
        yield family


def _counters(totals: Figures) -> Iterator[Metric]:
    every_check = [" ".join(parts) for parts in product(CONTROL_NAMES, Source, ACTIONS)]
    yield _counter("wakes", "Why a pass woke.", ["source"], totals.wakes, Source)
    yield _counter("checks", "Checks.", ["workflow", "source", "action"], totals.checks, every_check)
    yield _counter("steps", "Steps of a workflow, heartbeats among them.", ["workflow"], totals.steps, CONTROL_NAMES)
    yield _counter("step_errors", "Steps that failed.", ["workflow"], totals.errors, CONTROL_NAMES)
    yield _counter(
        "processed_orders", "Orders that a workflow finished.", ["workflow"], totals.processed, CONTROL_NAMES
    )
    yield _counter("api_calls", "Calls of ShipStation, by HTTP status.", ["status", "endpoint"], totals.api_calls)
    yield _counter("config_changes", "Changes of flags.", ["verdict"], totals.config_changes, VERDICTS)
    for name, words, value in (
        ("missed_notifications", "Orders that a heartbeat found and no bell announced.", totals.missed),
        ("api_calls_throttled", "Calls that ShipStation answered with 429.", totals.calls("429")),
        ("log_errors", "Lines of level ERROR in the log.", totals.error_lines),
    ):
        yield CounterMetricFamily(f"listener_{name}", words, value)


def _counter(name: str, words: str, labels: Sequence[str], values: Numbers, known: Iterable[str] = ()) -> Metric:
    family = CounterMetricFamily(f"listener_{name}", words, labels=labels)
    for parts, value in (dict.fromkeys(known, 0.0) | values).items():
        family.add_metric(parts.split(" ", len(labels) - 1), value)
    return family


def _histograms(totals: Figures) -> Iterator[Metric]:
    checks = HistogramMetricFamily("listener_check_duration_seconds", "How long a check took.", labels=["workflow"])
    for workflow in CONTROL_NAMES:
        times = {name.split(" ")[1]: n for name, n in totals.check_times.items() if name.split(" ")[0] == workflow}
        seconds = totals.check_ms.get(workflow, 0.0) / 1000
        checks.add_metric([workflow], list(_buckets(times, CHECK_BOUNDS_MS)), seconds)
    yield checks
    latency = HistogramMetricFamily("listener_order_latency_seconds", "From an order's first sight to its acceptance.")
    latency.add_metric([], list(_buckets(totals.latencies, LATENCY_BOUNDS_MS)), totals.latency_ms / 1000)
    yield latency


def _buckets(counted: Numbers, bounds_ms: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yield (upper bound in seconds, how many were at most that)."""
    seen = 0.0
    for bound in (*bounds_ms, inf):
        seen += counted.get(bucket(bound, bounds_ms), 0)
        yield "+Inf" if bound == inf else f"{bound / 1000:g}", seen
