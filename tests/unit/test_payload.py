"""Orders into JSON, and answers into outcomes: nothing is guessed, and no cent is lost."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import Transient
from listener.orders import Address, Item, Order, shipstation_key
from listener.shipstation.payload import Outcome, Throttled, decode_results, encode, order_payload, problem

HOME = Address(
    name="Mara Quill",
    company="Alder Street Clinic",
    street1="12 Alder Street",
    street2="Suite 4",
    city="Fairhaven",
    state="OR",
    postal_code="97000",
    country="US",
    phone="555-0101",
)
RINSE = Item("50001", 2, Decimal("19.99"), name="Mint Rinse")
ORDER = Order(
    7, "700101", date(2025, 10, 16), "mara.quill@example.com", HOME, replace(HOME, name="T. Ferrow"), (RINSE,), 2
)


def payload(**changes: Any) -> dict[str, Any]:
    order = replace(ORDER, **changes)
    (sent,) = json.loads(encode([order_payload(order, shipstation_key(order.order_number))]))
    return dict(sent)


def ship_to(**changes: str) -> dict[str, Any]:
    return dict(payload(ship_to=replace(HOME, **changes))["shipTo"])


def test_an_order_goes_out_whole() -> None:
    address = {
        "name": "Mara Quill",
        "company": "Alder Street Clinic",
        "street1": "12 Alder Street",
        "street2": "Suite 4",
        "street3": None,
        "city": "Fairhaven",
        "state": "OR",
        "postalCode": "97000",
        "country": "US",
        "phone": "555-0101",
    }
    assert payload() == {
        "orderNumber": "700101",
        "orderKey": "listener-700101",
        "orderDate": "2025-10-16T00:00:00",
        "orderStatus": "awaiting_shipment",
        "customerUsername": "mara.quill@example.com",
        "customerEmail": "mara.quill@example.com",
        "billTo": address | {"name": "T. Ferrow"},
        "shipTo": address,
        "items": [{"sku": "50001", "name": "Mint Rinse", "quantity": 2, "unitPrice": 19.99}],
        "amountPaid": 39.98,
        "taxAmount": 0,
        "shippingAmount": 0,
    }


def test_an_order_without_an_email_names_no_customer() -> None:
    assert not {"customerEmail", "customerUsername"} & payload(customer_email=" ").keys()


def test_blanks_around_the_number_stay_here() -> None:
    assert payload(order_number=" 700101 ")["orderNumber"] == "700101"


def test_a_billing_address_without_a_name_is_the_shipping_address() -> None:
    sent = payload(bill_to=Address(country="US", city="Northmill"))
    assert sent["billTo"] == sent["shipTo"]


def test_a_company_without_a_person_stands_in_for_the_name_once() -> None:
    address = ship_to(name=" ")
    assert (address["name"], address["company"]) == ("Alder Street Clinic", None)


@pytest.mark.parametrize(
    ("street1", "street2", "streets"),
    [
        ("12 Alder Street", "", ("12 Alder Street", None, None)),
        ("12 Alder Street\nSuite 4", "", ("12 Alder Street", "Suite 4", None)),
        ("12 Alder Street\r\nSuite 4", "Back door", ("12 Alder Street", "Suite 4", "Back door")),
        (" 12 Alder Street \n\n Suite 4\nFloor 2\n", "Bell 3", ("12 Alder Street", "Suite 4", "Floor 2, Bell 3")),
        ("", "Suite 4", ("Suite 4", None, None)),
    ],
)
def test_each_line_of_a_street_goes_into_a_field(street1: str, street2: str, streets: tuple[str | None, ...]) -> None:
    address = ship_to(street1=street1, street2=street2)
    assert (address["street1"], address["street2"], address["street3"]) == streets


@pytest.mark.parametrize(
    ("country", "sent"), [("", "US"), (" us ", "US"), ("de", "DE"), ("GB", "GB"), ("Freedonia", "Freedonia")]
)
def test_a_country_code_is_upper_case_and_none_means_us(country: str, sent: str) -> None:
    assert ship_to(country=country)["country"] == sent


def test_an_active_lot_is_part_of_the_sku() -> None:
    (item,) = payload(items=(replace(RINSE, lot="250237"),))["items"]
    assert (item["sku"], item["name"]) == ("50001 - 250237", "Mint Rinse")


def test_an_item_without_a_name_is_named_by_its_sku() -> None:
    (item,) = payload(items=(replace(RINSE, name="", lot="250237"),))["items"]
    assert item["name"] == "Product 50001"


def test_equal_skus_are_one_line() -> None:
    items = payload(items=(RINSE, replace(RINSE, sku="50002"), replace(RINSE, sku="50001 ", quantity=3)))["items"]
    assert [(item["sku"], item["quantity"]) for item in items] == [("50001", 5), ("50002", 2)]


def test_one_sku_at_two_prices_stays_two_lines_so_that_the_amount_is_right() -> None:
    sent = payload(items=(RINSE, replace(RINSE, quantity=1, unit_price=Decimal("5.01"))))
    assert [(item["quantity"], item["unitPrice"]) for item in sent["items"]] == [(2, 19.99), (1, 5.01)]
    assert sent["amountPaid"] == 44.99


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**4)), min_size=1, max_size=20))
def test_no_cent_is_lost_on_the_way(lines: list[tuple[int, int]]) -> None:
    items = tuple(Item(str(n), quantity, Decimal(cents) / 100) for n, (cents, quantity) in enumerate(lines))
    (sent,) = json.loads(encode([order_payload(replace(ORDER, items=items), "key")]), parse_float=Decimal)
    assert [item["unitPrice"] for item in sent["items"]] == [Decimal(cents) / 100 for cents, _ in lines]
    assert sent["amountPaid"] == Decimal(sum(cents * quantity for cents, quantity in lines)) / 100


def test_the_body_is_an_array_of_utf8_also_for_one_order() -> None:
    body = encode([order_payload(replace(ORDER, ship_to=replace(HOME, city="Málaga")), "key")])
    assert body.startswith(b"[{")
    assert "Málaga".encode() in body


def test_what_is_no_part_of_a_payload_is_not_guessed_at() -> None:
    with pytest.raises(TypeError, match="date"):
        encode([{"orderDate": date(2025, 10, 16)}])


def test_a_good_order_has_no_problem() -> None:
    assert problem(ORDER) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"items": ()}, "the order has no items"),
        ({"ship_to": Address()}, "no name or company and no street and no city and no state and no postal code"),
        ({"ship_to": replace(HOME, name="", company="  ")}, "the shipping address has no name or company"),
        ({"ship_to": replace(HOME, street1="\n", street2="")}, "the shipping address has no street"),
        ({"ship_to": replace(HOME, city="")}, "the shipping address has no city"),
        ({"ship_to": replace(HOME, state="")}, "the shipping address has no state"),
        ({"ship_to": replace(HOME, country="", postal_code="")}, "the shipping address has no postal code"),
        ({"ship_to": replace(HOME, country="us", postal_code="")}, "the shipping address has no postal code"),
    ],
)
def test_what_cannot_be_sent_is_told_in_words(changes: dict[str, Any], words: str) -> None:
    assert words in str(problem(replace(ORDER, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"ship_to": replace(HOME, name="")},
        {"ship_to": replace(HOME, company="")},
        {"ship_to": replace(HOME, street1="", street2="Suite 4")},
        {"ship_to": replace(HOME, country="IE", state="", postal_code="")},
    ],
)
def test_what_can_be_sent_is_not_refused(changes: dict[str, Any]) -> None:
    assert problem(replace(ORDER, **changes)) is None


def result(number: str, **changes: Any) -> dict[str, Any]:
    made = {"orderId": 900, "orderNumber": number, "orderKey": shipstation_key(number), "success": True}
    return made | {"errorMessage": None} | changes


def decoded(*results: Any, keys: tuple[str, ...] = ("listener-A", "listener-B")) -> list[Outcome]:
    outcomes = decode_results(json.dumps({"hasErrors": False, "results": results}).encode(), keys)
    assert list(outcomes) == list(keys)
    return list(outcomes.values())


def test_results_are_matched_by_key_and_not_by_position() -> None:
    assert decoded(result("B", orderId=2), result("A", orderId=1)) == [
        Outcome("accepted", "1"),
        Outcome("accepted", "2"),
    ]


def test_a_result_without_a_key_is_matched_by_its_number() -> None:
    a, b = decoded(result("b", orderId=2, orderKey=None), result(" A ", orderId=1, orderKey=""))
    assert (a.shipstation_order_id, b.shipstation_order_id) == ("1", "2")


def test_the_number_finds_the_key_of_a_second_order_and_of_a_long_number() -> None:
    long = "N" * 45
    outcomes = decoded(
        result("A", orderId=1, orderKey=None),
        result(long, orderId=2, orderKey=None),
        keys=("listener-A~2", shipstation_key(long)),
    )
    assert [outcome.shipstation_order_id for outcome in outcomes] == ["1", "2"]


def test_a_result_under_somebody_elses_key_is_not_ours() -> None:
    assert decoded(result("A", orderKey="manual-1"), result("B"))[0].kind == "unknown"


def test_a_refusal_carries_shipstations_words() -> None:
    a, b = decoded(
        result("A", success=False, orderId=None, errorMessage=" Bad postal code "),
        result("B", success=False, orderId=None),
    )
    assert a == Outcome("refused", None, "Bad postal code")
    assert (b.kind, b.message) == ("refused", "ShipStation gave no reason")


@pytest.mark.parametrize(
    "unclear",
    [
        [],
        [result("C")],
        [result("A", orderId=None)],
        [result("A", orderId=0)],
        [result("A", orderId=True)],
        [result("A", orderId={})],
        [result("A", success="yes")],
        [result("A", success=None)],
        [result("A", orderKey=["listener-A"])],
        [result("A", orderId=1), result("A", orderId=2)],
        [result("A"), result("A", success=False)],
        ["A", 1, None],
    ],
)
def test_what_is_not_clearly_said_is_unknown(unclear: list[Any]) -> None:
    (outcome,) = decoded(*unclear, keys=("listener-A",))
    assert (outcome.kind, outcome.shipstation_order_id) == ("unknown", None)
    assert outcome.message


def test_the_same_result_twice_is_one() -> None:
    assert decoded(result("A"), result("A"), keys=("listener-A",)) == [Outcome("accepted", "900")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>503</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"results": null}',
        b'{"results": {}}',
        b"\xff\xfe\xff",
        b"[" * 10**5,
    ],
)
def test_rubbish_is_no_answer(body: bytes) -> None:
    with pytest.raises(Transient) as raised:
        decode_results(body, ["listener-A"])
    assert not isinstance(raised.value, Throttled)


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": "Too Many Requests"}',
        b'{"Message": "Too many requests."}',
        b'"Too Many Requests"',
        b"Too Many Requests\n",
    ],
)
def test_a_body_that_only_says_too_many_requests_is_throttling(body: bytes) -> None:
    with pytest.raises(Throttled):
        decode_results(body, ["listener-A"])


def test_an_order_that_mentions_too_many_requests_is_no_throttling() -> None:
    words = "Too Many Requests"
    assert decoded(result("A", success=False, errorMessage=words), keys=("listener-A",))[0].kind == "refused"
