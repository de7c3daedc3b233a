"""A database, a ShipStation and the listener between them: it can be killed and started again, and time can be made
to pass.

The rule: everything is done from outside, with SQL, signals and HTTP. Nobody waits a minute for a backoff, or for the
time after which an old request can't land any more: the times that the ledger holds are moved instead.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg

from listener.embedded.postgres import free_port
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import only_the_bell, set_flag, value_of
from tests.support.wait import eventually

T = TypeVar("T")

WORK_SESSION_WAITS = """
select exists (select from pg_stat_activity where datname = current_database()
               and application_name like 'listener %% work' and wait_event_type = 'Lock')
"""
# What the listener has locked just now is left alone: a test that waited for it could make a deadlock of it.
TURN_THE_CLOCK_ON = """
update listener.ledger set not_before = now(),
    started_at = case when state = 'unknown' then started_at - interval '1 minute' else started_at end
where order_key in (select order_key from listener.ledger where state = 'unknown'
                    or state = 'waiting' and not_before > now() for update skip locked)
"""
STATES = "select order_key, state from listener.history order by order_key, id"
DOUBTS = """
select count(*) from (select state, lag(state, 1, '') over (partition by order_key order by id) as before
                      from listener.history) way
where state = 'unknown' and before <> 'unknown'
"""
ROWS = "select order_number, status, shipstation_order_id from orders_inbox where order_number = any (%s)"
SHOWN = "select order_number from orders_inbox where status = 'uploaded' and order_number = any (%s)"


class Rig:
    """The listener under test and both its neighbours."""

    def __init__(self, url: str, account: ShipStationSimulator) -> None:
        self.url = url
        self.account = account
        self.kills = 0
        self._processes: list[ListenerProcess] = []
        self._stack = ExitStack()
        self._turns = count(200)

    def __enter__(self) -> Self:
        self.shop = self._stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.account.limit_per_minute = None
        only_the_bell(self.shop)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        print(f"--- log of listener process {self.process.pid} ---", *self.process.lines, sep="\n")
        self._stack.close()

    def start(self, *, base_url: str = "", leads: bool = True) -> ListenerProcess:
        """Start the listener; leads: and wait until it does. base_url: another way to ShipStation."""
        environment = {
            "DATABASE_URL": self.url,
            "SHIPSTATION_API_KEY": self.account.api_key,
            "SHIPSTATION_API_SECRET": self.account.api_secret,
            "SHIPSTATION_BASE_URL": base_url or self.account.url,
            "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
        }
        self._processes.append(ListenerProcess(("run",), environment, self._folder))
        if leads:
            self.process.wait_for(r"Leading \(epoch")
        return self.process

    @property
    def process(self) -> ListenerProcess:
        """The listener that runs, or ran last."""
        return self._processes[-1]

    @property
    def has_ended(self) -> bool:
        """Tell whether no listener runs."""
        return self.process._process.poll() is not None

    @property
    def faults(self) -> list[str]:
        """The lines of the log, of all processes so far, that speak of a bug."""
        return [line for process in self._processes for line in process.lines if " ERROR " in line]

    def kill(self) -> None:
        """End the listener as a crash does."""
        self.process.kill()
        self.kills += 1

    def let_time_pass(self) -> None:
        """Turn the clock on by a minute for every order that waits for a time, and end any backoff."""
        self.shop.execute(TURN_THE_CLOCK_ON)
        set_flag(self.shop, "sync_interval", str(next(self._turns) % 400 + 100))  # any change ends a backoff
        self.shop.execute("notify orders_inbox")

    def state_of(self, number: str) -> str | None:
        """Return the state of an order in the ledger."""
        state: str | None = value_of(self.shop, "select state from listener.ledger where order_key = %s", number)
        return state

    def note_of(self, number: str) -> str | None:
        """Return what the ledger says of an order in words."""
        note: str | None = value_of(self.shop, "select error from listener.ledger where order_key = %s", number)
        return note

    def states_of(self, number: str) -> list[str]:
        """Return the states that an order has been in, one after the other."""
        query = "select state from listener.history where order_key = %s order by id"
        return [state for (state,) in self.shop.execute(query, [number])]

    def wait_until_blocked(self) -> None:
        """Wait until the work session waits for a lock: the test's."""
        eventually(lambda: value_of(self.shop, WORK_SESSION_WAITS))

    def sent(self, number: str) -> int:
        """Return how many requests to create this order have come."""
        posts = [request.body for request in self.account.requests if request.method == "POST"]
        return sum(order["orderNumber"] == number for body in posts if isinstance(body, list) for order in body)

    def wait_until_shown(self, numbers: Iterable[str], timeout: float = 20) -> None:
        """Wait until the rows of all these orders show that they were uploaded, letting time pass."""
        wanted = set(numbers)
        self.let_time_pass_until(lambda: self._not_shown(wanted), lambda missing: not missing, timeout=timeout)

    def let_time_pass_until(self, read: Callable[[], T], accept: Callable[[T], object], *, timeout: float = 20) -> T:
        """Return the first value of `read()` that `accept` takes, turning the clock on three times a second."""
        deadline = time.monotonic() + timeout
        while True:
            self.let_time_pass()
            try:
                return eventually(read, accept, timeout=0.3)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    def _not_shown(self, wanted: set[str]) -> set[str]:
        return wanted - {number for (number,) in self.shop.execute(SHOWN, [list(wanted)])}

    def assert_exactly_once(self, numbers: Iterable[str]) -> None:
        """Each of these orders is at ShipStation once, under the id that its row has."""
        wanted = set(numbers)
        there = [order for order in self.account.orders if order["orderNumber"] in wanted]
        times = Counter(order["orderNumber"] for order in there)
        assert not wanted - times.keys(), "lost"
        assert not {number: n for number, n in times.items() if n > 1}, "twice"
        ids = {order["orderNumber"]: str(order["orderId"]) for order in there}
        rows = self.shop.execute(ROWS, [list(wanted)]).fetchall()
        assert {number: shown for number, _, shown in rows} == ids
        assert {number for number, status, _ in rows if status != "uploaded"} == set()

    def assert_every_step_is_in_the_table(self) -> None:
        """What `listener.history` tells of every order is a way through the ledger's table of states."""
        from listener.order_states import LEADS_TO, NEW  # noqa: PLC0415 - the one thing that is not seen from outside

        ways: dict[str, list[str]] = {}
        for key, state in self.shop.execute(STATES):
            ways.setdefault(key, [NEW]).append(state)
        strange = {
            (before, after) for way in ways.values() for before, after in pairwise(way) if after not in LEADS_TO[before]
        }
        assert not strange, sorted((key, way) for key, way in ways.items() if strange & set(pairwise(way)))

    def doubts(self) -> int:
        """Return how often an order came to be in doubt."""
        return int(value_of(self.shop, DOUBTS))

    def conflicts(self) -> list[Any]:
        """Return what the listener has noted for a person to look at."""
        return self.shop.execute("select order_key, kind from listener.conflicts").fetchall()
