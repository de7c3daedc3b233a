"""Admission: which claimed order is sent, which waits for its parts, which is set aside, and in which words."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from listener.flags import Flags
from listener.orders import Address, Item, Order
from listener.store.inbox import ClaimedRow, Known
from listener.store.mirror import There
from listener.workflows.admit import LOOKS_AT, admit, candidate_of, is_settled
from listener.workflows.claim_orders import _doubles

ADDRESS = Address(name="Ada Example", street1="1 Sample Street", city="Springfield", state="IL", postal_code="62701")
ROW = ClaimedRow(
    id=7,
    order_key="A-1",
    order_number="A-1",
    age_days=0,
    total_items=2,
    ledger_key=None,
    ledger_state=None,
    other_row_id=None,
    row_written=False,
    looks=0,
    seen_seconds=0.0,
    again=1,
    requeued=False,
    batch_limit=None,
)
ORDER = Order(
    order_inbox_id=7,
    order_number="A-1",
    order_date=date(2025, 1, 2),
    customer_email="customer@example.com",
    ship_to=ADDRESS,
    bill_to=Address(),
    items=(Item("17001", 2, Decimal("1.00")),),
    total_items=2,
)
WITHOUT_ITEMS = replace(ORDER, items=())
FLAGS = Flags()
NOTHING = Known({}, {})


def numbered(number: str) -> tuple[ClaimedRow, Order]:
    key = number.strip(" ").upper()
    return ROW._replace(order_number=number, order_key=key), replace(ORDER, order_number=number)


def test_a_whole_order_is_sent() -> None:
    assert admit(ROW, ORDER, FLAGS, NOTHING) is None


def test_the_ledgers_view_of_a_row_has_the_number_as_written_and_a_key_of_the_normal_form() -> None:
    row, _ = numbered(" a-1 ")
    assert candidate_of(row) == ("A-1", 7, " a-1 ", "listener-A-1", None)


def test_a_number_of_51_characters_is_refused_and_one_of_50_is_sent() -> None:
    verdict = admit(*numbered("N" * 51), FLAGS, NOTHING)
    assert verdict is not None
    assert (verdict.state, verdict.row_status) == ("rejected", "failed")
    assert "50" in str(verdict.error)
    assert admit(*numbered("N" * 50), FLAGS, NOTHING) is None


def test_blanks_around_a_number_do_not_make_it_too_long() -> None:
    assert admit(*numbered(" " + "N" * 50), FLAGS, NOTHING) is None


@pytest.mark.parametrize(("known_id", "expected"), [("991", "991"), ("", None)])
def test_a_number_that_was_shipped_before_is_adopted_with_its_id_if_known(known_id: str, expected: str | None) -> None:
    verdict = admit(ROW, WITHOUT_ITEMS, FLAGS, replace(NOTHING, shipped={"A-1": known_id}))
    assert verdict is not None
    assert (verdict.state, verdict.row_status, verdict.shipstation_order_id) == ("adopted", "shipped", expected)


def test_another_number_that_was_shipped_says_nothing_of_this_one() -> None:
    assert admit(ROW, ORDER, FLAGS, replace(NOTHING, shipped={"A-10": "991"})) is None


def test_a_manual_number_is_excluded() -> None:
    verdict = admit(*numbered("100123"), FLAGS, NOTHING)
    assert verdict is not None
    assert (verdict.state, verdict.row_status) == ("excluded", "synced_manual")


@pytest.mark.parametrize("number", ["1001234", "10012", "110123", "100 123"])
def test_what_only_resembles_a_manual_number_is_sent(number: str) -> None:
    assert admit(*numbered(number), FLAGS, NOTHING) is None


def test_the_pattern_of_the_flag_decides_what_is_manual() -> None:
    flags = replace(FLAGS, manual_order_pattern="-M$")
    assert admit(*numbered("100123"), flags, NOTHING) is None
    assert admit(*numbered("A-M"), flags, NOTHING) is not None


def test_an_order_is_held_back_from_the_day_after_the_last_allowed_one() -> None:
    assert admit(ROW._replace(age_days=14), ORDER, FLAGS, NOTHING) is None
    verdict = admit(ROW._replace(age_days=15), ORDER, FLAGS, NOTHING)
    assert verdict is not None
    assert verdict.state == "held_back"
    assert verdict.row_status is None, "the row stays as it is"
    assert "15 days" in str(verdict.error)
    assert "max_order_age_days is 14" in str(verdict.error)


def test_an_order_of_tomorrow_is_sent() -> None:
    assert admit(ROW._replace(age_days=-1), ORDER, FLAGS, NOTHING) is None


def test_an_order_without_items_is_looked_at_again_five_times_within_two_seconds() -> None:
    seen, at = [], 0.0
    for looks in range(len(LOOKS_AT)):
        verdict = admit(ROW._replace(looks=looks, seen_seconds=at), WITHOUT_ITEMS, FLAGS, NOTHING)
        assert verdict is not None
        assert (verdict.state, verdict.row_status, verdict.looks) == ("waiting", None, looks + 1)
        at += float(verdict.wait_seconds or 0)
        seen.append(round(at, 3))
    assert seen == [0.05, 0.2, 0.5, 1.0, 2.0]


def test_after_the_last_look_it_is_refused_with_what_is_missing() -> None:
    verdict = admit(ROW._replace(looks=5, seen_seconds=2.0), WITHOUT_ITEMS, FLAGS, NOTHING)
    assert verdict is not None
    assert (verdict.state, verdict.row_status, verdict.error) == ("rejected", "failed", "the order has no items")


def test_a_look_that_comes_late_is_followed_by_one_that_is_not_in_the_past() -> None:
    verdict = admit(ROW._replace(looks=1, seen_seconds=30.0), WITHOUT_ITEMS, FLAGS, NOTHING)
    assert verdict is not None
    assert 0 < float(verdict.wait_seconds or 0) <= 0.01


@pytest.mark.parametrize("field", ["street1", "city", "state", "postal_code"])
def test_an_address_that_cannot_be_used_is_waited_for_and_then_refused_by_name(field: str) -> None:
    order = replace(ORDER, ship_to=replace(ADDRESS, **{field: " "}))
    waits = admit(ROW, order, FLAGS, NOTHING)
    refused = admit(ROW._replace(looks=5), order, FLAGS, NOTHING)
    assert waits is not None
    assert refused is not None
    assert (waits.state, refused.state) == ("waiting", "rejected")
    assert field.removesuffix("1").replace("_", " ") in str(refused.error)


def test_fewer_pieces_than_announced_are_waited_for_and_then_go_as_they_are() -> None:
    row = ROW._replace(total_items=3)
    waits = admit(row, ORDER, FLAGS, NOTHING)
    assert waits is not None
    assert (waits.state, waits.error) == ("waiting", "2 of 3 pieces are there")
    assert admit(row._replace(looks=5), ORDER, FLAGS, NOTHING) is None


@pytest.mark.parametrize("announced", [0, -1, 1])
def test_an_order_that_announces_no_number_or_a_smaller_one_goes_at_once(announced: int) -> None:
    assert admit(ROW._replace(total_items=announced), ORDER, FLAGS, NOTHING) is None


@pytest.mark.parametrize(
    ("state", "row_written", "settled"),
    [
        (None, False, False),
        ("waiting", False, False),
        ("accepted", False, True),
        ("accepted", True, True),
        ("adopted", True, True),
        ("excluded", True, True),
        ("rejected", False, True),
        ("rejected", True, False),  # the row showed it, and the shop has set it to pending again
    ],
)
def test_only_an_outcome_that_the_row_does_not_show_is_written_again(
    state: str | None, row_written: bool, settled: bool
) -> None:
    assert is_settled(ROW._replace(ledger_state=state, row_written=row_written)) is settled


# What ShipStation has, and what somebody has asked for.


def there(order_id: str, status: str = "awaiting_shipment", *, key: str | None = None) -> There:
    return There("A-1", order_id, key, status, datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC))


def with_there(*orders: There) -> Known:
    return Known({}, {"A-1": list(orders)})


def test_an_order_that_shipstation_has_is_adopted_and_not_sent() -> None:
    verdict = admit(ROW, ORDER, FLAGS, with_there(there("991", "shipped")))
    assert verdict is not None
    assert (verdict.state, verdict.row_status, verdict.shipstation_order_id) == ("adopted", "shipped", "991")
    assert verdict.conflict == ()


def test_of_several_orders_there_the_oldest_is_adopted_and_all_are_named_as_a_conflict() -> None:
    verdict = admit(ROW, ORDER, FLAGS, with_there(there("991"), there("992")))
    assert verdict is not None
    assert (verdict.shipstation_order_id, verdict.conflict) == ("991", ("991", "992"))


def test_an_order_that_was_cancelled_there_is_refused_with_its_number() -> None:
    verdict = admit(ROW, ORDER, FLAGS, with_there(there("991", "cancelled")))
    assert verdict is not None
    expected = ("rejected", "failed", "cancelled at ShipStation as 991", None)
    assert (verdict.state, verdict.row_status, verdict.error, verdict.shipstation_order_id) == expected


def test_what_shipstation_has_under_another_number_says_nothing_of_this_one() -> None:
    assert admit(ROW, ORDER, FLAGS, Known({}, {"A-10": [there("991")]})) is None


def test_an_old_order_that_shipstation_has_is_adopted_and_not_held_back() -> None:
    verdict = admit(ROW._replace(age_days=60), ORDER, FLAGS, with_there(there("991")))
    assert verdict is not None
    assert verdict.state == "adopted"


def test_a_new_order_that_was_asked_for_again_has_its_own_key_and_goes_though_the_first_was_cancelled() -> None:
    again = ROW._replace(again=2)
    assert candidate_of(again).shipstation_key == "listener-A-1~2"
    assert admit(again, ORDER, FLAGS, with_there(there("991", "cancelled", key="listener-A-1"))) is None


def test_a_second_order_goes_although_the_first_was_shipped_once() -> None:
    assert admit(ROW._replace(again=2), ORDER, FLAGS, replace(NOTHING, shipped={"A-1": "991"})) is None


def test_an_old_order_that_was_requeued_is_sent() -> None:
    assert admit(ROW._replace(age_days=400, requeued=True), ORDER, FLAGS, NOTHING) is None


def test_a_candidate_brings_along_with_how_many_it_may_share_a_request() -> None:
    assert candidate_of(ROW._replace(batch_limit=4)).batch_limit == 4


# Doubles.


def test_a_double_is_a_row_whose_number_another_row_has_already() -> None:
    other = ROW._replace(ledger_state="accepted", other_row_id=3)
    assert _doubles([other]) == {7: 3}
    assert _doubles([other._replace(other_row_id=None)]) == {}, "that row was cleaned up: it is the same order"
    assert _doubles([ROW]) == {}


def test_of_several_rows_of_a_batch_with_one_number_the_first_is_no_double() -> None:
    rows = [ROW._replace(id=row_id) for row_id in (7, 8, 9)]
    assert _doubles([*rows, ROW._replace(id=10, order_key="A-2")]) == {8: 7, 9: 7}
