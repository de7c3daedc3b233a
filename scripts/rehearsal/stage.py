"""Where the rehearsal plays: a server, ShipStation and `listener` as a process, and what is said and checked of them.

The rule: the listener is handled as an operator does it, with its commands, with psql and with signals.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from listener.embedded.postgres import EmbeddedPostgres, free_port
from listener.embedded.shipstation import ShipStationSimulator
from scripts.rehearsal.customers import Customers
from scripts.rehearsal.old_scripts import OldScripts
from scripts.rehearsal.past import make_past
from tests.support.process import PASSED_ON, ListenerProcess
from tests.support.psql import run_psql
from tests.support.shop import Connection
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
PRODUCTION_SCHEMA = ROOT / "tests" / "data" / "production_schema.sql"
CREATE = "/orders/createorders"

ARRIVE_WITHIN_SECONDS = 60.0
WATCH_SECONDS = 0.7
"""How long to look whether something that must not happen happens."""

ROWS_SQL = """
select order_number, coalesce(shipstation_order_id, '') from orders_inbox where order_number = any (%s)
"""


class Failed(Exception):
    """Something is not as it should be; the rehearsal ends here."""


class Stage:
    """The scene, and what is known of it."""

    def __init__(self, url: str, account: ShipStationSimulator, shop: Connection, folder: Path) -> None:
        self.url, self.account, self.shop, self.folder = url, account, shop, folder
        self.file = folder / "orders" / "orders.xml"
        self.file.parent.mkdir()
        self.past = make_past(shop, account)
        self.customers = Customers(url, self.file)
        self.old = OldScripts(url, account, self.file)
        self.environment = {
            "DATABASE_URL": url,
            "SHIPSTATION_API_KEY": account.api_key,
            "SHIPSTATION_API_SECRET": account.api_secret,
            "SHIPSTATION_BASE_URL": account.url,
            "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
            "ORDER_SOURCE": str(self.file.parent),
        }
        self.processes: list[ListenerProcess] = []
        self._began = time.monotonic()

    # What is said

    def title(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def check(self, claim: str, holds: object) -> None:
        """Say what is so; raises Failed when it is not."""
        if not holds:
            raise Failed(claim)
        print(f"{time.monotonic() - self._began:7.1f} s  ok  {claim}", flush=True)

    def wait(self, claim: str, read: Callable[[], Any], accept: Callable[[Any], object] = bool) -> Any:
        """Say that something has come to be so, and return it. Raises Failed when it does not in time."""
        try:
            value = eventually(read, accept, timeout=ARRIVE_WITHIN_SECONDS)
        except AssertionError as late:
            raise Failed(f"{claim}: {str(late)[:500]}") from late
        self.check(claim, holds=True)
        return value

    # What an operator does

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `listener` to its end."""
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "listener.cli", *arguments],
            env=inherited | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def do(self, *arguments: str) -> str:
        """Run a command of `listener` that has to succeed; say so, and return what it printed."""
        done = self.command(*arguments)
        self.check(f"listener {' '.join(arguments)}", done.returncode == 0 or print(done.stdout, done.stderr))
        return done.stdout

    def psql(self, file: str) -> None:
        """Have psql run a file of sql/, in a session of its own."""
        done = run_psql(self.url, file)
        self.check(f"psql -f sql/{file}{done.stderr[:500] if done.returncode else ''}", done.returncode == 0)

    def psql_command(self, statement: str) -> None:
        """Have psql run a statement."""
        done = run_psql(self.url, command=statement)
        self.check(f'psql -c "{statement}"{done.stderr[:500]}', done.returncode == 0)

    def start_listener(self, *arguments: str) -> ListenerProcess:
        process = ListenerProcess(("run", *arguments), self.environment, self.folder)
        self.processes.append(process)
        return process

    def ask(self, query: str, *parameters: Any) -> Any:
        """Return the first column of the first row."""
        row = self.shop.execute(query.encode(), parameters).fetchone()
        return row[0] if row else None

    # What there is

    def expected(self) -> set[str]:
        """The numbers of all orders that are to be at ShipStation, as of now."""
        return {*self.past, *self.customers.committed, *self.customers.in_file}

    def there(self) -> Counter[str]:
        """How many orders of each number ShipStation has."""
        return Counter(str(order["orderNumber"]) for order in self.account.orders)

    def missing(self, numbers: Iterable[str]) -> set[str]:
        """Those that are not there, or whose row does not show the id."""
        ids = {str(order["orderNumber"]): str(order["orderId"]) for order in self.account.orders}
        rows = dict(self.shop.execute(ROWS_SQL, [list(numbers)]).fetchall())
        return {number for number in numbers if not ids.get(number) or rows.get(number) != ids[number]}

    def wait_for_all(self, what: str) -> None:
        """Wait until every order that has come so far is there, and its row says so."""
        numbers = self.expected()
        self.wait(f"{what}: all {len(numbers)} orders are there", lambda: self.missing(numbers), lambda left: not left)
        self.none_twice()

    def none_twice(self) -> None:
        twice = {number: times for number, times in self.there().items() if times > 1}
        if twice:
            raise Failed(f"orders that ShipStation has twice: {twice}")

    def nothing_goes(self, why: str) -> None:
        """Check that orders come, and none of them goes."""
        before = self.account.order_count, len(self.customers.committed)
        time.sleep(WATCH_SECONDS)
        came = self.wait_quietly(lambda: len(self.customers.committed) - before[1])
        self.check(f"{why}: {came} orders came, none went", self.account.order_count == before[0])

    @staticmethod
    def wait_quietly(read: Callable[[], Any]) -> Any:
        return eventually(read, timeout=ARRIVE_WITHIN_SECONDS)

    def faults(self) -> list[str]:
        """What went wrong at the edges: writers that were refused, old scripts that ended, ERROR lines of the log."""
        errors = [line for process in self.processes for line in process.lines if " ERROR " in line]
        return [*self.customers.faults, *self.old.faults(), *errors]


@contextmanager
def stage() -> Iterator[Stage]:
    """Set it up: production's tables with 600 orders, and a ShipStation that has them."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres())
        account = stack.enter_context(ShipStationSimulator())
        account.limit_per_minute = None
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="listener-rehearsal-")))
        url = server.url("shop")
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("create database shop")
        shop = stack.enter_context(psycopg.connect(url, autocommit=True))
        shop.execute(PRODUCTION_SCHEMA.read_bytes())
        scene = Stage(url, account, shop, folder)
        stack.callback(lambda: [process.kill() for process in scene.processes])
        stack.callback(scene.old.stop)
        yield scene
