"""Once a day what was missed heals, at the price of a few lists, and a person is told of what is gone there."""

import logging

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.sync import ORDERS, Syncing, conflicts, failures, set_row, status_of, tracking_of, upload

DAY = 86_460  # and a minute


@pytest.fixture
def settled(sync: Syncing) -> Syncing:
    """A sync that has just reconciled, on an empty database."""
    sync.cycle()
    return sync


def age(shop: Connection) -> None:
    """Make every row older than a day; the rows' own times are the server's."""
    shop.execute("update orders_inbox set created_at = created_at - interval '2 days'")


def miss(sync: Syncing, shop: Connection, number: str) -> None:
    """Have the row of an order say again what it said before the last change there, as if that had been missed."""
    set_row(shop, number, status="uploaded", tracking_number=None)
    shop.execute("delete from shipped_items where order_number = %s", [number])
    shop.execute("delete from shipped_orders where order_number = %s", [number])
    shop.execute("update listener.mirror set status = 'awaiting_shipment' where order_number = %s", [number])
    shop.execute("update listener.links set modified_at = modified_at - interval '1 minute', shipments_of = null")


def lists(sync: Syncing) -> list[str]:
    return [query["orderstatus"] for query in sync.calls(ORDERS) if "orderstatus" in query]


def looked_up(account: ShipStationSimulator) -> int:
    return sum(request.path.startswith("/orders/1") for request in account.requests)


def test_without_open_orders_it_costs_the_question_for_voided_labels(
    settled: Syncing, account: ShipStationSimulator
) -> None:
    before = len(account.requests)
    settled.time.advance(DAY)
    settled.cycle()
    assert [request.path for request in account.requests[before:]] == ["/orders", "/shipments"]


