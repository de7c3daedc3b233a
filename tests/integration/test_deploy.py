"""The systemd unit and the rules of Prometheus, tried with the tools they are for, where those are installed."""

import configparser
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from listener.cli.run import UnusableSettings
from listener.daemon import DEAD_AFTER_SECONDS, LONGEST_WAIT_SECONDS, STOP_WITHIN_SECONDS
from listener.settings import read_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "scripts" / "deploy"
INSTALLED = "/opt/listener/bin/listener"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_promtool_takes_the_rules() -> None:
    done = run(tool("promtool"), "check", "rules", DEPLOY / "prometheus-rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_above_its_threshold_and_none_below() -> None:
    done = run(tool("promtool"), "test", "rules", ROOT / "tests" / "data" / "prometheus_rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    code = (
        "import sys; from listener.metrics import Metrics; from listener.status.prometheus import Exporter; "
        "sys.stdout.buffer.write(Exporter(Metrics('1')).text())"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=30).stdout
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the listener where it is here."""
    there = tmp_path / "listener"  # a link, because a checkout may have a blank in its path, which ends a word there
    there.symlink_to(Path(sys.executable).with_name("listener"))
    text = (DEPLOY / "listener.service").read_text()
    assert text.count(f"ExecStart={INSTALLED} run") == 1
    path = tmp_path / "listener.service"
    path.write_text(text.replace(f"ExecStart={INSTALLED}", f"ExecStart={there}"))
    return path


def test_systemd_takes_the_unit(unit: Path) -> None:
    done = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_leaves_little_to_an_intruder(unit: Path) -> None:
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def settings_of(unit: Path) -> Mapping[str, Sequence[str]]:
    """Return the unit's [Service], each name with all of its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_hands_the_listener_settings_that_it_takes(unit: Path, tmp_path: Path) -> None:
    service = settings_of(unit)
    for credential in service["LoadCredential"]:
        name = credential.split(":")[0]
        (tmp_path / name).write_text(f"the {name} of the account")
    given = dict(value.replace("%d", str(tmp_path)).split("=", 1) for value in service["Environment"])
    settings = read_settings({"DATABASE_URL": "postgresql://shop@db.example.com/shop", **given})
    assert settings.shipstation_api_key == "the key of the account"
    assert settings.shipstation_api_secret == "the secret of the account"  # noqa: S105


def test_systemd_gives_up_on_wrong_settings_and_leaves_time_to_stop(unit: Path) -> None:
    service = settings_of(unit)
    assert service["RestartPreventExitStatus"] == [str(UnusableSettings.exit_code)]
    assert int(service["TimeoutStopSec"][0]) > STOP_WITHIN_SECONDS


def test_systemd_waits_for_ready_and_watches_a_loop_that_turns_more_often_than_it_looks(unit: Path) -> None:
    service = settings_of(unit)
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
    assert service["TimeoutStartSec"] == ["infinity"], "a database that is away is waited for"
    assert int(service["WatchdogSec"][0]) / 2 > LONGEST_WAIT_SECONDS
    assert int(service["WatchdogSec"][0]) > DEAD_AFTER_SECONDS, "the page says that it is dead before it is ended"


def test_the_unit_can_be_read_by_more_than_systemd(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
