"""All that runs in a soak: Postgres, ShipStation, a folder of files, the listener, and everybody around them."""

import http.client
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psycopg

from listener.embedded.orders_xml import orders_xml
from listener.embedded.postgres import EmbeddedPostgres, free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.install import install
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag, value_of
from tests.support.wait import eventually

BY_SQL, BY_FILE = 40, 10
"""Orders a minute."""

SHIPPED_A_MINUTE = 20
OLD_ORDERS = 1000
"""At ShipStation from the start. A page of its lists holds 500, and takes its memory when the first full one comes."""

FIRST_IN_FILE = 600001


class World:
    """Everything, and threads that keep it busy. `url` is the shop's database."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._in_file = 0
        self._shipped = 0
        self._written: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        (self.folder / "orders").mkdir()
        self.postgres = self._stack.enter_context(EmbeddedPostgres())
        self.url = self.postgres.url()
        install(self.url, base_tables=True)
        self.account = self._stack.enter_context(ShipStationSimulator())
        self.account.limit_per_minute = None
        for number in range(OLD_ORDERS):
            self.account.user.create_manual(f"OLD-{number}")
        self.do(lambda db: set_flag(db, "api_calls_per_hour", "1000"))
        self.start()
        self._stack.callback(self._end)
        for work, every in (
            (self._write, 60 / BY_SQL),
            (self._export, 60 / BY_FILE),
            (self._ship, 60),
            (self._look, 2),
        ):
            self._keep_doing(work, every)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the listener, and wait until it leads."""
        environment = {
            "DATABASE_URL": self.url,
            "ORDER_SOURCE": str(self.folder / "orders"),
            "SHIPSTATION_API_KEY": self.account.api_key,
            "SHIPSTATION_API_SECRET": self.account.api_secret,
            "SHIPSTATION_BASE_URL": self.account.url,
            "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
        }
        self.listener = ListenerProcess(("run",), environment, self.folder)
        self.listener.wait_for(r"Leading \(epoch", 60)

    def kill_and_start(self) -> None:
        """End the listener as a crash does, and start another."""
        self._note_errors()
        self.listener.kill()
        self.start()

    @property
    def written(self) -> list[str]:
        """The numbers of all orders that were committed, or stand in a file."""
        return self._written + [str(FIRST_IN_FILE + n) for n in range(self._in_file)]

    def do(self, what: Callable[[Connection], object]) -> None:
        """Do something on a connection of its own, as an operator does."""
        with psycopg.connect(self.url, autocommit=True) as db:
            what(db)

    def finish(self, within: float) -> None:
        """Write no more, and wait until every order is done or the time is up."""
        self._end()
        self.account.clear_faults()
        self.do(lambda db: set_flag(db, "sync_interval", "121"))  # any change ends a backoff
        with psycopg.connect(self.url, autocommit=True) as db, suppress(AssertionError):
            left = "select count(*) from orders_inbox where status = 'awaiting_shipment'"
            there = "select count(*) from orders_inbox"
            eventually(lambda: (value_of(db, left), value_of(db, there)), lambda n: n == (0, len(self.written)),
                       timeout=within)  # fmt: skip
        self._note_errors()
        self.listener.stop()

    def lost_and_twice(self) -> tuple[set[str], set[str]]:
        """Return the numbers that ShipStation does not have, and those that it has more than once."""
        times = Counter(order["orderNumber"] for order in self.account.orders)
        return set(self.written) - times.keys(), {number for number, n in times.items() if n > 1}

    def _keep_doing(self, work: Callable[[], None], every: float) -> None:
        def go_on() -> None:
            while not self._stopping.wait(every):
                try:
                    work()
                except (psycopg.Error, OSError, http.client.HTTPException):
                    continue  # somebody broke it: that is what a soak is
                except Exception as bug:  # of the soak's own: the run is worth nothing then
                    self.errors.append(f"{work.__name__}: {bug!r}")
                    raise

        self._threads.append(threading.Thread(target=go_on, daemon=True))
        self._threads[-1].start()

    def _write(self) -> None:
        number = f"SQL-{len(self._written) + 1}"
        with psycopg.connect(self.url, autocommit=True) as db:
            if not value_of(db, "select 1 from orders_inbox where order_number = %s", number):
                insert_order(db, number)
        self._written.append(number)

    def _export(self) -> None:
        content = orders_xml(self._in_file + 1, datetime.now(UTC).date())
        part = self.folder / "orders" / ".orders.xml"
        part.write_bytes(content)
        part.replace(self.folder / "orders" / "orders.xml")
        self._in_file += 1

    def _ship(self) -> None:
        """Ship what has arrived longest ago, and cancel one in twenty."""
        begin = OLD_ORDERS + self._shipped
        orders = self.account.orders[begin : begin + SHIPPED_A_MINUTE]
        for order in orders:
            act = self.account.user.cancel if self._shipped % 20 == 19 else self.account.user.ship
            act(order["orderId"])
            self._shipped += 1

    def _look(self) -> None:
        """Look at the page as a browser does, and at an order's story; scrape the figures."""
        order = self._written[-1] if self._written else "1"
        page = http.client.HTTPConnection(self.listener.status_address, timeout=5)
        try:
            for path in ("/page/now.json", "/page/past.json", f"/orders/{order}", "/metrics", "/status.json"):
                page.request("GET", path)
                page.getresponse().read()
        finally:
            page.close()

    def _note_errors(self) -> None:
        self.errors += [line for line in self.listener.lines if " ERROR " in line or "Traceback" in line]

    def _end(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        self._threads = []