def test_it_runs_once_a_day_and_again_after_a_restart_only_when_it_is_due(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for n in range(5):
        upload(shop, account, f"A-{n}")
    age(shop)
    for _ in range(5):
        settled.next_cycle()
    settled.lead()
    settled.next_cycle()
    assert lists(settled) == []
    settled.time.advance(DAY)
    settled.cycle()
    assert lists(settled) == ["awaiting_shipment"]
    assert looked_up(account) == 0, "all that is open here is open there"


def test_what_was_missed_is_found_by_its_absence_from_the_open_ones(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    numbers = [f"A-{n}" for n in range(8)]
    for number in numbers:
        upload(shop, account, number)
    settled.next_cycle()
    account.user.ship("A-0", "T0")
    account.user.cancel("A-1")
    account.user.hold("A-2", "2035-12-24")
    settled.next_cycle()
    for number in numbers[:3]:
        miss(settled, shop, number)
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert [status_of(shop, number) for number in numbers[:4]] == ["shipped", "cancelled", "on_hold", "uploaded"]
    assert tracking_of(shop, "A-0") == "T0"
    assert looked_up(account) == 3
    assert (failures(shop), conflicts(shop)) == ([], [])


def test_what_the_mirror_knows_to_differ_is_looked_up_without_a_list(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    settled.next_cycle()
    set_row(shop, "A-1", status="uploaded", tracking_number=None)
    shop.execute("delete from shipped_items")
    shop.execute("delete from shipped_orders")
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert (status_of(shop, "A-1"), lists(settled)) == ("shipped", [])
    assert value_of(shop, "select count(*) from shipped_items") == 1


def test_few_open_orders_are_looked_up_one_by_one(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for n in range(2):
        upload(shop, account, f"A-{n}")
    settled.next_cycle()
    account.user.ship("A-0")
    settled.next_cycle()
    miss(settled, shop, "A-0")
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert (status_of(shop, "A-0"), status_of(shop, "A-1")) == ("shipped", "uploaded")
    assert (lists(settled), looked_up(account)) == ([], 2)


def test_each_status_that_rows_have_has_its_list(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for n in range(6):
        upload(shop, account, f"A-{n}")
    account.user.hold("A-0", "2035-12-24")
    account.user.edit("A-1", orderStatus="awaiting_payment")
    settled.next_cycle()
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert lists(settled) == ["awaiting_payment", "awaiting_shipment", "on_hold"]
    assert looked_up(account) == 0


def test_a_list_of_several_pages_is_read_to_its_end(
    settled: Syncing, shop: Connection, account: ShipStationSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(505):
        account.user.create_manual(f"X-{n}")
    for n in range(5):
        upload(shop, account, f"A-{n}")
    settled.next_cycle()
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert lists(settled) == ["awaiting_shipment"] * 2
    assert looked_up(account) == 0


def test_an_order_that_was_deleted_there_keeps_its_row_and_a_person_is_told_once(
    settled: Syncing, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = upload(shop, account, "A-1")
    settled.next_cycle()
    account.user.delete("A-1")
    age(shop)
    for _ in range(3):
        settled.time.advance(DAY)
        settled.cycle()
    assert row_of(shop, "A-1") == ("uploaded", order_id, None)
    assert conflicts(shop) == [("A-1", "gone from ShipStation", [order_id])]
    assert caplog.text.count("is gone from ShipStation") == 1
    assert looked_up(account) == 1, "and is not asked for every day"


def test_an_order_that_was_merged_into_another_is_not_gone(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ids = [upload(shop, account, number) for number in ("A-1", "A-2")]
    settled.next_cycle()
    account.user.delete("A-2")
    account.user.edit("A-1", advancedOptions={"mergedOrSplit": True, "mergedIds": [int(ids[1])]})
    settled.next_cycle()
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert conflicts(shop) == []


def test_a_row_without_an_id_whose_number_shipstation_has_is_linked(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    there = account.user.create_manual("A-1")
    settled.next_cycle()
    insert_order(shop, "A-1", status="uploaded")  # an earlier program died before it wrote the id
    age(shop)
    settled.time.advance(DAY)
    settled.cycle()
    assert row_of(shop, "A-1") == ("uploaded", str(there["orderId"]), None)


def test_a_box_whose_label_was_voided_while_another_one_stands_is_noticed(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    first = account.user.ship("A-1", "T1")
    settled.time.advance(1)
    account.user.ship("A-1", "T2")
    settled.next_cycle()
    assert tracking_of(shop, "A-1") == "T1"
    account.user.void("A-1", first["shipmentId"])  # the order stays shipped, and has not changed
    settled.next_cycle()
    settled.time.advance(DAY)
    settled.cycle()
    assert tracking_of(shop, "A-1") == "T2"


def test_an_edit_before_all_labels_were_read_does_not_make_that_forgotten(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    first = account.user.ship("A-1", "T1")
    settled.time.advance(1)
    account.user.ship("A-1", "T2")
    settled.next_cycle()
    account.user.void("A-1", first["shipmentId"])
    settled.time.advance(DAY)
    while not value_of(shop, "select bool_or(shipments_tries < 0) from listener.links"):
        settled.step()
    for n in range(5):  # enough of them for a list, in which no label of the edited order is
        upload(shop, account, f"B-{n}")
        account.user.ship(f"B-{n}")
    account.user.edit("A-1", customerNotes="x")
    settled.lead()
    settled.cycle()
    assert tracking_of(shop, "A-1") == "T2"


def test_voided_labels_that_could_not_be_asked_for_are_asked_for_in_the_next_cycle(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    first = account.user.ship("A-1", "T1")
    settled.time.advance(1)
    account.user.ship("A-1", "T2")
    settled.next_cycle()
    account.user.void("A-1", first["shipmentId"])
    settled.time.advance(DAY)
    account.inject("503", path="/shipments")
    settled.cycle()
    settled.next_cycle()
    account.clear_faults()
    settled.next_cycle()
    assert tracking_of(shop, "A-1") == "T2"


def test_a_list_that_cannot_be_read_costs_look_ups_and_nothing_else(
    settled: Syncing, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(6):
        upload(shop, account, f"A-{n}")
    settled.next_cycle()
    account.user.ship("A-0")
    settled.next_cycle()
    miss(settled, shop, "A-0")
    age(shop)
    settled.time.advance(DAY)
    settled.step()
    account.inject("500", path="/orders")
    settled.cycle()
    assert (status_of(shop, "A-0"), looked_up(account)) == ("shipped", 6)
    assert "Open orders could not be compared" in caplog.text


def test_it_says_what_it_compares(
    settled: Syncing, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(5):
        upload(shop, account, f"A-{n}")
    settled.next_cycle()
    age(shop)
    caplog.set_level(logging.INFO)
    settled.time.advance(DAY)
    settled.cycle()
    assert "Comparing 5 open orders with ShipStation: 0 differ by what is known of it already" in caplog.text
    assert "ShipStation has 5 orders open; 0 of ours are not among them and are looked up" in caplog.text


def test_an_outage_in_the_midst_of_the_look_ups_leaves_the_rest_for_later(
    settled: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for n in range(3):
        upload(shop, account, f"A-{n}")
    settled.next_cycle()
    age(shop)
    settled.time.advance(DAY)
    account.inject("503", path="/orders/*")
    settled.cycle()
    assert [tries for *_, tries in failures(shop)] == [1, 0, 0]
    account.clear_faults()
    settled.time.advance(3600)
    settled.cycle()
    assert failures(shop) == []
