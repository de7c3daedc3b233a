"""What happens at ShipStation comes back: to the rows, to the shipped orders, to the lines. The plain way of each."""

from datetime import timedelta
from typing import Any

import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.sync import (
    FULFILLMENTS,
    ORDERS,
    SHIPMENTS,
    Syncing,
    conflicts,
    failures,
    set_row,
    shipped,
    shipped_items,
    status_of,
    tracking_of,
    upload,
    versions,
)

HOLD_UNTIL = "2035-12-24"

# Statuses.


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda user: user.ship("A-1"), "shipped"),
        (lambda user: user.mark_shipped("A-1"), "shipped"),
        (lambda user: user.cancel("A-1"), "cancelled"),
        (lambda user: user.hold("A-1", HOLD_UNTIL), "on_hold"),
        (lambda user: user.edit("A-1", orderStatus="awaiting_payment"), "awaiting_payment"),
        (lambda user: user.edit("A-1", customerNotes="please hurry"), "uploaded"),
        (lambda user: user.edit("A-1", orderStatus="pending_fulfillment"), "uploaded"),
    ],
)
def test_what_becomes_of_an_order_there_its_row_says(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, act: Any, status: str
) -> None:
    order_id = upload(shop, account, "A-1")
    sync.cycle()
    act(account.user)
    sync.next_cycle()
    assert row_of(shop, "A-1") == (status, order_id, None)
    assert (failures(shop), conflicts(shop)) == ([], [])


def test_a_held_order_and_a_cancelled_one_come_back_as_uploaded(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for number in ("A-1", "A-2"):
        upload(shop, account, number)
    account.user.hold("A-1", HOLD_UNTIL)
    account.user.cancel("A-2")
    sync.cycle()
    assert (status_of(shop, "A-1"), status_of(shop, "A-2")) == ("on_hold", "cancelled")
    for number in ("A-1", "A-2"):
        account.user.restore(number)
    sync.next_cycle()
    assert (status_of(shop, "A-1"), status_of(shop, "A-2")) == ("uploaded", "uploaded")


@pytest.mark.parametrize("word", ["uploaded", "awaiting_shipment", "synced_manual"])
def test_every_word_for_an_order_that_awaits_shipment_stays(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, word: str
) -> None:
    upload(shop, account, "A-1")
    set_row(shop, "A-1", status=word)
    sync.cycle()
    assert status_of(shop, "A-1") == word


def test_a_status_that_nobody_has_heard_of_leaves_the_row_alone_and_stands_in_the_mirror(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.hold("A-1", HOLD_UNTIL)
    sync.cycle()
    account.user.edit("A-1", orderStatus="quality_check")
    sync.next_cycle()
    assert status_of(shop, "A-1") == "on_hold"
    assert value_of(shop, "select status from listener.mirror") == "quality_check"
    assert failures(shop) == []


def test_nothing_is_written_where_nothing_differs(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for number in ("A-1", "A-2"):
        upload(shop, account, number)
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}])
    account.user.ship("A-1")
    sync.cycle()
    before = versions(shop)
    for _ in range(3):
        assert sync.next_cycle() == 0
    sync.lead()  # one that knows nothing reads the overlap again
    assert sync.next_cycle() == 0
    assert versions(shop) == before


