"""ALERT_URL: one JSON POST with `text` when green turns red, and one when it is green again.

What is told has stood for ten seconds, so that a reconnect is no news. At most one request leaves in a quarter of an
hour: what changes meanwhile is told then, if it still stands. Amber is neither. All of it happens in a thread of its
own, which asks the counters as the page does; nobody ever waits for it. The URL may hold a token, and is in no message.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from listener.health import Colour, colour_of
from listener.http_limits import deadline, watched_pool
from listener.metrics import Metrics

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 2.0
HOLD_SECONDS = 10.0
QUIET_SECONDS = 900.0
AGAIN_SECONDS = 60.0
"""After a request that did not leave: it can't come twice, so it need not wait for long."""

DEADLINE_SECONDS = 20.0
LONGEST_TEXT = 2000
"""Chat services cut off, or refuse, what is much longer."""


class Outcome(Enum):
    """What came of a request."""

    TOLD = "told"
    UNKNOWN = "it left, and was not taken, or nobody knows"
    NOT_SENT = "it did not leave"


@dataclass(frozen=True, slots=True)
class Memory:
    """What was told last, since when there is news, and from when on it may be told; monotonic seconds."""

    told: Colour = Colour.GREEN
    news_since: float | None = None
    quiet_until: float = float("-inf")


def consider(memory: Memory, colour: Colour, now: float) -> tuple[Memory, bool]:
    """Return what to remember of a look, and whether to tell the colour now."""
    if colour in (Colour.AMBER, memory.told):
        return replace(memory, news_since=None), False
    since = now if memory.news_since is None else memory.news_since
    return replace(memory, news_since=since), now - since >= HOLD_SECONDS and now >= memory.quiet_until


def after(memory: Memory, colour: Colour, outcome: Outcome, now: float) -> Memory:
    """Return what to remember of a request: what was not taken is told again, if it still stands then."""
    quiet_until = now + (AGAIN_SECONDS if outcome is Outcome.NOT_SENT else QUIET_SECONDS)
    if outcome is Outcome.TOLD:
        return Memory(colour, None, quiet_until)
    return replace(memory, quiet_until=quiet_until)


def text_of(colour: Colour, reasons: Sequence[str], host: str) -> str:
    """Return the sentence that is sent."""
    if colour is Colour.GREEN:
        return f"listener on {host} is green again"
    return f"listener on {host} is {colour}: {'; '.join(reasons)}"[:LONGEST_TEXT]


class Alert:
    """Watches the colour, and tells it."""

    def __init__(
        self, url: str, metrics: Metrics, is_alive: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._metrics = metrics
        self._is_alive = is_alive
        self._clock = clock
        self._memory = Memory()
        self._pool = watched_pool(retries=False)
        self._failing = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch in a thread of its own, until the process ends or `stop`."""
        threading.Thread(target=self._watch, name="listener-alert", daemon=True).start()

    def stop(self) -> None:
        """Tell nothing any more: a listener that is stopped is no news."""
        self._stopped.set()

    def look(self) -> None:
        """Look once; tell what is to be told."""
        colour, reasons = self._judge()
        self._memory, due = consider(self._memory, colour, self._clock())
        if due:
            outcome = self._post(text_of(colour, reasons, socket.gethostname()))
            self._memory = after(self._memory, colour, outcome, self._clock())

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_SECONDS):
            try:
                self.look()
            except Exception:  # a bug must not end the thread, which nobody would notice
                logger.exception("The alert failed", extra={"event": "bug"})
                self._stopped.wait(AGAIN_SECONDS)

    def _judge(self) -> tuple[Colour, Sequence[str]]:
        if not self._is_alive():
            return Colour.RED, ["its main loop stands still"]
        return colour_of(self._metrics.snapshot())

    def _post(self, text: str) -> Outcome:
        """Send it. A failure is logged once, until it has been told again."""
        body = json.dumps({"text": text}).encode()
        timeout = Timeout(connect=5, read=10)
        try:
            with deadline(DEADLINE_SECONDS):
                answer = self._pool.request(
                    "POST",
                    self._url,
                    body=body,
                    headers={"Content-Type": "application/json", "User-Agent": "listener"},
                    timeout=timeout,
                    redirect=False,
                    preload_content=False,
                )
                answer.close()
        except (HTTPError, OSError) as error:
            self._failed(str(error).rsplit(": ", 1)[-1] or type(error).__name__)
            left = not isinstance(error, NewConnectionError | ConnectTimeoutError)
            return Outcome.UNKNOWN if left else Outcome.NOT_SENT
        if not 200 <= answer.status < 300:
            self._failed(f"it answered {answer.status}")
            return Outcome.UNKNOWN
        self._failing = False
        logger.info("Told ALERT_URL: %s", text, extra={"event": "alert"})
        return Outcome.TOLD

    def _failed(self, why: str) -> None:
        if not self._failing:
            logger.warning("ALERT_URL could not be told: %s", why, extra={"event": "alert_failed"})
        self._failing = True
