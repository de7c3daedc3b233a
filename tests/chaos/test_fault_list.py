"""What can go wrong at ShipStation, a test a row: the order that it hits arrives once all the same, and others go on.

One listener for all rows, so each has order numbers of its own. Whoever closes ShipStation's window for a minute starts
another listener: that the window is closed is nowhere but in its memory.
"""

from collections.abc import Iterator

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.postgres import Cluster
from tests.support.rig import Rig
from tests.support.shop import insert_order, row_of, set_flag, value_of
from tests.support.wait import eventually

CREATE = "/orders/createorders"
LIST = "/orders"


@pytest.fixture(scope="module")
def running(cluster: Cluster, template: str) -> Iterator[Rig]:
    with cluster.database(template) as url, ShipStationSimulator() as account, Rig(url, account) as rig:
        yield rig


@pytest.fixture
def rig(running: Rig) -> Iterator[Rig]:
    """The rig at rest: nothing is wrong, and the listener sleeps."""
    running.let_time_pass()
    wait_until_asleep(running.process)
    yield running
    running.account.clear_faults()
    running.assert_every_step_is_in_the_table()
    assert (running.conflicts(), running.faults) == ([], [])


def insert_batch(rig: Rig, *numbers: str) -> None:
    """Commit orders together: they go in one request."""
    with rig.shop.transaction():
        for number in numbers:
            insert_order(rig.shop, number)


def assert_goes_at_once(rig: Rig, number: str) -> None:
    """An order is uploaded, though no time passes."""
    assert eventually(lambda: row_of(rig.shop, number), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, number, requests=1)


def assert_arrived_once(rig: Rig, *numbers: str, requests: int) -> None:
    """These orders are there once, under the id of their rows, each after so many requests."""
    rig.assert_exactly_once(numbers)
    assert {number: rig.sent(number) for number in numbers} == dict.fromkeys(numbers, requests)


def attempts_of(rig: Rig, number: str) -> int:
    return int(value_of(rig.shop, "select attempts from listener.ledger where order_key = %s", number))


