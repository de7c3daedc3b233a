"""How often a session waits for its server: the number of round trips, which is what a distant database costs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import IO

from psycopg import pq

from tests.support.shop import Connection


class Trips:
    """The messages of a session, as libpq traces them: F is from us, B is the server's."""

    def __init__(self, session: Connection, log: IO[bytes]) -> None:
        self._session, self._log = session, log
        session.pgconn.trace(log.fileno())
        session.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)

    def count(self) -> int:
        """End the tracing; return how many answers were waited for. The session must be at rest, not its thread."""
        self._session.pgconn.untrace()
        self._log.seek(0)
        sides = [line.split(b"\t", 1)[0] for line in self._log]
        return sum(step == (b"F", b"B") for step in pairwise(sides))


@contextmanager
def round_trips(session: Connection) -> Iterator[Trips]:
    with tempfile.TemporaryFile() as log:
        yield Trips(session, log)
