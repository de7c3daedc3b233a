"""ShipStation and Drive fail. What is in doubt then waits for 40 s and an outage is backed off from: both are eased."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from listener.embedded.drive.fault import Fault as DriveFault
from listener.embedded.shipstation import Fault
from tests.chaos.kinds.kind import kind
from tests.chaos.world import World

CREATE = "/orders/createorders"


def failing(world: World, dice: random.Random, *wrongs: Fault) -> Iterator[None]:
    """Have some requests, or all, go wrong in one of these ways."""
    wrong = dice.choice(wrongs)
    world.account.inject(replace(wrong, probability=dice.choice([0.3, 0.6, 1.0]), seed=dice.randrange(1000)))
    yield
    world.account.clear_faults()


@kind("ShipStation: is away", lasts=(0.5, 3))
def away(world: World, dice: random.Random) -> Iterator[None]:
    """Nobody listens there."""
    world.account.stop()
    yield
    world.account.start()


@kind("ShipStation: answers are lost or cut", lasts=(0.5, 3))
def cut(world: World, dice: random.Random) -> Iterator[None]:
    """The work may have been done or not."""
    yield from failing(world, dice, Fault("drop-before-commit"), Fault("drop-after-commit"), Fault("cut"))


@kind("ShipStation: holds requests", lasts=(0.5, 4))
def held(world: World, dice: random.Random) -> Iterator[None]:
    """Nothing comes, before the work or after it, until it all comes."""
    yield from failing(world, dice, Fault("hold", when="before"), Fault("hold", when="after"))


@kind("ShipStation: a request times out after 30 s", lasts=(31, 31), slow=True)
def timed_out(world: World, dice: random.Random) -> Iterator[None]:
    """The whole deadline of a request runs out, before the work or after it."""
    world.account.hold(path=CREATE, when=dice.choice(["before", "after"]))
    yield
    world.account.clear_faults()


@kind("ShipStation: 500 and 503", lasts=(0.5, 3))
def broken(world: World, dice: random.Random) -> Iterator[None]:
    """Before the work and, worse, after it."""
    yield from failing(
        world, dice, *(Fault(kind, when=when) for kind in ("500", "503") for when in ("before", "after"))
    )


@kind("ShipStation: 429", lasts=(0.5, 3))
def throttled(world: World, dice: random.Random) -> Iterator[None]:
    """With the time that it asks for, a second."""
    yield from failing(world, dice, Fault("429", reset=1), Fault("429", reset=1, when="after"))


@kind("ShipStation: rubbish", lasts=(0.5, 3))
def rubbish(world: World, dice: random.Random) -> Iterator[None]:
    """A page of a portal, half of a JSON, an empty answer, results left out or in another order."""
    wrongs = [
        Fault("answer", status=status, body=body, when=when)
        for when in ("before", "after")
        for status, body in ((200, "<html>"), (200, '{"results": '), (200, ""), (404, "<html>"))
    ]
    wrongs += [Fault("missing", path=CREATE), Fault("permute", path=CREATE)]
    yield from failing(world, dice, *wrongs)


@kind("ShipStation: slow", lasts=(1, 4))
def slow(world: World, dice: random.Random) -> Iterator[None]:
    """Each answer takes up to a second and a half."""
    seconds = dice.uniform(0.2, 1.5)
    yield from failing(world, dice, Fault("delay", seconds=seconds), Fault("delay", seconds=seconds, when="after"))


@kind("ShipStation: refuses orders", lasts=(0.5, 3))
def refusing(world: World, dice: random.Random) -> Iterator[None]:
    """Single orders, each with its own words."""
    yield from failing(world, dice, Fault("partial", path=CREATE), Fault("locked", path=CREATE))


DRIVE_WRONGS: tuple[Callable[[], DriveFault], ...] = (
    lambda: DriveFault("drop"),
    lambda: DriveFault("cut"),
    lambda: DriveFault("short", alt="media"),
    lambda: DriveFault("other-bytes", alt="media"),
    lambda: DriveFault("500"),
    lambda: DriveFault("503"),
    lambda: DriveFault("429", retry_after=1),
    lambda: DriveFault("answer", body="<html>"),
    lambda: DriveFault("delay", seconds=1.5),
)


@kind("Drive: fails while a file changes", lasts=(1, 4), slow=True)
def drive_failing(world: World, dice: random.Random) -> Iterator[None]:
    """Lists, downloads or tokens fail; the orders of the new file come when that is over."""
    wrong = dice.choice(DRIVE_WRONGS)()
    world.drive.inject(replace(wrong, probability=dice.choice([0.5, 1.0]), seed=dice.randrange(1000)))
    world.add_to_file(dice.randint(1, 20))
    world.ease(clock=False)
    yield
    world.drive.clear_faults()


@kind("Drive: the folder is not shared for a while", lasts=(1, 3), slow=True)
def drive_unshared(world: World, dice: random.Random) -> Iterator[None]:
    """The file changes meanwhile."""
    world.drive.user.unshare()
    world.add_to_file(dice.randint(1, 20))
    world.ease(clock=False)
    yield
    world.drive.user.share()
