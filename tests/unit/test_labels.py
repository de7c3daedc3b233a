"""Labels: several boxes, voided ones, returns, and what they say together."""

from typing import Any

import pytest

from listener.errors import Transient
from listener.shipstation.labels import (
    decode_fulfillments,
    decode_shipments,
    tracking_of,
    voided_orders,
)


def shipment(tracking: str | None, at: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "orderId": 7,
        "trackingNumber": tracking,
        "carrierCode": "fedex",
        "serviceCode": "fedex_ground",
        "createDate": f"2025-07-0{at}T10:00:00.0000000",
        "voided": False,
        "isReturnLabel": False,
        "shipmentItems": None,
    } | more


def labels(*shipments: dict[str, Any]) -> Any:
    return decode_shipments({"shipments": list(shipments), "page": 1, "pages": 1}).labels


def number(shown: str, *shipments: dict[str, Any]) -> str | None:
    tracking = tracking_of(labels(*shipments), shown)
    return None if tracking is None else tracking.number


def test_of_several_boxes_the_first_ones_number_is_shown_and_stays() -> None:
    boxes = shipment("T2", 2), shipment("T1", 1)
    assert number("", *boxes) == "T1"
    assert number("T2", *boxes) == "T2"


def test_a_voided_label_counts_for_nothing_and_its_number_goes() -> None:
    again = shipment("T1", 1, voided=True), shipment("T2", 2)
    assert number("", *again) == "T2"
    assert number("T1", *again) == "T2"
    assert number("T1", shipment("T1", 1, voided=True)) is None


def test_a_return_label_goes_the_other_way() -> None:
    assert number("", shipment("R1", 1, isReturnLabel=True), shipment("T1", 2)) == "T1"
    assert number("", shipment("R1", 1, isReturnLabel=True)) is None


def test_a_number_that_none_of_the_labels_has_gives_way_to_one_that_is_in_force() -> None:
    assert number("T0", shipment("T1")) == "T1"


def test_a_label_without_a_number_says_carrier_and_service_and_hides_no_number() -> None:
    assert number("", shipment(None, 1), shipment("T2", 2)) == "T2"
    tracking = tracking_of(labels(shipment(None)), "")
    assert tracking is not None
    assert (tracking.number, tracking.carrier_code, tracking.service_code) == ("", "fedex", "fedex_ground")


def test_each_item_has_the_number_of_the_first_box_that_it_is_in() -> None:
    first = shipment("T1", 1, shipmentItems=[{"sku": "17001 - L1"}, {"sku": "17002"}])
    second = shipment("T2", 2, shipmentItems=[{"sku": "17002"}, {"sku": "17003"}, None, {"sku": None}])
    tracking = tracking_of(labels(second, first), "")
    assert tracking is not None
    assert tracking.by_sku == {"17001": "T1", "17002": "T1", "17003": "T2"}


def test_orders_with_a_voided_label_are_known() -> None:
    assert voided_orders(labels(shipment("T1", voided=True), shipment("T2", orderId=8))) == {"7"}


def test_a_fulfillment_is_read_like_a_shipment() -> None:
    row = {"orderId": 9, "trackingNumber": "F1", "carrierCode": "other", "createDate": "2025-07-01T00:00:00"}
    (label,) = decode_fulfillments({"fulfillments": [row], "page": 1, "pages": 1}).labels
    assert (label.shipstation_order_id, label.tracking_number, label.is_void) == ("9", "F1", False)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"shipments": None},
        {"shipments": {}},
        {"message": "Too Many Requests"},
        {"shipments": [], "pages": "1"},
    ],
)
def test_what_is_no_whole_page_is_never_an_empty_one(body: Any) -> None:
    with pytest.raises(Transient):
        decode_shipments(body)
