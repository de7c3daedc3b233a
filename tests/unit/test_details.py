"""An order's content: items with and without lots, money, days, and what can't be read."""

from datetime import date
from typing import Any

import pytest

from listener.errors import Rejected
from listener.shipstation.details import (
    ItemRow,
    Line,
    decode_details,
    item_rows,
    service_name,
    shipped_quantities,
    split_lot,
)

ORDER: dict[str, Any] = {
    "orderId": 1,
    "orderDate": "2025-07-01T00:00:00.0000000",
    "shipDate": "2025-07-03",
    "customerEmail": " customer@example.com ",
    "orderTotal": 39.98,
    "carrierCode": "fedex",
    "serviceCode": "fedex_2day",
    "shipTo": {"name": "Ada Example", "street1": "1 Way", "street2": "Floor 2", "street3": "Door 3", "country": "US"},
    "billTo": {"name": "Ada Example"},
    "items": [{"sku": "17001 - L1", "quantity": 2, "unitPrice": 19.99}],
    "advancedOptions": {"billToMyOtherAccount": 77, "parentId": None, "mergedOrSplit": False, "mergedIds": []},
}


def test_an_order_is_read_with_its_items_days_and_money() -> None:
    details = decode_details(ORDER)
    assert details.lines == (Line("17001", "17001 - L1", 2, 1999),)
    assert (details.order_date, details.ship_date) == (date(2025, 7, 1), date(2025, 7, 3))
    assert (details.pieces, details.total_cents, details.customer_email) == (2, 3998, "customer@example.com")
    assert (details.carrier_code, details.carrier_id, details.service_code) == ("fedex", "77", "fedex_2day")
    assert (details.ship_to.street1, details.ship_to.street2, details.bill_to.street1) == (
        "1 Way",
        "Floor 2, Door 3",
        "",
    )
    assert (details.parent_id, details.is_split) == ("", False)


def test_what_is_absent_is_empty() -> None:
    for order in ({}, dict.fromkeys(ORDER), {"items": None, "advancedOptions": "x", "shipTo": 7, "orderTotal": None}):
        details = decode_details(order)
        assert (details.lines, details.order_date, details.total_cents, details.carrier_code) == ((), None, None, "")


@pytest.mark.parametrize(
    ("sku", "parted"),
    [
        ("17001", ("17001", "")),
        ("17001 - 250237", ("17001", "17001 - 250237")),
        ("17001-250237", ("17001", "17001 - 250237")),
        (" 17001  -  L 7 ", ("17001", "17001 - L 7")),
        ("17001 - A - B", ("17001", "17001 - A - B")),
        ("BLUE-XL", ("BLUE-XL", "")),
        ("BLUE - XL", ("BLUE", "BLUE - XL")),
        ("17001-", ("17001-", "")),
        ("-5", ("-5", "")),
        ("17001-1-2", ("17001-1-2", "")),
        (" - 7", ("- 7", "")),
        ("", ("", "")),
    ],
)
def test_a_sku_is_parted_from_its_lot(sku: str, parted: tuple[str, str]) -> None:
    assert split_lot(sku) == parted


def test_lots_of_one_sku_are_shipped_apart_and_are_one_item_without_a_lot() -> None:
    lines = [Line("1", "1 - A", 2, 100), Line("1", "1 - B", 3, 100), Line("1", "1 - A", 1, 100), Line("2", "", 4, 5)]
    assert shipped_quantities(lines) == {("1", "1 - A"): 3, ("1", "1 - B"): 3, ("2", "2"): 4}
    assert item_rows(lines) == [ItemRow("1", None, 6, 100), ItemRow("2", None, 4, 5)]
    assert item_rows(lines[:1]) == [ItemRow("1", "1 - A", 2, 100)]


@pytest.mark.parametrize(
    "item",
    [
        {"sku": "", "quantity": 1},
        {"sku": None, "quantity": 1},
        {"sku": "1", "quantity": 0},
        {"sku": "1", "quantity": -2},
        {"sku": "1", "quantity": None},
        {"sku": "SALE", "quantity": 1, "unitPrice": -5, "adjustment": True},
    ],
)
def test_what_is_no_goods_is_left_out(item: dict[str, Any]) -> None:
    assert decode_details(ORDER | {"items": [item]}).lines == ()


@pytest.mark.parametrize(
    ("dollars", "cents"), [(19.99, 1999), (0.29, 29), (1.005, 101), (0, 0), ("4.10", 410), (1e3, 100000)]
)
def test_money_is_rounded_and_not_cut(dollars: Any, cents: int) -> None:
    assert decode_details(ORDER | {"orderTotal": dollars}).total_cents == cents


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": "x"},
        {"items": [7]},
        {"items": [{"sku": "1", "quantity": "two"}]},
        {"items": [{"sku": "1", "quantity": 1.5}]},
        {"items": [{"sku": "1", "quantity": True}]},
        {"items": [{"sku": "1", "quantity": float("inf")}]},
        {"items": [{"sku": "1", "quantity": float("nan")}]},
        {"items": [{"sku": "1", "quantity": 2**31}]},
        {"items": [{"sku": "1", "quantity": 1, "unitPrice": "much"}]},
        {"orderTotal": [1]},
        {"orderTotal": float("nan")},
        {"orderTotal": 1e300},
    ],
)
def test_what_cant_be_read_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        decode_details(ORDER | wrong)


@pytest.mark.parametrize("text", ["", None, "soon", "0001-01-01T00:00:00", "9999-12-31", 7, "2025-02-30"])
def test_a_day_that_is_none_is_absent(text: Any) -> None:
    assert decode_details(ORDER | {"shipDate": text}).ship_date is None


def test_a_part_of_a_split_order_knows_its_whole_and_a_merged_one_is_no_part() -> None:
    part = decode_details(ORDER | {"advancedOptions": {"mergedOrSplit": True, "parentId": 100, "mergedIds": []}})
    assert (part.parent_id, part.is_split) == ("100", True)
    merged = decode_details(ORDER | {"advancedOptions": {"mergedOrSplit": True, "parentId": 0, "mergedIds": [5]}})
    assert (merged.parent_id, merged.is_split) == ("", False)


def test_a_service_is_called_as_people_call_it() -> None:
    assert service_name("fedex_2day") == "FedEx 2Day"
    assert service_name("usps_priority_mail") == "Usps Priority Mail"
    assert service_name("") == ""
