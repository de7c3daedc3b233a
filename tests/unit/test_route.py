"""Which row an order of ShipStation belongs to, and what the row is to say: the sync's two tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.shipstation.details import Details, decode_details
from listener.shipstation.listing import RemoteOrder
from listener.store.shop_rows import LocalRow
from listener.workflows.adopt import SEVERAL
from listener.workflows.route import MEANS_UPLOADED, OLDER, OPEN_HERE, Step, Terms, route, word_for, word_of_new

NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)
ORDER = RemoteOrder("71", "A-1", "listener-A-1", "awaiting_shipment", NOW, NOW, ())
TERMS = Terms("^10[0-9]{4}$", frozenset(), NOW)
LOCAL_STATUSES = (
    "pending",
    "uploaded",
    "awaiting_shipment",
    "failed",
    "synced_manual",
    "shipped",
    "cancelled",
    "on_hold",
    "awaiting_payment",
)
SHIPSTATIONS = (
    "awaiting_payment",
    "awaiting_shipment",
    "pending_fulfillment",
    "shipped",
    "on_hold",
    "cancelled",
    "rejected_fulfillment",
    "processing",
    "",
)


def row(status: str = "uploaded", there: str = "71", **more: Any) -> LocalRow:
    number = more.pop("order_number", "A-1")
    values = {
        "id": 1,
        "order_number": number,
        "order_key": number.upper().strip(),
        "status": status,
        "shipstation_order_id": there,
        "source_system": "X-Cart",
        "created_at": NOW - timedelta(days=1),
        "customer_email": "",
        "total_items": 1,
        "line_ids": [],
        "is_ledgers": False,
    }
    return LocalRow(**values | more)


def details(*skus: str, **options: Any) -> Details:
    items = [{"sku": sku, "quantity": 1} for sku in skus]
    return decode_details({"items": items, "advancedOptions": options})


def step_of(order: RemoteOrder, *rows: LocalRow, terms: Terms = TERMS, content: Details | None = None) -> Step:
    return route(order, content or details("17612"), rows, terms).step


# Which row.


def test_an_order_whose_id_a_row_has_is_shown_by_it_whatever_its_number_is_now() -> None:
    renamed = replace(ORDER, order_number="B-9")
    assert route(renamed, details(), [row()], TERMS) == (Step.SHOW, (row(),), "")


def test_orders_that_were_merged_are_shown_as_what_they_were_merged_into() -> None:
    merged = replace(ORDER, shipstation_order_id="90", merged_ids=("71", "72"))
    rows = [row(), row(id=2, there="72", order_number="A-2")]
    assert route(merged, details(), rows, TERMS).rows == tuple(rows)


def test_an_order_without_a_number_is_left_and_is_no_error() -> None:
    assert step_of(replace(ORDER, order_number="  "), row()) is Step.SKIP


@pytest.mark.parametrize("status", sorted(set(LOCAL_STATUSES) - {"awaiting_shipment"}))
def test_a_row_without_an_id_is_linked_by_its_exact_number(status: str) -> None:
    assert step_of(ORDER, row(status, there="")) is Step.SHOW
    assert step_of(replace(ORDER, order_number="A-10"), row(status, there="")) is Step.SKIP
    assert step_of(replace(ORDER, order_number=" a-1 "), row(status, there="")) is Step.SHOW


@pytest.mark.parametrize("status", SHIPSTATIONS)
def test_a_pending_row_is_never_shown_anything(status: str) -> None:
    step = step_of(replace(ORDER, status=status), row("awaiting_shipment", there=""))
    assert step is (Step.SKIP if status == "awaiting_shipment" else Step.WAIT)


def test_what_failed_here_and_was_cancelled_there_stays_failed() -> None:
    assert step_of(replace(ORDER, status="cancelled"), row("failed", there="")) is Step.SKIP


def test_an_old_order_of_the_same_number_is_another_customers() -> None:
    old = replace(ORDER, created_at=NOW - timedelta(days=181))
    assert route(old, details(), [row("uploaded", there="")], TERMS)[2] == OLDER
    aged = row("uploaded", there="", created_at=NOW - timedelta(days=200))
    assert step_of(old, aged) is Step.SHOW, "but not one that came after the row"


def test_another_order_under_a_rows_number_is_a_conflict_and_not_an_error() -> None:
    assert route(ORDER, details(), [row(there="70")], TERMS)[2] == SEVERAL
    assert step_of(replace(ORDER, status="cancelled"), row(there="70")) is Step.SKIP
    assert step_of(ORDER, row(there="70", line_ids=["70", "71"])) is Step.SKIP, "an earlier program made it of pieces"
    assert step_of(ORDER, row(there="70"), content=details(mergedOrSplit=True)) is Step.PART


def test_a_part_belongs_to_the_row_of_its_whole_whatever_its_number() -> None:
    part = replace(ORDER, shipstation_order_id="99", order_number="A-1-2")
    assert step_of(part, row(), content=details("1", parentId=71, mergedOrSplit=True)) is Step.PART


def test_of_rows_that_differ_in_case_and_blanks_the_ledgers_or_the_one_that_did_not_fail_counts() -> None:
    failed, good = row("failed", there=""), row("uploaded", there="", id=2, order_number=" a-1")
    assert route(ORDER, details(), [failed, good], TERMS).rows == (good,)
    ledgers = failed._replace(is_ledgers=True)
    assert route(ORDER, details(), [ledgers, good], TERMS).rows == (ledgers,)


@pytest.mark.parametrize(
    ("number", "skus", "keys", "step"),
    [
        ("100123", ["17612 - L1"], ["17612"], Step.IMPORT),
        (" 100123 ", ["17612"], ["17612"], Step.IMPORT),
        ("100123", ["X", "17612"], ["17612"], Step.IMPORT),
        ("100123", ["17613"], ["17612"], Step.SKIP),
        ("100123", ["176120"], ["17612"], Step.SKIP),
        ("100123", [], ["17612"], Step.SKIP),
        ("100123", [], [], Step.IMPORT),  # no key products at all: every product is one
        ("1001234", ["17612"], [], Step.SKIP),
        ("A-1", ["17612"], [], Step.SKIP),
    ],
)
def test_an_unknown_order_is_imported_when_its_number_is_manual_and_it_has_a_key_product(
    number: str, skus: list[str], keys: list[str], step: Step
) -> None:
    terms = replace(TERMS, key_products=frozenset(keys))
    assert step_of(replace(ORDER, order_number=number), terms=terms, content=details(*skus)) is step


# What it says.


@pytest.mark.parametrize("local", LOCAL_STATUSES)
@pytest.mark.parametrize("status", SHIPSTATIONS)
@pytest.mark.parametrize("manual", [False, True])
def test_a_row_says_what_shipstation_says_in_the_shops_own_words(local: str, status: str, manual: bool) -> None:
    word = word_for(status, row(local), shown=local, manual=manual)
    assert word.status in LOCAL_STATUSES, "or the table's CHECK would refuse it"
    expected = {
        "awaiting_payment": "awaiting_payment",
        "on_hold": "on_hold",
        "shipped": "shipped",
        "cancelled": "cancelled",
        "awaiting_shipment": local if local in MEANS_UPLOADED else "synced_manual" if manual else "uploaded",
    }
    assert word == (expected.get(status, local), expected.get(status), "")


@pytest.mark.parametrize("status", SHIPSTATIONS)
@pytest.mark.parametrize("local", sorted(set(LOCAL_STATUSES) - {"awaiting_shipment"}))
def test_no_row_is_ever_made_to_say_awaiting_shipment(local: str, status: str) -> None:
    for shown in (None, *LOCAL_STATUSES):
        assert word_for(status, row(local), shown, manual=False).status != "awaiting_shipment"
    assert word_of_new(status) not in ("awaiting_shipment", "pending")


@pytest.mark.parametrize("status", ["awaiting_shipment", "on_hold", "awaiting_payment"])
def test_what_the_shop_has_cancelled_stays_cancelled_while_shipstation_has_it_open(status: str) -> None:
    for shown in (None, "uploaded"):
        word = word_for(status, row("cancelled"), shown, manual=False)
        assert word == ("cancelled", None, "cancelled here, open at ShipStation")
    assert word_for("shipped", row("cancelled"), None, manual=False).status == "shipped"
    assert word_for("cancelled", row("cancelled"), None, manual=False) == ("cancelled", "cancelled", "")
    assert word_for(status, row("cancelled"), "cancelled", manual=False).status != "cancelled", "it was cancelled there"


def test_what_the_shop_calls_shipped_stays_and_what_an_earlier_program_called_so_goes_by_shipstation() -> None:
    for status, there in (("awaiting_shipment", "open"), ("cancelled", "cancelled")):
        word = word_for(status, row("shipped"), "uploaded", manual=False)
        assert word == ("shipped", None, f"shipped here, {there} at ShipStation")
    for shown in (None, "shipped"):
        assert word_for("awaiting_shipment", row("shipped"), shown, manual=False).status == "uploaded"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("awaiting_shipment", "synced_manual"),
        ("pending_fulfillment", "synced_manual"),
        ("processing", "synced_manual"),
        ("awaiting_payment", "awaiting_payment"),
        ("on_hold", "on_hold"),
        ("shipped", "shipped"),
        ("cancelled", "cancelled"),
    ],
)
def test_a_new_manual_order_is_never_pending(status: str, word: str) -> None:
    assert word_of_new(status) == word


def test_what_is_open_here_is_never_what_is_pending() -> None:
    assert not row("awaiting_shipment").is_pending
    assert row("awaiting_shipment", there="").is_pending
    assert set(OPEN_HERE) <= set(LOCAL_STATUSES)
