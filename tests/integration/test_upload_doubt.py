"""What becomes of an order whose request got no answer, or a refusal: nothing is lost, and nothing goes twice."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from math import log2
from typing import Any

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.shipstation.client import NoAnswer, ShipStation
from listener.workflows import send_batch
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.upload import (
    CREATE,
    LIST,
    Leader,
    insert,
    let_it_run,
    rows,
    set_tokens,
    statuses,
    times_made,
)

# In doubt.


def test_a_whole_batch_in_doubt_is_resolved_by_one_question(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert(shop, 30)
    fresh.run()
    assert set(fresh.states().values()) == {"unknown"}
    fresh.run_all()
    assert set(fresh.states().values()) == {"accepted"}
    assert len(fresh.calls(LIST)) == 1 + 1
    assert (len(fresh.sent()), fresh.look_ups()) == (1, [])
    assert set(times_made(account).values()) == {1}
    assert statuses(shop) == {"uploaded": 30}


@pytest.mark.parametrize(("holder", "name", "seconds"), [(send_batch, "encode", 6), (ShipStation, "create_orders", 36)])
def test_a_claim_that_has_grown_old_before_its_request_could_leave_is_made_anew(
    fresh: Leader, shop: Connection, monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, seconds: int
) -> None:
    go_on = getattr(holder, name)

    def stand_still(*arguments: Any) -> Any:
        fresh.time.advance(seconds)
        monkeypatch.setattr(holder, name, go_on)
        return go_on(*arguments)

    monkeypatch.setattr(holder, name, stand_still)
    numbers = insert(shop, 3)
    assert fresh.run().report.more, "it is due again at once"
    assert (fresh.sent(), set(fresh.states().values())) == ([], {"waiting"})
    assert "stood still" in fresh.ledger("A-1", "error")[0]
    fresh.run_all()
    assert [sorted(sent) for sent in fresh.sent()] == [sorted(numbers)]
    assert statuses(shop) == {"uploaded": 3}


def test_what_is_not_there_is_sent_again_only_when_the_old_request_can_no_longer_arrive(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    numbers = insert(shop, 30)
    fresh.run()
    for seconds in (0, 15, 15, 5):
        fresh.time.advance(seconds)
        fresh.run_all()
        assert set(fresh.states().values()) == {"unknown"}, f"{seconds} s later"
        assert len(fresh.sent()) == 1
    fresh.time.advance(10)
    fresh.run_all()
    assert [sorted(sent) for sent in fresh.sent()] == [sorted(numbers)] * 2
    assert times_made(account) == dict.fromkeys(numbers, 1)
    assert fresh.ledger("A-1", "state", "attempts") == ("accepted", 0)


def test_the_time_for_not_there_counts_from_when_the_request_began(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    fresh.db.execute("update listener.ledger set started_at = started_at - interval '41 seconds'")
    fresh.run_all()
    assert fresh.sent() == [["A-1"], ["A-1"]]
    assert times_made(account) == {"A-1": 1}


def test_a_request_that_arrives_after_all_is_found_and_not_repeated(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    fresh.run_all()
    account.user.create_manual("A-1", orderKey="listener-A-1")  # it was on its way, somewhere
    fresh.time.advance(60)
    fresh.run_all()
    assert fresh.sent() == [["A-1"]]
    assert fresh.ledger("A-1") == ("accepted",)


def test_new_orders_go_while_others_are_in_doubt(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert(shop, 3)
    fresh.run()
    insert_order(shop, "N-1")
    fresh.run_all()
    assert fresh.sent()[1:] == [["N-1"]]
    assert Counter(fresh.states().values()) == {"unknown": 3, "accepted": 1}


def test_new_orders_go_also_while_those_in_doubt_cannot_be_looked_up(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert(shop, 3)
    fresh.run()
    fresh.run_all()
    account.inject("503", path=LIST)
    fresh.time.advance(41)
    insert_order(shop, "N-1")
    fresh.run_all()
    assert fresh.sent()[1:] == [["N-1"]]
    assert Counter(fresh.states().values()) == {"unknown": 3, "accepted": 1}
    account.clear_faults()
    fresh.time.advance(61)
    fresh.run_all()
    assert set(times_made(account).values()) == {1}


def test_the_first_cut_connection_is_no_error_and_the_next_in_a_row_is(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=2)
    insert_order(shop, "A-1")
    passed = fresh.run()
    assert passed.report.more, "it is looked up at once"
    fresh.run_all()
    assert len(fresh.calls(LIST)) == 1 + 1
    fresh.time.advance(41)
    with pytest.raises(NoAnswer):
        fresh.run_all()
    fresh.time.advance(60)
    fresh.run_all()
    assert times_made(account) == {"A-1": 1}


def test_between_two_cut_connections_an_accepted_order_makes_the_second_a_first_one(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    for number in ("A-1", "A-2", "A-3"):
        account.inject("drop-after-commit", path=CREATE, times=1)
        insert_order(shop, number)
        fresh.run_all()
        account.clear_faults()
        insert_order(shop, f"between-{number}")
        fresh.run_all()
    assert set(fresh.states().values()) == {"accepted"}


def test_a_first_cut_connection_is_an_error_after_all_when_the_look_up_gets_no_answer_either(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    account.inject("503", path=LIST)
    with pytest.raises(NoAnswer):
        fresh.run()
    assert fresh.ledger("A-1") == ("unknown",)


def test_results_that_are_missing_from_an_answer_are_looked_up(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("missing", orders=("A-2",), times=1)
    insert(shop, 3)
    fresh.run_all()
    assert set(fresh.states().values()) == {"accepted"}
    assert len(fresh.sent()) == 1


def test_a_reading_of_several_pages_for_what_is_in_doubt_gets_through_on_one_call_at_a_time(
    fresh: Leader, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    for _ in range(4 * small_pages):
        account.user.create_manual("THEIRS")
        fresh.time.advance(1)
    fresh.flags = replace(fresh.flags, api_calls_per_hour=200)
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    set_tokens(fresh, 1.0)
    for _ in range(30):
        fresh.time.advance(fresh.run_all().rest_for or 1)
    assert fresh.ledger("A-1") == ("accepted",)
    assert times_made(account)["A-1"] == 1


def test_what_is_in_doubt_is_resolved_also_when_one_order_there_spoils_every_list(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert(shop, 2)
    fresh.run()
    account.user.create_manual("SPOILER")
    account.inject("poison", orders=("SPOILER",), method="GET")
    let_it_run(fresh, 10)
    assert set(fresh.states().values()) == {"accepted"}


def test_also_from_an_empty_budget_orders_in_doubt_get_through_where_every_list_is_spoiled(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert(shop, 15)
    fresh.run()
    account.user.create_manual("SPOILER")
    account.inject("poison", orders=("SPOILER",), method="GET")
    fresh.flags = replace(fresh.flags, api_calls_per_hour=200)
    set_tokens(fresh, 0.0)
    let_it_run(fresh, 80)
    assert set(fresh.states().values()) == {"accepted"}
    assert set(times_made(account).values()) == {1}


# Refusals.


def test_one_order_that_makes_a_whole_request_be_refused_is_found_and_the_others_go_once(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("poison", orders=("A-5",), method="POST", status=400, message="bad date")
    fresh.flags = replace(fresh.flags, max_upload_attempts=1)
    numbers = insert(shop, 8)
    fresh.run_all()
    assert times_made(account) == dict.fromkeys(set(numbers) - {"A-5"}, 1)
    assert statuses(shop) == {"uploaded": 7, "failed": 1}
    assert "bad date" in rows(shop)["A-5"][2]
    assert len(fresh.sent()) <= 2 * log2(8) + 2
    good = Counter(number for numbers in fresh.sent() for number in numbers)
    assert good["A-5"] == log2(8) + 1, "each time with half as many"


def test_what_is_refused_alone_is_tried_again_after_10_40_90_160_s_and_then_fails(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("partial", orders=("A-1",), message="no such country")
    insert(shop, 2)
    fresh.run_all()
    assert fresh.states() == {"A-1": "waiting", "A-2": "accepted"}
    for wait in (10, 40, 90, 160):
        fresh.time.advance(wait - 2)
        sent = len(fresh.sent())
        fresh.run_all()
        assert len(fresh.sent()) == sent, f"not before {wait} s"
        fresh.time.advance(2)
        fresh.run_all()
        assert len(fresh.sent()) == sent + 1
    assert rows(shop)["A-1"] == ["failed", None, "no such country"]


def test_a_new_order_is_not_held_up_by_suspects_nor_they_by_new_orders(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("poison", orders=("A-3",), method="POST", status=400)
    insert(shop, 4)
    fresh.run()
    insert_order(shop, "N-1")
    fresh.run_all()
    assert times_made(account) == dict.fromkeys(["A-1", "A-2", "A-4", "N-1"], 1)
    assert all(numbers == ["N-1"] for numbers in fresh.sent() if "N-1" in numbers), "it goes with its like"


def test_suspects_get_their_turn_also_when_there_is_a_new_order_at_each_pass(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("answer", path=CREATE, status=400, times=1)
    insert(shop, 4)
    fresh.run()
    for number in range(4):
        insert_order(shop, f"N-{number}")
        fresh.run()
    assert times_made(account) == dict.fromkeys(["A-1", "A-2", "A-3", "A-4", "N-0", "N-1", "N-2", "N-3"], 1)


def test_a_5xx_twice_for_the_same_batch_halves_it_and_in_between_it_is_looked_up(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("500", path=CREATE, times=2)
    numbers = insert(shop, 8)
    with pytest.raises(Transient, match="500"):
        fresh.run_all()
    for _ in range(2):
        asked, sent = len(fresh.calls(LIST)), len(fresh.sent())
        fresh.time.advance(60)
        fresh.run()
        assert (len(fresh.calls(LIST)) - asked, len(fresh.sent()) - sent) == (1, 0)
        with suppress(Transient):
            fresh.run_all()
    assert [len(sent) for sent in fresh.sent()] == [8, 8, 4, 4]
    assert times_made(account) == dict.fromkeys(numbers, 1)
    assert value_of(shop, "select max(attempts) from listener.ledger") == 0


def test_a_5xx_that_one_order_causes_ends_with_that_one_alone_and_the_others_go(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("poison", orders=("A-5",), method="POST", status=500)
    insert(shop, 8)
    let_it_run(fresh, 8)
    assert sum(times_made(account).values()) == 7
    assert set(times_made(account).values()) == {1}
    assert rows(shop)["A-5"][0] == "awaiting_shipment"


def test_a_5xx_of_one_alone_counts_as_an_attempt_only_while_others_are_taken(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("poison", orders=("A-1",), method="POST", status=500)
    insert_order(shop, "A-1")
    let_it_run(fresh, 3)
    assert len(fresh.sent()) >= 3
    assert fresh.ledger("A-1", "attempts") == (0,), "this may be an outage"
    assert row_of(shop, "A-1")[0] == "awaiting_shipment"
    insert_order(shop, "GOOD-1")
    let_it_run(fresh, 4)
    assert fresh.ledger("GOOD-1") == ("accepted",)
    assert fresh.ledger("A-1", "attempts")[0] > 0, "the service is well: it is this order"


# Refused as shipped or cancelled there.


def made_under_our_key(account: ShipStationSimulator, number: str = "A-1") -> str:
    """An order that the listener does not know of, made under its own key, as before a rollback, and shipped since."""
    there = account.user.create_manual(number, orderKey=f"listener-{number}")
    account.user.ship(number)
    return str(there["orderId"])


def test_an_order_that_is_refused_as_shipped_is_looked_up_and_adopted(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    order_id = made_under_our_key(account)
    insert(shop, 2)
    fresh.run_all()
    assert fresh.sent() == [["A-1", "A-2"]]
    assert fresh.look_ups() == ["A-1"]
    assert fresh.ledger("A-1", "state", "attempts") == ("adopted", 0)
    assert row_of(shop, "A-1") == ("shipped", order_id, None)
    assert row_of(shop, "A-2")[0] == "uploaded"


def test_of_several_under_the_number_of_a_refused_one_the_oldest_is_adopted_and_a_person_is_told(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    order_id = made_under_our_key(account)
    other = str(account.user.create_manual("A-1")["orderId"])
    insert_order(shop, "A-1")
    fresh.run_all()
    assert row_of(shop, "A-1") == ("shipped", order_id, None)
    assert value_of(shop, "select shipstation_order_ids from listener.conflicts") == [order_id, other]


def test_an_order_that_is_refused_as_cancelled_fails_as_that(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    there = account.user.create_manual("A-1", orderKey="listener-A-1")
    account.user.cancel("A-1")
    insert_order(shop, "A-1")
    fresh.run_all()
    assert row_of(shop, "A-1") == ("failed", None, f"cancelled at ShipStation as {there['orderId']}")


def test_a_key_that_an_order_of_long_ago_has_is_not_ours_to_adopt(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    clock, account.clock = account.clock, lambda: fresh.time.utc() - timedelta(days=200)
    order_id = made_under_our_key(account)
    account.clock = clock
    insert_order(shop, "A-1")
    shop.execute("update orders_inbox set created_at = %s", [fresh.time.utc()])
    fresh.run_all()
    status, shown_id, reason = row_of(shop, "A-1")
    assert (status, shown_id) == ("failed", None)
    assert reason.startswith(f"key used by order {order_id} of 2034-12-2")


def test_an_order_that_is_refused_as_shipped_and_is_not_there_was_refused_for_itself(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("locked", orders=("A-1",))
    fresh.flags = replace(fresh.flags, max_upload_attempts=1)
    insert_order(shop, "A-1")
    fresh.run_all()
    assert fresh.look_ups() == ["A-1"]
    assert row_of(shop, "A-1")[0] == "failed"
    assert "shipped or cancelled" in row_of(shop, "A-1")[2]
