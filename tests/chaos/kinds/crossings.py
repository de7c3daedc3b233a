"""The network between the listener and Postgres: reset, silent, dead, or leading somewhere else."""

import random
from collections.abc import Iterator

from psycopg.conninfo import make_conninfo

from tests.chaos.kinds.kind import kind
from tests.chaos.network import transaction_pooler
from tests.chaos.world import HEARTBEAT_SECONDS, World
from tests.support.hosts import why_no_hosts
from tests.support.wait import eventually


@kind("link: reset and refused", lasts=(0.2, 3))
def refused(world: World, dice: random.Random) -> Iterator[None]:
    """A firewall that has forgotten every connection, and lets in none."""
    world.network.refuse()
    world.network.cut()
    yield
    world.network.accept()


@kind("link: swallows, then passes on", lasts=(0.5, 8))
def swallowed_for_a_while(world: World, dice: random.Random) -> Iterator[None]:
    """What is sent is taken and kept, in one direction or in both, and arrives in the end."""
    lane = dice.choice([world.network, world.network.to_server, world.network.to_client])
    lane.hold()
    yield
    world.network.release()


@kind("link: swallows until it is noticed, then resets", lasts=(0, 0.5), slow=True, may_miss=True)
def swallowed_until_noticed(world: World, dice: random.Random) -> Iterator[None]:
    """The other end acknowledges and says nothing: only the deadline of a ping can notice."""
    place = world.listener.mark()
    world.network.hold()
    with world.timing("link that swallows: until noticed"):
        world.listener.wait_for("gave no answer|did not hear|session was lost", HEARTBEAT_SECONDS + 8, after=place)
    yield
    world.network.release()
    world.network.cut()


@kind("link: down until it is noticed", lasts=(0, 2), slow=True, may_miss=True, why_not=why_no_hosts)
def link_down(world: World, dice: random.Random) -> Iterator[None]:
    """The listener runs on a host of its own, and the cable is pulled: nothing is acknowledged any more."""
    there = world.other_host()
    # The name of the host stays: a copy of the database at another host would not ship.
    where = make_conninfo(world.url, hostaddr=there.address, port=there.ports[0])
    world.stop(world.listener)
    listener = world.start(
        leads=True,
        inside=there.host.inside,
        DATABASE_URL=where,
        SHIPSTATION_BASE_URL=f"http://{there.address}:{there.ports[1]}",
        STATUS_ADDRESS=f"{there.host.address}:8750",
        ORDER_SOURCE="",
    )
    place = listener.mark()
    there.host.pull_the_cable()
    with world.timing("link that is down: until noticed"):
        listener.wait_for("session was lost", 15, after=place)
    yield
    there.host.plug_it_in()


@kind("link: leads into a transaction pooler, and out again", lasts=(0.5, 3), may_miss=True)
def pooled(world: World, dice: random.Random) -> Iterator[None]:
    """Somebody changes the address of the database: LISTEN succeeds there, and never delivers."""
    with transaction_pooler(world.url) as port:
        place = world.listener.mark()
        world.network.lead_to(port)
        with world.timing("LISTEN behind a pooler: until named in the log"):
            world.listener.wait_for("LISTEN is not heard", 15, after=place)
        world.listener.wait_status(lambda status: status["deaf"])
        yield
        world.network.lead_to(world.server.port)
    eventually(lambda: world.sessions("work"), timeout=10)
