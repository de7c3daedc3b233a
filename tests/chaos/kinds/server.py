"""Postgres ends and comes back. The fault is over when the server lets in again."""

import os
import random
import signal
from collections.abc import Iterator

from tests.chaos.kinds.kind import kind
from tests.chaos.world import World
from tests.support.wait import eventually


def restarted(world: World, how: signal.Signals) -> Iterator[None]:
    world.server.halt(how)
    yield
    world.server.start()


@kind("Postgres: crash (SIGKILL of the postmaster)", lasts=(0, 3))
def crashed(world: World, dice: random.Random) -> Iterator[None]:
    """The postmaster is killed, and starts after its recovery."""
    yield from restarted(world, signal.SIGKILL)


@kind("Postgres: fast restart", lasts=(0, 3))
def restarted_fast(world: World, dice: random.Random) -> Iterator[None]:
    """pg_ctl restart -m fast."""
    yield from restarted(world, signal.SIGINT)


@kind("Postgres: immediate restart", lasts=(0, 3))
def restarted_immediately(world: World, dice: random.Random) -> Iterator[None]:
    """pg_ctl restart -m immediate."""
    yield from restarted(world, signal.SIGQUIT)


@kind("Postgres: a server process is killed", lasts=(0, 0))
def one_process_killed(world: World, dice: random.Random) -> Iterator[None]:
    """The out-of-memory killer takes one of the listener's server processes: all sessions go, and all is recovered."""
    victims = world.sessions(dice.choice(["listen", "work"]))
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(victims) & {pid for (pid,) in world.sql("select pid from pg_stat_activity")})
    yield


@kind("Postgres: down for longer", lasts=(5, 9), slow=True)
def down_for_longer(world: World, dice: random.Random) -> Iterator[None]:
    """Long enough that tries to reconnect have slowed down."""
    yield from restarted(world, signal.SIGINT)
