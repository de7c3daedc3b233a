"""The worker: one loop that waits, decides and hands out work. `Daemon.__init__` is the composition root.

The main thread owns the LISTEN session and a selector over its socket and a socket pair, through which signals and the
other threads wake it. It does no workflow's work and never waits for the server, so a flag is in force while a request
hangs. Order of truth: LISTEN stands before anything is looked at; notifications are drained before the selector waits;
a reconnect is a wake; behind every signal there is a row.
"""

import logging
import secrets
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

from listener import __version__
from listener.alert import Alert
from listener.budget import SharedWindow
from listener.ears import Ears
from listener.errors import Fatal, Transient
from listener.events import Action, Event, Led, Nudged, RunImport, RunSync, RunUpload, Simple, Source, Stirred, Stop
from listener.headway import Headway
from listener.log import calling_at_errors, redactor
from listener.metrics import Metrics
from listener.publish import Publisher
from listener.pulse import Pulse
from listener.runners import import_runner, sync_runner
from listener.schedule import next_due, react
from listener.settings import Settings
from listener.shipstation.client import ShipStation
from listener.signals import Signals
from listener.state import Import, State, Sync
from listener.status.archive import Archive
from listener.status.pages import Sources
from listener.status.server import StatusServer
from listener.supervisor import Supervisor
from listener.threads import RightOfWay, Worker
from listener.wake import ListenSession, connect_listen
from listener.work import Ended, WorkSession
from listener.workflows.dry_run import DryRun
from listener.workflows.upload_orders import UploadOrders

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 10.0
"""The loop turns at least this often: /health/live looks at that."""

ORDERS_FIRST_SECONDS = 0.002
"""For so long the upload's thread has the processor to itself before what is shown is brought up to date. Python runs
one thread at a time, and an order would wait for that."""

DEAD_AFTER_SECONDS = 30.0
STOP_WITHIN_SECONDS = 10.0


