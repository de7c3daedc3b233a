"""What an operator asks for an order with, beside a listener that sleeps: another try goes at once, and is told."""

from collections.abc import Callable

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.wait import eventually

Ask = Callable[..., str]


@pytest.fixture
def ask(dsn: str, listener_process: Callable[..., ListenerProcess]) -> Ask:
    """Run a command to its end, which is to be a good one, and return its answer on one line."""

    def ask(*arguments: str) -> str:
        command = listener_process(dsn, *arguments)
        assert command.wait() == 0, command.log
        assert command.lines == []
        return " ".join(" ".join(command.output).split())

    return ask


def test_an_order_that_is_held_back_goes_at_once_when_it_is_requeued(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, ask: Ask
) -> None:
    insert_order(shop, "OLD-1", status="on_hold")
    shop.execute("update orders_inbox set order_date = current_date - 60")
    shop.execute("update orders_inbox set status = 'awaiting_shipment'")
    asleep.wait_for("OLD-1 is not sent: held back")
    held = "Order OLD-1 is held back: 60 days old, max_order_age_days is 14; `listener requeue OLD-1` sends it."
    assert ask("explain", "OLD-1").startswith(held)
    assert "60 days old" in ask("failed")
    assert ask("requeue", "OLD-1") == "order OLD-1 is held back no more: it is sent at once, whatever its age"
    assert account.wait_for_orders(1, 5)
    assert eventually(lambda: row_of(shop, "OLD-1"), lambda row: row[0] == "uploaded")


def test_an_order_that_failed_goes_at_once_when_it_is_requeued_and_its_story_tells_both(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, ask: Ask
) -> None:
    account.inject("partial", message="the zone is unknown")
    set_flag(shop, "max_upload_attempts", "1")
    asleep.wait_status(lambda status: status["flags"]["max_upload_attempts"] == 1)
    insert_order(shop, "R-1")
    eventually(lambda: row_of(shop, "R-1"), lambda row: row[0] == "failed")
    assert "Order R-1 failed: the zone is unknown; `listener requeue R-1` tries again." in ask("explain", "r-1")
    account.clear_faults()
    ask("requeue", "r-1", "--by", "alex")
    assert account.wait_for_orders(1, 5)
    _, order_id, reason = eventually(lambda: row_of(shop, "R-1"), lambda row: row[0] == "uploaded")
    assert reason is None
    story = ask("explain", "R-1")
    assert story.startswith(f"Order R-1 is at ShipStation as {order_id} since ")
    what_happened = ["is being sent", "failed: the zone is unknown", "requeued by alex", "is being sent"]
    places = [story.find(what_happened[0])]
    for words in what_happened[1:]:
        places.append(story.find(words, places[-1] + 1))
    assert -1 not in places
    assert places == sorted(places)
    assert ask("failed") == "no order has failed or is held back"


def test_an_order_that_was_cancelled_there_is_made_again_when_somebody_insists(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, ask: Ask
) -> None:
    insert_order(shop, "C-1")
    eventually(lambda: row_of(shop, "C-1"), lambda row: row[0] == "uploaded")
    account.user.cancel("C-1")
    cancelled = account.order_by_number("C-1")[0]
    shop.execute("delete from order_items_inbox; delete from shipstation_order_line_items; delete from orders_inbox")
    shop.execute("delete from listener.ledger")  # as if another program had sent it
    insert_order(shop, "C-1")
    reason = eventually(lambda: row_of(shop, "C-1"), lambda row: row[0] == "failed")[2]
    assert reason == f"cancelled at ShipStation as {cancelled['orderId']}"
    assert "`listener requeue --again C-1` makes a new order there" in ask("explain", "C-1")
    ask("requeue", "--again", "C-1")
    there = eventually(lambda: account.order_by_number("C-1"), lambda orders: len(orders) == 2)
    assert {order["orderKey"] for order in there} == {"listener-C-1", "listener-C-1~2"}
