"""The listener's own sessions are ended, stand still, or are not to be had."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psycopg

from tests.chaos.kinds.kind import kind
from tests.chaos.operator import session
from tests.chaos.server import freeze
from tests.chaos.world import HEARTBEAT_SECONDS, World
from tests.support.wait import eventually


def terminated(world: World, which: str) -> Iterator[None]:
    world.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'listener %{which}'")
    yield


@kind("session: pg_terminate_backend of LISTEN", lasts=(0, 0))
def listen_terminated(world: World, dice: random.Random) -> Iterator[None]:
    """What rings until it listens again is not heard."""
    yield from terminated(world, "listen")


@kind("session: pg_terminate_backend of work", lasts=(0, 0))
def work_terminated(world: World, dice: random.Random) -> Iterator[None]:
    """Leader's lock, silence and claim go together."""
    yield from terminated(world, "work")


@kind("session: pg_terminate_backend of all", lasts=(0, 0))
def all_terminated(world: World, dice: random.Random) -> Iterator[None]:
    """Also those of import and sync."""
    yield from terminated(world, "")


@kind("session: work stands still (SIGSTOP of its server process)", lasts=(0.5, 6))
def work_frozen(world: World, dice: random.Random) -> Iterator[None]:
    """A statement gets no answer, and no limit of the server's applies."""
    go_on = [freeze(pid) for pid in world.sessions("work")]
    try:
        yield
    finally:
        for each in go_on:
            each()


@kind("session: LISTEN stands still until it is noticed", lasts=(0, 0.5), slow=True, may_miss=True)
def listen_frozen(world: World, dice: random.Random) -> Iterator[None]:
    """Nothing is heard, and no answer comes: a ping's deadline says so, one heartbeat and 5 s later at most."""
    place = world.listener.mark()
    go_on = [freeze(pid) for pid in world.sessions("listen")]
    try:
        with world.timing("stopped LISTEN backend: until noticed"):
            world.listener.wait_for("gave no answer|did not hear", HEARTBEAT_SECONDS + 8, after=place)
        yield
    finally:
        for each in go_on:
            each()


@kind("session: too many connections", lasts=(0.5, 4))
def too_many_connections(world: World, dice: random.Random) -> Iterator[None]:
    """Others take every connection there is, and the listener loses those that it has."""
    with ExitStack() as greedy:
        take_all(world, greedy)
        world.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'listener %'")
        take_all(world, greedy)
        yield


def take_all(world: World, greedy: ExitStack) -> None:
    with suppress(psycopg.OperationalError):
        while True:
            greedy.enter_context(session(world.url))


@kind("session: many are lost, one after the other", lasts=(0, 0))
def lost_again_and_again(world: World, dice: random.Random) -> Iterator[None]:
    """A balancer that cannot decide: all connections are reset, several times."""
    for _ in range(dice.randint(3, 6)):
        world.network.cut()
        eventually(lambda: world.sessions("listen") or dice.random() < 0.05, timeout=3)
    yield
