"""The upload in the test's own process, with a time that the test moves on: the listener's, the database's and
ShipStation's together.

The database's: `now()` and `clock_timestamp()` of the leader's session are functions of the test's own, which its
search_path finds before the server's. So no time that stands in a table ever has to be moved.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from listener import bell, leader
from listener.budget import SharedWindow
from listener.database import Connection, connect_work
from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.events import Passed, Source
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.store import ledger
from listener.workflows.upload_orders import UploadOrders
from tests.support.shop import insert_order

CREATE = "/orders/createorders"
LIST = "/orders"

TIME_FUNCTIONS = [
    "create schema if not exists test_time",
    """
    create or replace function test_time.passed() returns interval language sql stable
    as $$ select make_interval(secs => coalesce(nullif(current_setting('test.seconds', true), ''), '0')::float8) $$
    """,
    """
    create or replace function test_time.clock_timestamp() returns timestamptz language sql volatile
    as $$ select pg_catalog.clock_timestamp() + test_time.passed() $$
    """,
    """
    create or replace function test_time.now() returns timestamptz language sql stable
    as $$ select pg_catalog.now() + test_time.passed() $$
    """,
]


NOON_IN_JULY = datetime(2035, 7, 15, 19, tzinfo=UTC)
"""When tests begin: far from the hours that ShipStation's clock repeats and leaves out, whatever the day of the run."""


class Time:
    """The real time, and what has passed only for the test on top of it."""

    def __init__(self) -> None:
        self.passed = (NOON_IN_JULY - datetime.now(UTC)).total_seconds()
        self._sessions: list[Connection] = []

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def utc(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.passed)

    def rule(self, session: Connection) -> None:
        """Have a session's `now()` and `clock_timestamp()` follow this time."""
        for statement in TIME_FUNCTIONS:
            session.execute(statement.encode())
        session.execute("set search_path = test_time, public, pg_catalog")
        self._sessions.append(session)
        self._tell(session)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self.passed += seconds
        for session in self._sessions:
            if not session.closed:
                self._tell(session)

    def _tell(self, session: Connection) -> None:
        session.execute("select set_config('test.seconds', %s, false)", [str(self.passed)])


class Leader:
    """A leader without a process around it: each `run` is one pass, as the work session makes it."""

    def __init__(self, url: str, account: ShipStationSimulator, at: Time) -> None:
        self.account, self.time, self.flags = account, at, Flags(api_calls_per_hour=1_000_000)
        self.metrics = Metrics("test")
        account.clock = at.utc
        self._shipstation = ShipStation(account.url, account.api_key, account.api_secret)
        self.window = SharedWindow()
        self.upload = UploadOrders(self._shipstation, self.metrics, at.monotonic, self.window)
        self.lead(url)

    def lead(self, url: str) -> None:
        """Begin a session and an epoch, as at the start and after a lost link."""
        self.db = connect_work(url, "listener test work")
        self.time.rule(self.db)
        epoch = leader.lead(self.db, "test", by_lease=False)
        assert epoch is not None, "another leads on this database"
        self.epoch = epoch
        self.upload.begin(self.db, epoch, self.flags)
        ledger.doubt_what_was_sent(self.db, epoch)

    def run(self) -> Passed:
        """Check, and run one pass. Raises what the pass raises."""
        due = self.upload.check(self.db, self.flags, Source.MANUAL)
        return self.upload.run(self.db, self.epoch, self.flags, due)

    def run_all(self, passes: int = 40) -> Passed:
        """Run passes for as long as the listener would without a pause; return the last."""
        for _ in range(passes):
            passed = self.run()
            if passed.rest_for is not None or not (passed.report.more or self._is_due(passed)):
                return passed
        raise AssertionError(f"{passes} passes were not enough: the last was {passed}")

    def _is_due(self, passed: Passed) -> bool:
        """Ask what the listener asks before it goes to sleep."""
        return passed.report.retry_after == 0.0 or bell.ask(self.db, 0, self.upload.locked, patient=False).pending

    def close(self) -> None:
        self.db.close()
        self._shipstation.close()

    def calls(self, path: str) -> list[Mapping[str, str]]:
        """Return the queries of the calls of this path so far."""
        return [request.query for request in self.account.requests if request.path == path]

    def look_ups(self) -> list[str]:
        """Return the numbers that ShipStation was asked for one by one."""
        return [query["ordernumber"] for query in self.calls(LIST) if "ordernumber" in query]

    def sent(self) -> list[list[str]]:
        """Return the numbers of each createorders, in their order there."""
        return [numbers_of(request.body) for request in self.account.requests if request.path == CREATE]

    def ledger(self, key: str, *columns: str) -> tuple[Any, ...]:
        query = f"select {', '.join(columns or ('state',))} from listener.ledger where order_key = %s"
        row = self.db.execute(query.encode(), [key]).fetchone()
        assert row is not None, f"the ledger does not know {key}"
        return row

    def states(self) -> dict[str, str]:
        """Return the ledger's states by key."""
        return dict(self.db.execute("select order_key, state from listener.ledger order by 1").fetchall())


def numbers_of(body: Any) -> list[str]:
    return [order["orderNumber"] for order in body]


@contextmanager
def leading(url: str, account: ShipStationSimulator, at: Time | None = None) -> Iterator[Leader]:
    """Lead on this database for a while."""
    made = Leader(url, account, at or Time())
    try:
        yield made
    finally:
        made.close()


# What the tests ask, and do.


def insert(shop: Connection, count: int, name: str = "A") -> list[str]:
    numbers = [f"{name}-{n}" for n in range(1, count + 1)]
    for number in numbers:
        insert_order(shop, number)
    return numbers


def times_made(account: ShipStationSimulator) -> Counter[str]:
    return Counter(order["orderNumber"] for order in account.orders)


def rows(shop: Connection) -> dict[str, tuple[Any, ...]]:
    found = shop.execute("select order_number, status, shipstation_order_id, failure_reason from orders_inbox")
    return {number: rest for number, *rest in map(tuple, found.fetchall())}


def statuses(shop: Connection) -> Counter[str]:
    return Counter(status for status, *_ in rows(shop).values())


def journal(ours: Leader) -> list[tuple[Any, ...]]:
    return ours.db.execute("select endpoint, status, error from listener.api_calls order by id").fetchall()


@contextmanager
def while_it_sends(ours: Leader, account: ShipStationSimulator) -> Iterator[None]:
    """Do something while ShipStation has the request and has not answered; then let the pass come to its end."""
    hold, ended = account.hold(path=CREATE, when="after"), []

    def run() -> None:
        try:
            ended.append(ours.run())
        except (Transient, psycopg.Error) as error:
            ended.append(error)

    sending = threading.Thread(target=run)
    sending.start()
    assert hold.arrived.wait(5)
    yield
    hold.release()
    sending.join(10)
    assert ended


def let_it_run(ours: Leader, times: int) -> None:
    """Let it work and rest so many times: as long as it says for want of calls, else, or after an error, a minute."""
    for _ in range(times):
        rest_for = None
        with suppress(Transient):
            rest_for = ours.run_all().rest_for
        ours.time.advance(rest_for or 61)


def set_tokens(ours: Leader, tokens: float) -> None:
    ours.db.execute("update listener.budget set tokens = %s, refilled_at = clock_timestamp()", [tokens])
