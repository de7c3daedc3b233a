"""Both ends of the bell as tests need them: an ear that knows when it has heard all, and the listener's locks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.locks import LOCK_CLASS

Connection = psycopg.Connection[tuple[Any, ...]]
LAST_WORD = "that was all"


class Ear:
    """Hears one channel."""

    def __init__(self, url: str, channel: str) -> None:
        self._speaker = psycopg.connect(url, autocommit=True)
        self._ear = psycopg.connect(url, autocommit=True)
        self._channel = channel
        self._ear.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))

    def heard(self) -> list[str]:
        """Return the payloads of all that was committed before this call: a last word of our own marks the end."""
        self._speaker.execute("select pg_notify(%s, %s)", [self._channel, LAST_WORD])
        payloads = []
        for notification in self._ear.notifies(timeout=10):
            if notification.payload == LAST_WORD:
                return payloads
            payloads.append(notification.payload)
        raise AssertionError("the last word never came")

    def close(self) -> None:
        self._speaker.close()
        self._ear.close()


@contextmanager
def hearing(url: str, channel: str) -> Iterator[Ear]:
    """An ear on a channel, for a while."""
    ear = Ear(url, channel)
    try:
        yield ear
    finally:
        ear.close()


@contextmanager
def holding(url: str, *keys: int) -> Iterator[None]:
    """A session that holds these locks as the listener does."""
    with psycopg.connect(url, autocommit=True) as session:
        for key in keys:
            session.execute("select pg_advisory_lock(%s, %s)", [LOCK_CLASS, key])
        yield


@contextmanager
def role(url: str, name: str, grants: LiteralString) -> Iterator[str]:
    """A role of this test's own; yields the URL by which it connects. `grants` says {role} where its name belongs."""
    full_name = f"{name}_of_{conninfo_to_dict(url)['dbname']}"
    known = {"role": sql.Identifier(full_name)}
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("create role {role} login").format(**known))
        try:
            owner.execute(sql.SQL(grants).format(**known))
            yield make_conninfo(url, user=full_name)
        finally:
            owner.execute(sql.SQL("reassign owned by {role} to current_user").format(**known))
            owner.execute(sql.SQL("drop owned by {role}; drop role {role}").format(**known))
