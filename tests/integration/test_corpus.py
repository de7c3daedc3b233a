"""Files as they really are: what must happen to each of them. The tables are the specification.

Each file lies in a folder with a good one that comes after it, and the good one is imported whatever the first one is.
The large ones are in tests/acceptance/test_large_files.py.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from tests.support.importing import SAMPLES, Shop, orders_xml
from tests.support.upload import Leader

# file: what is said of it, and stands in listener.imports, after the place in its line
BAD_FILES = {
    "a_web_page.xml": "line 1: mismatched tag",
    "bare_ampersand.xml": "line 4: not well-formed (invalid token)",
    "billion_laughs.xml": "line 2: it declares a document type or entities, which an order file has no use for",
    "cut_off.xml": "line 4: unclosed token",
    "dtd.xml": "line 2: it declares a document type or entities, which an order file has no use for",
    "empty.xml": "line 1: no element found",
    "encoding_unknown_declared.xml": "line 1: its declared encoding 'X-KLINGON' is not known here; UTF-8 is best",
    "entities.xml": "line 2: it declares a document type or entities, which an order file has no use for",
    "external_entity.xml": "line 2: it declares a document type or entities, which an order file has no use for",
    "letter_by_name.xml": "line 4: undefined entity",
    "only_blanks.xml": "line 4: no element found",
    "only_bom.xml": "line 1: no element found",
    "ten_bytes_of_zip.xml": "line 1: not well-formed (invalid token)",
    "two_roots.xml": "line 7: junk after document element",
    "zeros_at_the_end.xml": "line 4: not well-formed (invalid token)",
}

# file: (orders that are in, by number, and (line, number, reason) of each that is refused)
READ_FILES: dict[str, tuple[list[str], list[tuple[int, str | None, str]]]] = {
    "blank_line_first.xml": (["1"], []),
    "no_orders.xml": ([], []),
    "orders.xml": (["700101", "700102"], []),
    "uat.xml": (["UAT-1"], []),
    "unknown_elements.xml": (["1"], []),
    "unknown_root.xml": (["1"], []),
    "one_bad_order.xml": (
        ["700201", "700203"],
        [(8, "700202", "the amount of product 50001 is 'a dozen', which is no number of pieces")],
    ),
    "bad_amounts.xml": (
        ["1", "2", "3", "4"],
        [
            (6, "bad-0", "the amount of product 50001 is '0', which is no number of pieces"),
            (10, "bad-1", "the amount of product 50001 is '-1', which is no number of pieces"),
            (14, "bad-2", "the amount of product 50001 is '1.5', which is no number of pieces"),
            (18, "bad-3", "the amount of product 50001 is 'a dozen', which is no number of pieces"),
            (22, "bad-4", "the amount of product 50001 is '2147483648', which is no number of pieces"),
            (26, "bad-5", f"the amount of product 50001 is '{'9' * 40}', which is no number of pieces"),
            (30, "bad-6", "the amount of product 50001 is '1,000', which is no number of pieces"),
            (34, "bad-7", "the amount of product 50001 is '²', which is no number of pieces"),
            (38, "bad-8", "the amount of product 50001 is '0x10', which is no number of pieces"),
            (54, "too-many", "4294967294 pieces are more than an order can have"),
        ],
    ),
    "bad_numbers.xml": (
        ["1", "7" * 50, "2"],
        [
            (6, None, "the order has no number"),
            (9, None, "the order has no number"),
            (13, None, "the order has no number"),
            (18, "7" * 300, "the order number has 300 characters; at most 50 are possible"),
            (26, "70\u200b01", "the order number contains an invisible character"),
            (30, "70\n01", "the order number contains an invisible character"),
            (35, "n°\xa05", "the order number contains an invisible character"),
        ],
    ),
    "control_characters.xml": (
        ["1", "7"],
        [
            (6, "2", "line 8 contains a character that XML forbids"),
            (11, "3", "line 13 contains a character that XML forbids"),
            (16, "4\ufffd[2J", "line 17 contains a character that XML forbids"),
            (20, "5", "line 22 contains a character that XML forbids"),
            (25, "6", "line 27 contains a character that XML forbids"),
        ],
    ),
    "hostile_texts.xml": (
        ["1'; drop table orders_inbox; --", "<script>alert(1)</script>", r"%s %(x)s \ $1 {0}", "5"],
        [(19, "\u202e1003", "the order number contains an invisible character")],
    ),
    "duplicates.xml": (
        ["web-1", "BAD", "2"],
        [
            (6, "WEB-1", "the order in line 2 has the same number"),
            (10, "web-1", "the order in line 2 has the same number"),
            (14, "web-1", "the order in line 2 has the same number"),
            (18, "bad", "the amount of product 50001 is '0', which is no number of pieces"),
            (26, "bad", "the order in line 22 has the same number"),
        ],
    ),
    "dates.xml": (
        [str(number) for number in range(1, 11)],
        [
            (52, "bad-0", "date2 is 'yesterday', which is no date"),
            (57, "bad-1", "date2 is '2025-02-30', a day that does not exist"),
            (62, "bad-2", "date2 is '0000-00-00 00:00:00', a day that does not exist"),
            (67, "bad-3", "date2 is '16.10.2025', which is no date"),
            (72, "bad-4", "date2 is '20251016', which is no date"),
            (77, "bad-5", "date2 is '13/13/2025 09:20', a day that does not exist"),
            (82, "bad-6", "date2 is '1760620800', which is no date"),
        ],
    ),
    "addresses.xml": (
        ["whole", "no-name", "no-country", "no-city", "none", "long", "crlf", "twice"],
        [(74, "too-long", "s_city has more than 1000 characters")],
    ),
    "lines.xml": (
        ["summed", "blank-sku", "no-amount", "spaced"],
        [
            (13, "no-line", "the order has no line with a product id"),
            (16, "only-blank-sku", "the order has no line with a product id"),
            (24, "long-sku", "a product id has 101 characters; at most 100 are possible"),
        ],
    ),
    "encoding_mixed.xml": (["1", "2"], []),
    **{path.name: (["1"], []) for path in SAMPLES.glob("encoding_[luw]*.xml") if "unknown" not in path.name},
}

# file: number: column of orders_inbox: what it holds; `items` is the lines
ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "unknown_elements.xml": {"1": {"ship_city": "New York", "items": "50001 x 2"}},
    "bad_amounts.xml": {
        "2": {"items": "50001 x 2147483647"},
        "3": {"items": "50001 x 1"},
        "4": {"items": "50001 x 7"},
    },
    "duplicates.xml": {"web-1": {"items": "50001 x 2"}, "BAD": {"items": "50001 x 3"}},
    "dates.xml": {
        **{str(number): {"order_date": "2025-10-16"} for number in range(1, 8)},
        "8": {"order_date": "2025-01-02"},
        "9": {"order_date": "today"},
        "10": {"order_date": "today"},
    },
    "addresses.xml": {
        "whole": {"ship_name": "Mara Quill", "ship_street1": "12 Alder Street\nSuite 4", "ship_postal_code": "97000"},
        "no-name": {"ship_name": None, "ship_company": "Alder Street Clinic"},
        "no-country": {"ship_country": "US"},
        "no-city": {"ship_city": None},
        "none": {"ship_name": None, "ship_street1": None, "ship_country": "US", "bill_country": "US"},
        "long": {"ship_city": "x" * 1000},
        "crlf": {"ship_street1": "1 Way\nFloor 2"},
        "twice": {"ship_city": "Fairhaven"},
    },
    "lines.xml": {
        "summed": {"items": "50001 x 5, 50002 x 1", "total_items": "6"},
        "blank-sku": {"items": "50001 x 1"},
        "no-amount": {"items": "50001 x 1"},
        "spaced": {"items": "50001 x 1"},
    },
    "hostile_texts.xml": {
        "1'; drop table orders_inbox; --": {
            "ship_name": "Robert'); delete from orders_inbox; --",
            "customer_email": "a'||(select version())||'@example.com",
        },
        "<script>alert(1)</script>": {
            "ship_company": "<b>Quill</b> & Sons <img src=x onerror=alert(1)>",
            "ship_street1": '1 <Main> & "Side"',
        },
        r"%s %(x)s \ $1 {0}": {"ship_city": r"100% \N \x00 {}"},
        "5": {"ship_city": "\u202eoslO \U0001f600"},
    },
    "encoding_mixed.xml": {"1": {"ship_city": "Málaga"}, "2": {"ship_city": "Málaga"}},
    **{
        path.name: {"1": {"ship_city": "Málaga\u2019s" if "windows1252" in path.name else "Málaga"}}
        for path in SAMPLES.glob("encoding_[luw]*.xml")
        if "unknown" not in path.name
    },
}

# What the shop's tables say of the lines of rules.xml, and what is imported then.
BUNDLES = """
insert into bundle_skus (id, bundle_sku, description, active)
values (1, '60001', 'three things', 1), (2, '60002', 'holds a bundle', 1), (3, '60003', 'not sold any more', 0);
insert into bundle_components (bundle_sku_id, component_sku, multiplier, sequence)
values (1, '50002', 4, 2), (1, '50001', 10, 1), (1, '50003', 1, 3), (2, '60001', 2, 1), (3, '50009', 7, 1)
"""
KEYS = """
insert into configuration_params (category, parameter_name, value, sku)
values ('Key Products', 'a', 'x', '50001'), ('Key Products', 'b', 'x', ' 50002 '), ('Key Products', 'c', 'x', null)
"""
LOTS = "insert into sku_lot (sku, lot, active) values ('50001', 'L1', 1), ('50001', 'L2', 1), ('50001', 'L3', 0)"

RULES: dict[str, tuple[str, dict[str, str]]] = {
    "with empty tables everything passes through": (
        "",
        {
            "plain": "50001 x 1",
            "bundle": "60001 x 2",
            "nested": "60002 x 1",
            "mixed": "50001 x 1, 60001 x 1, 50002 x 1",
            "unknown": "69999 x 1",
            "switched-off": "60003 x 1",
        },
    ),
    "bundles are opened by one level and summed with what stands beside them": (
        BUNDLES,
        {
            "plain": "50001 x 1",
            "bundle": "50001 x 20, 50002 x 8, 50003 x 2",
            "nested": "60001 x 2",
            "mixed": "50001 x 11, 50002 x 5, 50003 x 1",
            "unknown": "69999 x 1",
            "switched-off": "60003 x 1",
        },
    ),
    "key products are chosen after bundles are opened": (
        f"{BUNDLES}; {KEYS}",
        {"plain": "50001 x 1", "bundle": "50001 x 20, 50002 x 8", "mixed": "50001 x 11, 50002 x 5"},
    ),
    "lots are none of the import's business": (
        LOTS,
        {
            "plain": "50001 x 1",
            "bundle": "60001 x 2",
            "nested": "60002 x 1",
            "mixed": "50001 x 1, 60001 x 1, 50002 x 1",
            "unknown": "69999 x 1",
            "switched-off": "60003 x 1",
        },
    ),
}

HEADERS_SQL = """
select o.*, (select string_agg(sku || ' x ' || quantity, ', ' order by i.id) from order_items_inbox i
             where i.order_inbox_id = o.id) as items,
       (select sum(quantity) from order_items_inbox i where i.order_inbox_id = o.id) as pieces,
       (select count(*) from order_items_inbox i where i.order_inbox_id = o.id and sku_lot is not null) as lots
