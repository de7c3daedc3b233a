"""The person at the database: runs statements, commits orders, turns flags, and tries on while the server is away."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import psycopg

from tests.support.rig import TURN_THE_CLOCK_ON
from tests.support.shop import Connection, insert_order, set_flag, switch

FLAGS = {
    "fast_polling_enabled": "true",
    "fast_polling_interval": "15",  # the default, so that the figures are those of a listener as it comes
    "notify_enabled": "true",
    "upload_batch_size": "100",
    "api_calls_per_hour": "1000000",
    "max_upload_attempts": "100",  # nothing here is wrong with an order
}
TRY_ON_SECONDS = 30.0
IMPATIENT = "-c lock_timeout=300 -c statement_timeout=1000"
PROBE_TRIES = count(1)


class Operator:
    """Works on the database `url`, over a connection that is kept."""

    url: str

    def __init__(self) -> None:
        self._operator: Connection | None = None
        self._eases = count(1000)

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        """Run a statement as an operator, on a connection that is kept; try on while the server does not let us."""
        return self.try_on(lambda operator: _rows(operator, query, parameters))

    def try_on(self, work: Callable[[Connection], Any]) -> Any:
        """Return what `work` returns on the operator's connection, as soon as the server lets it."""
        end = time.monotonic() + TRY_ON_SECONDS
        while True:
            try:
                if self._operator is None or self._operator.closed:
                    self._operator = psycopg.connect(self.url, autocommit=True, connect_timeout=2)
                return work(self._operator)
            except psycopg.OperationalError:
                if self._operator is not None:
                    self._operator.close()
                if time.monotonic() > end:
                    raise
                linger(0.005)

    def commit_probe(self, name: str) -> str:
        """Commit an order as soon as the server takes it; return its number."""

        def insert(operator: Connection) -> str:
            number = f"{name}-{next(PROBE_TRIES)}"  # a new one each time: of a lost COMMIT nobody knows
            insert_order(operator, number)
            return number

        return str(self.try_on(insert))

    def try_commit_probe(self, name: str) -> str:
        """Commit an order in the middle of a fault; '' when that does not let us."""
        number = f"{name}-{next(PROBE_TRIES)}"
        try:
            with psycopg.connect(self.url, connect_timeout=2, options=IMPATIENT, autocommit=True) as writer:
                insert_order(writer, number)
        except psycopg.Error:  # what has become of it, the table says
            return ""
        return number

    def set_flag(self, name: str, value: str) -> None:
        self.try_on(lambda operator: set_flag(operator, name, value))

    def set_flags(self) -> None:
        """Have all flags as they are in this world."""
        for name, value in FLAGS.items():
            self.set_flag(name, value)

    def switch(self, workflow: str, *, on: bool) -> None:
        self.try_on(lambda operator: switch(operator, workflow, on=on))

    def ease(self, *, clock: bool) -> None:
        """End every backoff, as any change of a flag does; clock: and have a minute pass for what waits for a time."""
        self.set_flag("idle_after", str(next(self._eases)))
        if clock:
            self.sql(TURN_THE_CLOCK_ON)
            self.sql("notify orders_inbox")

    def hang_up(self) -> None:
        """Close the connection."""
        if self._operator is not None:
            self._operator.close()


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A session of somebody else. That it is lost is no fault of ours."""
    connection = psycopg.connect(url, autocommit=True)
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.rollback()
        connection.close()


def linger(seconds: float) -> None:
    """Let a fault last, or a load go on: no wait for anything."""
    threading.Event().wait(seconds)


def _rows(operator: Connection, query: str, parameters: tuple[Any, ...]) -> list[Any]:
    cursor = operator.execute(query.encode(), parameters or None)
    return cursor.fetchall() if cursor.description else []
