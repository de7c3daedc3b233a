"""Operators at work: flags flap, triggers go and come, the bell is rolled back and installed."""

import random
from collections.abc import Iterator

from listener.events import UPLOAD
from listener.install import flags_back, install, rollback
from tests.chaos.kinds.kind import kind
from tests.chaos.operator import linger
from tests.chaos.world import World


@kind("steering: flags flap", lasts=(0, 0.5))
def flags_flap(world: World, dice: random.Random) -> Iterator[None]:
    """Bell, check, batch and heartbeat change many times within a second or two."""
    for _ in range(dice.randint(10, 30)):
        name, values = dice.choice([
            ("notify_enabled", ("true", "false")),
            ("fast_polling_enabled", ("true", "false")),
            ("upload_batch_size", ("1", "7", "100", "rubbish")),
            ("fast_polling_interval", ("1", "15", "3600")),
        ])  # fmt: skip
        world.set_flag(name, dice.choice(values))
        linger(dice.choice([0, 0.01, 0.1]))
    yield
    world.set_flags()


@kind("steering: the upload flaps", lasts=(0, 1))
def upload_flaps(world: World, dice: random.Random) -> Iterator[None]:
    """It is switched off and on, and is off when the orders come."""
    for _ in range(dice.randint(2, 10)):
        world.switch(UPLOAD, on=False)
        linger(dice.choice([0, 0.05, 0.3]))
        world.switch(UPLOAD, on=True)
        linger(dice.choice([0, 0.05, 0.3]))
    world.switch(UPLOAD, on=False)
    yield
    world.switch(UPLOAD, on=True)


@kind("steering: rollback/flags.sql and back", lasts=(0.2, 2))
def flags_rolled_back(world: World, dice: random.Random) -> Iterator[None]:
    """The old pace for a while: a look every 300 s."""
    rollback(world.url, "flags")
    yield
    flags_back(world.url)


@kind("steering: rollback/notify.sql, then install", lasts=(0.2, 2), may_miss=True)
def bell_rolled_back(world: World, dice: random.Random) -> Iterator[None]:
    """No trigger for a while; the install rings, so that what came meanwhile is found at once."""
    rollback(world.url, "notify")
    yield
    install(world.url)


@kind("steering: rollback/all.sql, then install", lasts=(0.2, 2), may_miss=True)
def all_rolled_back(world: World, dice: random.Random) -> Iterator[None]:
    """The ledger goes as well: what ShipStation has is known from ShipStation alone."""
    rollback(world.url, "all")
    yield
    install(world.url)
    world.set_flags()


@kind("steering: triggers dropped by hand, then install", lasts=(0.2, 2), may_miss=True)
def triggers_dropped(world: World, dice: random.Random) -> Iterator[None]:
    """Somebody drops a trigger, or disables all of them, as for a bulk load."""
    world.sql(dice.choice([
        "drop trigger listener_orders_inserted on orders_inbox",
        "alter table orders_inbox disable trigger user",
    ]))  # fmt: skip
    yield
    install(world.url)
