"""The rules of a ShipStation account, without a socket: who is who, what is locked, what a list shows, what time it is.

The rule: the clock stands still until a test moves it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.embedded.shipstation.account import LOCKED_MESSAGE, Account, OrderRefused
from listener.embedded.shipstation.calls import Call, CallRefused
from listener.embedded.shipstation.fault import Fault
from listener.embedded.shipstation.faults import Faults
from listener.embedded.shipstation.gate import Gate
from listener.embedded.shipstation.listing import list_orders
from listener.embedded.shipstation.model import order_faults, order_list, single_order
from listener.embedded.shipstation.pacific import item_stamp, order_stamp, parse_wall_clock, wall_clock
from listener.embedded.shipstation.shape import Record, order_object


class StillClock:
    def __init__(self, text: str = "2026-01-15T20:00:00+00:00") -> None:
        self.now = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def account(clock: StillClock) -> Account:
    return Account(clock)


class CountedOrders(dict[int, Record]):
    """Counts the look-ups, and refuses to be walked through."""

    count = 0

    def __getitem__(self, order_id: int) -> Record:
        self.count += 1
        return super().__getitem__(order_id)

    def values(self) -> Any:
        raise AssertionError("all orders were looked at")


def order(number: str = "1001", **fields: Any) -> dict[str, Any]:
    return {
        "orderNumber": number,
        "orderDate": "2026-01-15T10:00:00",
        "orderStatus": "awaiting_shipment",
        "billTo": {"name": "Sample Buyer"},
        "shipTo": {"name": "Sample Buyer", "street1": "1 Sample Street", "city": "Sampletown", "country": "US"},
        **fields,
    }


def numbers(page: dict[str, Any]) -> list[str]:
    return [row["orderNumber"] for row in page["orders"]]


class TestIdentity:
    def test_an_order_without_a_key_is_new_each_time_though_its_number_exists(self, account: Account) -> None:
        first, second = account.put(order()), account.put(order())
        assert first.order_id != second.order_id
        assert first.key != second.key and len(first.key) == 32
        assert len(account.with_number("1001")) == 2

    def test_an_unknown_key_makes_an_order_with_exactly_that_key(self, account: Account) -> None:
        assert account.put(order(orderKey="shop-1001")).key == "shop-1001"

    def test_a_known_key_updates_its_order_and_gives_the_same_id_again(self, account: Account) -> None:
        first = account.put(order(orderKey="k", customerNotes="old", giftMessage="lost")).order_id
        again = account.put(order("1002", orderKey="k", customerNotes="new"))
        assert again.order_id == first and len(account.orders) == 1
        shown = order_object(again)
        assert (shown["orderNumber"], shown["customerNotes"], shown["giftMessage"]) == ("1002", "new", None)
        assert account.with_number("1001") == []

    def test_the_same_key_twice_in_one_batch_is_one_order(self, account: Account) -> None:
        answer = account.put_all([order(orderKey="k"), order(orderKey="k")])
        assert len({result["orderId"] for result in answer["results"]}) == 1
        assert len(account.orders) == 1

    @pytest.mark.parametrize("status", ["shipped", "cancelled", "rejected_fulfillment"])
    def test_an_order_that_is_done_refuses_its_update_and_stays_as_it_was(self, account: Account, status: str) -> None:
        record = account.put(order(orderKey="k"))
        account.set_status(record, status)
        answer = account.put_all([order(orderKey="k", customerNotes="late"), order("1002", orderKey="other")])
        refused, taken = answer["results"]
        assert answer["hasErrors"] and not refused["success"] and taken["success"]
        assert (refused["orderId"], refused["orderKey"], refused["errorMessage"]) == (None, "k", LOCKED_MESSAGE)
        assert order_object(record)["customerNotes"] is None

    @pytest.mark.parametrize("status", ["awaiting_payment", "pending_fulfillment", "on_hold"])
    def test_an_order_that_is_still_open_takes_an_update(self, account: Account, status: str) -> None:
        record = account.put(order(orderKey="k"))
        account.set_status(record, status)
        assert account.put(order(orderKey="k")).order_id == record.order_id

    def test_an_order_id_names_the_order_to_update_and_its_key_never_changes(self, account: Account) -> None:
        record = account.put(order(orderKey="k"))
        account.put(order(orderId=record.order_id, orderKey="another", customerNotes="by id"))
        assert (record.key, record.sent["customerNotes"], len(account.orders)) == ("k", "by id", 1)

    def test_an_unknown_order_id_is_refused_and_creates_nothing(self, account: Account) -> None:
        with pytest.raises(OrderRefused, match="not found"):
            account.put(order(orderId=5))
        assert not account.orders

    def test_the_store_is_chosen_at_creation_and_never_again(self, account: Account) -> None:
        account.put(order(orderKey="k", advancedOptions={"storeId": 77}))
        record = account.put(order(orderKey="k", advancedOptions={"storeId": 78}))
        assert order_object(record)["advancedOptions"]["storeId"] == 77

    def test_a_deleted_order_is_gone_and_its_key_is_free(self, account: Account) -> None:
        record = account.put(order(orderKey="k"))
        account.delete(record)
        assert list_orders(account, {"ordernumber": "1001"})["total"] == 0
        assert account.put(order(orderKey="k")).order_id != record.order_id


class TestRequests:
    @pytest.mark.parametrize("name", ["orderNumber", "orderDate", "orderStatus", "billTo", "shipTo"])
    def test_a_required_field_that_is_missing_is_named(self, name: str) -> None:
        assert list(order_faults(order(**{name: None}), "apiOrder")) == [f"apiOrder.{name}"]

    @pytest.mark.parametrize(
        ("fields", "parameter"),
        [
            ({"billTo": {"name": ""}, "shipTo": {"city": "x"}}, "billTo.name"),
            ({"orderStatus": "canceled"}, "orderStatus"),
            ({"orderDate": "yesterday"}, "orderDate"),
            ({"orderNumber": "9" * 51}, "orderNumber"),
            ({"orderKey": "k" * 51}, "orderKey"),
            ({"amountPaid": "12.50"}, "amountPaid"),
            ({"gift": 1}, "gift"),
            ({"items": [{"sku": "A"}, {"sku": "B", "quantity": "2"}]}, "items[1].quantity"),
            ({"shipTo": {"name": 5}}, "shipTo.name"),
        ],
    )
    def test_a_wrong_value_is_named_with_its_place(self, fields: dict[str, Any], parameter: str) -> None:
        assert list(order_faults(order(**fields), "apiOrder")) == [f"apiOrder.{parameter}"]

    def test_one_bad_order_refuses_the_whole_array(self) -> None:
        with pytest.raises(CallRefused) as refused:
            order_list([order(), order(orderDate=None)])
        assert refused.value.answer.status == 400
        assert list(refused.value.answer.body["ModelState"]) == ["apiOrders[1].orderDate"]

    def test_an_array_for_one_order_and_an_object_for_many_are_refused(self) -> None:
        with pytest.raises(CallRefused) as array:
            single_order([order()])
        with pytest.raises(CallRefused) as single:
            order_list(order())
        assert list(array.value.answer.body["ModelState"]) == ["apiOrder"]
        assert list(single.value.answer.body["ModelState"]) == ["apiOrders.orderNumber"]

    def test_a_hundred_orders_are_taken_and_one_more_is_not(self) -> None:
        assert len(order_list([order()] * 100)) == 100
        with pytest.raises(CallRefused):
            order_list([order()] * 101)


class TestTime:
    def test_stamps_are_pacific_wall_clock_with_seven_digits(self, account: Account) -> None:
        shown = order_object(account.put(order(items=[{"sku": "A"}])))
        assert shown["createDate"] == shown["modifyDate"] == "2026-01-15T12:00:00.0000000"

    def test_daylight_saving_moves_the_stamp_by_an_hour(self) -> None:
        spring = datetime(2026, 3, 8, 9, 59, 59, 999_999, tzinfo=UTC)
        assert order_stamp(wall_clock(spring)) == "2026-03-08T01:59:59.9990000"
        assert order_stamp(wall_clock(spring + timedelta(microseconds=1))) == "2026-03-08T03:00:00.0000000"

    def test_the_hour_that_autumn_repeats_has_the_same_stamps_twice(self) -> None:
        autumn = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
        assert wall_clock(autumn) == wall_clock(autumn + timedelta(hours=1))

    def test_a_request_with_an_offset_means_that_instant(self) -> None:
        assert parse_wall_clock("2026-07-01T12:00:00Z") == parse_wall_clock("2026-07-01 05:00:00")

    def test_item_stamps_have_two_or_three_digits(self) -> None:
        stamps = [item_stamp(datetime(2026, 1, 1, 0, 0, 0, ms * 1000)) for ms in (823, 820, 0)]  # noqa: DTZ001
        assert [stamp.partition(".")[2] for stamp in stamps] == ["823", "82", "00"]

    def test_every_change_bumps_modify_date_and_leaves_create_date(self, account: Account, clock: StillClock) -> None:
        record = account.put(order(orderKey="k"))
        seen = [record.modified]
        for change in (
            lambda: account.put(order(orderKey="k")),
            lambda: account.set_hold(record, "2026-02-01"),
            lambda: account.set_status(record, "awaiting_shipment"),
            lambda: account.set_status(record, "shipped"),
        ):
            clock.advance(milliseconds=1)
            change()
            seen.append(record.modified)
        assert seen == sorted(set(seen)) and record.created == seen[0]


class TestLists:
    def test_nothing_found_is_page_one_of_none(self, account: Account) -> None:
        assert list_orders(account, {}) == {"orders": [], "total": 0, "page": 1, "pages": 0}

    def test_a_number_is_searched_by_its_beginning_and_without_case(self, account: Account) -> None:
        for number in ("1001", "10010", "1001-a", "2001", "100", "AB-1", "ab-10"):
            account.put(order(number))
        assert numbers(list_orders(account, {"ordernumber": "1001"})) == ["1001", "10010", "1001-a"]
        assert numbers(list_orders(account, {"ordernumber": "ab"})) == ["AB-1", "ab-10"]

    def test_the_orders_of_a_number_are_those_of_exactly_that_number(self, account: Account) -> None:
        for number in ("AB-1", "ab-1", "AB-10"):
            account.put(order(number))
        assert [record.number for record in account.with_number("AB-1")] == ["AB-1"]

    def test_pages_are_cut_in_the_order_of_ids(self, account: Account) -> None:
        for number in range(5):
            account.put(order(str(9 - number)))
        page = list_orders(account, {"pagesize": "2", "page": "3"})
        assert (numbers(page), page["total"], page["page"], page["pages"]) == (["5"], 5, 3, 3)
        assert numbers(list_orders(account, {"pagesize": "2", "page": "4"})) == []

    def test_modify_dates_are_after_and_before_in_whole_seconds(self, account: Account, clock: StillClock) -> None:
        for number in "abc":
            account.put(order(number))
            clock.advance(milliseconds=500)
        day = "2026-01-15 12:00:"
        found = {edge: numbers(list_orders(account, {"modifydatestart": day + edge})) for edge in ("00", "00.7", "01")}
        assert found == {"00": ["b", "c"], "00.7": ["b", "c"], "01": []}
        assert numbers(list_orders(account, {"modifydateend": day + "01"})) == ["a", "b"]

    def test_sorting_by_modify_date_follows_a_change(self, account: Account, clock: StillClock) -> None:
        records = []
        for number in "abc":
            clock.advance(seconds=1)
            records.append(account.put(order(number)))
        clock.advance(seconds=1)
        account.set_status(records[0], "shipped")
        start = {"modifydatestart": "2026-01-15T12:00:00", "sortby": "ModifyDate"}
        assert numbers(list_orders(account, start)) == ["b", "c", "a"]
        assert numbers(list_orders(account, start | {"sortdir": "DESC"})) == ["a", "c", "b"]
        assert numbers(list_orders(account, start | {"pagesize": "1", "page": "2"})) == ["c"]
        assert numbers(list_orders(account, start | {"orderstatus": "shipped"})) == ["a"]

    def test_every_index_agrees_with_a_look_at_each_order(self, account: Account, clock: StillClock) -> None:
        for number in range(40):
            clock.advance(seconds=7)
            account.put(order(f"N{number % 13}", orderKey=f"k{number % 20}"))
        account.delete(account.with_number("N3")[0])
        edge = wall_clock(clock.now - timedelta(seconds=100))
        expected = {record.order_id for record in account.orders.values() if record.modified > edge}
        page = list_orders(account, {"modifydatestart": edge.isoformat()})
        assert {row["orderId"] for row in page["orders"]} == expected and expected
        assert len(account.by_number) == len(account.by_modified) == len(account.by_created) == len(account.orders)

    @pytest.mark.parametrize(
        "query",
        [
            {"modifydatestart": "2026-01-01", "sortby": "ModifyDate", "page": "50"},
            {"createdatestart": "2026-01-01", "sortby": "CreateDate", "page": "50"},
            {"ordernumber": "0042"},
        ],
    )
    def test_a_page_looks_at_its_own_orders_and_at_no_other(self, account: Account, query: dict[str, str]) -> None:
        for number in range(500):
            account.put(order(f"{number:05d}"))
        account.orders = looked_at = CountedOrders(account.orders)
        page = list_orders(account, {"pagesize": "10", **query})
        assert len(page["orders"]) == 10
        assert 10 <= looked_at.count <= 20

    def test_order_dates_include_their_end_and_not_their_start(self, account: Account) -> None:
        for hour in (10, 11, 12):
            account.put(order(str(hour), orderDate=f"2026-01-15T{hour}:00:00"))
        span = {"orderdatestart": "2026-01-15 10:00:00", "orderdateend": "2026-01-15 12:00:00"}
        assert numbers(list_orders(account, span)) == ["11", "12"]

    @pytest.mark.parametrize(
        "query", [{"page": "0"}, {"pagesize": "x"}, {"modifydatestart": "now"}, {"sortby": "Size"}, {"sortdir": "up"}]
    )
    def test_a_value_that_cannot_be_read_is_refused(self, account: Account, query: dict[str, str]) -> None:
        with pytest.raises(CallRefused):
            list_orders(account, query)

    def test_the_total_is_counted_in_decimals(self, account: Account) -> None:
        items = [{"sku": "A", "quantity": 3, "unitPrice": 0.1}, {"sku": "B", "quantity": 1, "unitPrice": 19.99}]
        shown = order_object(account.put(order(items=items, taxAmount=0.2, shippingAmount=5)))
        assert shown["orderTotal"] == 25.49
        assert "trackingNumber" not in shown


class TestGate:
    def test_the_window_is_fixed_and_opens_again_sixty_seconds_after_its_first_call(self, clock: StillClock) -> None:
        gate = Gate(clock, "key", "secret")
        gate.limit_per_minute = 2
        right = "Basic a2V5OnNlY3JldA=="
        first = gate.admit(right)
        clock.advance(seconds=59.5)
        second, third = gate.admit(right), gate.admit(right)
        assert (first.headers["X-Rate-Limit-Reset"], third.headers["X-Rate-Limit-Reset"]) == ("60", "1")
        assert [one.headers["X-Rate-Limit-Remaining"] for one in (first, second, third)] == ["1", "0", "0"]
        assert second.refusal is None and third.refusal is not None and third.refusal.status == 429
        clock.advance(seconds=0.5)
        assert gate.admit(right).refusal is None

    def test_each_pair_has_its_own_window_and_a_wrong_one_is_no_authority(self, clock: StillClock) -> None:
        gate = Gate(clock, "key", "secret")
        wrong = gate.admit("Basic other")
        assert wrong.refusal is not None and wrong.refusal.status == 401
        assert gate.admit("Basic a2V5OnNlY3JldA==").headers["X-Rate-Limit-Remaining"] == "39"

    def test_without_a_limit_the_headers_never_run_out(self, clock: StillClock) -> None:
        gate = Gate(clock, "key", "secret")
        gate.limit_per_minute = None
        tickets = [gate.admit("Basic a2V5OnNlY3JldA==") for _ in range(100)]
        assert tickets[-1].refusal is None and int(tickets[-1].headers["X-Rate-Limit-Remaining"]) > 1000


class TestFaultTexts:
    def test_the_text_form_reads_every_kind_of_option(self) -> None:
        assert Fault.parse("delay:seconds=2.5,times=3") == Fault("delay", seconds=2.5, times=3)
        assert Fault.parse("drop-after-commit:probability=0.1,seed=7") == Fault(
            "drop-after-commit", probability=0.1, seed=7
        )
        assert Fault.parse("partial:order=1,order=2,message=No") == Fault("partial", orders=("1", "2"), message="No")
        assert Fault.parse("429:headers=false") == Fault("429", headers=False)
        assert Fault.from_json({"kind": "missing", "order": ["1", 2]}) == Fault("missing", orders=("1", "2"))

    @pytest.mark.parametrize("kind", sorted(set(Fault.KINDS) - {"poison"}))
    def test_every_kind_can_be_ordered_by_its_name_alone(self, kind: str) -> None:
        assert Fault.parse(kind) == Fault(kind)

    @pytest.mark.parametrize(
        "text",
        [
            "fire",
            "poison",
            "delay:second=1",
            "delay:seconds=soon",
            "delay:seconds",
            "delay:when=never",
            "delay:probability=2",
            "delay:times=0",
            "500:seconds=2",
            "429:headers=maybe",
        ],
    )
    def test_a_fault_that_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            Fault.parse(text)

    def test_a_seed_repeats_the_same_hits_at_about_the_probability(self) -> None:
        def hits(seed: int) -> list[bool]:
            faults = Faults()
            faults.inject(Fault("partial", probability=0.3, seed=seed))
            return [faults.refusal(Call("POST", "/orders/createorders"), str(number)) is None for number in range(200)]

        assert hits(7) == hits(7) != hits(8)
        assert 100 < sum(hits(7)) < 180
