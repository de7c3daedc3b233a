"""Others hold what the listener needs: locks, transactions that stay open, the queue of notifications."""

import random
import threading
from collections.abc import Iterator

from tests.chaos.kinds.kind import kind
from tests.chaos.operator import session
from tests.chaos.server import major_version
from tests.chaos.world import World
from tests.support.shop import insert_order


def locked(world: World, statement: str) -> Iterator[None]:
    with session(world.url) as other:
        other.execute("begin")
        other.execute(statement.encode())
        yield
        other.execute("rollback")


@kind("lock: orders_inbox, exclusively", lasts=(1, 5))
def inbox_locked(world: World, dice: random.Random) -> Iterator[None]:
    """A migration of the shop's: nobody reads or writes the table. Waiting for it is limited to 2 s."""
    yield from locked(world, "lock table orders_inbox in access exclusive mode")


@kind("lock: the rows of orders_inbox", lasts=(1, 5))
def rows_locked(world: World, dice: random.Random) -> Iterator[None]:
    """The shop edits all orders in one transaction."""
    yield from locked(world, "update orders_inbox set updated_at = updated_at")


@kind("lock: workflow_controls and configuration_params", lasts=(1, 5))
def steering_locked(world: World, dice: random.Random) -> Iterator[None]:
    """What steers the listener cannot be read."""
    table = dice.choice(["workflow_controls", "configuration_params"])
    yield from locked(world, f"lock table {table} in access exclusive mode")


@kind("lock: the listener's ledger", lasts=(1, 5))
def ledger_locked(world: World, dice: random.Random) -> Iterator[None]:
    """A VACUUM FULL of somebody who means well."""
    yield from locked(world, "lock table listener.ledger in access exclusive mode")


@kind("lock: a writer stays open", lasts=(2, 13), slow=True)
def writer_stays_open(world: World, dice: random.Random) -> Iterator[None]:
    """Its order, silent or rung for, cannot be seen before it ends: then it goes at once, with no other's help."""
    number = f"OPEN-{dice.randrange(10**9)}"
    with session(world.url) as other, other.transaction():
        insert_order(other, number)
        yield
    world.probe = number


PREPARE = "prepare transaction 'chaos'"


@kind("lock: a prepared transaction", lasts=(0.5, 3), slow=True, may_miss=True)
def prepared(world: World, dice: random.Random) -> Iterator[None]:
    """It keeps its id while no session has it. Such a writer cannot ring: its order goes with the heartbeat."""
    with session(world.url) as other:
        other.execute("set listener.bell = off")
        other.execute("begin")
        insert_order(other, f"PREPARED-{dice.randrange(10**9)}")
        other.execute(PREPARE.encode())
        try:
            yield
        finally:
            other.execute(dice.choice(["commit prepared 'chaos'", "rollback prepared 'chaos'"]).encode())


FULL = "select pg_notification_queue_usage()"


def why_no_full_queue() -> str:
    """Return why the queue cannot be filled here: before 17 it always holds 8 GB."""
    return "" if major_version() >= 17 else "needs PostgreSQL 17 or newer"


@kind("lock: the queue of notifications at 95 %", lasts=(0.3, 2), may_miss=True, why_not=why_no_full_queue)
def queue_full(world: World, dice: random.Random) -> Iterator[None]:
    """A session that listens sits in a transaction, so that nothing leaves the queue: writers must not fail on it."""
    with session(world.url) as sitter, session(world.url) as talker:
        sitter.execute("listen chaos")
        sitter.execute("begin")
        sitter.execute("select 1")
        usage = 0.0
        while usage < 0.95:
            talker.execute("select pg_notify('chaos', repeat('x', 3500))")
            usage = float(talker.execute(FULL.encode()).fetchone()[0])  # type: ignore[index]
        yield
        sitter.execute("rollback")


@kind("lock: the silence lock is in strange hands", lasts=(0.5, 3), may_miss=True)
def muted(world: World, dice: random.Random) -> Iterator[None]:
    """Some program holds the key of the bell, and every writer stays silent."""
    with session(world.url) as stranger:
        stranger.execute("set statement_timeout = '100ms'")
        holding = threading.Event()
        while not holding.is_set():
            got = stranger.execute(
                b"select pg_try_advisory_lock(classid::int, 1) from pg_locks "
                b"where locktype = 'advisory' and objid = 2 and objsubid = 2 limit 1"
            ).fetchone()
            holding.set() if got and got[0] else holding.wait(0.005)
        yield
        stranger.execute("select pg_advisory_unlock_all()")
