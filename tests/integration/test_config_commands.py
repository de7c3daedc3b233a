"""`config`, `config history`, `pause`, `resume`, and the SQL behind them and behind the receipts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from listener.cli import steer
from listener.errors import Fatal
from listener.flags import Flags, as_texts
from listener.store.config import (
    READ_CONFIG_SQL,
    READ_FLAGS_SQL,
    RECORD_RECEIPT_SQL,
    Receipt,
    decode_config,
    read_history,
)
from tests.support.bell import Connection, hearing

REFUSED = (
    "sync_interval",
    "120",
    "soon",
    "refused",
    "configuration_params sync_interval = 'soon': must be …",
    "notify",
)
ACCEPTED = ("sync_interval", "120", "180", "accepted", None, "notify")


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def run(dsn: str, command: click.Command, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": dsn, **env})


def answer(dsn: str, command: click.Command, *arguments: str, **env: str) -> str:
    result = run(dsn, command, *arguments, **env)
    assert (result.exit_code, result.exception) == (0, None)
    return result.stdout


def fault(dsn: str, command: click.Command, *arguments: str) -> str:
    """Return the sentence of a command that fails; the command line shows it and exits with 1."""
    result = run(dsn, command, *arguments)
    assert isinstance(result.exception, Fatal)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def set_flag(shop: Connection, name: str, value: str) -> None:
    shop.execute("update configuration_params set value = %s where parameter_name = %s", [value, name])


def add_row(shop: Connection, name: str, value: str, *, category: str = "Polling", sku: str | None = None) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value, sku) values (%s, %s, %s, %s)",
        [category, name, value, sku],
    )


def record(shop: Connection, *receipt: str | None, seen: str = "0", in_force: str | None = None) -> None:
    """Write a receipt as the listener does: texts over libpq."""
    texts = [None if text is None else text.encode() for text in (*receipt, seen, in_force)]
    status = shop.pgconn.exec_params(RECORD_RECEIPT_SQL.encode(), texts).status
    assert status == psycopg.pq.ExecStatus.COMMAND_OK


def config_as_text(shop: Connection, query: str = READ_CONFIG_SQL) -> str:
    result = shop.pgconn.exec_(query.encode())
    assert (result.ntuples, result.nfields) == (1, 1)
    value = result.get_value(0, 0)
    assert value is not None
    return value.decode()


def test_the_configuration_is_one_text_with_flags_in_the_order_of_their_id(shop: Connection) -> None:
    rows, enabled, requeued = decode_config(config_as_text(shop))
    assert requeued == 0
    assert rows == list(as_texts(Flags()).items())
    assert enabled == {"shipstation-upload": True, "xml-import": True, "unified-shipstation-sync": True}


def test_rows_of_other_categories_and_of_a_sku_are_no_flags(shop: Connection) -> None:
    add_row(shop, "sync_interval", "7", category="Names")
    add_row(shop, "sync_interval", "8", sku="17")
    assert dict(decode_config(config_as_text(shop)).flags)["sync_interval"] == "120"


def test_without_any_row_the_configuration_is_empty(shop: Connection) -> None:
    shop.execute("delete from configuration_params; delete from workflow_controls")
    assert decode_config(config_as_text(shop)) == ([], {}, 0)


def test_what_a_row_holds_comes_through_unchanged(shop: Connection) -> None:
    value = '"quoted" \\ %s \n\t 東京 \u2028 \x01'
    set_flag(shop, "manual_order_pattern", value)
    shop.execute("update workflow_controls set enabled = false where workflow_name = 'xml-import'")
    rows, enabled, _ = decode_config(config_as_text(shop))
    assert dict(rows)["manual_order_pattern"] == value
    assert enabled["xml-import"] is False


def test_of_rows_by_the_thousand_those_with_a_meaning_are_read_and_of_two_the_last(shop: Connection) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value) "
        "select 'Polling', case when n % 2 = 0 then 'sync_interval' else 'flag ' || n end, n::text "
        "from generate_series(1, 5000) n"
    )
    shop.execute("insert into workflow_controls select 'workflow ' || n, false from generate_series(1, 5000) n")
    rows, enabled, _ = decode_config(config_as_text(shop))
    assert dict(rows) == as_texts(Flags(sync_interval=5000))
    assert len(rows) == len(dict(rows))
    assert len(enabled) == 3


def test_of_a_long_value_enough_is_read_to_refuse_it(shop: Connection) -> None:
    set_flag(shop, "sync_interval", "1" * 1_000_000)
    assert dict(decode_config(config_as_text(shop)).flags)["sync_interval"] == "1" * 1000
    set_flag(shop, "sync_interval", "180" + " " * 1_000_000)
    assert dict(decode_config(config_as_text(shop)).flags)["sync_interval"].strip() == "180"


def test_the_flags_can_be_read_where_workflow_controls_cannot(shop: Connection) -> None:
    shop.execute("drop table workflow_controls")
    assert decode_config(config_as_text(shop, READ_FLAGS_SQL)) == (list(as_texts(Flags()).items()), {}, None)


def test_the_newest_requeue_comes_with_the_configuration(shop: Connection) -> None:
    shop.execute("insert into listener.requeues (order_key, by) values ('A-1', 'alex'), ('A-2', 'alex')")
    assert decode_config(config_as_text(shop)).requeued == 2


def test_a_receipt_says_when_it_was_seen_and_when_it_was_in_force(shop: Connection) -> None:
    record(shop, *ACCEPTED, seen="2.5", in_force="0.5")
    (receipt,) = read_history(shop, 10)
    assert receipt.in_force_at is not None
    assert receipt.in_force_at - receipt.seen_at == timedelta(seconds=2)
    assert timedelta(seconds=2) < datetime.now(UTC) - receipt.seen_at < timedelta(seconds=30)
    assert receipt == Receipt(receipt.seen_at, receipt.in_force_at, *ACCEPTED)


def test_a_refusal_is_never_in_force_and_the_same_one_is_recorded_once(shop: Connection) -> None:
    for _ in range(3):
        record(shop, *REFUSED)
    (receipt,) = read_history(shop, 10)
    assert (receipt.verdict, receipt.new_value, receipt.in_force_at) == ("refused", "soon", None)


def test_a_refusal_is_recorded_again_after_anything_else_happened_to_that_flag(shop: Connection) -> None:
    record(shop, *REFUSED)
    record(shop, "idle_after", "300", "600", "accepted", None, "notify", in_force="0")  # another flag is nothing else
    record(shop, *REFUSED)
    record(shop, *REFUSED[:2], "later", *REFUSED[3:])
    record(shop, *REFUSED)
    record(shop, *ACCEPTED, in_force="0")
    record(shop, *REFUSED)
    values = [receipt.new_value for receipt in read_history(shop, 10) if receipt.parameter_name == "sync_interval"]
    assert values == ["soon", "later", "soon", "180", "soon"]


def test_a_value_that_was_refused_and_is_taken_later_is_recorded(shop: Connection) -> None:
    record(shop, *REFUSED)
    record(shop, *REFUSED[:3], "accepted", None, "startup", in_force="0")
    assert [receipt.verdict for receipt in read_history(shop, 10)] == ["refused", "accepted"]


def test_the_same_change_is_recorded_each_time_it_is_made(shop: Connection) -> None:
    for _ in range(2):
        record(shop, *ACCEPTED, in_force="0")
    assert len(read_history(shop, 10)) == 2


def test_config_shows_every_flag_with_its_value_default_and_source(shop: Connection, dsn: str) -> None:
    set_flag(shop, "sync_interval", "180")
    shop.execute("delete from configuration_params where parameter_name = 'idle_after'")
    lines = [line.split() for line in answer(dsn, steer.config).splitlines()]
    assert lines[0] == ["flag", "value", "default", "source"]
    assert ["sync_interval", "180", "120", "table"] in lines
    assert ["fast_polling_enabled", "true", "true", "table"] in lines
    assert ["idle_after", "300", "300", "default"] in lines
    assert [line[0] for line in lines[1:]] == list(as_texts(Flags()))


def test_config_shows_a_bad_value_as_refused_and_says_what_holds_instead(shop: Connection, dsn: str) -> None:
    set_flag(shop, "sync_interval", "5\x1b[2J")
    output = answer(dsn, steer.config)
    (row,) = (line.split() for line in output.splitlines() if line.startswith("sync_interval"))
    assert row == ["sync_interval", "120", "120", "default", "(refused)"]
    assert "refused: configuration_params sync_interval = '5\\x1b[2J': must be a whole number from 10" in output
    assert "a running listener keeps the last good value" in output
    assert "\x1b" not in output


def test_config_names_rows_that_are_no_flags(shop: Connection, dsn: str) -> None:
    assert "ignored" not in answer(dsn, steer.config)
    add_row(shop, "fast_poling_interval", "20")
    assert answer(dsn, steer.config).splitlines()[-1] == "ignored, no such flag: fast_poling_interval"


def test_of_many_rows_that_are_no_flags_config_names_some(shop: Connection, dsn: str) -> None:
    for number in range(25):
        add_row(shop, f"{number:02}{'x' * 5000}", "20")
    last = answer(dsn, steer.config).splitlines()[-1]
    assert last.startswith("ignored, no such flag: 00xxx")
    assert last.endswith("x and 5 more")
    assert len(last) < 2200


def test_config_as_json_has_values_of_their_type_and_the_refusal(shop: Connection, dsn: str) -> None:
    set_flag(shop, "notify_enabled", "FALSE")
    set_flag(shop, "sync_interval", "soon")
    body = json.loads(answer(dsn, steer.config, "--json"))
    flags = {flag.pop("name"): flag for flag in body["flags"]}
    assert flags["notify_enabled"] == {"value": False, "default": True, "source": "table", "refused": None}
    assert flags["sync_interval"].pop("refused").endswith("from 10 to 86400")
    assert flags["sync_interval"] == {"value": 120, "default": 120, "source": "default"}
    assert body["ignored"] == []


def test_the_history_is_a_line_a_change_the_newest_last(shop: Connection, dsn: str) -> None:
    assert answer(dsn, steer.config, "history") == "no change was recorded yet\n"
    record(shop, *REFUSED)
    record(shop, *ACCEPTED, in_force="0")
    first, second = answer(dsn, steer.config, "history").splitlines()
    assert first.split("  ")[1:] == ["sync_interval", "120 -> soon", f"refused: {REFUSED[4]}"]
    when, *rest = second.split("  ")
    assert rest == ["sync_interval", "120 -> 180", "accepted"]
    assert datetime.fromisoformat(when).utcoffset() == timedelta(0)


def test_the_history_can_be_cut_to_the_newest(shop: Connection, dsn: str) -> None:
    for value in ("10", "11", "12"):
        record(shop, "sync_interval", "120", value, "accepted", None, "notify", in_force="0")
    lines = answer(dsn, steer.config, "history", "--limit", "2").splitlines()
    assert [line.split("  ")[2] for line in lines] == ["120 -> 11", "120 -> 12"]
    assert run(dsn, steer.config, "history", "--limit", "0").exit_code == 2


def test_a_line_of_the_history_stays_a_line_whatever_the_row_held(shop: Connection, dsn: str) -> None:
    record(shop, "sync_interval", "120", "x\n" * 5000, "refused", "bad\nreason", "notify")
    output = answer(dsn, steer.config, "history")
    assert output.count("\n") == 1
    assert len(output) < 700


def test_the_history_as_json_has_every_field(shop: Connection, dsn: str) -> None:
    record(shop, *REFUSED)
    (receipt,) = json.loads(answer(dsn, steer.config, "history", "--json"))
    assert datetime.fromisoformat(receipt.pop("seen_at")).utcoffset() == timedelta(0)
    names = ["parameter_name", "old_value", "new_value", "verdict", "reason", "source"]
    assert receipt == dict(zip(names, REFUSED, strict=True)) | {"in_force_at": None}


def control(shop: Connection, workflow: str) -> tuple[bool, str, bool]:
    row = shop.execute(
        "select enabled, updated_by, last_updated > localtimestamp - interval '1 minute'"
        " from workflow_controls where workflow_name = %s",
        [workflow],
    ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("workflow", ["shipstation-upload", "xml-import", "unified-shipstation-sync"])
def test_pause_and_resume_switch_a_workflow_and_say_who_and_when(shop: Connection, dsn: str, workflow: str) -> None:
    shop.execute("update workflow_controls set last_updated = '2001-01-01'")
    output = answer(dsn, steer.pause, workflow, "--by", "alex")
    assert output == f"{workflow} is paused by alex; `listener resume {workflow}` switches it on again\n"
    assert control(shop, workflow) == (False, "alex", True)
    assert answer(dsn, steer.resume, workflow, USER="sam") == f"{workflow} is switched on by sam\n"
    assert control(shop, workflow) == (True, "sam", True)
    others = shop.execute("select count(*) from workflow_controls where last_updated = '2001-01-01'").fetchone()
    assert others == (2,)


def test_a_user_without_a_name_pauses_by_number(shop: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert " is paused by uid " in answer(dsn, steer.pause, "xml-import", USER="")
    assert control(shop, "xml-import")[1].startswith("uid ")


def test_a_pause_rings(dsn: str) -> None:
    with hearing(dsn, "workflow_controls") as ear:
        answer(dsn, steer.pause, "xml-import")
        assert [json.loads(payload) for payload in ear.heard()] == [{"workflow_name": "xml-import"}]


def test_a_workflow_that_nobody_knows_is_a_fault_of_usage(dsn: str) -> None:
    result = run(dsn, steer.pause, "upload")
    assert result.exit_code == 2
    assert "'shipstation-upload', 'xml-import', 'unified-shipstation-sync'" in result.stderr


def test_a_workflow_without_a_row_cannot_be_paused_and_the_sentence_says_what_to_do(shop: Connection, dsn: str) -> None:
    shop.execute("delete from workflow_controls where workflow_name = 'xml-import'")
    assert "listener install" in fault(dsn, steer.pause, "xml-import")


def test_a_row_that_is_locked_is_waited_for_a_while_only(
    shop: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.store.config.LOCAL_SETTINGS_SQL", "select set_config('lock_timeout', '10ms', true)")
    with shop.transaction():
        shop.execute("select from workflow_controls for update")
        assert "another session has a row or table locked" in fault(dsn, steer.pause, "xml-import")


@pytest.mark.parametrize("command", [["history"], []])
def test_a_database_without_our_tables_is_a_sentence_that_names_install(empty_dsn: str, command: list[str]) -> None:
    assert "listener install" in fault(empty_dsn, steer.config, *command)


@pytest.mark.parametrize("command", [steer.config, steer.pause])
def test_a_database_that_does_not_answer_is_one_line_without_its_password(command: click.Command) -> None:
    url = "postgresql://shop:hunter2@127.0.0.1:1/shop"
    text = fault(url, command, *(["xml-import"] if command is steer.pause else []))
    assert "does not answer" in text
    assert "hunter2" not in text


def test_a_database_that_is_not_named_is_one_line() -> None:
    assert fault("", steer.config).startswith("not set: DATABASE_URL;")


def test_a_role_that_may_not_is_one_line(shop: Connection, dsn: str) -> None:
    shop.execute("create role shop_reader_of_nothing login")
    try:
        url = psycopg.conninfo.make_conninfo(dsn, user="shop_reader_of_nothing")
        assert "permission denied" in fault(url, steer.config)
    finally:
        shop.execute("drop role shop_reader_of_nothing")


@pytest.mark.parametrize("command", [steer.config, steer.pause, steer.resume, steer.config.commands["history"]])
def test_every_help_has_an_example(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert (result.exit_code, "Example: listener " in result.output) == (0, True)
