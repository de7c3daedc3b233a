"""`listener run` under a supervisor that it tells how it is: ready, alive, and at its end."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection
from tests.support.wait import eventually

WATCHDOG_USEC = "400000"

# The loop stands still for as long as a file is there.
STANDING_STILL = """
import threading, pathlib, listener.daemon as daemon
react, folder = daemon.react, pathlib.Path({folder!r})
def standing_still(*arguments):
    while (folder / "stand-still").exists():
        (folder / "stands").touch()
        threading.Event().wait(0.01)
    return react(*arguments)
daemon.react = standing_still
"""


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(20)
        yield notify


def wait_for(notify: socket.socket, line: str) -> list[str]:
    """Return what comes up to this line."""
    came: list[str] = []
    while line not in came:
        came.append(notify.recv(4096).decode())
    return came


def test_the_supervisor_hears_when_it_is_ready_that_it_lives_and_that_it_ends(
    dsn: str, shop: Connection, tmp_path: Path, notify: socket.socket, listener_process: Callable[..., ListenerProcess]
) -> None:
    supervised = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    process = listener_process(dsn, **supervised)
    assert "STATUS=Waiting for the database" in wait_for(notify, "READY=1")
    wait_for(notify, "STATUS=Leads")
    wait_until_asleep(process)
    for _ in range(3):
        wait_for(notify, "WATCHDOG=1")
    standby = listener_process(dsn, **supervised)
    wait_for(notify, "READY=1")
    assert standby.stop() == 0
    wait_for(notify, "STOPPING=1")
    assert process.stop() == 0
    wait_for(notify, "STOPPING=1")
    assert "STATUS=Stopping: the step under way is finished first" in wait_for_end(notify)


def wait_for_end(notify: socket.socket) -> list[str]:
    """Return what has come, of a process that has ended."""
    notify.setblocking(False)
    came = []
    while True:
        try:
            came.append(notify.recv(4096).decode())
        except BlockingIOError:
            return came


def test_a_loop_that_stands_still_feeds_no_watchdog_though_its_page_is_served(
    dsn: str,
    shop: Connection,
    account: object,
    tmp_path: Path,
    notify: socket.socket,
    listener_process: Callable[..., ListenerProcess],
) -> None:
    process = listener_process(
        dsn,
        first=STANDING_STILL.format(folder=str(tmp_path)),
        NOTIFY_SOCKET=str(tmp_path / "notify"),
        WATCHDOG_USEC=WATCHDOG_USEC,
    )
    wait_for(notify, "STATUS=Leads")
    wait_for(notify, "WATCHDOG=1")
    (tmp_path / "stand-still").touch()
    os.kill(process.pid, signal.SIGUSR1)
    eventually((tmp_path / "stands").exists)
    wait_for_end(notify)
    assert process.status()
    notify.settimeout(1.0)  # five times its time
    with pytest.raises(TimeoutError):
        notify.recv(4096)
    (tmp_path / "stand-still").unlink()
    notify.settimeout(20)
    wait_for(notify, "WATCHDOG=1")
