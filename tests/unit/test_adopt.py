"""Adoption: what the orders that ShipStation has under a number mean for ours."""

from datetime import UTC, datetime, timedelta

import pytest

from listener.store.mirror import There
from listener.workflows.adopt import MIRROR_DAYS, Adoption, adopt, adopt_locked, row_status_of

NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)
KEY = "listener-A-1"


def there(order_id: str, status: str = "awaiting_shipment", *, key: str | None = None, days_old: float = 1) -> There:
    created = NOW - timedelta(days=days_old)
    return There("A-1", order_id, key, status, created, created)


def test_nothing_there_means_that_it_is_sent() -> None:
    assert adopt([], KEY, 1) is None
    assert adopt([], "listener-A-1~2", 2) is None


@pytest.mark.parametrize(
    ("status", "row_status"),
    [
        ("awaiting_payment", "uploaded"),
        ("awaiting_shipment", "uploaded"),
        ("pending_fulfillment", "uploaded"),
        ("on_hold", "uploaded"),
        ("rejected_fulfillment", "uploaded"),
        ("a_word_of_tomorrow", "uploaded"),
        ("", "uploaded"),
        ("shipped", "shipped"),
    ],
)
def test_an_order_that_is_not_cancelled_is_adopted_whatever_its_status(status: str, row_status: str) -> None:
    assert adopt([there("7", status)], KEY, 1) == Adoption("adopted", "7", row_status)


def test_a_row_shows_cancelled_only_for_an_order_of_ours_that_is_cancelled() -> None:
    assert row_status_of("cancelled") == "cancelled"


def test_whose_key_it_has_does_not_matter() -> None:
    for key in (None, "", KEY, "somebody-elses"):
        assert adopt([there("7", key=key)], KEY, 1) == Adoption("adopted", "7", "uploaded")


def test_of_several_the_first_which_is_the_oldest_is_adopted_and_all_are_a_conflict() -> None:
    orders = [there("7", "shipped", days_old=3), there("8", days_old=2), there("9", days_old=1)]
    assert adopt(orders, KEY, 1) == Adoption("adopted", "7", "shipped", conflict=("7", "8", "9"))


def test_a_cancelled_one_beside_a_living_one_counts_for_nothing() -> None:
    orders = [there("6", "cancelled", days_old=3), there("7")]
    assert adopt(orders, KEY, 1) == Adoption("adopted", "7", "uploaded")


def test_orders_that_were_merged_into_one_are_one() -> None:
    assert adopt([there("7"), there("7", "shipped")], KEY, 1) == Adoption("adopted", "7", "uploaded")


def test_only_cancelled_ones_refuse_the_order_and_name_the_oldest() -> None:
    orders = [there("6", "cancelled", days_old=3), there("7", "cancelled")]
    assert adopt(orders, KEY, 1) == Adoption("rejected", None, "failed", "cancelled at ShipStation as 6")


# Asked for again, after one was cancelled: the second order has a key of its own.


def test_a_new_order_that_somebody_asked_for_is_sent_although_the_first_is_cancelled() -> None:
    assert adopt([there("6", "cancelled", key=KEY), there("7", "cancelled")], "listener-A-1~2", 2) is None


def test_it_is_refused_when_it_was_cancelled_too() -> None:
    orders = [there("6", "cancelled", key=KEY), there("7", "cancelled", key="listener-A-1~2")]
    expected = Adoption("rejected", None, "failed", "cancelled at ShipStation as 7")
    assert adopt(orders, "listener-A-1~2", 2) == expected


def test_it_is_not_sent_when_somebody_has_made_a_living_one_meanwhile() -> None:
    orders = [there("6", "cancelled", key=KEY), there("7")]
    assert adopt(orders, "listener-A-1~2", 2) == Adoption("adopted", "7", "uploaded")


# Refused as shipped or cancelled there.


def locked(*orders: There, row_days_old: float | None = 0) -> Adoption | None:
    created = None if row_days_old is None else NOW - timedelta(days=row_days_old)
    return adopt_locked(orders, KEY, 1, created, NOW)


def test_a_locked_order_that_nobody_finds_is_not_adopted() -> None:
    assert locked() is None


def test_a_locked_order_within_the_mirrors_window_is_adopted_though_our_row_is_younger() -> None:
    assert locked(there("7", "shipped", days_old=MIRROR_DAYS - 1)) == Adoption("adopted", "7", "shipped")
    assert locked(there("7", "cancelled")) == Adoption("rejected", None, "failed", "cancelled at ShipStation as 7")


def test_an_older_one_is_another_customers_and_the_number_cannot_be_used() -> None:
    expected = Adoption("rejected", None, "failed", "key used by order 7 of 2024-12-01")
    assert locked(there("7", "shipped", days_old=212)) == expected
    assert locked(there("7", "shipped", days_old=212), row_days_old=None) == expected, "also when the row has gone"


def test_an_older_one_counts_when_our_row_is_older_still() -> None:
    assert locked(there("7", "shipped", days_old=212), row_days_old=213) == Adoption("adopted", "7", "shipped")
    assert locked(there("7", "shipped", days_old=212), row_days_old=211) != Adoption("adopted", "7", "shipped")


def test_of_an_old_one_and_one_of_now_the_one_of_now_counts() -> None:
    orders = there("7", "shipped", days_old=400), there("8", "shipped", days_old=2)
    assert locked(*orders) == Adoption("adopted", "8", "shipped")
