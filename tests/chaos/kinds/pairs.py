"""Two at once: ShipStation fails while something else does. Orders in doubt, and then somebody who must not believe it.

What is paired needs nothing that the other takes away.
"""

import random
from collections.abc import Iterator

from tests.chaos.kinds.kind import KINDS, Kind, kind
from tests.chaos.world import World


def named(*beginnings: str) -> list[Kind]:
    """Return the kinds of these parts of the world that take no time of their own and explain no missed bell."""
    return [one for one in KINDS if one.name.startswith(beginnings) and not (one.slow or one.may_miss or one.why_not())]


def beside_shipstation(world: World, dice: random.Random, *beginnings: str) -> Iterator[None]:
    """Have ShipStation fail, and another part of the world at the same time."""
    first, second = dice.choice(named("ShipStation: ")), dice.choice(named(*beginnings))
    with first.in_force(world, dice), second.in_force(world, dice):
        yield


@kind("two at once: ShipStation and the listener's process", lasts=(0.3, 2))
def shipstation_and_process(world: World, dice: random.Random) -> Iterator[None]:
    """It dies or stands still while answers are lost."""
    yield from beside_shipstation(world, dice, "listener: ")


@kind("two at once: ShipStation and Postgres", lasts=(0.3, 2))
def shipstation_and_postgres(world: World, dice: random.Random) -> Iterator[None]:
    """What ShipStation has answered, or has not, cannot be written down."""
    yield from beside_shipstation(world, dice, "Postgres: ", "lock: ")


@kind("two at once: ShipStation and a session or the link", lasts=(0.3, 2))
def shipstation_and_session(world: World, dice: random.Random) -> Iterator[None]:
    """The way to both neighbours is bad, as where the listener's own network is."""
    yield from beside_shipstation(world, dice, "session: ", "link: ")


@kind("two at once: ShipStation and an operator", lasts=(0.3, 2), may_miss=True)
def shipstation_and_operator(world: World, dice: random.Random) -> Iterator[None]:
    """Flags, switches and rollbacks, the ledger's among them, while answers are lost."""
    chosen = [one for one in KINDS if one.name.startswith("steering: ")]
    first, second = dice.choice(named("ShipStation: ")), dice.choice(chosen)
    with first.in_force(world, dice), second.in_force(world, dice):
        yield
