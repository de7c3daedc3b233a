"""What a look-up says of an order in doubt: there, not there yet, or certainly not there."""

from typing import Any

import pytest

from listener.shipstation.client import DEADLINE_SECONDS
from listener.store.ledger import Doubtful, Settled
from listener.workflows.resolve_doubt import CERTAIN_AFTER_SECONDS, verdict_of

ORDER = Doubtful("A-1", "A-1", "listener-A-1", 3, 0.0)


def there(status: str = "awaiting_shipment", *, order_id: Any = 900, key: str = "listener-A-1") -> dict[str, Any]:
    return {"orderId": order_id, "orderKey": key, "orderNumber": "A-1", "orderStatus": status}


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
    found = [there("shipped", order_id=1, key="someone-else"), there(order_id=2), there(order_id=3, key="")]
    assert verdict_of(ORDER, found).shipstation_order_id == "2"


def test_of_several_under_our_key_the_oldest_counts_which_comes_first() -> None:
    assert verdict_of(ORDER, [there(order_id=2), there(order_id=3)]).shipstation_order_id == "2"


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
    assert verdict_of(asked_after(100), [there(key="listener-A-1~2"), {}]).state == "waiting"


def test_an_order_of_ours_without_an_id_stays_in_doubt() -> None:
    assert verdict_of(ORDER, [there(order_id=None)]).state == "unknown"
