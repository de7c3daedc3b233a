"""What a customer, or a program of the shop's, can put into an order: it arrives once or is refused with a reason, and
costs no other order anything.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.hostile import (
    assert_each_is_there_once_or_refused,
    assert_log_is_whole,
    assert_told,
    examples,
    insert,
    wait_until_settled,
)
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, set_flag, switch

SYNC = "unified-shipstation-sync"

NUMBERS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; drop table orders_inbox; --",
    "%s %(x)s %n {0} {x!r} $1 \\1",
    "../../etc/passwd",
    "..%2f..%2f",
    "/",
    "//",
    "?a=b&c#d",
    "-1",
    "--help",
    "=1+1",
    "null",
    "NaN",
    "a\nb",
    "c\r\n2026-01-01T00:00:00.000+00:00 ERROR x forged",
    "\x1b[2J\x1b]0;title\x07",
    "\u202etfel-ot-thgir",
    "\u0301\u0301\u0301",
    "A\u0301",
    "\u00c1",
    "\u0410-1",
    "A-1",
    "\U0001f600\U0010fffd",
    "\ufeff\ufffe\uffff",
    "\u00df",
    "\ufb01",
    "\u0149",
    "\u1fb3",
    "\u0131",
    "i",
    "x" * 50,
    "\U0001f600" * 50,
    "~2",
    "listener-1",
]
TOO_LONG = ["y" * 51, "\U0001f600" * 51, "z" * 100_000]
BLANK = ["", " ", "\t", "\n", "\u3000"]
WITH_BLANKS = ["B-1\t", "B-1\n", "\u00a0B-1"]

TEXTS = ["\x01\x02", "\u202e", "<b>", "a\nb\nc\nd", "\ufeff", "\U0010ffff", "\\u0000", '"', "x" * 1000]


@pytest.mark.usefixtures("shop")
def test_an_order_number_may_be_anything_and_is_sent_once_or_refused(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    with shop.transaction():
        for number in (*NUMBERS, *TOO_LONG, *BLANK, *WITH_BLANKS):
            insert(shop, number)
    insert(shop, "PLAIN")
    wait_until_settled(shop)
    refused = assert_each_is_there_once_or_refused(shop, account)
    assert refused.keys() == {*TOO_LONG, *BLANK, *WITH_BLANKS}
    look_at_the_sync(shop, asleep)
    assert_told(dsn, asleep, [*NUMBERS, *TOO_LONG[:2], *WITH_BLANKS])
    assert_log_is_whole(asleep)


HOSTILE: dict[str, dict[str, Any]] = {
    "date infinity": {"order_date": "infinity"},
    "date -infinity": {"order_date": "-infinity"},
    "date BC": {"order_date": "4000-01-01 BC"},
    "date 10000": {"order_date": "294276-12-31"},
    "created infinity": {"created_at": "infinity"},
    "created -infinity": {"created_at": "-infinity"},
    "created BC": {"created_at": "4000-01-01 BC"},
    "created 10000": {"created_at": "294276-01-01"},
    "created null": {"created_at": None},
    "total max": {"total_items": 2**31 - 1},
    "total min": {"total_items": -(2**31)},
    "total null": {"total_items": None},
    "no email": {"customer_email": None},
    "long email": {"customer_email": "x" * 1_000_000},
    "long name": {"ship_name": "x" * 1_000_000},
    "long source": {"source_system": "x\n" * 500_000},
    "many lines": {"ship_street1": "a\n" * 400},
    "country": {"ship_country": "\u202e"},
    "amount": {"total_amount_cents": -(2**31)},
    **{f"text {n}": dict.fromkeys(("ship_name", "ship_street1", "ship_city"), text) for n, text in enumerate(TEXTS)},
}
REFUSED = {
    "date infinity",
    "date -infinity",
    "date BC",
    "date 10000",
    "long email",
    "long name",
}


def test_a_field_may_hold_anything_and_its_order_is_sent_once_or_refused(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "max_order_age_days", "3650")
    with shop.transaction():
        for name, columns in HOSTILE.items():
            insert(shop, name, **columns)
    insert(shop, "PLAIN")
    wait_until_settled(shop)
    refused = assert_each_is_there_once_or_refused(shop, account)
    assert refused.keys() == REFUSED
    look_at_the_sync(shop, asleep)
    assert_told(dsn, asleep, HOSTILE)
    assert_log_is_whole(asleep)


def look_at_the_sync(shop: Connection, process: ListenerProcess) -> None:
    """Have the sync read what was uploaded, and find nothing to complain of."""
    mark = process.mark()
    switch(shop, SYNC, on=False)
    process.wait_status(lambda status: not status["workflows"][SYNC]["enabled"])
    switch(shop, SYNC, on=True)
    process.wait_for(r"METRICS: workflow=sync .* action=(skip|process)", 15, after=mark)


LINES: dict[str, list[dict[str, Any]]] = {
    "empty SKU": [{"sku": "", "quantity": 1, "unit_price_cents": 1}],
    "odd SKU": [{"sku": "\x01\u202e<b>\n", "quantity": 1, "unit_price_cents": 1}],
    "long SKU": [{"sku": "x" * 100_000, "quantity": 1, "unit_price_cents": 1}],
    "none": [{"sku": "A", "quantity": 0, "unit_price_cents": 1}],
    "less than none": [{"sku": "A", "quantity": -(2**31), "unit_price_cents": 1}],
    "all there are": [{"sku": "A", "quantity": 2**31 - 1, "unit_price_cents": 2**31 - 1}],
    "given money": [{"sku": "A", "quantity": 1, "unit_price_cents": -(2**31)}],
    "no price": [{"sku": "A", "quantity": 1, "unit_price_cents": None}],
    "NaN": [{"sku": "A", "quantity": 1, "unit_price_cents": "NaN"}],
    "infinite": [{"sku": "A", "quantity": 1, "unit_price_cents": "Infinity"}],
    "thousands": [{"sku": f"A-{n}", "quantity": 1, "unit_price_cents": 1} for n in range(1001)],
    "long lot": [{"sku": "WITH-LOT", "quantity": 1, "unit_price_cents": 1}],
    "long name": [{"sku": "WITH-NAME", "quantity": 1, "unit_price_cents": 1}],
}
REFUSED_FOR_LINES = {
    "long SKU",
    "none",
    "less than none",
    "NaN",
    "infinite",
    "thousands",
    "long lot",
    "long name",
}


def test_lines_may_hold_anything_and_cost_no_other_order_its_request(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    shop.execute("alter table order_items_inbox drop constraint order_items_inbox_quantity_check")
    shop.execute("alter table order_items_inbox alter unit_price_cents type numeric")
    shop.execute("insert into sku_lot (sku, lot) values ('WITH-LOT', repeat('l', 100000))")
    shop.execute(
        "insert into configuration_params (category, parameter_name, value, sku) "
        "values ('Product Names', 'long', repeat('n', 1000000), 'WITH-NAME')"
    )
    with shop.transaction():
        for name, lines in LINES.items():
            insert(shop, name, lines)
    insert(shop, "PLAIN")
    wait_until_settled(shop)
    refused = assert_each_is_there_once_or_refused(shop, account)
    assert refused.keys() == REFUSED_FOR_LINES
    look_at_the_sync(shop, asleep)
    assert_told(dsn, asleep, LINES)
    assert_log_is_whole(asleep)


def test_a_number_that_is_another_only_in_its_database_is_an_order_of_its_own(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    """Under the locale C, upper() knows a to z alone: é and É are two orders, and must not overwrite each other."""
    assert account.order_count == 0
    for number in ("\u00e9-1", "\u00c9-1", "\u0131", "I"):
        insert(shop, number)
    wait_until_settled(shop)
    assert assert_each_is_there_once_or_refused(shop, account) == {}
    assert_log_is_whole(asleep)


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(letters, max_size=30)
some_text = texts.map(lambda text: f"x{text}")  # never only blanks: an order without an address is waited for
whole_numbers = st.integers(-(2**31), 2**31 - 1)
orders = st.fixed_dictionaries(
    {
        "number": st.text(letters, max_size=50),
        "order_date": st.sampled_from(["today", "infinity", "-infinity", "0001-01-01 BC", "9999-12-31", "10000-01-01"]),
        "created_at": st.sampled_from(["now", "infinity", "-infinity", "0001-01-01 BC", "20000-01-01"]),
        "total_items": st.integers(-(2**31), 1),
        "total_amount_cents": whole_numbers,
        **dict.fromkeys(("customer_email", "source_system", "notes", "bill_name", "ship_state", "ship_phone"), texts),
        **dict.fromkeys(("ship_name", "ship_street1", "ship_city", "ship_state", "ship_postal_code"), some_text),
        "items": st.lists(
            st.fixed_dictionaries(
                {"sku": texts, "quantity": st.integers(1, 2**31 - 1), "unit_price_cents": whole_numbers}
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda item: item["sku"],
        ),
    }
)


def test_no_order_that_can_be_thought_of_stops_another(
    dsn: str, shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess
) -> None:
    set_flag(shop, "max_order_age_days", "3650")
    asleep.wait_status(lambda status: status["flags"]["max_order_age_days"] == 3650)
    seen: set[str] = set()

    @settings(max_examples=examples(10), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(orders, min_size=10, max_size=20, unique_by=lambda order: order["number"]))
    def send(batch: list[dict[str, Any]]) -> None:
        new = [order for order in batch if order["number"] not in seen]
        with shop.transaction():
            for order in new:
                insert(shop, **order)
        insert(shop, f"PLAIN-{len(seen)}")
        seen.update(order["number"] for order in new)
        seen.add(f"PLAIN-{len(seen)}")
        wait_until_settled(shop)
        assert_each_is_there_once_or_refused(shop, account)
        assert_told(dsn, asleep, [order["number"] for order in new[:2]])

    send()
    assert_log_is_whole(asleep)
