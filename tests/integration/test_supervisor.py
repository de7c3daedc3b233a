"""What is sent to NOTIFY_SOCKET, over real datagram sockets: a path, or a name without one."""

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from listener.events import Phase
from listener.log import redactor
from listener.state import State, Upload
from listener.supervisor import Supervisor

READY = State(listening=True, configured=True)
LEADING = replace(READY, upload=Upload(phase=Phase.ASLEEP))


class Heard:
    """A supervisor's socket, and what has come there."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def lines(self) -> list[str]:
        """Return what has come since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    heard = Heard(str(tmp_path / "notify"))
    with heard.socket:
        yield heard


@pytest.fixture
def environment(heard: Heard, tmp_path: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")}


@pytest.fixture
def told(environment: dict[str, str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(environment, redactor(["hush"]))
    yield supervisor
    supervisor.close()


def test_it_is_ready_once_when_listen_is_in_force_and_the_flags_are_known(told: Supervisor, heard: Heard) -> None:
    told.tell(State(), [], 1.0)
    told.tell(State(listening=True), [], 2.0)
    assert heard.lines() == ["STATUS=Waiting for the database", "STATUS=Stands by"]
    told.tell(READY, [], 3.0)
    told.tell(LEADING, [], 4.0)
    told.tell(LEADING, [], 5.0)
    assert heard.lines() == ["READY=1", "STATUS=Leads"]


def test_the_status_says_what_is_degraded_on_one_line_and_without_secrets(told: Supervisor, heard: Heard) -> None:
    told.tell(LEADING, ["upload backs off: hush\nREADY=0", "deaf"], 1.0)
    assert heard.lines()[-1] == "STATUS=Leads; upload backs off: ***\\nREADY=0; deaf"
    told.tell(replace(LEADING, dormant=True), [], 2.0)
    assert heard.lines() == ["STATUS=The database may sleep: nothing is asked of it until the next look"]
    told.tell(LEADING, ["x" * 10_000], 3.0)
    assert len(heard.lines()[0]) < 600
    told.stopping()
    told.tell(replace(LEADING, stopping=True), [], 4.0)
    assert heard.lines() == ["STOPPING=1", "STATUS=Stopping: the step under way is finished first"]


def test_the_watchdog_is_fed_at_half_of_its_time(environment: dict[str, str], heard: Heard) -> None:
    supervisor = Supervisor({**environment, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())})
    fed = []
    for second in range(100, 200):
        supervisor.tell(LEADING, [], float(second))
        fed += [second] * heard.lines().count("WATCHDOG=1")
    assert fed == [100, 130, 160, 190]
    assert supervisor.due_at == 220
    supervisor.close()


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_that_is_not_ours_is_not_fed(
    environment: dict[str, str], heard: Heard, watchdog: dict[str, str]
) -> None:
    usual = {"WATCHDOG_USEC": "60000000"} if "WATCHDOG_PID" in watchdog else {}
    supervisor = Supervisor({**environment, **usual, **watchdog})
    supervisor.tell(LEADING, [], 100.0)
    assert "WATCHDOG=1" not in heard.lines()
    assert supervisor.due_at == float("inf")
    supervisor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names without a path")
def test_a_socket_may_have_a_name_without_a_path() -> None:
    name = f"listener-test-{secrets.token_hex(8)}"
    heard = Heard(f"\0{name}")
    with heard.socket:
        supervisor = Supervisor({"NOTIFY_SOCKET": f"@{name}"})
        supervisor.tell(READY, [], 1.0)
        supervisor.close()
        assert heard.lines() == ["READY=1", "STATUS=Stands by"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "relative"])
def test_without_a_socket_that_it_can_speak_to_it_says_nothing(address: str | None) -> None:
    supervisor = Supervisor({"WATCHDOG_USEC": "60000000"} | ({} if address is None else {"NOTIFY_SOCKET": address}))
    supervisor.tell(READY, [], 1.0)
    supervisor.stopping()
    supervisor.close()
    assert supervisor.due_at == float("inf")


def test_what_is_not_taken_is_said_again_and_holds_up_nobody(environment: dict[str, str], heard: Heard) -> None:
    supervisor = Supervisor({**environment, "WATCHDOG_USEC": "60000000"})
    for second in range(1000):  # nobody reads, and a socket holds so many
        supervisor.tell(replace(LEADING, dormant=second % 2 == 0), [], float(second))
    supervisor.tell(LEADING, [], 1000.0)
    assert "READY=1" in heard.lines()
    supervisor.tell(LEADING, [], 1031.0)
    assert heard.lines() == ["WATCHDOG=1", "STATUS=Leads"]
    heard.socket.close()
    Path(environment["NOTIFY_SOCKET"]).unlink()
    supervisor.tell(LEADING, [], 2000.0)
    assert supervisor.due_at == 2001.0
    supervisor.close()