class Daemon:
    """The loop, and what it hands work to."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, dry_run: Callable[[str], None] | None = None
    ) -> None:
        """`dry_run`: send nothing, import nothing, and say to this what would go."""
        self._supervisor = supervisor
        name = f"listener {secrets.token_hex(4)}"
        self._url = url = settings.listen_database_url
        self._name = f"{name} listen"
        self._metrics = metrics = Metrics(__version__, f"{name} work")
        key, secret = settings.shipstation_api_key, settings.shipstation_api_secret
        shipstation = ShipStation(settings.shipstation_base_url, key, secret)
        window = SharedWindow()
        upload = DryRun(shipstation, metrics, dry_run) if dry_run else UploadOrders(shipstation, metrics, window=window)
        self._dry_run = dry_run is not None
        self._work = WorkSession(url, f"{name} work", upload, metrics, dry_run=self._dry_run)
        self._right_of_way = RightOfWay()
        give_way = self._right_of_way.give_way
        self._import = None if dry_run else import_runner(settings, f"{name} step", metrics, give_way)
        self._sync = None if dry_run else sync_runner(settings, f"{name} step", shipstation, metrics, window)
        self._publisher = Publisher(metrics)
        archive = Archive(settings.database_url, f"{name} page")
        self._status = StatusServer(Sources(metrics, self._is_alive, archive, redactor(settings.secrets())))
        self._status_address = settings.status_address
        alert_url = None if dry_run else settings.alert_url
        self._alert = Alert(alert_url, metrics, self._is_alive) if alert_url else None
        self._selector = selectors.DefaultSelector()
        self._signals = Signals(self._selector)
        self._ears = Ears(self._selector, metrics)
        self._pulse = Pulse(self._selector)
        self._workers = {"connect": Worker("listener-connect"), "upload": Worker("listener-upload")}
        if self._import:
            self._workers["import"] = Worker("listener-import", on_idle=self._import.close)
        if self._sync:
            self._workers["sync"] = Worker("listener-sync", on_idle=self._sync.close)
        self._finished: deque[Callable[[], list[Event]]] = deque()
        self._state = State(
            imports=Import(available=self._import is not None), sync=Sync(available=self._sync is not None)
        )
        self._listened_before = False
        self._announced = False
        self._turned_at = time.monotonic()
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._fault: Fatal | None = None
        self._bug: Exception | None = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return 0. Raises Fatal for what no waiting mends, and what a thread died of."""
        if self._status_address:
            self._status.start(self._status_address)
        if self._alert:
            self._alert.start()
        with self._signals, calling_at_errors(self._metrics.error_line):
            while not self._turn():
                pass
        self._close()
        if fault := self._fault or self._bug:
            raise fault
        return 0

    def progress(self) -> Sequence[Headway]:
        """Return how far the workflows are that have to do for long. To be asked by any thread."""
        return self._metrics.progress()

    def _turn(self) -> bool:
        """Turn the loop once; return whether it is over."""
        events = self._collect() or self._wait_and_collect()
        self._turned_at = now = time.monotonic()
        self._state, actions = react(self._state, events, now)
        for action in actions:
            self._perform(action, now)
        if any(isinstance(action, RunUpload) for action in actions):
            self._selector.select(ORDERS_FIRST_SECONDS)
        self._publisher.publish(self._state, now)
        self._supervisor.tell(self._state, self._publisher.degraded, now)
        self._metrics.tick()
        return Simple.QUIT in actions or now >= self._stop_by or (self._fault or self._bug) is not None

    def _wait_and_collect(self) -> list[Event]:
        now = time.monotonic()
        due = next_due(self._state), self._ears.due_at, self._supervisor.due_at, self._stop_by
        until = min(*due, now + LONGEST_WAIT_SECONDS)
        self._selector.select(max(0.0, until - now))
        return self._collect()

    def _collect(self) -> list[Event]:
        """Return what has happened."""
        self._signals.drain()
        events = self._ears.hear(leading=self._state.leading, dormant=self._state.dormant)
        while self._finished:
            events += self._finished.popleft()()
        if self._pulse.has_stirred():
            events.append(Stirred())
        if self._signals.look:
            self._signals.look = False
            logger.info("SIGUSR1: looking now", extra={"event": "nudged"})
            events.append(Nudged())
        if self._signals.stop and not self._stopping.is_set():
            logger.info("Stopping: the step under way is finished first", extra={"event": "stopping"})
            self._stopping.set()
            self._supervisor.stopping()
            self._stop_by = time.monotonic() + STOP_WITHIN_SECONDS
            events.append(Stop())
        return events

    def _perform(self, action: Action, now: float) -> None:
        match action:
            case RunUpload():
                flags = self._state.flags
                probe = self._ears.probe_due(now)
                self._right_of_way.take()
                self._pulse.let_go()
                self._hand_out("upload", lambda: self._work.run(action, flags, probe), self._upload_ended)
            case RunImport() if (runner := self._import) is not None:
                self._hand_out("import", lambda: runner.run(action), lambda event: [event])
            case RunSync() if (syncing := self._sync) is not None:
                in_force = self._state.flags
                self._hand_out("sync", lambda: syncing.run(action, in_force), lambda event: [event])
            case Simple.CONNECT:
                self._hand_out("connect", self._connect, self._connected)
            case Simple.READ_CONFIG:
                self._finished.append(lambda: self._ears.ask_config(None, now))
            case Simple.LOOK_AT_CONFIG:
                self._finished.append(lambda: self._ears.ask_config(Source.HEARTBEAT, now))
            case Simple.PING_LISTEN:
                self._finished.append(lambda: self._ears.ping(now))
            case Simple.NOTE_MISSED:
                self._metrics.missed()
                logger.warning("A pending order was found that no notification announced", extra={"event": "missed"})
            case Simple.QUIT | RunImport() | RunSync():
                pass
            case _ as never:
                assert_never(never)

    def _hand_out(self, role: str, work: Callable[[], T], then: Callable[[T], list[Event]]) -> None:
        """Run `work` in the thread of `role`; `then` runs in this one and says what has happened."""

        def run() -> None:
            try:
                result = work()
            except Exception as bug:  # a job ends in an event, whatever happens: only a bug comes here
                self._bug = bug
            else:
                self._finished.append(lambda: then(result))
            self._signals.wake()

        self._workers[role].submit(run)

    def _upload_ended(self, ended: Ended) -> list[Event]:
        self._right_of_way.give_back()
        self._pulse.feel(self._work.socket)
        now, events = time.monotonic(), [ended.event]
        self._publisher.lead(ended.event)
        if isinstance(ended.event, Led) and ended.event.leading:
            self._announce()
        elif isinstance(ended.event, Led) and self._dry_run:
            self._fault = Fatal("another listener runs on this database: a dry run needs its place, so stop it first")
        if ended.found is not None:
            self._ears.looked(found=ended.found)
        if ended.rang:
            self._ears.must_hear(ended.rang, ended.began_at, now)
        if ended.triggers is not None:
            self._publisher.triggers(ended.triggers)
        if ended.beat is not None:
            self._publisher.beat(ended.beat, now, ended.muffled_by)
            leading = self._state.leading
            events += self._ears.configure_by_beat(ended.beat.config, ended.began_at, now, leading=leading)
        return events

    def _announce(self) -> None:
        """Say once, when this process leads, at what pace it works."""
        if self._announced:
            return
        self._announced = True
        flags = self._state.flags
        pace = (str(flags.fast_polling_enabled).lower(), flags.fast_polling_interval)
        logger.info("Upload workflow started (fast_polling=%s, interval=%ds)", *pace, extra={"event": "started"})
        if self._import:
            seconds = int(self._state.import_seconds)
            logger.info("XML import started (interval=%ds)", seconds, extra={"event": "started"})

    def _connect(self) -> ListenSession | Fatal | None:
        try:
            return connect_listen(self._url, self._name, self._stopping, at_start=not self._listened_before)
        except Transient:
            return None  # stopping

    def _connected(self, session: ListenSession | Fatal | None) -> list[Event]:
        if isinstance(session, Fatal):
            self._fault = session
        if not isinstance(session, ListenSession):
            return []
        source = Source.RECONNECT if self._listened_before else Source.STARTUP
        self._listened_before = True
        return [self._ears.adopt(session, source)]

    def _is_alive(self) -> bool:
        return time.monotonic() - self._turned_at < DEAD_AFTER_SECONDS

    def _close(self) -> None:
        """Step down first, so that a standby need not wait; then let go of the rest."""
        self._stopping.set()
        if self._alert:
            self._alert.stop()
        self._work.close(busy=self._state.upload.job is not None)
        self._ears.close()
        for worker in self._workers.values():
            worker.stop(timeout=0.5)
        if self._import:
            self._import.close()
        if self._sync:
            self._sync.close()
        self._status.stop()
        self._selector.close()
        self._supervisor.close()
        logger.info("Stopped", extra={"event": "stopped"})
