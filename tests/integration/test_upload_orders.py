"""The upload's passes against a real database and ShipStation's simulator: what goes, what is adopted, what waits."""

from dataclasses import replace
from datetime import timedelta

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.events import Source
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.upload import (
    CREATE,
    LIST,
    Leader,
    insert,
    journal,
    let_it_run,
    set_tokens,
    statuses,
    times_made,
)

# The plain way.


def test_a_batch_costs_one_look_at_what_changed_and_one_request_and_the_next_only_the_request(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert(shop, 5)
    ours.run_all()
    assert [request.path for request in account.requests] == [LIST, CREATE]
    insert(shop, 5, "B")
    ours.run_all()
    assert [request.path for request in account.requests] == [LIST, CREATE, CREATE]
    assert set(times_made(account).values()) == {1}
    assert statuses(shop) == {"uploaded": 10}


def test_without_orders_nobody_is_asked_but_for_the_first_reading(ours: Leader, account: ShipStationSimulator) -> None:
    for _ in range(3):
        ours.run_all()
        ours.time.advance(3600)
    assert len(account.requests) == 1


def test_without_a_check_all_that_is_due_goes_as_well(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert(shop, 25)
    ours.flags = replace(ours.flags, upload_batch_size=10)
    while ours.upload.run(ours.db, ours.epoch, ours.flags, None).report.more:
        pass
    assert [len(numbers) for numbers in ours.sent()] == [10, 10, 5]
    assert set(times_made(account).values()) == {1}


def test_a_token_that_the_check_took_and_the_pass_did_not_need_goes_back(fresh: Leader, shop: Connection) -> None:
    calls = journal(fresh)
    insert_order(shop, "A-1")
    assert fresh.upload.check(fresh.db, fresh.flags, Source.NOTIFY) == 1
    assert len(journal(fresh)) == len(calls) + 1
    fresh.upload.run(fresh.db, fresh.epoch, fresh.flags, 0)
    assert journal(fresh) == calls


# What others have made at ShipStation.


@pytest.mark.parametrize("number", ["A-1", "a-1", " A-1 "])
@pytest.mark.parametrize(
    ("act", "status"), [("ship", "shipped"), ("mark_shipped", "shipped"), ("", "uploaded"), ("hold", "uploaded")]
)
def test_an_order_that_others_have_made_is_adopted_with_its_id_and_status(
    ours: Leader, shop: Connection, account: ShipStationSimulator, number: str, act: str, status: str
) -> None:
    there = account.user.create_manual(number)
    if act:
        getattr(account.user, act)(number, *(["2035-12-24"] if act == "hold" else []))
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == (status, str(there["orderId"]), None)
    assert (ours.ledger("A-1"), ours.sent()) == (("adopted",), [])


@pytest.mark.parametrize("number", ["a-1", " A-1", "a-1  "])
def test_our_own_number_is_compared_in_its_normal_form_too(
    ours: Leader, shop: Connection, account: ShipStationSimulator, number: str
) -> None:
    there = account.user.create_manual("A-1")
    insert_order(shop, number)
    ours.run_all()
    assert row_of(shop, number) == ("uploaded", str(there["orderId"]), None)
    assert ours.sent() == []


def test_a_number_that_only_begins_like_one_of_theirs_is_sent(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("A-10")
    insert_order(shop, "A-1")
    ours.run_all()
    assert ours.sent() == [["A-1"]]


def test_of_several_the_oldest_is_adopted_and_a_person_is_told(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    first, second = (str(account.user.create_manual("A-1")["orderId"]) for _ in range(2))
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == ("uploaded", first, None)
    noted = shop.execute("select order_key, kind, shipstation_order_ids from listener.conflicts").fetchall()
    assert noted == [("A-1", "several orders at ShipStation", [first, second])]


def test_an_order_that_was_cancelled_there_fails_and_is_not_made_again(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    there = account.user.create_manual("A-1")
    account.user.cancel("A-1")
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == ("failed", None, f"cancelled at ShipStation as {there['orderId']}")
    shop.execute("update orders_inbox set status = 'awaiting_shipment'")
    ours.run_all()
    assert row_of(shop, "A-1")[0] == "failed", "the shop's word alone does not change that"
    assert ours.sent() == []


def test_only_one_that_is_asked_for_again_goes_and_under_a_key_of_its_own(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("A-1", orderKey="listener-A-1")
    account.user.cancel("A-1")
    insert_order(shop, "A-1")
    ours.run_all()
    shop.execute("update orders_inbox set status = 'awaiting_shipment', failure_reason = null")
    ours.db.execute("update listener.ledger set state = 'waiting', again = 2, not_before = now(), row_written = false")
    ours.run_all()
    assert [(order["orderKey"], order["orderStatus"]) for order in account.orders] == [
        ("listener-A-1", "cancelled"),
        ("listener-A-1~2", "awaiting_shipment"),
    ]
    assert row_of(shop, "A-1") == ("uploaded", str(account.orders[1]["orderId"]), None)


def test_an_order_that_was_merged_into_another_there_is_adopted_as_that_one(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    gone = account.user.create_manual("A-1")
    ours.run_all()
    account.user.delete("A-1")
    merging = account.user.create_manual("B-1", advancedOptions={"mergedIds": [gone["orderId"]]})
    ours.time.advance(200)
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == ("uploaded", str(merging["orderId"]), None)
    assert ours.sent() == []


def test_what_others_made_since_the_last_reading_is_seen_when_that_is_too_old(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    fresh.time.advance(151)
    account.user.create_manual("A-1")
    insert_order(shop, "A-1")
    fresh.run_all()
    assert fresh.sent() == []
    assert fresh.ledger("A-1") == ("adopted",)


# When ShipStation can't be asked.


@pytest.mark.parametrize("orders", [1, 11])
@pytest.mark.parametrize("fault", ["503", "drop-before-commit", "cut", "answer:status=200,body=[]"])
def test_nothing_is_sent_while_nobody_knows_what_shipstation_has(
    ours: Leader, shop: Connection, account: ShipStationSimulator, orders: int, fault: str
) -> None:
    account.inject(f"{fault}{',' if ':' in fault else ':'}path=/orders")
    insert(shop, orders)
    with pytest.raises(Transient):
        ours.run_all()
    assert ours.sent() == []
    assert ours.states() == {}, "and nothing is claimed"
    assert journal(ours)
    assert all(error and endpoint.startswith("GET /orders") for endpoint, _, error in journal(ours))
    account.clear_faults()
    ours.run_all()
    assert set(times_made(account).values()) == {1}
    assert statuses(shop) == {"uploaded": orders}


def test_when_one_order_spoils_every_list_few_are_looked_up_one_by_one_and_go(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("SPOILER")
    account.inject("poison", orders=("SPOILER",), method="GET")
    insert(shop, 3)
    ours.run_all()
    assert ours.look_ups() == ["A-1", "A-2", "A-3"]
    assert ours.sent() == [["A-1", "A-2", "A-3"]]


def test_an_order_that_cannot_be_looked_up_does_not_hold_up_the_others(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("SPOILER")
    account.inject("poison", orders=("SPOILER",), method="GET")
    insert_order(shop, "SPOILER")
    insert(shop, 3)
    let_it_run(ours, 5)
    assert times_made(account) == dict.fromkeys(["SPOILER", "A-1", "A-2", "A-3"], 1)
    assert row_of(shop, "SPOILER")[0] == "awaiting_shipment", "of that one nobody knows"


def test_a_number_with_which_too_many_others_begin_stops_neither_the_first_reading_nor_the_others(
    ours: Leader, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    people_make(account, 10 * small_pages)
    for number in range(501):
        account.user.create_manual(f"1{number}")
    insert_order(shop, "1")
    insert(shop, 3)
    let_it_run(ours, 10)
    assert mirror_is_full(ours)
    assert statuses(shop) == {"uploaded": 4}


@pytest.mark.parametrize("orders", [1, 10])
def test_also_from_an_empty_budget_few_orders_get_through_where_every_list_is_spoiled(
    ours: Leader, shop: Connection, account: ShipStationSimulator, orders: int
) -> None:
    account.user.create_manual("SPOILER")
    account.inject("poison", orders=("SPOILER",), method="GET")
    ours.flags = replace(ours.flags, api_calls_per_hour=200)
    set_tokens(ours, 0.0)
    insert(shop, orders)
    let_it_run(ours, 60)
    assert statuses(shop) == {"uploaded": orders}
    assert len(account.requests) < 60


@pytest.mark.parametrize(
    ("fault", "seconds"), [("429:reset=30", 30), ("429:headers=false", 60), ("throttle-in-body:status=200", 60)]
)
def test_a_throttled_send_rests_for_as_long_as_they_say_or_a_minute_and_is_no_attempt(
    fresh: Leader, shop: Connection, account: ShipStationSimulator, fault: str, seconds: float
) -> None:
    account.inject(f"{fault},path={CREATE},times=1")
    insert(shop, 3)
    rest_for = fresh.run_all().rest_for
    assert rest_for is not None
    assert seconds - 1 < rest_for <= seconds
    assert len(fresh.sent()) == 1
    fresh.time.advance(seconds)
    fresh.run_all()
    assert statuses(shop) == {"uploaded": 3}
    assert fresh.ledger("A-1", "state", "attempts") == ("accepted", 0)


def test_a_throttled_reading_rests_for_as_long_as_they_say_and_is_no_error(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("429", reset=30, times=1)
    insert(shop, 3)
    rest_for = ours.run_all().rest_for
    assert rest_for is not None
    assert 29 < rest_for <= 30
    assert ours.run().rest_for is not None, "though a call that was taken for the send was given back"
    assert len(account.requests) == 1
    ours.time.advance(30)
    ours.run_all()
    assert statuses(shop) == {"uploaded": 3}


# The first reading.


def people_make(account: ShipStationSimulator, count: int) -> None:
    now, clock = account.clock(), account.clock
    for number in range(count):
        account.clock = lambda at=now - timedelta(days=30, minutes=-number): at
        account.user.create_manual(f"THEIRS-{number}")
    account.clock = clock


def mirror_is_full(ours: Leader) -> bool:
    return bool(value_of(ours.db, "select full_at is not null from listener.mirror_state"))


def test_few_orders_are_looked_up_one_by_one_while_the_first_reading_is_under_way(
    ours: Leader, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    people_make(account, 10 * small_pages)
    there = account.user.create_manual("A-1")
    insert(shop, 3)
    while not ours.states():
        ours.run()
    assert not mirror_is_full(ours)
    assert ours.look_ups() == ["A-1", "A-2", "A-3"]
    assert ours.sent() == [["A-2", "A-3"]]
    assert row_of(shop, "A-1") == ("uploaded", str(there["orderId"]), None)
    ours.run_all()
    assert mirror_is_full(ours), "and the reading goes on beside them"


def test_many_orders_wait_for_the_first_reading_which_is_cheaper(
    ours: Leader, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    people_make(account, 10 * small_pages)
    account.user.create_manual("A-7")
    insert(shop, 30)
    while not ours.states():
        assert ours.sent() == []
        ours.run()
    assert mirror_is_full(ours)
    ours.run_all()
    assert ours.look_ups() == []
    assert times_made(account)["A-7"] == 1
    assert [len(numbers) for numbers in ours.sent()] == [29]
    assert len(account.requests) <= 14


def test_the_first_reading_leaves_calls_for_orders_that_come_in_meanwhile(
    ours: Leader, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    people_make(account, 40 * small_pages)
    ours.flags = replace(ours.flags, api_calls_per_hour=200)
    while ours.run().report.more:
        pass
    assert len(account.requests) == 15, "of the 20 that may be made at once"
    insert(shop, 2)
    ours.run()
    assert ours.sent() == [["A-1", "A-2"]]


# The budget.


def test_the_tokens_of_a_reading_and_its_send_are_taken_together(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    ours.flags = replace(ours.flags, api_calls_per_hour=200)
    set_tokens(ours, 1.0)
    insert(shop, 3)
    rest_for = ours.run().rest_for
    assert rest_for is not None
    assert 15 < rest_for <= 20
    assert account.requests == []
    assert ours.states() == {}
    assert value_of(ours.db, "select tokens from listener.budget") == 1.0
    ours.time.advance(rest_for)
    ours.run()
    assert ours.sent() == [["A-1", "A-2", "A-3"]]


def test_orders_gather_while_no_call_may_be_made_and_travel_together(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    fresh.flags = replace(fresh.flags, api_calls_per_hour=200)
    set_tokens(fresh, 0.0)
    for number in insert(shop, 9):
        rest_for = fresh.run().rest_for
        assert rest_for is not None, number
    assert fresh.metrics.snapshot()["api_budget"]["waiting_seconds"] > 0
    fresh.time.advance(rest_for)
    fresh.run_all()
    assert [len(numbers) for numbers in fresh.sent()] == [9]
    assert fresh.metrics.snapshot()["api_budget"]["waiting_seconds"] == 0


def test_a_token_that_was_taken_for_nothing_is_given_back(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "100123")
    fresh.flags = replace(fresh.flags, api_calls_per_hour=200)
    set_tokens(fresh, 5.0)
    fresh.run_all()
    assert row_of(shop, "100123")[0] == "synced_manual"
    assert value_of(fresh.db, "select tokens from listener.budget") == pytest.approx(5.0, abs=0.1)
    assert len(journal(fresh)) == 1
