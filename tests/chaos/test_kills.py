"""No order is lost and none is made twice, at whatever point the listener dies and whatever ShipStation answers.

Each point is held from outside: by a lock that a session of the test holds, or by a request that ShipStation holds.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from listener.embedded.shipstation import Fault, ShipStationSimulator
from tests.support.postgres import Cluster
from tests.support.proxy import TcpProxy
from tests.support.rig import Rig
from tests.support.shop import insert_order, row_of, set_flag
from tests.support.wait import eventually
from tests.support.writers import Writer

CREATE = "/orders/createorders"
LIST = "/orders"

# Both hold less than the 2 s after which the listener gives up waiting for a lock: it is killed before.
HOLD_THE_LEAD = "select from listener.leader for update"
HOLD_THE_LEDGER = "lock table listener.ledger in share mode"


@pytest.fixture(scope="module")
def running(cluster: Cluster, template: str) -> Iterator[Rig]:
    with cluster.database(template) as url, ShipStationSimulator() as account, Rig(url, account) as rig:
        yield rig


@pytest.fixture
def rig(running: Rig) -> Iterator[Rig]:
    """A listener that leads: whom one point starts last is whom the next one kills."""
    if running.has_ended:
        running.start()
    yield running
    running.account.clear_faults()


def test_killed_before_the_claim(rig: Rig) -> None:
    with psycopg.connect(rig.url) as locker:
        locker.execute(HOLD_THE_LEAD)
        insert_order(rig.shop, "BEFORE-1")
        rig.wait_until_blocked()
        rig.kill()
        assert rig.state_of("BEFORE-1") is None
    rig.start()
    assert_arrived_once(rig, "BEFORE-1", requests=1)


def test_killed_in_the_middle_of_the_claim(rig: Rig) -> None:
    with psycopg.connect(rig.url) as locker:
        locker.execute(HOLD_THE_LEDGER)
        insert_order(rig.shop, "CLAIM-1")
        rig.wait_until_blocked()
        rig.kill()
        assert rig.state_of("CLAIM-1") is None
    rig.start()
    assert_arrived_once(rig, "CLAIM-1", requests=1)


def test_killed_after_the_claim_and_the_request_never_arrives(rig: Rig) -> None:
    rig.kill()
    with TcpProxy(rig.account.port) as network:
        rig.start(base_url=f"http://127.0.0.1:{network.port}")
        rig.process.wait_for("METRICS: workflow=sync")  # what ShipStation has is known to this process then
        network.to_server.hold()
        insert_order(rig.shop, "WIRE-1")
        eventually(lambda: rig.state_of("WIRE-1"), lambda state: state == "sending")
        rig.kill()
        network.cut()
    assert rig.sent("WIRE-1") == 0
    rig.start()
    rig.process.wait_for("1 orders in doubt")
    eventually(lambda: rig.state_of("WIRE-1"), lambda state: state == "unknown")
    assert_arrived_once(rig, "WIRE-1", requests=1)


def test_killed_before_the_work_which_is_done_after_the_first_look_up(rig: Rig) -> None:
    hold = rig.account.hold(path=CREATE)
    insert_order(rig.shop, "LATE-1")
    assert hold.arrived.wait(5)
    rig.kill()
    rig.start()
    eventually(lambda: rig.note_of("LATE-1"), lambda note: note == "not there yet, may still arrive")
    hold.release()
    assert rig.account.wait_until(lambda: rig.account.order_by_number("LATE-1"), 5)
    assert_arrived_once(rig, "LATE-1", requests=1)


def test_killed_before_the_work_which_is_done_after_the_order_was_sent_again(rig: Rig) -> None:
    hold = rig.account.hold(path=CREATE, times=1)
    insert_order(rig.shop, "GHOST-1")
    assert hold.arrived.wait(5)
    rig.kill()
    rig.start()
    rig.wait_until_shown(["GHOST-1"])
    before = len(rig.account.requests)
    hold.release()
    assert rig.account.wait_until(lambda: all(one.status for one in rig.account.requests[:before]), 5)
    assert_arrived_once(rig, "GHOST-1", requests=2)


def test_killed_after_the_work_and_before_the_answer(rig: Rig) -> None:
    hold = rig.account.hold(path=CREATE, when="after")
    insert_order(rig.shop, "WORK-1")
    assert hold.arrived.wait(5)
    rig.kill()
    hold.release()
    rig.start()
    assert eventually(lambda: row_of(rig.shop, "WORK-1"), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, "WORK-1", requests=1)


def test_killed_after_the_answer_and_before_the_record(rig: Rig) -> None:
    hold = rig.account.hold(path=CREATE, when="after")
    insert_order(rig.shop, "ANSWER-1")
    assert hold.arrived.wait(5)
    with psycopg.connect(rig.url) as locker:
        locker.execute(HOLD_THE_LEDGER)
        hold.release()
        rig.wait_until_blocked()
        rig.kill()
        assert rig.state_of("ANSWER-1") == "sending"
    rig.start()
    assert eventually(lambda: row_of(rig.shop, "ANSWER-1"), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, "ANSWER-1", requests=1)


def test_killed_after_the_record_and_before_the_row_shows_it(rig: Rig) -> None:
    hold = rig.account.hold(path=CREATE, when="after")
    insert_order(rig.shop, "ROW-1")
    assert hold.arrived.wait(5)
    with psycopg.connect(rig.url) as locker:
        locker.execute("select from orders_inbox where order_number = 'ROW-1' for update")
        hold.release()
        eventually(lambda: rig.state_of("ROW-1"), lambda state: state == "accepted")
        rig.kill()
        assert row_of(rig.shop, "ROW-1")[0] == "awaiting_shipment"
    rig.start()
    assert eventually(lambda: row_of(rig.shop, "ROW-1"), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, "ROW-1", requests=1)


def test_killed_during_the_look_up_of_what_is_in_doubt(rig: Rig) -> None:
    answer = rig.account.hold(path=CREATE, when="after")
    insert_order(rig.shop, "DOUBT-1")
    assert answer.arrived.wait(5)
    rig.kill()
    for when in ("before", "after"):
        look_up = rig.account.hold(path=LIST, method="GET", when=when)
        rig.start(leads=False)
        assert look_up.arrived.wait(10)
        rig.kill()
        look_up.release()
        assert rig.state_of("DOUBT-1") == "unknown"
    answer.release()
    rig.start()
    assert eventually(lambda: row_of(rig.shop, "DOUBT-1"), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, "DOUBT-1", requests=1)


def test_killed_while_it_asks_what_shipstation_has_before_it_sends(rig: Rig) -> None:
    rig.kill()
    rig.shop.execute("update listener.mirror_state set fresh_at = fresh_at - interval '1 hour'")
    insert_order(rig.shop, "ASK-1")
    refresh = rig.account.hold(path=LIST, method="GET", when="after")
    rig.start(leads=False)
    assert refresh.arrived.wait(10)
    rig.kill()
    refresh.release()
    assert rig.state_of("ASK-1") is None
    rig.start()
    assert_arrived_once(rig, "ASK-1", requests=1)


def test_the_ways_of_all_these_orders_are_in_the_ledgers_table(rig: Rig) -> None:
    rig.assert_every_step_is_in_the_table()
    assert (rig.conflicts(), rig.faults) == ([], [])


def assert_arrived_once(rig: Rig, number: str, *, requests: int) -> None:
    rig.wait_until_shown([number])
    rig.assert_exactly_once([number])
    assert rig.sent(number) == requests
    assert rig.state_of(number) == "accepted"
    assert rig.account.faults_in_force == ()


# The same at random, with faults of every kind meanwhile.

ANY, POST = {"path": "*"}, {"path": CREATE}
WHEN = ("before", "after")
WRONGS: tuple[Callable[[random.Random, str], Fault], ...] = (
    lambda dice, number: Fault("drop-before-commit", **ANY),
    lambda dice, number: Fault("drop-after-commit", **ANY),
    lambda dice, number: Fault("cut", **ANY),
    lambda dice, number: Fault("delay", **ANY, seconds=dice.uniform(0, 0.3), when=dice.choice(WHEN)),
    lambda dice, number: Fault("hold", **ANY, when=dice.choice(WHEN)),
    lambda dice, number: Fault("429", **ANY, reset=1, when=dice.choice(WHEN)),
    lambda dice, number: Fault("429", **ANY, headers=False, when=dice.choice(WHEN)),
    lambda dice, number: Fault("throttle-in-body", **ANY, status=dice.choice([200, 400, 500])),
    lambda dice, number: Fault("500", **ANY, when=dice.choice(WHEN)),
    lambda dice, number: Fault("503", **ANY, when=dice.choice(WHEN)),
    lambda dice, number: Fault("answer", **ANY, status=dice.choice([200, 401, 404]), body="<html>"),
    lambda dice, number: Fault("answer", **ANY, status=200, body='{"results": ', when="after"),
    lambda dice, number: Fault("partial", **POST),
    lambda dice, number: Fault("locked", **POST),
    lambda dice, number: Fault("missing", **POST),
    lambda dice, number: Fault("permute", **POST),
    lambda dice, number: Fault("poison", **ANY, orders=(number,), status=dice.choice([400, 500])),
)


def test_killed_at_random_moments_while_shipstation_fails_at_random(dsn: str, seed: int, chaos_seconds: float) -> None:
    dice = random.Random(seed)
    writers = [Writer(f"R{n}", dsn, random.Random(dice.random())) for n in range(3)]
    with ShipStationSimulator() as account, Rig(dsn, account) as rig:
        set_flag(rig.shop, "max_upload_attempts", "100")  # nothing here is wrong with an order
        set_flag(rig.shop, "fast_polling_interval", "1")
        began = time.monotonic()
        while time.monotonic() < began + chaos_seconds:
            one_life(rig, dice, writers)
        lasted = time.monotonic() - began
        committed = end_well(rig, writers)
        assert {order["orderNumber"] for order in account.orders} == committed
        rig.assert_exactly_once(committed)
        rig.assert_every_step_is_in_the_table()
        assert (rig.conflicts(), rig.faults) == ([], [])
        counts = f"{rig.kills} kills, {len(committed)} orders, {rig.doubts()} doubts"
        print(f"{counts}, {len(account.requests)} requests in {lasted:.0f} s, {time.monotonic() - began:.0f} s in all")
        if chaos_seconds >= 60:  # a run of its own; a short one shares the machine with other tests
            assert rig.kills / lasted >= 100 / 600


def one_life(rig: Rig, dice: random.Random, writers: list[Writer]) -> None:
    """From a kill to the next, while writers write and ShipStation fails."""
    if dice.random() < 0.5:
        rig.account.clear_faults()
    for _ in range(dice.randint(0, 3)):
        wrong = dice.choice(WRONGS)(dice, f"{dice.choice(writers).name}-{dice.randint(1, 30)}")
        chance = dice.choice([0.1, 0.3, 0.6])
        rig.account.inject(replace(wrong, probability=chance, seed=dice.randrange(1000)))
    at_work = [threading.Thread(target=writer.run, args=(dice.randint(1, 4),)) for writer in writers]
    for thread in at_work:
        thread.start()
    live_for_a_while(rig, dice)
    rig.kill()
    for thread in at_work:
        thread.join()
    rig.start(leads=dice.random() < 0.8)


def live_for_a_while(rig: Rig, dice: random.Random) -> None:
    """Return at a moment that is the dice's: so many requests later or after some time, and a bit."""
    enough = len(rig.account.requests) + dice.randint(0, 6)
    rig.account.wait_for_requests(enough, dice.uniform(0, 0.5))
    for _ in range(dice.randint(0, 3)):
        rig.let_time_pass()
        enough += dice.randint(0, 4)
        rig.account.wait_for_requests(enough, dice.uniform(0, 0.3))
    threading.Event().wait(dice.choice([0, 0.001, 0.003, 0.01, 0.03]))  # into the request, and what follows it


def end_well(rig: Rig, writers: list[Writer]) -> set[str]:
    """Have an end of all faults, wait until everything is uploaded, and return the numbers of what was committed."""
    rig.account.clear_faults()
    rig.kill()
    rig.start()
    committed = {number for writer in writers for number in writer.committed}
    rig.wait_until_shown(committed, timeout=60)
    done = rig.account.wait_until(lambda: all(one.status or one.dropped for one in rig.account.requests), 10)
    assert done, "every request that was held has come to its end"
    return committed
