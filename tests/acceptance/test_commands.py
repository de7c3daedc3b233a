"""The commands as somebody types them: what they print, where, and the code they end with."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from listener import __version__
from listener.cli import COMMANDS
from listener.embedded.postgres import free_port
from tests.support.drive import folder_of, read, source_of
from tests.support.process import PASSED_ON, ListenerProcess
from tests.support.wait import eventually

Start = Callable[..., ListenerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `listener` with these arguments and nothing in its environment but what is named."""
    with ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(ListenerProcess(arguments, environment, tmp_path))


def listener(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `listener` to its end."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [sys.executable, "-m", "listener.cli", *arguments]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=30, check=False)


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Return the one line on stderr of a command that failed with `code`."""
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    return line


def test_the_version_is_one_line() -> None:
    done = listener("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"listener, version {__version__}\n", "")


def test_the_help_names_every_command_and_gives_examples() -> None:
    done = listener("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command}  +\S", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), ["config", "history"]], ids=" ".join)
def test_the_help_of_each_command_has_an_example_of_itself(command: list[str]) -> None:
    done = listener(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: listener {' '.join(command)} ")
    _, found, examples = done.stdout.partition("Example")
    assert found
    assert f"listener {' '.join(command)}" in examples


@pytest.mark.parametrize(
    "arguments", [["sing"], ["run", "--fast"], ["rollback", "everything"], ["demo", "--orders", "0"]]
)
def test_what_there_is_not_ends_with_2_and_says_where_to_look(arguments: list[str]) -> None:
    done = listener(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [["install"], ["uninstall"], ["rollback", "flags"], ["config"], ["config", "history"], ["pause", "xml-import"]],
)
def test_a_database_that_does_not_answer_is_one_line_and_1(command: list[str]) -> None:
    port = free_port()
    line = one_line(listener(*command, DATABASE_URL=f"postgresql://shop:s3cret@127.0.0.1:{port}/shop"), 1)
    assert line.startswith("listener: ")
    assert str(port) in line
    assert "s3cret" not in line


@pytest.mark.parametrize("command", [["install"], ["config"]])
def test_a_missing_setting_is_one_line_and_1(command: list[str]) -> None:
    assert "DATABASE_URL" in one_line(listener(*command), 1)


def test_verify_says_that_the_database_does_not_answer_in_its_own_form_and_1() -> None:
    done = listener("verify", "--json", DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/shop")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["ok"] is False


def test_install_and_then_config_say_what_there_is_now(empty_dsn: str) -> None:
    refused = one_line(listener("config", DATABASE_URL=empty_dsn), 1)
    assert "listener install" in refused
    done = listener("install", "--base-tables", DATABASE_URL=empty_dsn)
    assert done.returncode == 0, done.stderr
    assert "applied sql/003_notify.up.sql" in done.stdout
    shown = listener("config", DATABASE_URL=empty_dsn)
    assert shown.returncode == 0
    assert re.search(r"^fast_polling_interval +15 +15 +table$", shown.stdout, re.MULTILINE)
    assert listener("verify", DATABASE_URL=empty_dsn).returncode == 0


def test_a_demo_that_stays_leaves_nothing_behind_when_it_is_told_to_end(start: Start) -> None:
    demo = start("demo", "--orders", "1", "--stay", "--port", str(free_port()), PYTHONUNBUFFERED="1")
    eventually(lambda: demo.output, lambda lines: any("Ctrl-C ends it" in line for line in lines), timeout=60)
    assert demo.stop(signal.SIGTERM) == 0
    assert "1 orders in the file, 1 at ShipStation, each once" in "\n".join(demo.output)
    assert demo.output[-1].endswith("listener stopped with exit code 0")
    assert demo.lines == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_prints_what_to_export_serves_it_and_ends_with_0(start: Start, how: signal.Signals) -> None:
    simulator = start("simulate", "--fault", "drive:delay:seconds=0", PYTHONUNBUFFERED="1")
    lines = eventually(lambda: simulator.output, lambda lines: len(lines) >= 8, timeout=15)
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    drive = {"DRIVE_BASE_URL", "ORDER_SOURCE", "GOOGLE_APPLICATION_CREDENTIALS"}
    assert set(exported) == drive | {"SHIPSTATION_BASE_URL", "SHIPSTATION_API_KEY", "SHIPSTATION_API_SECRET"}
    with urlopen(exported["SHIPSTATION_BASE_URL"] + "/_simulator/orders", timeout=5) as answer:  # noqa: S310
        assert answer.status == 200
    with urlopen(exported["DRIVE_BASE_URL"] + "/_simulator/faults", timeout=5) as answer:  # noqa: S310
        assert [fault["kind"] for fault in json.load(answer)["faults"]] == ["delay"]
    source = source_of(folder_of(exported))
    with urlopen(exported["DRIVE_BASE_URL"] + "/_simulator/files?name=a.xml", b"<orders/>", timeout=5):  # noqa: S310
        (file,) = source.listing().files
    assert read(source, file) == b"<orders/>"
    assert simulator.stop(how) == 0
    assert simulator.lines == []
    assert not Path(exported["GOOGLE_APPLICATION_CREDENTIALS"]).exists()


@pytest.mark.parametrize("fault", ["sulk", "drive:sulk"])
def test_a_fault_that_the_simulator_does_not_know_is_one_sentence(fault: str) -> None:
    done = listener("simulate", "--fault", fault)
    assert done.returncode == 1
    assert "sulk" in done.stderr
    assert "Traceback" not in done.stderr
