"""`explain`, `failed`, `requeue` on a real database: what they read, what they write, and how they end."""

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import make_conninfo

from listener.cli import orders
from listener.errors import Fatal
from listener.locks import LEADER_KEY
from listener.store.config import LOCAL_SETTINGS_SQL
from tests.support.bell import Connection, hearing, holding
from tests.support.shop import insert_order, row_of, set_flag, switch, value_of
from tests.support.wait import eventually

CANCELLED = "cancelled at ShipStation as 123"


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def run(dsn: str, command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": dsn})


def answer(dsn: str, command: click.Command, *arguments: str) -> str:
    result = run(dsn, command, *arguments)
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stderr == ""
    return result.stdout


def refusal(dsn: str, *arguments: str) -> str:
    """Return the line on stderr of a `requeue` of one order that is refused."""
    result = run(dsn, orders.requeue, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("listener: ")


def fault(dsn: str, command: click.Command, *arguments: str) -> Fatal:
    """Return the fault that a command ends with; the command line shows its one sentence on stderr."""
    result = run(dsn, command, *arguments)
    assert isinstance(result.exception, Fatal)
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return result.exception


def told(dsn: str, number: str) -> str:
    """Return the whole answer of `explain` on one line."""
    return " ".join(answer(dsn, orders.explain, number).split())


def story(dsn: str, number: str) -> dict[str, Any]:
    return json.loads(answer(dsn, orders.explain, number, "--json"))


def write_ledger(shop: Connection, number: str, state: str, **columns: Any) -> None:
    row_id = value_of(shop, "select id from orders_inbox where order_number = %s", number)
    values = {
        "order_key": number.strip(" ").upper(),
        "order_inbox_id": row_id,
        "order_number": number,
        "state": state,
        "shipstation_key": f"listener-{number.strip(' ').upper()}",
    } | columns
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    shop.execute(f"insert into listener.ledger ({names}) values ({places})".encode(), list(values.values()))


def write_mirror(shop: Connection, number: str, order_id: str, status: str, merged_into: str | None = None) -> None:
    shop.execute(
        "insert into listener.mirror (shipstation_order_id, order_key, order_number, status, created_at, modified_at,"
        " merged_into) values (%s, upper(%s), %s, %s, now(), now(), %s)",
        [order_id, number, number, status, merged_into],
    )


WAITING_REQUEUES = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name = 'listener requeue' and wait_event_type = 'Lock'
"""


def fail(shop: Connection, number: str, reason: str, **columns: Any) -> None:
    """Make an order one that was given up."""
    insert_order(shop, number)
    set_row(shop, number, "failed", reason=reason)
    settled = {
        "attempts": 5,
        "looks": 2,
        "batch_limit": 1,
        "error": reason,
        "row_written": True,
        "row_status": "failed",
    }
    write_ledger(shop, number, "rejected", **settled | {"settled_at": "2026-01-02 03:04:05Z"} | columns)


def set_row(shop: Connection, number: str, status: str, order_id: str | None = None, reason: str | None = None) -> None:
    shop.execute(
        "update orders_inbox set status = %s, shipstation_order_id = %s, failure_reason = %s where order_number = %s",
        [status, order_id, reason, number],
    )


def ledger_of(shop: Connection, number: str, columns: str) -> tuple[Any, ...]:
    row = shop.execute(f"select {columns} from listener.ledger where order_key = %s".encode(), [number]).fetchone()
    assert row is not None
    return row


def requeues(shop: Connection) -> list[tuple[Any, ...]]:
    return shop.execute('select order_key, "by" from listener.requeues order by id').fetchall()


def dump(shop: Connection) -> list[Any]:
    """Return all that a requeue may write."""
    tables = ("orders_inbox", "listener.ledger", "listener.history", "listener.requeues")
    return [shop.execute(f"select * from {table} order by 1".encode()).fetchall() for table in tables]


# explain


def test_an_order_that_nobody_knows_ends_with_4_and_one_line(dsn: str) -> None:
    unknown = fault(dsn, orders.explain, "no\x1b[2Jsuch")
    assert str(unknown).startswith("order no\\x1b[2Jsuch is unknown: it is not in orders_inbox")
    assert unknown.exit_code == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", ["", "  ", "no\0body", "\udcff", "x" * 5000, "'; drop table orders_inbox; --"])
def test_whatever_is_typed_as_a_number_is_an_order_that_is_unknown(dsn: str, number: str) -> None:
    assert "is unknown" in str(fault(dsn, orders.explain, number))


def test_an_unknown_order_as_json_is_said_to_be_so(dsn: str) -> None:
    result = run(dsn, orders.explain, "nobody", "--json")
    assert isinstance(result.exception, orders.UnknownOrder)
    assert json.loads(result.stdout) == {"order_number": "nobody", "known": False}


@pytest.mark.parametrize("spelling", ["Ab-1", "AB-1", "  ab-1 "])
def test_an_order_is_found_in_any_spelling(shop: Connection, dsn: str, spelling: str) -> None:
    insert_order(shop, " aB-1")
    assert told(dsn, spelling).startswith("Order aB-1 is due: no listener leads at the moment.")


def test_a_due_order_says_that_it_is_sent_at_once_when_somebody_leads(shop: Connection, dsn: str) -> None:
    insert_order(shop, "D-1")
    with holding(dsn, LEADER_KEY):
        assert told(dsn, "D-1").startswith("Order D-1 is due: the listener sends it as soon as it looks.")
    shop.execute("update listener.leader set lease_until = now() + interval '1 minute'")
    assert told(dsn, "D-1").startswith("Order D-1 is due: the listener sends it as soon as it looks.")
    shop.execute("update listener.leader set lease_until = now() - interval '1 minute'")
    assert told(dsn, "D-1").startswith("Order D-1 is due: no listener leads at the moment.")


def test_an_empty_budget_and_a_pause_are_named(shop: Connection, dsn: str) -> None:
    insert_order(shop, "D-1")
    set_flag(shop, "api_calls_per_hour", "10")
    shop.execute("update listener.budget set tokens = 0, refilled_at = clock_timestamp()")
    assert "it waits for the API budget (0 of 10 calls left, next in 12 min)" in told(dsn, "D-1")
    shop.execute("update listener.budget set refilled_at = clock_timestamp() - interval '721 s'")
    assert "budget" not in told(dsn, "D-1")
    switch(shop, "shipstation-upload", on=False)
    assert "the upload is paused by system" in told(dsn, "D-1")
    switch(shop, "shipstation-upload", on=True)
    assert "paused" not in told(dsn, "D-1")


def test_without_workflow_controls_the_upload_counts_as_on(shop: Connection, dsn: str) -> None:
    insert_order(shop, "D-1")
    shop.execute("drop table workflow_controls")
    assert told(dsn, "D-1").startswith("Order D-1 is due: no listener leads at the moment.")


def test_the_session_that_has_the_row_locked_is_named_and_only_while_it_has(shop: Connection, dsn: str) -> None:
    insert_order(shop, "L-1")
    insert_order(shop, "L-2")
    with psycopg.connect(make_conninfo(dsn, application_name="clean-up job")) as locker:
        locker.execute("select from orders_inbox where order_number = 'L-1' for update")
        pid = locker.info.backend_pid
        assert f"its row is locked by pid {pid} (clean-up job, since 2" in told(dsn, "L-1")
        assert "locked" not in told(dsn, "L-2")
        with psycopg.connect(dsn) as stranger:
            stranger.execute("insert into sync_watermark (workflow_name, last_sync_timestamp) values ('x', 'x')")
            locker.rollback()
            assert "locked" not in told(dsn, "L-1"), "neither has it"


def test_several_sessions_that_share_a_lock_are_all_named(shop: Connection, dsn: str) -> None:
    row_id = insert_order(shop, "L-1")
    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as other:
        one.execute("select from orders_inbox for share")
        with other.transaction():  # a savepoint has a transaction id of its own, and holds the lock by it
            other.execute("select from orders_inbox for share")
            sessions = {one.info.backend_pid, other.info.backend_pid}
            text = told(dsn, "L-1")
            assert all(f"its row is locked by pid {pid}" in text for pid in sessions)
    assert "locked" not in told(dsn, "L-1")
    assert row_id


def test_the_timeline_has_what_every_table_knows_in_the_order_of_time(shop: Connection, dsn: str) -> None:
    insert_order(shop, "T-1")
    shop.execute("update orders_inbox set created_at = '2026-01-01'")
    write_ledger(shop, "T-1", "sending", epoch=1)
    shop.execute("update listener.ledger set state = 'accepted', shipstation_order_id = '77', settled_at = now()")
    write_mirror(shop, "T-1", "77", "awaiting_shipment")
    import_id = value_of(
        shop,
        "insert into listener.imports (source, file_id, revision, name, status)"
        " values ('folder', 'a', '1', 'orders.xml', 'imported') returning id",
    )
    shop.execute("insert into listener.imported_orders (order_key, import_id) values ('T-1', %s)", [import_id])
    shop.execute(
        "insert into listener.quarantine (import_id, line, order_number, reason) values (%s, 12, 't-1 ', 'no SKU')",
        [import_id],
    )
    shop.execute(
        "insert into listener.conflicts (order_key, kind, shipstation_order_ids)"
        " values ('T-1', 'several orders', '{77,78}')"
    )
    shop.execute(
        "insert into listener.sync_failures (kind, id, order_number, error, next_try)"
        " values ('apply', '77', ' t-1', 'its row is locked', now())"
    )
    assert "is not shown here yet: its row is locked" in answer(dsn, orders.explain, "T-1")
    events = [event["what"] for event in story(dsn, "T-1")["timeline"]]
    assert events[0].startswith("row ")
    assert events.index("is being sent") < events.index("is at ShipStation") < events.index("imported from orders.xml")
    assert {
        "refused in orders.xml, line 12: no SKU",
        "ShipStation: order 77 is awaiting_shipment",
        "several orders: 77, 78",
    } <= set(events)
    lines = answer(dsn, orders.explain, "T-1").splitlines()
    times = [datetime.fromisoformat(line.split()[0]) for line in lines if line.startswith("20")]
    assert times == sorted(times)
    assert len(times) == len(events)
    assert {time.utcoffset() for time in times} == {timedelta(0)}


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "insert into shipped_orders (ship_date, order_number, shipstation_order_id)"
            " values ('2026-01-02', 'e-1', '7')",
            "was shipped on 2026-01-02 as 7",
        ),
        (
            "insert into listener.mirror (shipstation_order_id, order_key, order_number, status, created_at,"
            " modified_at) values ('9', 'E-1', 'E-1', 'on_hold', now(), now())",
            "is not in orders_inbox: it was made at ShipStation, not by us, as 9 (on_hold)",
        ),
        (
            "insert into listener.imported_orders (order_key) values ('E-1')",
            "was imported from a file on 2",
        ),
        (
            "with file as (insert into listener.imports (source, file_id, revision, name, status)"
            " values ('folder', 'a', '1', 'orders.xml', 'imported') returning id)"
            " insert into listener.quarantine (import_id, line, order_number, reason)"
            " select id, 3, 'E-1', 'no SKU' from file",
            "stands in orders.xml, line 3, and was not imported: no SKU",
        ),
        (
            "insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key,"
            " shipstation_order_id, row_written) values ('E-1', 5, 'E-1', 'adopted', 'k', '77', true)",
            "was not sent by us: ShipStation had it already as 77 (adopted)",
        ),
    ],
)
def test_an_order_without_a_row_is_known_by_whatever_else_has_its_number(
    shop: Connection, dsn: str, statement: str, sentence: str
) -> None:
    shop.execute(statement.encode())
    assert told(dsn, "e-1").startswith(f"Order e-1 {sentence}") or told(dsn, "e-1").startswith(f"Order E-1 {sentence}")


def test_a_row_whose_number_the_shop_changed_is_named(shop: Connection, dsn: str) -> None:
    insert_order(shop, "N-1")
    write_ledger(shop, "N-1", "accepted", shipstation_order_id="77", row_written=True)
    shop.execute("update orders_inbox set order_number = 'N-2'")
    assert "Its row bears the number N-2 now." in told(dsn, "N-1")


def test_an_order_that_was_merged_has_the_status_of_the_one_it_became_part_of(shop: Connection, dsn: str) -> None:
    write_mirror(shop, "M-1", "7", "cancelled", merged_into="8")
    assert [remote["status"] for remote in story(dsn, "M-1")["shipstation"]] == ["merged"]
    write_mirror(shop, "M-2", "8", "on_hold")
    assert [remote["status"] for remote in story(dsn, "M-1")["shipstation"]] == ["on_hold"]


def test_no_line_is_wider_than_80_and_a_command_is_on_one_line(shop: Connection, dsn: str) -> None:
    number = "an order with blanks"
    fail(shop, number, "words " * 60 + "``" * 3 + "\ue000 \ue001" + "x" * 200 + "\x1b[2J\u202e\n")
    for output in (answer(dsn, orders.explain, number), answer(dsn, orders.failed)):
        assert max(map(len, output.splitlines())) <= 80
        assert f"`listener requeue '{number}'`" in output
        assert "\\x1b[2J\\u202e\\n" in "".join(output.split())
        assert not set(output) & {"\x1b", "\u202e"}


def test_the_story_as_json_has_rows_and_ledger_and_aware_times(shop: Connection, dsn: str) -> None:
    row_id = insert_order(shop, "J-1")
    write_ledger(shop, "J-1", "waiting", not_before="2026-01-02 03:04:05Z", attempts=1)
    body = story(dsn, "J-1")
    assert (body["order_number"], body["known"], body["state"]) == ("J-1", True, "due")
    assert (body["rows"][0]["id"], body["rows"][0]["items"]) == (row_id, 1)
    assert body["ledger"]["not_before"] == "2026-01-02T03:04:05.000+00:00"
    assert all(datetime.fromisoformat(event["at"]).utcoffset() == timedelta(0) for event in body["timeline"])


def test_explain_and_failed_write_nothing_and_wait_for_no_row(shop: Connection, dsn: str) -> None:
    fail(shop, "F-1", "bad")
    before = dump(shop)
    with psycopg.connect(dsn) as locker:
        locker.execute("select from orders_inbox for update")
        locker.execute("select from listener.ledger for update")
        answer(dsn, orders.explain, "F-1")
        answer(dsn, orders.failed)
    assert dump(shop) == before


# failed


def test_without_failed_orders_the_list_says_so(shop: Connection, dsn: str) -> None:
    insert_order(shop, "OK-1")
    assert answer(dsn, orders.failed) == "no order has failed or is held back\n"
    assert json.loads(answer(dsn, orders.failed, "--json")) == []


def test_orders_that_gave_up_or_are_held_back_are_listed_newest_first_with_what_to_do(
    shop: Connection, dsn: str
) -> None:
    fail(shop, "F-1", "the zone is unknown", settled_at="2026-01-03 00:00Z")
    fail(shop, "C-1", CANCELLED, settled_at="2026-01-02 00:00Z", attempts=0)
    insert_order(shop, "H-1")
    held = "held back: 20 days old, max_order_age_days is 14"
    write_ledger(shop, "H-1", "held_back", error=held, settled_at="2026-01-04 00:00Z")
    insert_order(shop, "X-1", status="failed")
    shop.execute(
        "update orders_inbox set failure_reason = 'same number as row 3', updated_at = '2020-01-01'"
        " where order_number = 'X-1'"
    )
    assert answer(dsn, orders.failed).splitlines() == [
        "number  since                 tries  state",
        "H-1     2026-01-04T00:00:00Z      0  held back",
        "    20 days old, max_order_age_days is 14",
        "    `listener requeue H-1` sends it",
        "F-1     2026-01-03T00:00:00Z      5  failed",
        "    the zone is unknown",
        "    `listener requeue F-1` tries again",
        "C-1     2026-01-02T00:00:00Z      0  failed",
        "    cancelled at ShipStation as 123",
        "    `listener requeue --again C-1` makes a new order there",
        f"X-1     {value_of(shop, UTC_OF_2020)}      0  failed",
        "    same number as row 3",
        "    give its row a number of its own, or delete it",
    ]
    body = json.loads(answer(dsn, orders.failed, "--json", "--limit", "1"))
    assert body == [
        {
            "row_id": value_of(shop, "select id from orders_inbox where order_number = 'H-1'"),
            "order_number": "H-1",
            "state": "held back",
            "since": "2026-01-04T00:00:00.000+00:00",
            "attempts": 0,
            "reason": "20 days old, max_order_age_days is 14",
            "todo": "`listener requeue H-1` sends it",
        }
    ]


UTC_OF_2020 = """select to_char(timestamp '2020-01-01' at time zone current_setting('TimeZone') at time zone 'UTC',
                                'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


def test_the_list_can_be_cut_and_says_what_it_left_out(shop: Connection, dsn: str) -> None:
    for n in range(3):
        fail(shop, f"F-{n}", "bad", settled_at=f"2026-01-0{n + 1}")
    lines = answer(dsn, orders.failed, "--limit", "2").splitlines()
    assert [line.split()[0] for line in lines if line.startswith("F-")] == ["F-2", "F-1"]
    assert lines[-1] == "the newest 2 of 3; --limit shows more"


def test_what_the_shop_has_set_back_cancelled_or_cleaned_up_is_no_failed_order(shop: Connection, dsn: str) -> None:
    for number, status in (("F-1", "awaiting_shipment"), ("F-2", "cancelled"), ("F-3", "failed")):
        fail(shop, number, "bad")
        set_row(shop, number, status)
    shop.execute("delete from order_items_inbox; delete from orders_inbox where order_number = 'F-3'")
    insert_order(shop, "H-1", status="on_hold")
    write_ledger(shop, "H-1", "held_back")
    assert "no order" in answer(dsn, orders.failed)


def test_an_order_that_failed_and_whose_row_could_not_be_written_yet_is_listed(shop: Connection, dsn: str) -> None:
    fail(shop, "F-1", "bad", row_written=False)
    set_row(shop, "F-1", "awaiting_shipment")
    (order,) = json.loads(answer(dsn, orders.failed, "--json"))
    assert (order["order_number"], order["state"], order["reason"]) == ("F-1", "failed", "bad")


def test_a_long_number_does_not_widen_the_table(shop: Connection, dsn: str) -> None:
    number = "N" * 70
    fail(shop, number, "the order number is longer than 50 characters")
    output = answer(dsn, orders.failed)
    assert f"\n{'N' * 31}…  2026" in output
    assert f"`listener requeue {number}`" in output


# requeue


def test_a_held_back_order_is_due_whatever_its_age(shop: Connection, dsn: str) -> None:
    insert_order(shop, "H-1")
    write_ledger(shop, "H-1", "held_back", settled_at="2026-01-01")
    assert answer(dsn, orders.requeue, "h-1", "--by", "alex") == (
        "order H-1 is held back no more: it is sent at once, whatever its age\n"
    )
    columns = "state, not_before <= now(), requeued_at is not null, settled_at, attempts, error"
    assert ledger_of(shop, "H-1", columns) == ("waiting", True, True, None, 0, "requeued by alex")
    assert row_of(shop, "H-1") == ("awaiting_shipment", None, None)
    assert requeues(shop) == [("H-1", "alex")]
    assert value_of(shop, "select note from listener.history order by id desc limit 1") == "requeued by alex"


def test_a_failed_order_starts_over(shop: Connection, dsn: str) -> None:
    fail(shop, "F-1", "bad", first_seen_at="2026-01-01", shipstation_order_id=None)
    shop.execute("update orders_inbox set updated_at = '2001-01-01'")
    answer(dsn, orders.requeue, "F-1")
    columns = (
        "state, not_before <= now(), requeued_at is not null, settled_at, attempts, looks, batch_limit, row_status,"
        " row_written, again, shipstation_key, first_seen_at > now() - interval '1 minute'"
    )
    wanted = ("waiting", True, True, None, 0, 0, None, None, False, 1, "listener-F-1", True)
    assert ledger_of(shop, "F-1", columns) == wanted
    assert row_of(shop, "F-1") == ("awaiting_shipment", None, None)
    assert value_of(shop, "select updated_at > localtimestamp - interval '1 minute' from orders_inbox")


def test_a_waiting_order_is_tried_now_and_keeps_its_count(shop: Connection, dsn: str) -> None:
    insert_order(shop, "W-1")
    write_ledger(shop, "W-1", "waiting", attempts=3, looks=1, not_before="2126-01-01", first_seen_at="2026-01-01")
    answer(dsn, orders.requeue, "W-1")
    columns = "state, not_before <= now(), attempts, looks, requeued_at is not null, first_seen_at < '2026-01-02'"
    assert ledger_of(shop, "W-1", columns) == ("waiting", True, 3, 1, True, True)


def test_an_order_in_doubt_is_looked_up_now_and_stays_in_doubt_about_the_same(shop: Connection, dsn: str) -> None:
    insert_order(shop, "U-1")
    write_ledger(shop, "U-1", "unknown", doubt="locked there", error="it is shipped", not_before="2126-01-01")
    assert "it is looked up at ShipStation now" in answer(dsn, orders.requeue, "U-1")
    columns = "state, doubt, error, not_before <= now(), requeued_at"
    assert ledger_of(shop, "U-1", columns) == ("unknown", "locked there", "it is shipped", True, None)
    assert [key for key, _ in requeues(shop)] == ["U-1"]


def test_an_order_that_is_being_sent_is_left_alone(shop: Connection, dsn: str) -> None:
    insert_order(shop, "S-1")
    write_ledger(shop, "S-1", "sending", epoch=0)
    before = dump(shop)
    with holding(dsn, LEADER_KEY):
        assert "is being sent at this moment: nothing to do" in answer(dsn, orders.requeue, "S-1")
    assert dump(shop) == before


def test_a_due_order_is_rung_for_and_its_age_counts_no_more(shop: Connection, dsn: str) -> None:
    insert_order(shop, "D-1")
    with hearing(dsn, "orders_inbox") as bell, hearing(dsn, "configuration_params") as flags:
        assert "is due, whatever its age: the listener is rung" in answer(dsn, orders.requeue, " d-1", "--by", "alex")
        assert bell.heard() == [""]
        assert [json.loads(payload) for payload in flags.heard()] == [{"requeued": True}]
    assert requeues(shop) == [("D-1", "alex")]
    assert ledger_of(shop, "D-1", "state, requeued_at is not null, not_before <= now()") == ("waiting", True, True)
    assert row_of(shop, "D-1") == ("awaiting_shipment", None, None)


def test_a_failed_row_that_the_ledger_does_not_know_is_pending_again(shop: Connection, dsn: str) -> None:
    insert_order(shop, "R-1", status="failed")
    assert "is awaiting_shipment again" in answer(dsn, orders.requeue, "R-1")
    assert row_of(shop, "R-1")[0] == "awaiting_shipment"
    assert ledger_of(shop, "R-1", "state, requeued_at is not null") == ("waiting", True)


def test_an_order_that_was_cancelled_there_gets_a_new_key_only_when_told_so(shop: Connection, dsn: str) -> None:
    fail(shop, "C-1", CANCELLED, shipstation_order_id="123")
    before = dump(shop)
    assert "`requeue --again` makes a new order" in refusal(dsn, "C-1")
    assert dump(shop) == before
    answer(dsn, orders.requeue, "C-1", "--again")
    columns = "state, again, shipstation_key, shipstation_order_id, attempts"
    assert ledger_of(shop, "C-1", columns) == ("waiting", 2, "listener-C-1~2", None, 0)
    assert row_of(shop, "C-1") == ("awaiting_shipment", None, None)


@pytest.mark.parametrize("state", ["accepted", "adopted"])
def test_an_order_that_is_there_is_made_again_only_when_the_mirror_has_it_cancelled(
    shop: Connection, dsn: str, state: str
) -> None:
    insert_order(shop, "A-1")
    set_row(shop, "A-1", "uploaded", "77")
    write_ledger(shop, "A-1", state, shipstation_order_id="77", row_status="uploaded", row_written=True)
    before = dump(shop)
    assert refusal(dsn, "A-1") == "order A-1 is at ShipStation as 77: nothing to do"
    assert "not known to be cancelled there" in refusal(dsn, "A-1", "--again")
    write_mirror(shop, "A-1", "77", "awaiting_shipment")
    assert "not known to be cancelled there" in refusal(dsn, "A-1", "--again")
    shop.execute("update listener.mirror set status = 'cancelled'")
    assert "`requeue --again` makes a new order" in refusal(dsn, "A-1")
    shop.execute("update listener.mirror set merged_into = '78'")
    assert "not known to be cancelled there" in refusal(dsn, "A-1", "--again")
    assert dump(shop) == before
    shop.execute("update listener.mirror set merged_into = null")
    answer(dsn, orders.requeue, "A-1", "--again")
    columns = "state, again, shipstation_key, shipstation_order_id, row_status, row_written"
    assert ledger_of(shop, "A-1", columns) == ("waiting", 2, "listener-A-1~2", None, None, False)
    assert row_of(shop, "A-1") == ("awaiting_shipment", None, None)


@pytest.mark.parametrize(
    ("state", "status", "sentence"),
    [
        ("excluded", "synced_manual", "is a manual order (its number matched the flag manual_order_pattern)"),
        ("waiting", "cancelled", "is not sent: its row says cancelled"),
        (None, "on_hold", "is not sent: its row says on_hold"),
    ],
)
def test_an_order_that_is_not_to_be_sent_is_refused_and_nothing_is_written(
    shop: Connection, dsn: str, state: str | None, status: str, sentence: str
) -> None:
    insert_order(shop, "X-1", status=status)
    if state:
        write_ledger(shop, "X-1", state)
    before = dump(shop)
    assert refusal(dsn, "X-1").startswith(f"order X-1 {sentence}")
    assert dump(shop) == before


def test_an_order_whose_row_was_cleaned_up_is_refused(shop: Connection, dsn: str) -> None:
    fail(shop, "G-1", "bad")
    shop.execute("delete from order_items_inbox; delete from orders_inbox")
    assert "has no row in orders_inbox any more" in refusal(dsn, "G-1")


def test_of_several_orders_those_that_can_be_are_requeued_each_once_and_the_code_is_1(
    shop: Connection, dsn: str
) -> None:
    insert_order(shop, "D-1")
    insert_order(shop, "D-2")
    result = run(dsn, orders.requeue, "D-1", "nobody", "d-1", "D-2", "--by", "alex")
    assert result.exit_code == 1
    assert result.stderr == (
        "listener: order nobody is unknown: no row of orders_inbox has this number; look at how it is written\n"
    )
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["D-1", "D-2"]
    assert requeues(shop) == [("D-1", "alex"), ("D-2", "alex")]


def test_a_requeue_as_json_says_what_became_of_each(shop: Connection, dsn: str) -> None:
    insert_order(shop, "D-1")
    result = run(dsn, orders.requeue, "D-1", "no\x1bbody", "--json")
    assert result.exit_code == 1
    assert [(o["order_number"], o["done"], o["step"]) for o in json.loads(result.stdout)] == [
        ("D-1", True, "admit"),
        ("no\x1bbody", False, "refuse"),
    ]
    assert result.stderr.startswith("listener: order no\\x1bbody is unknown")


def test_a_row_that_the_shops_own_rules_refuse_is_one_line_and_the_others_go(shop: Connection, dsn: str) -> None:
    fail(shop, "F-1", "bad")
    fail(shop, "F-2", "bad")
    shop.execute("""
        create function no_way_back() returns trigger language plpgsql as
        $$ begin raise exception 'once failed, always failed' using detail = 'line two'; end $$;
        create trigger no_way_back before update on orders_inbox for each row
        when (old.order_number = 'F-1' and new.status = 'awaiting_shipment') execute function no_way_back()
    """)
    result = run(dsn, orders.requeue, "F-1", "F-2")
    assert result.exit_code == 1
    assert result.stderr == (
        "listener: order F-1 could not be requeued, the database refused: once failed, always failed\n"
    )
    assert ledger_of(shop, "F-1", "state, error") == ("rejected", "bad")
    assert [key for key, _ in requeues(shop)] == ["F-2"]


@pytest.mark.parametrize("table", ["orders_inbox", "listener.ledger"])
def test_a_row_that_somebody_holds_locked_is_waited_for_a_while_only(
    shop: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    fail(shop, "F-1", "bad")
    monkeypatch.setattr("listener.store.config.LOCAL_SETTINGS_SQL", LOCAL_SETTINGS_SQL.replace("5s", "10ms"))
    with psycopg.connect(dsn) as locker:
        locker.execute(f"select from {table} for update".encode())
        assert "is locked by another session" in refusal(dsn, "F-1")
    answer(dsn, orders.requeue, "F-1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "update listener.ledger set state = 'accepted', shipstation_order_id = '77'",
            "order F-1 is at ShipStation as 77: nothing to do",
        ),
        ("update orders_inbox set status = 'cancelled'", "order F-1 is not sent: its row says cancelled"),
    ],
)
def test_what_happens_to_an_order_while_a_requeue_waits_for_its_lock_counts(
    shop: Connection, dsn: str, change: str, sentence: str
) -> None:
    fail(shop, "F-1", "bad")
    name = value_of(shop, "select current_database()")  # its defaults are not ours
    shop.execute(f'alter database "{name}" set default_transaction_isolation = serializable'.encode())
    with psycopg.connect(dsn) as locker, ThreadPoolExecutor(1) as other:
        locker.execute(change.encode())
        refused = other.submit(refusal, dsn, "F-1")
        eventually(lambda: value_of(shop, WAITING_REQUEUES) or refused.done())
        locker.commit()
        assert refused.result().startswith(sentence)


# all three


ASKED = [(orders.explain, "1"), (orders.failed, "--json"), (orders.requeue, "1")]


@pytest.mark.parametrize(("command", "argument"), ASKED)
def test_a_database_without_our_tables_is_a_sentence_that_names_install(
    production_dsn: str, command: click.Command, argument: str
) -> None:
    result = run(production_dsn, command, argument)
    assert isinstance(result.exception, Fatal)
    assert "listener install" in str(result.exception)


@pytest.mark.parametrize(("command", "argument"), ASKED)
def test_a_database_that_does_not_answer_is_one_line_without_its_password(
    command: click.Command, argument: str
) -> None:
    text = str(fault("postgresql://shop:hunter2@127.0.0.1:1/shop", command, argument))
    assert "does not answer" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("command", [orders.explain, orders.failed, orders.requeue])
def test_every_help_has_an_example(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert (result.exit_code, f"Example: listener {command.name} " in result.output) == (0, True)
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_command_that_failed_names_is_one_that_requeue_takes(shop: Connection, dsn: str) -> None:
    for number in ("it's one", "-5"):
        fail(shop, number, "bad")
    for order in json.loads(answer(dsn, orders.failed, "--json")):
        command = order["todo"].split("`")[1]
        answer(dsn, orders.requeue, *shlex.split(command)[2:])
    assert "no order" in answer(dsn, orders.failed)
