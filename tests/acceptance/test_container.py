"""The container file: what can be told of it without a builder, and its health check against a real listener."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from listener.daemon import STOP_WITHIN_SECONDS
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "scripts" / "deploy" / "Containerfile").read_text()
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Return each instruction and what it is given; lines that end in a backslash are joined."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined)]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def given(name: str) -> list[str]:
    """Return what this instruction is given in the stage that becomes the image."""
    return [rest for other, rest in stages()[-1] if other == name]


def copied() -> set[str]:
    """The names in the checkout that go into the build."""
    sources = [rest.split()[:-1] for name, rest in stages()[0] if name == "COPY"]
    return {source for some in sources for source in some}


def test_it_has_nothing_but_instructions_that_builders_know() -> None:
    assert {name for name, _ in instructions()} <= KNOWN
    assert len(stages()) == 2


def test_what_it_copies_is_there_and_is_all_that_the_package_is_built_from() -> None:
    assert not [source for source in copied() if not (ROOT / source).exists()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied() == needed | set(wheel["packages"]) | set(wheel["force-include"])


def test_it_does_not_run_as_root_and_holds_no_secret() -> None:
    user, _, group = given("USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert "--uid 10001 " in given("RUN")[0]
    assert user == "10001"
    ours = [rest for name, rest in instructions() if name in ("ENV", "RUN", "COPY")]
    assert not [rest for rest in ours if re.search(r"DATABASE_URL|API_KEY|API_SECRET|CREDENTIALS|/etc/listener", rest)]


def test_a_signal_reaches_the_listener_itself_which_has_time_to_end() -> None:
    assert (json.loads(given("ENTRYPOINT")[0]), json.loads(given("CMD")[0])) == (["listener"], ["run"])
    assert given("STOPSIGNAL") == ["SIGTERM"]
    (seconds,) = re.findall(r"--stop-timeout (\d+)", TEXT)
    assert int(seconds) > STOP_WITHIN_SECONDS


def test_its_python_is_one_that_the_listener_runs_on() -> None:
    versions = re.findall(r"^FROM docker.io/library/python:3\.(\d+)-slim", TEXT, re.M)
    assert len(versions) == 2
    assert len(set(versions)) == 1
    assert int(versions[0]) >= 11


@pytest.mark.parametrize("option", ["--read-only", "--tmpfs /tmp", "--cap-drop all", "no-new-privileges"])
def test_it_says_how_to_run_it_without_rights_that_it_does_not_need(option: str) -> None:
    assert f"#     {option}" in TEXT or f" {option} " in TEXT


def is_healthy(address: str) -> bool:
    """Run the health check as the container would."""
    python, *rest = json.loads(given("HEALTHCHECK")[0].partition("CMD ")[2])
    assert python == "python"
    environment = {"PATH": os.environ["PATH"], "STATUS_ADDRESS": address}
    return subprocess.run([sys.executable, *rest], env=environment, capture_output=True, check=False).returncode == 0


def test_it_is_healthy_while_the_listener_lives(dsn: str, listener_process: Callable[..., ListenerProcess]) -> None:
    process = listener_process(dsn)
    wait_until_asleep(process)
    assert is_healthy(process.status_address)
    assert process.stop() == 0
    assert not is_healthy(process.status_address)
