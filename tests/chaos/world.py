"""The world of a chaos run: a Postgres, a ShipStation, a Drive, the network between them, and the listener.

The rule: everything is done from outside, as an operator or an accident would do it. `mend` takes every fault back, so
that a round begins as the first one did.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psycopg

from listener.embedded.drive import DriveSimulator
from listener.embedded.orders_xml import orders_xml
from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.events import WORKFLOWS
from listener.install import install
from tests.chaos.network import Crossing, OtherHost, other_host
from tests.chaos.operator import FLAGS, Operator
from tests.chaos.server import Server
from tests.chaos.traffic import Traffic
from tests.support.process import ListenerProcess

HEARTBEAT_SECONDS = int(FLAGS["fast_polling_interval"])


class World(Operator):
    """All that takes part. Use it in a `with`. `probe`: the order whose way after the fault is timed."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[ListenerProcess] = []
        self.started: list[ListenerProcess] = []
        self.strangers: list[ListenerProcess] = []
        self._ending: list[ListenerProcess] = []
        self.probe = ""
        self.notes: dict[str, list[float]] = {}
        self._host: OtherHost | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
            self.start(leads=True)
            self.warm_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _build(self) -> None:
        hold = self._stack.enter_context
        self.folder = Path(hold(tempfile.TemporaryDirectory(prefix="listener-chaos-")))
        self.server = hold(Server())
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute("create database shop")
        self.url = self.server.url("shop")
        install(self.url, base_tables=True)
        self.network = hold(Crossing(self.server.port))
        self.account = hold(ShipStationSimulator())
        self.account.limit_per_minute = None
        self.drive = hold(DriveSimulator())
        self.file_orders = 3
        self.file = self.drive.user.upload(self._file_content())
        self.traffic = Traffic(self.url)
        self.set_flags()
        self._stack.callback(self._end_listeners)

    def add_to_file(self, orders: int) -> None:
        """Put a longer file of orders into Drive."""
        self.file_orders += orders
        self.drive.user.replace(self.file, self._file_content())

    # The listener

    def start(self, *, leads: bool = False, inside: Sequence[str] = (), **environment: str) -> ListenerProcess:
        """Start a listener. leads: and wait until it does. inside: a command that runs it elsewhere."""
        where = self.network.url(self.url)
        usual = {
            "DATABASE_URL": where,
            "SHIPSTATION_API_KEY": self.account.api_key,
            "SHIPSTATION_API_SECRET": self.account.api_secret,
            "SHIPSTATION_BASE_URL": self.account.url,
            "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
            **self.drive.environment(self.folder / "key.json"),
        }
        process = ListenerProcess(("run",), usual | environment, self.folder, inside=inside)
        self.started.append(process)
        self.listeners.append(process)
        if inside or environment:
            self.strangers.append(process)
        if leads:
            process.wait_for(r"Leading \(epoch", 20)
        return process

    def start_standby(self) -> ListenerProcess:
        """Start a second listener, and wait until it stands by."""
        standby = self.start()
        standby.wait_status(lambda status: status["listening"] and status["role"] == "standby")
        return standby

    @property
    def listener(self) -> ListenerProcess:
        """The listener that was started last."""
        return self.listeners[-1]

    def kill(self, listener: ListenerProcess) -> None:
        self.listeners.remove(listener)
        listener.kill()

    def ask_to_end(self, listener: ListenerProcess) -> None:
        """Ask a listener to end, and do not wait for that: `mend` does."""
        self.listeners.remove(listener)
        self._ending.append(listener)
        os.kill(listener.pid, signal.SIGTERM)

    def stop(self, listener: ListenerProcess) -> None:
        """End a listener in order."""
        self.ask_to_end(listener)
        self._see_end()

    def _see_end(self) -> None:
        while self._ending:
            code = self._ending.pop().wait()
            assert code == 0, f"a listener that was told to end ended with {code}"

    def leader(self) -> tuple[ListenerProcess, dict[str, Any]] | None:
        """Return who leads, and its status; None while nobody does, or says so."""
        for listener in self.listeners:
            with suppress(OSError):
                if (status := listener.status())["role"] == "leader":
                    return listener, status
        return None

    def sessions(self, kind: str) -> list[int]:
        """Return the pids of the listener's server processes: `listen`, `work` or `step`."""
        query = "select pid from pg_stat_activity where application_name like %s and datname = 'shop'"
        return [pid for (pid,) in self.sql(query, f"listener % {kind}")]

    def said(self, words: str) -> int:
        """Return how many lines of all listeners so far have these words."""
        return sum(words in line for process in self.started for line in process.lines)

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Keep how long the block takes, under these words."""
        began = time.monotonic()
        yield
        self.notes.setdefault(what, []).append(time.monotonic() - began)

    def other_host(self) -> OtherHost:
        """Return another host on a cable; it stays until the end of the run."""
        if self._host is None:
            self._host = self._stack.enter_context(other_host(self.server.port, self.account.port))
        return self._host

    # The end of all faults

    def mend(self) -> None:
        """Take back whatever a fault may have left, and have one listener run."""
        self.server.mend()
        self.network.accept()
        self.network.release()
        self.account.clear_faults()
        self.drive.clear_faults()
        self.account.start()
        self.drive.start()
        self.drive.user.share()
        self.set_flags()
        for workflow in WORKFLOWS:
            self.switch(workflow, on=True)
        self.keep_one_listener()

    def keep_one_listener(self) -> None:
        """Have exactly one listener run, the leader if there are several, and none with a strange environment."""
        self._see_end()
        ended = [one for one in self.listeners if one._process.poll() is not None]
        self.listeners = [one for one in self.listeners if one not in ended]
        assert not ended, f"a listener has ended by itself:\n{ended[0].log[-4000:]}" if ended else ""
        for stranger in [one for one in self.listeners if one in self.strangers]:
            self.stop(stranger)
        leading = self.leader()
        for spare in [one for one in self.listeners if leading and one is not leading[0]]:
            self.stop(spare)
        if not self.listeners:
            self.start(leads=True)
            self.warm_up()

    def warm_up(self) -> None:
        """Have a listener that was just started send an order: before its first it reads what ShipStation has."""
        number = self.commit_probe("M")
        assert self.account.wait_until(lambda: bool(self.account.order_by_number(number)), 60)

    def _file_content(self) -> bytes:
        return orders_xml(self.file_orders, datetime.now(UTC).date())

    def _end_listeners(self) -> None:
        self.hang_up()
        for process in self.started:
            process.kill()