from orders_inbox o order by o.id
"""
REFUSED_SQL = """
select q.line, q.order_number, q.reason from listener.quarantine q join listener.imports f on f.id = q.import_id
where f.name = %s order by q.id
"""
GOOD = "zz-good.xml"


@pytest.fixture
def shop(dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Shop]:
    caplog.set_level(logging.INFO)
    shop = Shop(dsn, tmp_path)
    yield shop
    shop.close()


def headers(shop: Shop) -> dict[str, dict[str, Any]]:
    cursor = shop.db.cursor(row_factory=psycopg.rows.dict_row)
    return {row["order_number"]: row for row in cursor.execute(HEADERS_SQL).fetchall()}


def import_with_a_good_one(shop: Shop, name: str) -> dict[str, dict[str, Any]]:
    """Import a file and a good one after it; return the rows of the first, all of them whole."""
    shop.put(name)
    shop.put(GOOD, orders_xml("good"))
    shop.run()
    rows = headers(shop)
    assert rows.pop("good")["items"] == "50001 x 1"
    assert not [number for number, row in rows.items() if row["pieces"] != row["total_items"] or row["lots"]]
    assert {row["status"] for row in rows.values()} <= {"awaiting_shipment"}
    return rows


def test_every_file_of_the_corpus_has_its_line_in_a_table() -> None:
    names = {path.name for path in SAMPLES.glob("*.xml")}
    assert names == BAD_FILES.keys() | READ_FILES.keys() | {"rules.xml"}
    assert not BAD_FILES.keys() & READ_FILES.keys()
    assert names > ROWS.keys()


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_recorded_as_failed_and_named_once(
    shop: Shop, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert import_with_a_good_one(shop, name) == {}
    ((status, error),) = shop.rows("select status, error from listener.imports where name = %s", name)
    assert (status, re.sub(r", column \d+", "", error, count=1)) == ("failed", BAD_FILES[name])
    assert shop.rows("select * from listener.quarantine") == []
    shop.workflow.close()
    shop.workflow = shop.another()
    shop.run()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [f"{name} cannot be imported: {error}"]


@pytest.mark.parametrize("name", READ_FILES)
def test_orders_are_imported_as_they_are_written_and_a_bad_one_costs_no_good_one(shop: Shop, name: str) -> None:
    numbers, refused = READ_FILES[name]
    rows = import_with_a_good_one(shop, name)
    assert list(rows) == numbers
    assert shop.rows(REFUSED_SQL, name) == refused
    figures = "select status, orders_in_file, orders_new, orders_known, orders_refused from listener.imports"
    expected = ("imported", len(numbers) + len(refused), len(numbers), 0, len(refused))
    assert shop.rows(f"{figures} where name = %s", name) == [expected]
    today = str(shop.rows("select current_date")[0][0])
    for number, columns in ROWS.get(name, {}).items():
        texts = {column: rows[number][column] for column in columns}
        shown = {column: None if text is None else str(text) for column, text in texts.items()}
        assert shown == {column: today if text == "today" else text for column, text in columns.items()}, number


@pytest.mark.parametrize("rule", RULES)
def test_the_shops_tables_say_what_is_imported_of_an_order(shop: Shop, rule: str) -> None:
    setup, expected = RULES[rule]
    for statement in filter(str.strip, setup.split(";")):
        shop.db.execute(statement.encode())
    rows = import_with_a_good_one(shop, "rules.xml")
    assert {number: row["items"] for number, row in rows.items()} == expected


def test_the_lot_that_was_entered_last_goes_out_with_a_sku_whatever_stands_beside_it(
    shop: Shop, ours: Leader, account: ShipStationSimulator
) -> None:
    for statement in [*BUNDLES.split(";"), LOTS, "insert into sku_lot (sku, lot) values ('60001', 'none')"]:
        shop.db.execute(statement.encode())
    import_with_a_good_one(shop, "rules.xml")
    shop.db.execute(
        "update orders_inbox set order_date = current_date, ship_name = 'Ada Example', ship_street1 = '1 Way',"
        " ship_city = 'Town', ship_state = 'IL', ship_postal_code = '62701'"
    )
    shop.db.execute("update order_items_inbox set sku_lot = '50001 - OLD' where sku = '50001'")
    ours.run_all()
    sent = {order["orderNumber"]: order["items"] for order in account.orders}
    assert {number: [f"{item['sku']} x {item['quantity']}" for item in items] for number, items in sent.items()} == {
        "plain": ["50001 - L2 x 1"],
        "bundle": ["50001 - L2 x 20", "50002 x 8", "50003 x 2"],
        "nested": ["60001 - none x 2"],
        "mixed": ["50001 - L2 x 11", "50002 x 5", "50003 x 1"],
        "unknown": ["69999 x 1"],
        "switched-off": ["60003 x 1"],
        "good": ["50001 - L2 x 1"],
    }
