"""The triggers on flags and switches: every change is told by its key, in a payload that stays small."""

import json
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest

from listener.locks import LEADER_KEY, SILENCE_KEY
from tests.support.bell import Connection, Ear, hearing, holding


@pytest.fixture
def writer(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def flags(dsn: str) -> Iterator[Ear]:
    with hearing(dsn, "configuration_params") as ear:
        yield ear


@pytest.fixture
def workflows(dsn: str) -> Iterator[Ear]:
    with hearing(dsn, "workflow_controls") as ear:
        yield ear


def told(ear: Ear, key: str) -> list[str]:
    """Return the names that were told, sorted; each payload is an object of one key."""
    payloads = [json.loads(payload) for payload in ear.heard()]
    assert all(list(payload) == [key] for payload in payloads)
    return sorted(payload[key] for payload in payloads)


INSERT_FLAG = "insert into configuration_params (category, parameter_name, value) values ('Polling', %s, 'secret')"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("update configuration_params set value = '20' where parameter_name = 'sync_interval'", ["sync_interval"]),
        ("delete from configuration_params where parameter_name = 'idle_after'", ["idle_after"]),
        (
            "update configuration_params set parameter_name = 'b' where parameter_name = 'idle_after'",
            ["b", "idle_after"],
        ),
        ("update configuration_params set category = 'Old' where parameter_name = 'idle_after'", ["idle_after"]),
        ("update configuration_params set value = '1' where category = 'Product Names'", []),
        ("delete from configuration_params where category <> 'Polling'", []),
        ("insert into configuration_params (category, parameter_name, value) values ('Names', 'n', 'v')", []),
    ],
)
def test_a_changed_flag_is_told_by_its_name(
    writer: Connection, flags: Ear, change: LiteralString, names: list[str]
) -> None:
    writer.execute(change)
    assert told(flags, "parameter_name") == names


def test_a_new_flag_is_told_and_its_value_is_not(writer: Connection, flags: Ear) -> None:
    writer.execute(INSERT_FLAG, ["new_flag"])
    payloads = flags.heard()
    assert [json.loads(payload) for payload in payloads] == [{"parameter_name": "new_flag"}]


@pytest.mark.parametrize("name", ["n" * 300, '"' * 300, "\\" * 300, "\u0001" * 300, "ü" * 300, "\U0001f4e6" * 300])
def test_a_payload_stays_below_200_bytes(writer: Connection, flags: Ear, workflows: Ear, name: str) -> None:
    writer.execute(INSERT_FLAG, [name])
    writer.execute("insert into workflow_controls (workflow_name) values (%s)", [name])
    for ear, key in ((flags, "parameter_name"), (workflows, "workflow_name")):
        (payload,) = ear.heard()
        assert len(payload.encode()) < 200
        assert json.loads(payload)[key] == name[:25]


def test_one_statement_tells_at_most_twenty_names(writer: Connection, flags: Ear, workflows: Ear) -> None:
    for _ in range(2):
        writer.execute("""insert into configuration_params (category, parameter_name, value)
                          select 'Polling', 'flag ' || n, '1' from generate_series(1, 500) n""")
        assert len(flags.heard()) == 20
        writer.execute("update configuration_params set value = '2'")
        assert len(flags.heard()) == 20
        writer.execute("delete from configuration_params where parameter_name like 'flag %'")
        assert len(flags.heard()) == 20
    writer.execute("insert into workflow_controls (workflow_name) select 'flow ' || n from generate_series(1, 500) n")
    assert len(workflows.heard()) == 20


def test_a_workflow_is_told_when_it_is_really_switched(writer: Connection, workflows: Ear) -> None:
    writer.execute("update workflow_controls set enabled = false where workflow_name = 'xml-import'")
    assert told(workflows, "workflow_name") == ["xml-import"]
    writer.execute("update workflow_controls set enabled = workflow_name <> 'xml-import'")
    writer.execute("update workflow_controls set last_run_at = localtimestamp, updated_by = 'a run'")
    assert told(workflows, "workflow_name") == []


def test_a_new_a_renamed_and_a_deleted_workflow_are_told(writer: Connection, workflows: Ear) -> None:
    writer.execute("insert into workflow_controls (workflow_name) values ('stock-count')")
    assert told(workflows, "workflow_name") == ["stock-count"]
    writer.execute("update workflow_controls set workflow_name = 'stock-take' where workflow_name = 'stock-count'")
    assert told(workflows, "workflow_name") == ["stock-count", "stock-take"]
    writer.execute("delete from workflow_controls where workflow_name = 'stock-take'")
    assert told(workflows, "workflow_name") == ["stock-take"]


def test_flags_and_switches_are_told_while_the_listener_is_awake(
    dsn: str, writer: Connection, flags: Ear, workflows: Ear
) -> None:
    with holding(dsn, LEADER_KEY, SILENCE_KEY):
        writer.execute("update configuration_params set value = '20' where parameter_name = 'sync_interval'")
        writer.execute("update workflow_controls set enabled = false where workflow_name = 'xml-import'")
        assert told(flags, "parameter_name") == ["sync_interval"]
        assert told(workflows, "workflow_name") == ["xml-import"]