def test_a_quiet_cycle_costs_one_call(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    upload(shop, account, "A-1")
    sync.cycle()
    before = len(account.requests)
    sync.next_cycle()
    assert [request.path for request in account.requests[before:]] == [ORDERS]


def test_a_row_whose_number_was_changed_at_either_end_is_found_all_the_same(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    upload(shop, account, "A-2")
    sync.cycle()
    account.user.edit("A-1", orderNumber="CHANGED")
    set_row(shop, "A-2", order_number="RENAMED")
    account.user.ship("CHANGED", "T1")
    account.user.ship("A-2", "T2")
    sync.next_cycle()
    assert (tracking_of(shop, "A-1"), tracking_of(shop, "RENAMED")) == ("T1", "T2")
    assert shipped(shop, "A-1") is not None
    assert shipped(shop, "CHANGED") is None


# Tracking and what has left.


def test_a_shipped_order_has_tracking_carrier_and_service_and_stands_among_the_shipped(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    order_id = upload(shop, account, "A-1")
    account.user.ship("A-1", "T1", carrierCode="fedex", serviceCode="fedex_home_delivery")
    sync.cycle()
    carrier = "shipping_carrier_code, shipping_service_code, shipping_service_name"
    assert shop.execute(f"select tracking_number, {carrier} from orders_inbox".encode()).fetchone() == (
        "T1",
        "fedex",
        "fedex_home_delivery",
        "FedEx Home Delivery",
    )
    assert shop.execute(f"select {carrier} from shipped_orders".encode()).fetchone() == (
        "fedex",
        "fedex_home_delivery",
        "FedEx Home Delivery",
    )
    assert shipped(shop, "A-1") == ("2035-07-15", order_id, 2)
    assert shipped_items(shop, "A-1") == [("17001", "17001 - L1", 2, "T1")]


def test_an_order_marked_as_shipped_has_the_tracking_of_its_fulfillment(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.mark_shipped("A-1", "ELSEWHERE-1", carrier="dhl")
    sync.cycle()
    assert tracking_of(shop, "A-1") == "ELSEWHERE-1"
    assert value_of(shop, "select shipping_carrier_code from orders_inbox") == "dhl"
    asked = [request.path for request in account.requests if "orderid" in request.query]
    assert asked == [SHIPMENTS, FULFILLMENTS]


def test_many_shipped_orders_cost_one_list_and_not_a_call_each(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    sync.cycle()
    numbers = [f"A-{n}" for n in range(20)]
    for number in numbers:
        upload(shop, account, number)
        account.user.ship(number, f"T{number}")
    before = len(account.requests)
    sync.next_cycle()
    assert [request.path for request in account.requests[before:]] == [ORDERS, SHIPMENTS]
    assert [tracking_of(shop, number) for number in numbers] == [f"T{number}" for number in numbers]


def test_of_several_boxes_the_first_is_shown_and_each_item_has_its_own(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    items = [{"sku": "17001", "quantity": 1}, {"sku": "17002", "quantity": 1}]
    upload(shop, account, "A-1", items=items)
    account.user.ship("A-1", "R1", isReturnLabel=True)
    account.user.ship("A-1", "T1", shipmentItems=items[:1])
    sync.time.advance(60)
    account.user.ship("A-1", "T2", shipmentItems=items[1:])
    sync.cycle()
    assert tracking_of(shop, "A-1") == "T1"
    assert shipped_items(shop, "A-1") == [("17001", "17001", 1, "T1"), ("17002", "17002", 1, "T2")]


def test_a_label_that_was_voided_and_bought_again_is_the_new_one(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    sync.cycle()
    account.user.void("A-1")
    account.user.ship("A-1", "T2")  # both between two cycles
    sync.next_cycle()
    assert tracking_of(shop, "A-1") == "T2"
    assert shipped_items(shop, "A-1") == [("17001", "17001 - L1", 2, "T2")]


def test_a_label_that_is_older_than_the_list_of_labels_is_asked_for_by_its_order(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "OLD")
    first = account.user.ship("OLD", "T1")
    sync.cycle()
    sync.time.advance(3 * 86400)
    account.user.ship("OLD", "T2")
    account.user.void("OLD", first["shipmentId"])
    others = [f"A-{n}" for n in range(5)]  # enough of them for a list, in which T1 is not
    for number in others:
        upload(shop, account, number)
        account.user.ship(number, f"T-{number}")
    sync.cycle()
    assert [tracking_of(shop, number) for number in ("OLD", *others)] == ["T2", *(f"T-{number}" for number in others)]


def test_an_edit_of_many_shipped_orders_costs_a_list_and_no_look_ups(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    numbers = [f"A-{n}" for n in range(6)]
    for number in numbers:
        upload(shop, account, number)
        account.user.ship(number, f"T-{number}")
    sync.cycle()
    sync.time.advance(3 * 3600)
    for number in numbers:
        account.user.edit(number, customerNotes="x")
    before = len(account.requests)
    sync.cycle()
    assert [request.path for request in account.requests[before:]] == [ORDERS, SHIPMENTS]
    sync.time.advance(2 * 86400)
    sync.cycle()
    for number in numbers:
        account.user.edit(number, customerNotes="y")
    before = len(account.requests)
    sync.next_cycle()
    assert [request.path for request in account.requests[before:]] == [ORDERS, SHIPMENTS]
    assert [tracking_of(shop, number) for number in numbers] == [f"T-{number}" for number in numbers]


def test_when_its_label_is_voided_an_order_is_not_shipped_any_more(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    order_id = upload(shop, account, "A-1")
    account.user.ship("A-1", "T1")
    sync.cycle()
    account.user.void("A-1")
    sync.next_cycle()
    assert row_of(shop, "A-1") == ("uploaded", order_id, None)
    assert (tracking_of(shop, "A-1"), shipped(shop, "A-1"), shipped_items(shop, "A-1")) == (None, None, [])
    account.user.ship("A-1", "T2")
    sync.next_cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", "T2")
    assert shipped_items(shop, "A-1") == [("17001", "17001 - L1", 2, "T2")]


def test_shipped_rows_of_another_order_are_not_taken_back(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1")
    sync.cycle()
    shop.execute("update shipped_orders set shipstation_order_id = '77'")
    account.user.void("A-1")
    sync.next_cycle()
    assert shipped(shop, "A-1") is not None


def test_an_order_that_is_shipped_without_any_label_is_asked_for_a_few_times_and_then_left(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.edit("A-1", orderStatus="shipped")
    sync.cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", None)
    assert shipped(shop, "A-1") is not None
    for _ in range(8):
        sync.time.advance(6 * 3600)
        sync.cycle()
    asked = len(sync.calls(FULFILLMENTS))
    assert asked == 4
    sync.time.advance(86400)
    sync.cycle()
    assert len(sync.calls(FULFILLMENTS)) == asked


def test_lots_are_shipped_apart_and_what_an_earlier_program_wrote_does_not_count_twice(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    items = [{"sku": "17001 - A", "quantity": 2}, {"sku": "17001-B", "quantity": 1}, {"sku": "17002", "quantity": 3}]
    upload(shop, account, "A-1", items=items)
    account.user.ship("A-1", "T1")
    shop.execute("insert into shipped_orders (order_number, ship_date, shipstation_order_id) values ('A-1', 'x', null)")
    shop.execute(
        "insert into shipped_items (order_number, ship_date, base_sku, sku_lot, quantity_shipped)"
        " values ('A-1', 'x', '17002', '', 3)"
    )
    sync.cycle()
    assert shipped_items(shop, "A-1") == [
        ("17001", "17001 - A", 2, "T1"),
        ("17001", "17001 - B", 1, "T1"),
        ("17002", "17002", 3, "T1"),
    ]


# Manual orders.


def test_an_order_entered_at_shipstation_gets_a_row_with_lines_and_addresses(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    there = account.user.create_manual(
        " 100001 ",
        orderDate="2035-07-10T08:00:00",
        customerEmail="ada@example.com",
        shipTo={"name": "Ada Example", "street1": "1 Way", "city": "Town", "country": "CA"},
        billTo={"name": "Bill Example"},
        items=[{"sku": "17001 - L1", "quantity": 2, "unitPrice": 19.99}, {"sku": "17002", "quantity": 1}],
    )
    assert sync.cycle() == 1
    columns = (
        "order_number, order_date::text, customer_email, status, shipstation_order_id, source_system, total_items,"
        " total_amount_cents, ship_name, ship_city, ship_country, bill_name, ship_state"
    )
    row = shop.execute(f"select {columns} from orders_inbox".encode()).fetchone()
    assert row == (
        *("100001", "2035-07-10", "ada@example.com", "synced_manual", str(there["orderId"]), "ShipStation Manual"),
        *(3, 3998, "Ada Example", "Town", "CA", "Bill Example", None),
    )
    lines = shop.execute("select sku, sku_lot, quantity, unit_price_cents from order_items_inbox order by sku")
    assert lines.fetchall() == [("17001", "17001 - L1", 2, 1999), ("17002", None, 1, 0)]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("awaiting_shipment", "synced_manual"),
        ("on_hold", "on_hold"),
        ("cancelled", "cancelled"),
        ("awaiting_payment", "awaiting_payment"),
        ("rejected_fulfillment", "synced_manual"),
    ],
)
def test_a_new_manual_order_says_how_far_it_is_and_is_never_pending(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, status: str, word: str
) -> None:
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}], orderStatus=status)
    sync.cycle()
    assert status_of(shop, "100001") == word


def test_a_manual_order_that_is_shipped_already_has_all_of_that(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("100001", items=[{"sku": "17001 - L1", "quantity": 2}])
    account.user.ship("100001", "T1")
    sync.cycle()
    assert (status_of(shop, "100001"), tracking_of(shop, "100001")) == ("shipped", "T1")
    assert shipped_items(shop, "100001") == [("17001", "17001 - L1", 2, "T1")]


def test_key_products_are_those_of_the_table_and_none_there_means_all(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("100001", items=[{"sku": "99999", "quantity": 1}])
    sync.cycle()
    assert status_of(shop, "100001") == "synced_manual"
    shop.execute(
        "insert into configuration_params (category, parameter_name, value, sku)"
        " values ('Key Products', 'k', 'k', ' 17001 ')"
    )
    account.user.create_manual("100002", items=[{"sku": "99999", "quantity": 1}])
    account.user.create_manual("100003", items=[{"sku": "17001 - L9", "quantity": 1}])
    sync.next_cycle()
    assert value_of(shop, "select count(*) from orders_inbox where order_number = '100002'") == 0
    assert status_of(shop, "100003") == "synced_manual"


def test_the_flag_says_which_numbers_are_manual(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    for number in ("100001", "M-7", "X"):
        account.user.create_manual(number, items=[{"sku": "17001", "quantity": 1}])
    sync.flags = type(sync.flags)(manual_order_pattern="^M-", api_calls_per_hour=1000)
    sync.cycle()
    assert shop.execute("select order_number from orders_inbox").fetchall() == [("M-7",)]


def test_the_lines_of_a_manual_order_follow_those_there_and_a_shops_own_lines_do_not(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}, {"sku": "17002", "quantity": 1}])
    sync.cycle()
    new = [{"sku": "17001", "quantity": 5}, {"sku": "17003 - L", "quantity": 1}]
    account.user.edit("A-1", items=new)
    account.user.edit("100001", items=new)
    sync.next_cycle()
    query = """
        select order_number, sku, sku_lot, i.quantity from orders_inbox o join order_items_inbox i
        on i.order_inbox_id = o.id order by 1, 2"""
    assert shop.execute(query).fetchall() == [
        ("100001", "17001", None, 5),
        ("100001", "17003", "17003 - L", 1),
        ("A-1", "17001", None, 2),
    ]


def test_an_order_without_lines_gets_them_when_they_are_there(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1", items=[])
    shop.execute("delete from order_items_inbox")
    account.user.create_manual("100001", items=[])
    sync.cycle()
    for number in ("A-1", "100001"):
        account.user.edit(number, items=[{"sku": "17001", "quantity": 4}])
    sync.next_cycle()
    assert shop.execute("select sku, quantity from order_items_inbox").fetchall() == [("17001", 4)] * 2


def test_an_order_that_was_shipped_and_cleaned_up_long_ago_gets_no_row_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    account.user.create_manual("100001", items=[{"sku": "17001", "quantity": 1}])
    shop.execute("insert into shipped_orders (order_number, ship_date) values ('100001', '2035-01-01')")
    sync.cycle()
    assert value_of(shop, "select count(*) from orders_inbox") == 0


def test_an_order_of_ours_that_bears_a_manual_number_now_gets_no_second_row(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.edit("A-1", orderNumber="100001")
    sync.cycle()
    assert shop.execute("select order_number from orders_inbox").fetchall() == [("A-1",)]


# Links, conflicts, parts.


def test_a_row_without_an_id_is_linked_to_the_order_of_its_number(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    for number, status in (("A-1", "uploaded"), ("A-2", "failed"), ("100003", "synced_manual"), ("A-4", "pending")):
        insert_order(shop, number, status=status)
        set_row(shop, number, failure_reason="a reason")
    ids = {number: str(account.user.create_manual(number)["orderId"]) for number in ("A-1", "A-2", "100003", "A-4")}
    sync.cycle()
    assert row_of(shop, "A-1") == ("uploaded", ids["A-1"], "a reason")
    assert row_of(shop, "A-2") == ("uploaded", ids["A-2"], None)
    assert row_of(shop, "100003") == ("synced_manual", ids["100003"], "a reason")
    assert row_of(shop, "A-4") == ("uploaded", ids["A-4"], "a reason")


def test_a_pending_row_is_the_uploads_and_is_shown_its_order_once_it_is_adopted(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    there = account.user.create_manual("A-1", items=[{"sku": "17001", "quantity": 1}])
    account.user.hold("A-1", HOLD_UNTIL)
    insert_order(shop, "A-1")
    before = versions(shop)
    sync.cycle()
    assert {key: xmin for key, xmin in versions(shop).items() if "inbox" in key} == before
    assert failures(shop) == [("apply", str(there["orderId"]), "its row is pending: the upload adopts it", 0)]
    set_row(shop, "A-1", status="uploaded", shipstation_order_id=str(there["orderId"]))  # as the upload does
    sync.next_cycle()
    assert status_of(shop, "A-1") == "on_hold"
    assert failures(shop) == []


def test_a_second_order_under_a_rows_number_is_noted_once_and_is_no_error(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    first = upload(shop, account, "A-1")
    second = str(account.user.create_manual("A-1")["orderId"])
    sync.cycle()
    account.user.edit(int(second), customerNotes="again")
    sync.next_cycle()
    assert row_of(shop, "A-1") == ("uploaded", first, None)
    assert conflicts(shop) == [("A-1", "several orders at ShipStation", [first, second])]
    assert (failures(shop), sync.metrics.snapshot()["workflows"]["unified-shipstation-sync"]["errors"]) == ([], 0)


def test_of_two_manual_orders_of_one_number_one_gets_the_row_and_the_other_is_a_conflict(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    items = [{"sku": "17001", "quantity": 1}]
    first, second = (str(account.user.create_manual("100001", items=items)["orderId"]) for _ in range(2))
    sync.cycle()
    assert row_of(shop, "100001") == ("synced_manual", first, None)
    assert conflicts(shop) == [("100001", "several orders at ShipStation", [first, second])]
    account.user.ship(int(second))
    sync.next_cycle()
    assert status_of(shop, "100001") == "synced_manual"


def test_what_the_shop_cancelled_stays_cancelled_until_shipstation_has_shipped_it(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    order_id = upload(shop, account, "A-1")
    set_row(shop, "A-1", status="cancelled")
    sync.cycle()
    account.user.edit("A-1", customerNotes="x")
    sync.next_cycle()
    assert status_of(shop, "A-1") == "cancelled"
    assert conflicts(shop) == [("A-1", "cancelled here, open at ShipStation", [order_id])]
    account.user.ship("A-1", "T1")
    sync.next_cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", "T1")


def test_a_split_order_goes_by_its_whole_and_what_has_left_is_the_sum_of_its_shipped_parts(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    items = [
        {"sku": "17001", "quantity": 2},
        {"sku": "17002", "quantity": 1},
        {"sku": "17001", "quantity": 3, "name": "b"},
    ]
    order_id = upload(shop, account, "A-1", items=items)
    sync.cycle()
    part = account.user.split("A-1")["orderId"]
    sync.next_cycle()
    assert (status_of(shop, "A-1"), conflicts(shop)) == ("uploaded", [])
    account.user.ship(part, "T1")
    sync.next_cycle()
    assert (status_of(shop, "A-1"), shipped_items(shop, "A-1")) == ("uploaded", [])
    account.user.ship(int(order_id), "T2")
    sync.next_cycle()
    assert (status_of(shop, "A-1"), tracking_of(shop, "A-1")) == ("shipped", "T2")
    assert shipped_items(shop, "A-1") == [("17001", "17001", 5, "T2"), ("17002", "17002", 1, "T2")]
    account.user.void(part)
    sync.next_cycle()
    assert shipped_items(shop, "A-1") == [("17001", "17001", 3, "T2"), ("17002", "17002", 1, "T2")]
    assert (conflicts(shop), failures(shop)) == ([], [])


def test_orders_that_were_merged_are_shipped_with_what_they_became(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    ids = [upload(shop, account, number) for number in ("A-1", "A-2")]
    sync.cycle()
    account.user.delete("A-2")
    both = [{"sku": "17001", "quantity": 4}]
    account.user.edit("A-1", items=both, advancedOptions={"mergedOrSplit": True, "mergedIds": [int(ids[1])]})
    account.user.ship("A-1", "T1")
    sync.next_cycle()
    assert [row_of(shop, number)[:2] for number in ("A-1", "A-2")] == [("shipped", ids[0]), ("shipped", ids[1])]
    assert [tracking_of(shop, number) for number in ("A-1", "A-2")] == ["T1", "T1"]
    assert shipped_items(shop, "A-1") == shipped_items(shop, "A-2") == [("17001", "17001", 2, "T1")]


# The mirror.


def test_the_syncs_pages_are_the_mirrors(sync: Syncing, shop: Connection, account: ShipStationSimulator) -> None:
    account.user.create_manual("A-1")
    sync.cycle()
    assert shop.execute("select order_number, status from listener.mirror").fetchall() == [("A-1", "awaiting_shipment")]


def test_what_is_older_than_what_is_known_changes_no_row(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    upload(shop, account, "A-1")
    account.user.ship("A-1")
    shop.execute(
        "insert into listener.mirror (shipstation_order_id, order_key, order_number, status, created_at, modified_at)"
        " values (%s, 'A-1', 'A-1', 'on_hold', %s, %s)",
        [account.orders[0]["orderId"], sync.time.utc(), sync.time.utc() + timedelta(minutes=2)],
    )
    sync.cycle()
    assert status_of(shop, "A-1") == "uploaded"
