"""What a look-up says of an order in doubt: there, not there yet, or certainly not there."""

from datetime import UTC, datetime, timedelta

import pytest

from listener.shipstation.client import DEADLINE_SECONDS
from listener.store.ledger import Doubtful, Settled
from listener.store.mirror import There
from listener.workflows.adopt import Adoption
from listener.workflows.verdicts import CERTAIN_AFTER_SECONDS, verdict_of, verdict_of_locked

STARTED = datetime(2025, 1, 2, 12, 0, tzinfo=UTC)
ORDER = Doubtful(
    order_key="A-1",
    order_number="A-1",
    shipstation_key="listener-A-1",
    doubt="no answer",
    again=1,
    error="no answer came",
    started_at=STARTED,
    seconds_since_started=0.0,
    row_created_at=STARTED - timedelta(minutes=1),
)


def there(
    status: str = "awaiting_shipment",
    *,
    order_id: str = "900",
    key: str | None = "listener-A-1",
    changed: timedelta = timedelta(seconds=1),
) -> There:
    """An order at ShipStation that was changed so long after the request had begun."""
    return There("A-1", order_id, key, status, STARTED, STARTED + changed)


def asked_after(seconds: float) -> Doubtful:
    return ORDER._replace(seconds_since_started=seconds)


@pytest.mark.parametrize("seconds", [0.0, 39.9, 1000.0])
def test_an_order_that_is_there_under_our_key_is_accepted_however_soon_it_is_asked(seconds: float) -> None:
    assert verdict_of(asked_after(seconds), [there()]) == Settled("A-1", "accepted", "900", "uploaded")


@pytest.mark.parametrize(
    ("status", "row_status"),
    [("shipped", "shipped"), ("cancelled", "cancelled"), ("on_hold", "uploaded"), ("a_new_word", "uploaded")],
)
def test_the_row_shows_the_status_that_it_has_there(status: str, row_status: str) -> None:
    assert verdict_of(ORDER, [there(status)]).row_status == row_status


def test_of_several_orders_of_that_number_ours_counts() -> None:
    found = [there("shipped", order_id="1", key="someone-else"), there(order_id="2"), there(order_id="3", key="")]
    assert verdict_of(ORDER, found).shipstation_order_id == "2"


def test_of_several_under_our_key_the_oldest_counts_which_comes_first() -> None:
    assert verdict_of(ORDER, [there(order_id="2"), there(order_id="3")]).shipstation_order_id == "2"


def test_an_order_that_is_not_there_may_still_arrive_until_the_deadline_and_ten_seconds_have_passed() -> None:
    assert CERTAIN_AFTER_SECONDS == DEADLINE_SECONDS + 10
    settled = verdict_of(asked_after(CERTAIN_AFTER_SECONDS - 12.5), [])
    assert (settled.state, settled.wait_seconds, settled.refused) == ("unknown", 12.5, False)


@pytest.mark.parametrize("seconds", [CERTAIN_AFTER_SECONDS, CERTAIN_AFTER_SECONDS + 0.1, 1e6])
def test_then_it_is_sent_again_at_once_and_no_attempt_counts(seconds: float) -> None:
    settled = verdict_of(asked_after(seconds), [])
    assert (settled.state, settled.wait_seconds, settled.refused) == ("waiting", 0.0, False)


def test_another_ones_order_of_the_same_number_does_not_settle_ours() -> None:
    assert verdict_of(asked_after(1), [there(key="someone-else")]).state == "unknown"
    assert verdict_of(asked_after(100), [there(key="listener-A-1~2"), there(key=None)]).state == "waiting"


def test_our_own_order_that_was_not_touched_since_the_request_began_does_not_show_that_the_request_arrived() -> None:
    assert verdict_of(asked_after(100), [there(changed=timedelta(minutes=-6))]).state == "waiting"


def test_their_clock_may_be_some_minutes_behind_ours() -> None:
    assert verdict_of(asked_after(100), [there(changed=timedelta(minutes=-4))]).state == "accepted"


# Failed alone, while others were taken.


def test_what_failed_alone_keeps_its_words_and_its_doubt_until_it_is_certain() -> None:
    settled = verdict_of(asked_after(1)._replace(doubt="failed alone", error="500: boom"), [])
    assert (settled.state, settled.doubt, settled.error) == ("unknown", "failed alone", "500: boom")


def test_what_failed_alone_and_did_not_arrive_has_used_up_an_attempt() -> None:
    settled = verdict_of(asked_after(100)._replace(doubt="failed alone", error="500: boom"), [])
    assert (settled.state, settled.refused, settled.error) == ("waiting", True, "500: boom")


def test_what_failed_alone_and_arrived_all_the_same_is_accepted() -> None:
    assert verdict_of(asked_after(100)._replace(doubt="failed alone"), [there()]).state == "accepted"


# Refused as shipped or cancelled there.

LOCKED = ORDER._replace(doubt="locked there", error="the order was shipped")


def test_a_locked_order_that_is_found_is_settled_as_it_is_there() -> None:
    found = verdict_of_locked(LOCKED, Adoption("adopted", "900", "shipped"))
    assert found == Settled("A-1", "adopted", "900", "shipped")
    other = verdict_of_locked(LOCKED, Adoption("rejected", None, "failed", "key used by order 1 of 2020-01-01"))
    assert other == Settled("A-1", "rejected", None, "failed", error="key used by order 1 of 2020-01-01")


def test_a_locked_order_that_nobody_finds_was_refused_in_their_words() -> None:
    settled = verdict_of_locked(LOCKED, None)
    assert (settled.state, settled.refused, settled.error) == ("waiting", True, "the order was shipped")
