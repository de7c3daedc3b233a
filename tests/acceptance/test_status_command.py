"""`listener status`: asked of the page, else of the database, and never a guess when neither can tell."""

import json
import re
import signal
import socket
from collections.abc import Callable
from datetime import datetime

import pytest

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.wait import eventually

Start = Callable[..., ListenerProcess]
WORKFLOWS = ("shipstation-upload", "xml-import", "unified-shipstation-sync")


def ended(command: ListenerProcess, code: int = 0) -> ListenerProcess:
    assert command.wait() == code, command.log
    return command


def nowhere() -> str:
    return f"127.0.0.1:{free_port()}"


def test_the_page_is_asked_first_and_the_table_says_how_it_is(
    dsn: str, shop: Connection, asleep: ListenerProcess, listener_process: Start
) -> None:
    insert_order(shop, "S-1")
    eventually(lambda: row_of(shop, "S-1"), lambda row: row[0] == "uploaded")
    shown = "\n".join(ended(listener_process(dsn, "status", STATUS_ADDRESS=asleep.status_address)).output)
    assert any(headline in shown for headline in ("All is well", "Look tomorrow"))
    assert "leader, for " in shown
    assert "of 1 orders" in shown
    assert "wakes" in shown
    assert "notify 1" in shown
    assert all(workflow in shown for workflow in WORKFLOWS)
    assert f"asked: the page at {asleep.status_address}" in shown
    assert "\x1b" not in shown


def test_as_json_it_has_what_the_page_has(dsn: str, asleep: ListenerProcess, listener_process: Start) -> None:
    command = ended(listener_process(dsn, "status", "--json", STATUS_ADDRESS=asleep.status_address))
    body, page = json.loads("\n".join(command.output)), asleep.status()
    assert body.keys() == page.keys() | {"asked"}
    assert (body["role"], body["started_at"]) == ("leader", page["started_at"])
    assert command.lines == []


def test_without_a_page_the_database_tells_what_was_left_there(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start
) -> None:
    set_flag(shop, "sync_interval", "180")
    listener = listener_process(dsn, STATUS_ADDRESS="off")
    listener.wait_for(r"Leading \(epoch")
    insert_order(shop, "S-1")
    eventually(lambda: row_of(shop, "S-1"), lambda row: row[0] == "uploaded")
    body = json.loads("\n".join(ended(listener_process(dsn, "status", "--json", STATUS_ADDRESS="off")).output))
    assert (body["role"], body["flags"]["sync_interval"], body["listening"]) == ("leader", 180, None)
    assert body["api_budget"]["used_last_hour"] >= 1
    assert body["asked"].startswith("the database (last heartbeat ")
    there = nowhere()
    shown = "\n".join(ended(listener_process(dsn, "status", STATUS_ADDRESS=there)).output)
    assert f"since no listener answers at {there}" in " ".join(shown.split())
    assert "whether it is heard the database cannot tell" in shown
    assert "All is well" not in shown
    listener.wait_for("source=heartbeat")
    shop.execute("update polling_state set last_upload_check = localtimestamp - interval '3 hours'")
    shown = "\n".join(ended(listener_process(dsn, "status", STATUS_ADDRESS="off")).output)
    assert "Look tomorrow" in shown
    assert re.search("the last heartbeat was 108[0-9][0-9] s ago, and one is due every 3600 s", shown)


def test_when_none_runs_it_ends_with_3_and_says_who_was_asked(
    dsn: str, shop: Connection, listener_process: Start
) -> None:
    there = nowhere()
    command = ended(listener_process(dsn, "status", "--json", STATUS_ADDRESS=there), 3)
    assert json.loads("\n".join(command.output)) == {"running": False}
    (line,) = command.lines
    assert line.startswith(f"listener: no listener answers at {there} (")
    assert "and none leads on this database (last heartbeat " in line
    (line,) = ended(listener_process("", "status", STATUS_ADDRESS=there), 3).lines
    assert line.endswith("and DATABASE_URL is not set, so the database was not asked")


def test_when_nobody_can_tell_it_is_a_fault_and_not_that_none_runs(listener_process: Start) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/none"
    (line,) = ended(listener_process(url, "status", STATUS_ADDRESS="off"), 1).lines
    assert line.startswith("listener: STATUS_ADDRESS is off, and the database of DATABASE_URL does not answer: ")


@pytest.mark.parametrize(
    ("address", "arguments", "words"),
    [("nonsense", (), "STATUS_ADDRESS = 'nonsense' must be host:port"), ("off", ("--watch", "--json"), "give one")],
)
def test_bad_input_is_a_line_that_says_what_to_do(
    dsn: str, listener_process: Start, address: str, arguments: tuple[str, ...], words: str
) -> None:
    command = listener_process(dsn, "status", *arguments, STATUS_ADDRESS=address)
    assert command.wait() != 0
    assert words in command.log
    assert "Traceback" not in command.log


def test_watch_goes_on_when_the_listener_goes_and_ctrl_c_ends_it_well(
    dsn: str, asleep: ListenerProcess, listener_process: Start
) -> None:
    watch = listener_process(dsn, "status", "--watch", STATUS_ADDRESS=asleep.status_address)
    eventually(lambda: watch.output, lambda lines: any("asked: the page at" in line for line in lines), timeout=10)
    asleep.kill()
    eventually(lambda: watch.output, lambda lines: any("No contact" in line for line in lines), timeout=10)
    assert watch.stop(signal.SIGINT) == 0


def test_a_standby_says_that_it_stands_by_and_who_leads(
    dsn: str, account: ShipStationSimulator, asleep: ListenerProcess, listener_process: Start
) -> None:
    standby = listener_process(dsn)
    standby.wait_status(lambda status: status["leader"])
    shown = "\n".join(ended(listener_process(dsn, "status", STATUS_ADDRESS=standby.status_address)).output)
    assert "standby, for " in shown
    assert f"process {asleep.pid} on {socket.gethostname()}, epoch 1, for " in " ".join(shown.split())
    wait_until_asleep(asleep)


def test_leader_standby_and_database_name_the_same_leader_and_the_next_one_after_it(
    dsn: str, account: ShipStationSimulator, asleep: ListenerProcess, listener_process: Start
) -> None:
    standby = listener_process(dsn)
    who = standby.wait_status(lambda status: status["leader"])["leader"]
    assert (who["host"], who["pid"], who["epoch"]) == (socket.gethostname(), asleep.pid, 1)
    told = json.loads("\n".join(ended(listener_process(dsn, "status", "--json", STATUS_ADDRESS="off")).output))
    assert asleep.status()["leader"] == who == told["leader"] | {"since": who["since"]}
    assert datetime.fromisoformat(told["leader"]["since"]) == datetime.fromisoformat(who["since"])
    asleep.kill()
    heir = standby.wait_status(lambda status: status["role"] == "leader")["leader"]
    assert (heir["pid"], heir["epoch"]) == (standby.pid, 2)
    assert heir["since"] > who["since"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(listener_process: Start, shell: str) -> None:
    script = "\n".join(ended(listener_process("", "completion", shell)).output)
    assert f"_LISTENER_COMPLETE={shell}_complete" in script
