"""The colour of a snapshot, and the words for it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from listener.flags import Flags
from listener.health import FEW, LIMITS, Colour, colour_of, unready_reasons
from listener.metrics import Metrics

GREEN, AMBER, RED = Colour.GREEN, Colour.AMBER, Colour.RED


def snapshot(*, upload: str = "asleep", recent: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A leader that is well, but for what is said otherwise."""
    metrics = Metrics("1")
    metrics.set(**{"role": "leader", "listening": True, "api_limit": 200, **fields})  # type: ignore[typeddict-item]
    metrics.set_workflow("upload", state=upload)
    body = metrics.snapshot()
    body["recent"] |= recent or {}
    return body


def steps(errors: int, steps: int) -> dict[str, int]:
    return {"errors": errors, "steps": steps}


def beats(skips: int, checks: int) -> dict[str, int]:
    return {"heartbeat_skips": skips, "heartbeat_checks": checks}


SLOW_PACE = replace(Flags(), fast_polling_enabled=False)
RAISED = {"flags": Flags(api_calls_per_hour=1000), "api_limit": 1000}

LEVELS = [
    ({"oldest_pending_seconds": 30.0}, GREEN, ""),
    ({"oldest_pending_seconds": 31.0}, AMBER, "the oldest due order waits for 31 s"),
    ({"oldest_pending_seconds": 60.0}, AMBER, "the oldest due order waits for 60 s"),
    ({"oldest_pending_seconds": 61.0}, RED, "the oldest due order waits for 61 s"),
    ({"oldest_pending_seconds": 599.0, "flags": SLOW_PACE}, GREEN, ""),
    ({"oldest_pending_seconds": 601.0, "flags": SLOW_PACE}, RED, "the oldest due order waits for 601 s"),
    ({"recent": {"api_calls_throttled": 1}}, RED, "ShipStation throttled 1 calls in the last quarter of an hour"),
    ({"recent": steps(1, FEW - 1)}, GREEN, ""),
    ({"recent": steps(1, 100)}, GREEN, ""),
    ({"recent": steps(2, 100)}, AMBER, "2.0% of the steps fail"),
    ({"recent": steps(5, 100)}, AMBER, "5.0% of the steps fail"),
    ({"recent": steps(6, 100)}, RED, "6.0% of the steps fail"),
    ({"recent": {"check_ms_avg": 10.0}}, GREEN, ""),
    ({"recent": {"check_ms_avg": 10.1}}, AMBER, "a check takes 10.1 ms on average"),
    ({"recent": {"check_ms_avg": 50.1}}, RED, "a check takes 50.1 ms on average"),
    ({"recent": beats(0, FEW - 1)}, GREEN, ""),
    ({"recent": beats(80, 100)}, GREEN, ""),
    ({"recent": beats(79, 100)}, AMBER, "21% of the heartbeats find work that no bell announced"),
    ({"recent": beats(49, 100)}, RED, "51% of the heartbeats find work that no bell announced"),
    ({"db_connections": 9}, GREEN, ""),
    ({"db_connections": 10}, AMBER, "the database has 10 connections"),
    ({"db_connections": 16}, RED, "the database has 16 connections"),
    ({"api_used_last_hour": 199}, GREEN, ""),
    ({"api_used_last_hour": 200}, AMBER, "200 API calls were made in the last hour"),
    ({"api_used_last_hour": 251}, RED, "251 API calls were made in the last hour"),
    ({"api_used_last_hour": 999, **RAISED}, GREEN, ""),
    ({"api_used_last_hour": 1001, **RAISED}, RED, "1001 API calls were made in the last hour"),
    ({"api_used_last_hour": 9, "api_limit": 0}, GREEN, ""),
    ({"recent": {"order_latency_ms_max": 30_000.0}}, GREEN, ""),
    ({"recent": {"order_latency_ms_max": 31_000.0}}, AMBER, "an order took 31 s"),
    ({"recent": {"missed": 1}}, AMBER, "1 notifications were missed"),
    ({"recent": {"error_lines": 2}}, AMBER, "the log has 2 new lines of level ERROR"),
]


@pytest.mark.parametrize(("given", "colour", "reason"), LEVELS)
def test_a_figure_has_its_colour_and_its_sentence(given: dict[str, Any], colour: Colour, reason: str) -> None:
    assert colour_of(snapshot(**given)) == (colour, (reason,) if reason else ())


def test_every_limit_is_tried_at_its_edges() -> None:
    for limit in LIMITS:
        pattern = "".join(re.escape(text) if i % 2 == 0 else "[0-9.]+%?" for i, text in enumerate(split(limit.says)))
        assert [reason for _, _, reason in LEVELS if re.fullmatch(pattern, reason)], limit.says


def split(template: str) -> list[str]:
    return re.split(r"(\{[^}]*\})", template)


@pytest.mark.parametrize(
    ("fields", "colour"),
    [
        ({"degraded": ["triggers missing"]}, AMBER),
        ({"degraded": ["not listening"], "listening": False}, AMBER),
        ({"degraded": ["deaf"], "deaf": True}, AMBER),
        ({"degraded": ["deaf"], "deaf": True, "flags": SLOW_PACE}, RED),
        ({"degraded": ["held"], "upload": "held"}, RED),
        ({"degraded": ["no work session"], "upload": "lost", "role": "standby"}, RED),
        ({"degraded": ["not listening"], "listening": False, "role": "standby"}, RED),
    ],
)
def test_what_is_degraded_is_amber_and_red_when_no_order_can_move(fields: dict[str, Any], colour: Colour) -> None:
    given = snapshot(**fields)
    assert colour_of(given) == (colour, tuple(given["degraded"]))


def test_a_standby_that_listens_is_green() -> None:
    assert colour_of(snapshot(role="standby", upload="standby")) == (GREEN, ())


def test_a_process_that_has_just_begun_is_red_until_it_is_connected() -> None:
    assert colour_of(Metrics("1").snapshot()) == (RED, ("there is no connection to the database yet",))


def test_the_gravest_reason_comes_first() -> None:
    given = snapshot(degraded=["triggers missing"], db_connections=12, oldest_pending_seconds=99.0)
    assert colour_of(given) == (
        RED,
        ("the oldest due order waits for 99 s", "the database has 12 connections", "triggers missing"),
    )


@pytest.mark.parametrize("interval", [1, 15, 60, 3600])
def test_a_leader_that_is_not_ready_is_not_green(interval: int) -> None:
    flags = Flags(fast_polling_interval=interval)
    for oldest in (2 * interval, 2 * interval + 0.5):
        given = snapshot(flags=flags, oldest_pending_seconds=oldest)
        assert (colour_of(given)[0] is GREEN) is (list(unready_reasons(given)) == [])
