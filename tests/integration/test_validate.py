"""`listener validate` on a real database: what it asks, how it says it, and how it ends."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from listener.cli import group
from listener.database import Connection
from listener.minutes import Figures, Minute
from listener.store.minutes import keep_minutes
from listener.store.rollout import last_change, read_window, uploaded_twice
from tests.support.shop import set_flag, switch

HOURS = 1


@pytest.fixture
def db(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def proven(db: Connection) -> Connection:
    """A database in which a listener has run well at stage 1 for more than an hour."""
    for workflow in ("xml-import", "unified-shipstation-sync"):
        switch(db, workflow, on=False)
    db.execute(
        "insert into listener.config_log (parameter_name, old_value, new_value, verdict, source, seen_at, in_force_at)"
        " values ('sync_interval', '120', '180', 'accepted', 'notify', now(), now() + interval '0.4 ms')"
    )
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    keep_minutes(db, [minute(now - timedelta(minutes=ago)) for ago in range(60 * HOURS + 5, 0, -1)])
    return db


def minute(at: datetime, **changed: Any) -> Minute:
    figures: dict[str, Any] = {
        "checks": {"upload heartbeat skip": 4, "upload notify process": 1},
        "check_ms": {"upload": 2.5},
        "check_ms_max": {"upload": 0.9},
        "gap_seconds_max": {"upload": 15.1, "polling_state": 15.1},
        "steps": {"upload": 4},
        "latencies": {"10": 1},
        "latency_ms_max": 8.0,
        "api_calls": {"200 POST /orders/createorders": 1},
        "connections_max": 5,
    }
    return Minute(at, "p", Figures(**figures | changed))


def validate(dsn: str, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["validate", *arguments], env={"DATABASE_URL": dsn})


def test_a_stage_that_is_met_ends_with_0(proven: Connection, dsn: str) -> None:
    result = validate(dsn, "--stage", "1", "--hours", str(HOURS))
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("stage 1, ")
    assert lines[-1] == "stage 1 is met"
    assert "ok       upload heartbeats that skip        > 80%     100.0% of 240" in lines
    assert "           of all checks: 80.0% of 300" in lines
    assert not [line for line in lines if len(line) > 80]


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (
            "update configuration_params set value = 'soon' where parameter_name = 'fast_polling_interval'",
            "not met  fast_polling_interval              15        15",
        ),
        (
            "update workflow_controls set enabled = true where workflow_name = 'xml-import'",
            "not met  xml-import                         off       on",
        ),
        (
            "update listener.minutes set error_lines = 2 where minute = (select max(minute) - interval '9 minutes'"
            " from listener.minutes)",
            "not met  ERROR lines in the log             none      2",
        ),
        (
            "delete from listener.minutes where minute > now() - interval '20 minutes'",
            "not met  minutes with figures               >= 99.5%  ",
        ),
        ("delete from listener.config_log", "no data  last flag change in force          <= 60 s   none was made yet"),
    ],
)
def test_one_that_is_not_ends_with_1_and_names_the_line(proven: Connection, dsn: str, harm: str, line: str) -> None:
    proven.execute(harm.encode())
    result = validate(dsn, "--stage", "1", "--hours", str(HOURS))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    (named,) = [text for text in lines if text.startswith(("not met", "no data"))]
    assert named.startswith(line)
    assert lines[-1].startswith("stage 1 is not met: 1 of ")


def test_too_little_to_judge_by_is_not_met(proven: Connection, db: Connection, dsn: str) -> None:
    result = validate(dsn, "--stage", "1")
    assert result.exit_code == 1
    assert "no data  minutes with figures               >= 99.5%  1.1 of 48.0 h so far" in result.stdout
    db.execute("delete from listener.minutes")
    assert validate(dsn, "--stage", "2").exit_code == 1


def test_json_says_the_same(proven: Connection, dsn: str) -> None:
    result = validate(dsn, "--stage", "1", "--hours", str(HOURS), "--json")
    body = json.loads(result.stdout)
    assert (result.exit_code, body["stage"], body["met"]) == (0, 1, True)
    since, until = (datetime.fromisoformat(body[name]) for name in ("since", "until"))
    assert until - since == timedelta(hours=HOURS)
    assert {
        "name": "connections at most",
        "target": "< 10",
        "measured": "5",
        "verdict": "ok",
        "note": "",
    } in body["criteria"]


def test_the_window_ends_with_the_last_minute_that_must_have_been_written(db: Connection) -> None:
    row = db.execute("select now()").fetchone()
    assert row is not None
    window = read_window(db, 48)
    assert window.until - window.since == timedelta(hours=48)
    assert window.until.second == 0
    assert timedelta(seconds=29) < row[0] - window.until < timedelta(seconds=92)
    assert window.first is None
    keep_minutes(db, [minute(window.since - timedelta(days=1)), minute(window.until)])
    assert read_window(db, 48).first == window.since - timedelta(days=1)


def test_an_order_is_there_twice_when_two_live_and_one_was_made_lately(db: Connection) -> None:
    insert = (
        "insert into listener.mirror (shipstation_order_id, order_key, order_number, status, created_at, modified_at,"
        " merged_into) values (%s, %s, %s, %s, now() - %s * interval '1 hour', now(), %s)"
    )
    ledger = (
        "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key)"
        " values (%s, 1, %s, 'accepted', %s)"
    )
    there = {
        "TWICE": [("awaiting_shipment", 1, None), ("shipped", 90, None)],
        "ONCE": [("awaiting_shipment", 1, None)],
        "CANCELLED": [("cancelled", 2, None), ("awaiting_shipment", 1, None)],
        "MERGED": [("shipped", 2, "x"), ("shipped", 1, None)],
        "LONG-AGO": [("shipped", 60, None), ("shipped", 55, None)],
        "NOT-OURS": [("shipped", 2, None), ("shipped", 1, None)],
    }
    for number, orders in there.items():
        if number != "NOT-OURS":
            db.execute(ledger, [number, number, f"listener-{number}"])
        for i, (status, hours, merged_into) in enumerate(orders):
            db.execute(insert, [f"{number} {i}", number, number, status, hours, merged_into])
    assert uploaded_twice(db, datetime.now(UTC) - timedelta(hours=48)) == ["TWICE"]


def test_the_last_change_is_the_last_that_was_taken(db: Connection) -> None:
    assert last_change(db) is None
    set_flag(db, "sync_interval", "180")
    for new, verdict in (("180", "accepted"), ("soon", "refused")):
        db.execute(
            "insert into listener.config_log"
            " (parameter_name, old_value, new_value, verdict, source, seen_at, in_force_at)"
            " values ('sync_interval', '120', %s, %s, 'heartbeat', now() - interval '2 s', now())",
            [new, verdict],
        )
    assert last_change(db) == ("sync_interval", "120", "180", "heartbeat", 2.0)


def test_without_the_tables_it_says_what_to_do(empty_dsn: str) -> None:
    result = validate(empty_dsn, "--stage", "1")
    assert result.exit_code == 1
    assert "run `listener install`" in str(result.exception)


@pytest.mark.parametrize("arguments", [[], ["--stage", "3"], ["--stage", "1", "--hours", "0"]])
def test_what_cannot_be_asked_is_refused(dsn: str, arguments: list[str]) -> None:
    assert validate(dsn, *arguments).exit_code == 2
