"""ALERT_URL over real HTTP: what is sent, what comes of an answer, and that the URL is told to nobody else."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from listener.alert import AGAIN_SECONDS, HOLD_SECONDS, QUIET_SECONDS, Alert
from listener.embedded.postgres import free_port
from listener.metrics import Metrics
from tests.support.process import ListenerProcess
from tests.support.wait import eventually

TOKEN = "T0000/B0000/not-a-real-token"  # noqa: S105 - invented


class Hook(ThreadingHTTPServer):
    """Takes what is posted to it, and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[tuple[str, str, str | None, Any]] = []
        self.status, self.location = 200, ""
        self.answer = threading.Event()
        self.answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/{TOKEN}?key=1"

    @property
    def texts(self) -> list[str]:
        return [body["text"].partition(" is ")[2] for _, _, _, body in self.received]


class Receiver(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.command, self.path, self.headers["Content-Type"], json.loads(body)))
        self.server.answer.wait(10)
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Hook]:
    with Hook() as hook:
        thread = threading.Thread(target=hook.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield hook
        hook.answer.set()
        hook.shutdown()
        thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving() as hook:
        yield hook


class Watched:
    """A listener that is red or green, and the alert that watches it; time passes when it is told to."""

    def __init__(self, url: str) -> None:
        self.now, self.alive = 1000.0, True
        self.metrics = Metrics("1")
        self.alert = Alert(url, self.metrics, lambda: self.alive, lambda: self.now)

    def turn(self, *, red: bool) -> None:
        self.metrics.set(role="leader", listening=True, oldest_pending_seconds=99.0 if red else 0.0)

    def look_for(self, seconds: float) -> None:
        self.alert.look()
        self.now += seconds
        self.alert.look()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_red_and_green_again_are_a_post_each(hook: Hook) -> None:
    watched = Watched(hook.url)
    watched.turn(red=False)
    watched.look_for(HOLD_SECONDS)
    watched.turn(red=True)
    watched.look_for(HOLD_SECONDS)
    watched.look_for(QUIET_SECONDS)
    watched.turn(red=False)
    watched.look_for(HOLD_SECONDS)
    assert hook.texts == ["red: the oldest due order waits for 99 s", "green again"]
    command, path, content_type, body = hook.received[0]
    assert (command, path, content_type) == ("POST", f"/hooks/{TOKEN}?key=1", "application/json")
    assert set(body) == {"text"}


def test_a_loop_that_stands_still_is_red_whatever_it_said_last(hook: Hook) -> None:
    watched = Watched(hook.url)
    watched.turn(red=False)
    watched.alive = False
    watched.look_for(HOLD_SECONDS)
    assert hook.texts == ["red: its main loop stands still"]


def test_a_redirect_is_not_followed(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as elsewhere:
        hook.status, hook.location = 307, elsewhere.url
        watched = Watched(hook.url)
        watched.turn(red=True)
        watched.look_for(HOLD_SECONDS)
        assert (len(hook.received), elsewhere.received) == (1, [])
    assert warnings(caplog) == ["ALERT_URL could not be told: it answered 307"]


def test_a_failure_is_logged_once_and_tried_again_without_the_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "listener")
    watched = Watched(f"http://127.0.0.1:{free_port()}/hooks/{TOKEN}")
    watched.turn(red=True)
    watched.look_for(HOLD_SECONDS)
    watched.look_for(AGAIN_SECONDS)
    watched.look_for(AGAIN_SECONDS)
    (warning,) = warnings(caplog)
    assert warning.startswith("ALERT_URL could not be told: [Errno ")
    assert TOKEN not in caplog.text


def test_what_was_refused_is_told_after_a_quarter_of_an_hour_and_a_new_failure_is_logged(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(hook.url)
    watched.turn(red=True)
    hook.status = 500
    watched.look_for(HOLD_SECONDS)
    hook.status = 204
    watched.look_for(QUIET_SECONDS)
    watched.look_for(QUIET_SECONDS)
    assert len(hook.received) == 2, "told once it was taken, and not again"
    watched.turn(red=False)
    hook.status = 500
    watched.look_for(HOLD_SECONDS)
    assert warnings(caplog) == ["ALERT_URL could not be told: it answered 500"] * 2


def listener(folder: Path, hook: Hook, *arguments: str, first: str) -> ListenerProcess:
    """Start a listener whose database is not there."""
    environment = {
        "DATABASE_URL": f"postgresql://shop@127.0.0.1:{free_port()}/shop",
        "SHIPSTATION_API_KEY": "invented",
        "SHIPSTATION_API_SECRET": "invented",
        "STATUS_ADDRESS": "off",
        "ALERT_URL": hook.url,
        "LOG_LEVEL": "DEBUG",
    }
    return ListenerProcess(["run", *arguments], environment, folder, first)


def test_a_listener_tells_it_and_can_be_stopped_while_the_answer_hangs(hook: Hook, tmp_path: Path) -> None:
    hook.answer.clear()
    sooner = "import listener.alert as a; a.HOLD_SECONDS, a.LOOK_EVERY_SECONDS = 0.2, 0.05"
    with listener(tmp_path, hook, first=sooner) as process:
        eventually(lambda: hook.texts, timeout=20)
        assert process.stop() == 0
    assert hook.texts[0].startswith("red: ")
    assert TOKEN not in process.log


def test_a_dry_run_tells_nobody(hook: Hook, tmp_path: Path) -> None:
    with listener(tmp_path, hook, "--dry-run", first="import listener.daemon as d; d.Alert = None") as process:
        process.wait_for("Cannot reach the database", timeout=20)
        assert process.stop() == 0
