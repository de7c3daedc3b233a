"""What a session and its server say to each other, and how often the session waits: what a distant database costs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, NamedTuple

from psycopg import pq

from tests.support.shop import Connection


class Message(NamedTuple):
    """One message, as libpq traces it. side: F, from us, or B, the server's."""

    side: str
    name: str
    rest: list[str]


class Trace:
    """The messages of a session from now on."""

    def __init__(self, session: Connection, log: IO[str]) -> None:
        self._session, self._log = session, log
        session.pgconn.trace(log.fileno())
        session.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)

    def end(self) -> list[Message]:
        """Return what has been said. Nobody may be using the session at this moment."""
        self._session.pgconn.untrace()
        self._log.seek(0)
        parts = [line.rstrip("\n").split("\t") for line in self._log]
        return [Message(first[0], first[2], first[3:]) for first in parts if first[0] in ("F", "B")]


@contextmanager
def tracing(session: Connection) -> Iterator[Trace]:
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        yield Trace(session, log)


def round_trips(messages: Sequence[Message]) -> int:
    """Return how many times an answer was waited for."""
    return sum((before.side, after.side) == ("F", "B") for before, after in pairwise(messages))
