"""scripts/start_all.sh, and the plan's own commands over the log that it writes: they tell what the database tells."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import find_binaries, free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.minutes import Figures, total
from listener.store.minutes import read_minutes
from tests.support.process import PASSED_ON
from tests.support.psql import psql
from tests.support.shop import Connection, insert_order, set_flag, value_of
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "start_all.sh"
RUNBOOK = ROOT / "RUNBOOK.md"

# As the plan has them, Phase 5, "Validation Commands".
SKIPPED = """grep "METRICS: workflow=upload" logs/*.log | grep -c "action=skip\""""
PROCESSED = """grep "METRICS: workflow=upload" logs/*.log | grep -c "action=process\""""
ALL = """grep "METRICS: workflow=upload" logs/*.log | wc -l"""
AVERAGE = (
    """grep "METRICS: workflow=upload" logs/*.log | grep -oP 'duration_ms=\\K\\d+' """
    """| awk '{sum+=$1; n++} END {print sum/n}'"""
)
IMPORT_AVERAGE = AVERAGE.replace("workflow=upload", "workflow=xml-import")
ERRORS = """grep "ERROR" logs/*.log | wc -l"""
INTERVAL = """grep "interval=" logs/*.log | tail -1"""


class Started:
    """The listener that start_all.sh has started in a folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.process = subprocess.Popen(
            [SCRIPT],
            env=inherited | environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = folder / "logs" / "listener.log"

    def said(self, text: str, *, times: int = 1) -> bool:
        return self.log.exists() and self.log.read_text().count(text) >= times

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[Started]:
    listener = Started(folder, environment)
    try:
        yield listener
    finally:
        listener.process.kill()
        listener.process.communicate()


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        set_flag(connection, "fast_polling_interval", "1")
        yield connection


@pytest.fixture
def environment(dsn: str, account: ShipStationSimulator, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "orders").mkdir()
    return {
        "DATABASE_URL": dsn,
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "SHIPSTATION_BASE_URL": account.url,
        "STATUS_ADDRESS": "off",
        "ORDER_SOURCE": str(tmp_path / "orders"),
    }


@pytest.fixture(autouse=True)
def the_plans_grep() -> None:
    """`grep -P`, which not every system has."""
    done = subprocess.run(["grep", "-qP", r"a\Kb"], input="ab", text=True, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("grep -P is not known here")


def shell(folder: Path, command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip()


def counted(db: Connection) -> Figures:
    now = datetime.now(UTC)
    minutes = read_minutes(db, now - timedelta(hours=1), now + timedelta(minutes=1))
    return total(minute.figures for minute in minutes)


def test_the_plans_commands_over_the_log_tell_what_the_database_tells(
    shop: Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    with started(tmp_path, environment) as listener:
        eventually(lambda: listener.said("source=heartbeat", times=3), timeout=30)
        for number in ("LOG-1", "LOG-2"):
            insert_order(shop, number)
            eventually(
                lambda: value_of(shop, "select count(*) from orders_inbox where status = 'awaiting_shipment'") == 0
            )
        set_flag(shop, "sync_interval", "180")
        eventually(lambda: listener.said("sync_interval 120 -> 180"))
        assert listener.stop() == 0
    figures = counted(shop)
    assert figures.checks_of("upload", "notify", "process") >= 2
    assert int(shell(tmp_path, SKIPPED)) == figures.checks_of("upload", action="skip") > 0
    assert int(shell(tmp_path, PROCESSED)) == figures.checks_of("upload", action="process")
    assert int(shell(tmp_path, ALL)) == figures.checks_of("upload")
    for workflow, command in (("upload", AVERAGE), ("xml-import", IMPORT_AVERAGE)):
        average = figures.check_ms_average(workflow)
        assert average is not None
        assert 0 <= average - float(shell(tmp_path, command)) < 1, "the plan's commands cut off what follows the point"
    assert int(shell(tmp_path, ERRORS)) == figures.error_lines == 0
    assert shell(tmp_path, INTERVAL).endswith("sync_interval 120 -> 180 (interval=180s)")
    assert figures.orders == 2
    assert figures.steps["xml-import"] == figures.checks_of("xml-import") > 0
    assert figures.config_changes == {"accepted": 1}
    assert figures.mirror_age_seconds_max > 0


def blocks(language: str) -> list[str]:
    """Return what stands in RUNBOOK.md between fences of this language."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", RUNBOOK.read_text(), re.M | re.S)
    return [textwrap.dedent(text) for _, text in found]


def completion_script() -> list[str]:
    """Return the commands of the plan's completion script, as the runbook has it."""
    (script,) = [text for text in blocks("bash") if "FINAL OPTIMIZATION VALIDATION" in text]
    return [line for line in script.splitlines() if line]


def test_the_completion_script_of_the_runbook_passes_a_running_listener(
    shop: Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"STATUS_ADDRESS": f"127.0.0.1:{free_port()}"}
    path = f"{find_binaries()}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment | {"PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout.strip()

    with started(tmp_path, environment) as listener:
        insert_order(shop, "DONE-1")
        eventually(lambda: listener.said("action=process"), timeout=30)
        eventually(lambda: listener.said("source=heartbeat", times=3), timeout=30)
        said = [run(command) for command in completion_script()]
        assert listener.stop() == 0
    assert said[0] == "=== FINAL OPTIMIZATION VALIDATION ==="
    assert 0 < float(find(said, r"Average duration: ([\d.]+) ms \(target")) < 1000
    assert 0 < float(find(said, r"Skip rate: ([\d.]+)% \(target")) <= 100
    assert 3 <= int(after(said, "CONNECTION HEALTH (target: < 10):")) < 10
    assert after(said, "FEATURE FLAGS:").splitlines() == [
        *("fast_polling_enabled|true", "fast_polling_interval|1", "sync_interval|120"),
    ]
    assert after(said, "POLLING STATE:").startswith("1|")
    assert after(said, "ERROR COUNT (should be 0):") == "0"
    assert after(said, "WORKFLOWS RUNNING (should be 3):") == "3"
    assert said[-1] == "FINAL STATUS: PASS"


def find(said: list[str], pattern: str) -> str:
    match = re.search(pattern, "\n".join(said))
    assert match is not None, said
    return match[1]


def after(said: list[str], heading: str) -> str:
    return said[said.index(heading) + 1]


def test_every_query_of_the_runbook_runs(dsn: str) -> None:
    queries = blocks("sql")
    assert len("".join(queries).split(";")) > 10
    for query in queries:
        psql(dsn, given=query)


def test_a_line_of_level_error_is_counted_as_the_plans_command_counts_it(
    shop: Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    shop.execute("insert into listener.home (database, system_identifier, host) values ('another', '1', 'elsewhere')")
    with started(tmp_path, environment) as listener:
        eventually(lambda: listener.said("ERROR"), timeout=30)
        eventually(lambda: listener.said("workflow=xml-import"))
        assert listener.stop() == 0
    assert int(shell(tmp_path, ERRORS)) == counted(shop).error_lines == 1


def test_a_second_start_appends_and_the_exit_code_is_the_listeners(
    shop: Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    for times in (1, 2):
        with started(tmp_path, environment) as listener:
            eventually(lambda times=times, listener=listener: listener.said("Leading (epoch", times=times), timeout=30)
            assert listener.stop() == 0
    with started(tmp_path, environment | {"SHIPSTATION_API_KEY": ""}) as listener:
        assert listener.process.wait(30) == 2
    assert listener.log.read_text().splitlines()[-1].startswith("listener: not set: SHIPSTATION_API_KEY")
