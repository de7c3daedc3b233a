"""The server can write no more: its disk is full, or it is read-only."""

import functools
import random
from collections.abc import Iterator

from tests.chaos.kinds.kind import kind
from tests.chaos.server import DISK_MEGABYTES, Disk
from tests.chaos.world import World
from tests.support.wait import eventually


@functools.cache
def why_no_disk() -> str:
    """Return why the disk cannot be filled here."""
    disk = Disk()
    try:
        return "" if disk.is_small else f"needs to mount a file system of {DISK_MEGABYTES} MB"
    finally:
        disk.remove()


@kind("Postgres: its disk is full", lasts=(1, 4), why_not=why_no_disk)
def disk_full(world: World, dice: random.Random) -> Iterator[None]:
    """Tables cannot grow, and when the log cannot either, the server ends itself."""
    world.server.disk.fill()
    yield
    world.server.mend()


@kind("Postgres: read-only", lasts=(1, 4))
def read_only(world: World, dice: random.Random) -> Iterator[None]:
    """A failover that has gone to the wrong side: every session reads, none may write."""
    world.sql("alter system set default_transaction_read_only = on")
    world.sql("select pg_reload_conf()")
    eventually(lambda: world.sql("show default_transaction_read_only"), lambda shown: shown == [("on",)])
    if dice.random() < 0.5:
        world.network.cut()
    yield
    world.sql("alter system reset default_transaction_read_only")
    world.sql("select pg_reload_conf()")
    eventually(lambda: world.sql("show default_transaction_read_only"), lambda shown: shown == [("off",)])
