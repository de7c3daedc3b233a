"""The listener's process ends, or stands still."""

import random
from collections.abc import Iterator

from tests.chaos.kinds.kind import kind
from tests.chaos.server import freeze
from tests.chaos.world import World


@kind("listener: SIGKILL", lasts=(0, 1.5))
def killed(world: World, dice: random.Random) -> Iterator[None]:
    """It dies, and something starts it again."""
    world.kill(world.listener)
    yield
    world.start()


@kind("listener: SIGTERM", lasts=(0, 1.0))
def told_to_end(world: World, dice: random.Random) -> Iterator[None]:
    """A deployment: it ends in order, and the next one is started."""
    world.stop(world.listener)
    yield
    world.start()


@kind("listener: SIGKILL while ShipStation works", lasts=(0, 0.5))
def killed_in_a_request(world: World, dice: random.Random) -> Iterator[None]:
    """It dies with a request on its way, which is carried out all the same, before or after the next one leads."""
    hold = world.account.hold(path="/orders/createorders", when=dice.choice(["before", "after"]), times=1)
    hold.arrived.wait(5)
    world.kill(world.listener)
    yield
    if dice.random() < 0.5:
        hold.release()
        world.start()
    else:
        world.start(leads=True)
        hold.release()


@kind("listener: SIGSTOP, SIGCONT", lasts=(0.3, 6))
def frozen(world: World, dice: random.Random) -> Iterator[None]:
    """It stands still, with its locks, as in a container that is short of CPU."""
    go_on = freeze(world.listener.pid)
    try:
        yield
    finally:
        go_on()


@kind("listener: SIGKILL, with a standby", lasts=(0, 0))
def killed_beside_a_standby(world: World, dice: random.Random) -> Iterator[None]:
    """The leader dies: from that moment on another has to do."""
    leader = world.listener
    world.start_standby()
    world.kill(leader)
    yield


@kind("listener: SIGTERM, with a standby", lasts=(0, 0))
def told_to_end_beside_a_standby(world: World, dice: random.Random) -> Iterator[None]:
    """The leader hands over."""
    leader = world.listener
    world.start_standby()
    world.ask_to_end(leader)
    yield


@kind("listener: a frozen leader is replaced, and wakes", lasts=(0.5, 3))
def replaced_while_frozen(world: World, dice: random.Random) -> Iterator[None]:
    """The leader stands still in the middle of anything; the server ends its session; it wakes beside the next one."""
    world.start_standby()
    leader = world.listeners[-2]
    go_on = freeze(leader.pid)
    try:
        for pid in world.sessions("work"):
            world.sql(
                "select pg_terminate_backend(%s) where exists (select from pg_locks where pid = %s "
                "and locktype = 'advisory' and objid = 2)",
                pid,
                pid,
            )
        world.listener.wait_for(r"Leading \(epoch", 10)
        yield
    finally:
        go_on()