def test_a_request_that_is_lost_is_sent_again_when_it_cannot_land_any_more(rig: Rig) -> None:
    rig.account.inject("drop-before-commit", path=CREATE, times=1)
    insert_order(rig.shop, "LOST-1")
    eventually(lambda: rig.note_of("LOST-1"), lambda note: note == "not there yet, may still arrive")
    insert_order(rig.shop, "LOST-2")
    assert_goes_at_once(rig, "LOST-2")
    assert rig.sent("LOST-1") == 1
    rig.wait_until_shown(["LOST-1"])
    assert_arrived_once(rig, "LOST-1", requests=2)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop-after-commit"},
        {"kind": "cut"},
        {"kind": "answer", "body": "<html>", "when": "after"},
        {"kind": "answer", "body": '{"results": [', "when": "after"},
        {"kind": "answer", "body": '{"hasErrors": false}', "when": "after"},
    ],
    ids=["none", "half of it", "a page", "broken JSON", "no results"],
)
def test_an_answer_that_is_lost_or_cannot_be_read_is_asked_for_and_new_orders_go_on(
    rig: Rig, fault: dict[str, str], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id.upper()
    rig.account.inject(fault.pop("kind"), path=CREATE, times=1, **fault)
    insert_order(rig.shop, f"{name}-1")
    assert_goes_at_once(rig, f"{name}-1")
    assert rig.states_of(f"{name}-1") == ["sending", "unknown", "accepted"]
    insert_order(rig.shop, f"{name}-2")
    assert_goes_at_once(rig, f"{name}-2")


def test_when_the_question_what_arrived_fails_too_it_backs_off_and_the_order_is_found_later(rig: Rig) -> None:
    place = rig.process.mark()
    rig.account.inject("drop-after-commit", path=CREATE, times=1)
    rig.account.inject("500", path=LIST, method="GET", times=2)
    insert_order(rig.shop, "BOTH-1")
    rig.process.wait_for("Backing off 60s after error #1", after=place)
    insert_order(rig.shop, "BOTH-2")
    rig.wait_until_shown(["BOTH-1", "BOTH-2"])
    assert_arrived_once(rig, "BOTH-1", "BOTH-2", requests=1)


def test_a_slow_answer_is_waited_for(rig: Rig) -> None:
    rig.account.inject("delay", path=CREATE, times=1, seconds=0.3)
    insert_order(rig.shop, "SLOW-1")
    assert rig.account.wait_until(lambda: rig.sent("SLOW-1") == 1, 5)
    insert_order(rig.shop, "SLOW-2")
    assert_goes_at_once(rig, "SLOW-1")
    assert_goes_at_once(rig, "SLOW-2")
    assert rig.states_of("SLOW-1") == ["sending", "accepted"]


def test_a_shipstation_that_takes_no_connection_is_backed_off_from(rig: Rig) -> None:
    place = rig.process.mark()
    rig.account.stop()
    insert_order(rig.shop, "DOWN-1")
    rig.process.wait_for("Backing off 60s after error #1", after=place)
    insert_order(rig.shop, "DOWN-2")
    rig.account.start()
    rig.wait_until_shown(["DOWN-1", "DOWN-2"])
    assert_arrived_once(rig, "DOWN-1", "DOWN-2", requests=1)
    assert "unknown" not in rig.states_of("DOWN-1")


def test_a_429_is_obeyed_for_as_long_as_its_headers_say(rig: Rig) -> None:
    rig.account.inject("429", path=CREATE, times=1, reset=1)
    insert_order(rig.shop, "WAIT-1")
    assert rig.account.wait_until(lambda: rig.sent("WAIT-1") == 1, 5)
    insert_order(rig.shop, "WAIT-2")
    for number in ("WAIT-1", "WAIT-2"):
        assert eventually(lambda number=number: row_of(rig.shop, number), lambda row: row[0] == "uploaded")
    assert_arrived_once(rig, "WAIT-1", requests=2)
    assert_arrived_once(rig, "WAIT-2", requests=1)
    assert (attempts_of(rig, "WAIT-1"), rig.states_of("WAIT-1")) == (0, ["sending", "waiting", "sending", "accepted"])


@pytest.mark.parametrize(
    ("kind", "options"),
    [("429", {"headers": False}), ("throttle-in-body", {"status": 200}), ("throttle-in-body", {"status": 500})],
    ids=["429", "200", "500"],
)
def test_a_throttling_without_a_time_closes_the_window_and_counts_no_attempt(
    rig: Rig, kind: str, options: dict[str, int], request: pytest.FixtureRequest
) -> None:
    first, second = (f"CLOSED-{request.node.callspec.id}-{n}" for n in (1, 2))
    place = rig.process.mark()
    rig.account.inject(kind, path=CREATE, times=1, **options)
    insert_order(rig.shop, first)
    rig.process.wait_for(r"Waiting \d\ds for the API budget", after=place)
    insert_order(rig.shop, second)
    assert rig.process.stop() == 0
    rig.start()
    rig.wait_until_shown([first, second])
    assert_arrived_once(rig, first, requests=2)
    assert_arrived_once(rig, second, requests=1)
    assert (attempts_of(rig, first), rig.states_of(first)) == (0, ["sending", "waiting", "sending", "accepted"])


@pytest.mark.parametrize("kind", ["500", "503"])
@pytest.mark.parametrize(("when", "requests"), [("before", 2), ("after", 1)])
def test_a_breakdown_is_backed_off_from_and_what_it_hit_is_looked_up(
    rig: Rig, kind: str, when: str, requests: int
) -> None:
    first, second = f"BROKEN-{kind}-{when}-1", f"BROKEN-{kind}-{when}-2"
    place = rig.process.mark()
    rig.account.inject(kind, path=CREATE, times=1, when=when)
    insert_order(rig.shop, first)
    rig.process.wait_for("Backing off 60s after error #1", after=place)
    insert_order(rig.shop, second)
    rig.wait_until_shown([first, second])
    assert_arrived_once(rig, first, requests=requests)
    assert_arrived_once(rig, second, requests=1)
    assert attempts_of(rig, first.upper()) == 0


def test_a_refused_order_is_tried_again_alone_and_its_neighbours_are_not(rig: Rig) -> None:
    fault = rig.account.inject("partial", orders=("PART-2",), message="The zone is unknown.")
    insert_batch(rig, "PART-1", "PART-2", "PART-3")
    eventually(lambda: rig.note_of("PART-2"), lambda note: note == "The zone is unknown.")
    assert_goes_at_once(rig, "PART-1")
    assert_goes_at_once(rig, "PART-3")
    assert attempts_of(rig, "PART-2") == 1
    fault.release()
    rig.wait_until_shown(["PART-2"])
    assert_arrived_once(rig, "PART-2", requests=2)


def test_results_in_another_order_are_told_apart_by_their_keys(rig: Rig) -> None:
    numbers = [f"MIXED-{n}" for n in range(8)]
    fault = rig.account.inject("permute", path=CREATE, times=1)
    insert_batch(rig, *numbers)
    for number in numbers:
        assert_goes_at_once(rig, number)
    assert fault.hits == 1


def test_an_order_that_the_results_leave_out_is_looked_up_and_not_sent_again(rig: Rig) -> None:
    rig.account.inject("missing", orders=("MISSING-2",))
    insert_batch(rig, "MISSING-1", "MISSING-2", "MISSING-3")
    for number in ("MISSING-1", "MISSING-2", "MISSING-3"):
        assert_goes_at_once(rig, number)
    assert rig.states_of("MISSING-2") == ["sending", "unknown", "accepted"]
    assert rig.states_of("MISSING-3") == ["sending", "accepted"]


@pytest.mark.parametrize("status", [400, 500])
def test_of_a_batch_that_one_order_spoils_only_that_one_fails_in_the_end(rig: Rig, status: int) -> None:
    numbers = [f"SPOILT-{status}-{n}" for n in range(8)]
    bad = numbers.pop(4)
    set_flag(rig.shop, "max_upload_attempts", "2")
    rig.process.wait_status(lambda seen: seen["flags"]["max_upload_attempts"] == 2)
    rig.account.inject("poison", orders=(bad,), status=status, message="Value cannot be null.")
    insert_batch(rig, *numbers[:4], bad, *numbers[4:])
    rig.wait_until_shown(numbers)
    insert_order(rig.shop, f"BESIDE-{status}")
    rig.wait_until_shown([f"BESIDE-{status}"])
    row = rig.let_time_pass_until(lambda: row_of(rig.shop, bad), lambda row: row[0] == "failed")
    assert (row[1], "Value cannot be null." in row[2]) == (None, True)
    rig.assert_exactly_once([*numbers, f"BESIDE-{status}"])
    assert rig.account.order_by_number(bad) == []
    assert attempts_of(rig, bad) == 2
    set_flag(rig.shop, "max_upload_attempts", "5")


FORGET = """
with rows as (update orders_inbox set status = 'awaiting_shipment', shipstation_order_id = null
              where order_number = %(number)s),
     gone as (delete from listener.mirror where order_key = %(number)s)
delete from listener.ledger where order_key = %(number)s
"""


@pytest.mark.parametrize(("status", "shown"), [("shipped", "shipped"), ("cancelled", "failed")])
def test_an_order_that_cannot_be_changed_there_any_more_shows_what_became_of_it(
    rig: Rig, status: str, shown: str
) -> None:
    number = f"FINAL-{status}".upper()
    insert_order(rig.shop, number)
    assert_goes_at_once(rig, number)
    (order,) = rig.account.order_by_number(number)
    rig.account.user.ship(number) if status == "shipped" else rig.account.user.cancel(number)
    with rig.shop.transaction():  # the row that is pending again rings
        rig.shop.execute(FORGET, {"number": number})
        rig.shop.execute("delete from listener.history where order_key = %s", [number])
        rig.shop.execute("notify orders_inbox")
    row = eventually(lambda: row_of(rig.shop, number), lambda row: row[0] == shown)
    assert len(rig.account.order_by_number(number)) == 1
    assert rig.sent(number) == 2
    assert str(order["orderId"]) in (row[1] or row[2])
    insert_order(rig.shop, f"{number}-NEXT")
    assert_goes_at_once(rig, f"{number}-NEXT")
