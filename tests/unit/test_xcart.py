"""X-Cart's export: what is taken from it, what is refused, and that one bad order costs no good one."""

import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import Rejected
from listener.orders import Address, RefusedOrder, XmlOrder
from listener.sources import xcart
from listener.sources.xcart import expand, read_orders

SAMPLES = Path(__file__).parent.parent / "data" / "xml"


class ParsedFile(NamedTuple):
    """What a file holds, each part in the file's order."""

    orders: tuple[XmlOrder, ...]
    refused: tuple[RefusedOrder, ...]


def parse_orders(data: bytes, piece: int = 2**16) -> ParsedFile:
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    entries = list(read_orders(pieces))
    orders = tuple(entry for entry in entries if isinstance(entry, XmlOrder))
    return ParsedFile(orders, tuple(entry for entry in entries if isinstance(entry, RefusedOrder)))


def sample(name: str) -> ParsedFile:
    return parse_orders((SAMPLES / name).read_bytes())


def order_xml(number: str = "700101", fields: str = "", lines: str | None = None) -> str:
    lines = line_xml() if lines is None else lines
    return f"<order><orderid>{number}</orderid>{fields}{lines}</order>"


def line_xml(sku: str = "50001", amount: str = "1") -> str:
    return f"<order_detail><amount>{amount}</amount><productid>{sku}</productid></order_detail>"


def parsed(*orders: str, encoding: str = "utf-8") -> ParsedFile:
    return parse_orders(f"<orders>{''.join(orders)}</orders>".encode(encoding))


def only(order: str) -> XmlOrder:
    file = parsed(order)
    assert not file.refused
    (taken,) = file.orders
    return taken


def test_an_order_is_read_whole() -> None:
    file = sample("orders.xml")
    assert file.refused == ()
    assert file.orders[0] == XmlOrder(
        line=3,
        order_number="700101",
        order_date=date(2025, 10, 16),
        customer_email="mara.quill@example.com",
        ship_to=Address(
            name="Mara Quill",
            company="Alder Street Clinic",
            street1="12 Alder Street\nSuite 4",
            city="Fairhaven",
            state="OR",
            postal_code="97000",
            country="US",
            phone="555-0101",
        ),
        bill_to=Address(
            name="Tomas Ferrow",
            street1="9 Ledger Lane",
            city="Northmill",
            state="WA",
            postal_code="98000",
            country="US",
            phone="555-0102",
        ),
        items=(("50001", 2), ("50001", 3)),
    )


def test_lines_without_a_product_are_left_out_and_a_line_without_an_amount_is_one_piece() -> None:
    assert sample("orders.xml").orders[1].items == (("60001", 2), ("50002", 1))


def test_letters_and_characters_by_number_are_kept() -> None:
    address = sample("orders.xml").orders[1].ship_to
    assert (address.street1, address.city, address.country) == ("80 Café Row & Mews", "Ash \u2013 Hill", "US")


def test_any_root_is_taken() -> None:
    assert [order.order_number for order in sample("uat.xml").orders] == ["UAT-1"]
    assert [order.order_number for order in parse_orders(f"<x>{order_xml()}</x>".encode()).orders] == ["700101"]


def test_a_file_without_orders_has_none() -> None:
    assert parse_orders(b"<orders/>") == ParsedFile((), ())
    assert parse_orders(b"<order><orderid>1</orderid></order>") == ParsedFile((), ())
    assert parse_orders(b"<html><body><order><orderid>1</orderid></order></body></html>") == ParsedFile((), ())


def test_other_elements_and_markup_inside_a_field_disturb_nothing() -> None:
    fields = "<s_city>New <b>York</b><!-- no --></s_city><extra><orderid>9</orderid><order_detail/></extra><date2/>"
    order = only(order_xml(fields=fields) + "<note><orderid>8</orderid></note>")
    assert (order.order_number, order.ship_to.city, order.items) == ("700101", "New York", (("50001", 1),))


def test_of_a_field_that_stands_twice_the_first_counts() -> None:
    assert only(order_xml(fields="<orderid>other</orderid>")).order_number == "700101"


@pytest.mark.parametrize(
    "before", ["", "\n", " \r\n\t\n", "\ufeff", "\ufeff\n", '\n<?xml version="1.0"?>\n', "<!-- x -->"]
)
def test_what_stands_before_the_root_disturbs_nothing(before: str) -> None:
    file = parse_orders(f"{before}<orders>\n{order_xml()}</orders>".encode())
    assert [order.line for order in file.orders] == [2 + before.count("\n")]


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (b"", "line 1, column 1: no element found"),
        (b"\n\n  ", "line 3, column 3: no element found"),
        (b"\xef\xbb\xbf  <&>", "line 1, column 4: not well-formed (invalid token)"),
        (b"not XML", "line 1, column 1: syntax error"),
        (b"<orders>\n  <order>\n</orders>", "line 3, column 3: mismatched tag"),
        (b"\n\n<orders>\n <&>", "line 4, column 3: not well-formed (invalid token)"),
        (b"<orders/>\n<orders/>", "line 2, column 1: junk after document element"),
        (b"<orders>&nbsp;</orders>", "line 1, column 9: undefined entity"),
        (b"<orders>\n\x00</orders>", ": a character that XML forbids"),
        (b"<orders>&#0;</orders>", ": a character that XML forbids"),
        (b"<orders><or\x00der/></orders>", "line 1, column 12: not well-formed (invalid token)"),
        (b"<?xml version='1.0' encoding='klingon'?><orders/>", "line 1, column 1: its declared encoding 'klingon'"),
    ],
)
def test_a_malformed_file_is_rejected_and_the_place_is_named(xml: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=re.escape(reason)) as raised:
        parse_orders(xml)
    assert re.match(r"line \d+, column \d+: ", str(raised.value))


def test_a_file_that_breaks_off_is_rejected_whole() -> None:
    with pytest.raises(Rejected, match=r"^line 4, column \d+: unclosed token$"):
        sample("cut_off.xml")


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE orders>",
        "<!DOCTYPE orders SYSTEM 'http://example.com/orders.dtd'>",
        "<!DOCTYPE orders [<!ENTITY a 'aaa'>]>",
        "<!DOCTYPE orders [<!ENTITY secret SYSTEM 'file:///etc/passwd'>]>",
    ],
)
def test_a_document_type_is_hostile(doctype: str) -> None:
    with pytest.raises(Rejected, match=r"^line 2, column \d+: it declares a document type or entities"):
        parse_orders(f"<?xml version='1.0'?>\n{doctype}<orders>{order_xml()}</orders>".encode())


def test_entities_are_never_expanded() -> None:
    with pytest.raises(Rejected, match="document type or entities"):
        sample("entities.xml")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025-10-16 09:20:00", date(2025, 10, 16)),
        ("2025-10-16T09:20:00", date(2025, 10, 16)),
        ("2025-10-16T23:59:59Z", date(2025, 10, 16)),
        ("2025-10-16T23:59:59.123Z", date(2025, 10, 16)),
        ("2025-10-16", date(2025, 10, 16)),
        ("10/16/2025 09:20", date(2025, 10, 16)),
        ("10/16/2025 09:20:00 PM", date(2025, 10, 16)),
        ("1/2/2025 9:20:00 am", date(2025, 1, 2)),
        ("2024-02-29 00:00:00", date(2024, 2, 29)),
        (" \n ", None),
    ],
)
def test_the_day_of_an_order_is_read_in_every_known_form(text: str, day: date | None) -> None:
    assert only(order_xml(fields=f"<date2>{text}</date2>")).order_date == day


def test_an_order_without_a_date_has_none() -> None:
    assert only(order_xml()).order_date is None


@pytest.mark.parametrize(
    ("order", "number", "reason"),
    [
        (order_xml(number="  "), None, "the order has no number"),
        (f"<order>{line_xml()}</order>", None, "the order has no number"),
        (order_xml(number="7" * 51), "7" * 51, "the order number has 51 characters; at most 50 are possible"),
        (order_xml(number="70\n01"), "70\n01", "the order number contains an invisible character"),
        (order_xml(number="70\u200b01"), "70\u200b01", "the order number contains an invisible character"),
        (order_xml(lines=""), "700101", "the order has no line with a product id"),
        (order_xml(lines=line_xml(sku=" ")), "700101", "the order has no line with a product id"),
        (order_xml(lines=line_xml(amount="0")), "700101", "the amount of product 50001 is '0', which is no number"),
        (order_xml(lines=line_xml(amount="-1")), "700101", "the amount of product 50001 is '-1', which"),
        (order_xml(lines=line_xml(amount="a dozen")), "700101", "the amount of product 50001 is 'a dozen', which"),
        (order_xml(lines=line_xml(amount="1.5")), "700101", "the amount of product 50001 is '1.5', which"),
        (order_xml(lines=line_xml(amount="1_0")), "700101", "the amount of product 50001 is '1_0', which"),
        (order_xml(lines=line_xml(amount="٣")), "700101", "the amount of product 50001 is '٣', which"),
        (order_xml(lines=line_xml(amount="2147483648")), "700101", "the amount of product 50001 is '2147483648'"),
        (order_xml(lines=line_xml(amount="9" * 9999)), "700101", "the amount of product 50001 is '99999"),
        (order_xml(lines=line_xml(sku="5" * 101)), "700101", "a product id has 101 characters; at most 100"),
        (order_xml(fields="<date2>yesterday</date2>"), "700101", "date2 is 'yesterday', which is no date"),
        (order_xml(fields="<date2>2025-02-30</date2>"), "700101", "date2 is '2025-02-30', a day that does not exist"),
        (order_xml(fields="<date2>0000-00-00 00:00:00</date2>"), "700101", "a day that does not exist"),
        (order_xml(number="70\x0001"), "70\ufffd01", "line 3 contains a character that XML forbids"),
        (order_xml(fields="<s_city>\n\x1b[2J</s_city>"), "700101", "line 4 contains a character that XML forbids"),
        (order_xml(fields="<s_city>&#x1B;</s_city>"), "700101", "line 3 contains a character that XML forbids"),
        (order_xml(fields="<huh>\x00</huh>"), "700101", "line 3 contains a character that XML forbids"),
        (order_xml(fields="\x00"), "700101", "line 3 contains a character that XML forbids"),
        (order_xml(lines=line_xml(sku="5\u200b1")), "700101", "a product id contains an invisible character"),
        (order_xml(lines=line_xml() * 1001), "700101", "the order has more than 1000 lines"),
        (order_xml(number="7" * 1001), "7" * 1000, "the order number has more than 1000 characters; at most 50"),
        (order_xml(fields=f"<s_city>{'x' * 1001}</s_city>"), "700101", "s_city has more than 1000 characters"),
    ],
)
def test_a_bad_order_is_refused_and_the_others_are_taken(order: str, number: str | None, reason: str) -> None:
    file = parsed("\n", order_xml("1"), "\n", order, "\n", order_xml("2"))
    assert [good.order_number for good in file.orders] == ["1", "2"]
    (bad,) = file.refused
    assert (bad.line, bad.order_number) == (3, number)
    assert reason in bad.reason


def test_a_bad_order_names_its_line_in_the_file() -> None:
    file = sample("one_bad_order.xml")
    assert [order.order_number for order in file.orders] == ["700201", "700203"]
    reason = "the amount of product 50001 is 'a dozen', which is no number of pieces"
    assert file.refused == (RefusedOrder(8, "700202", reason),)


def test_an_order_may_have_many_lines_and_long_fields_with_blanks_around_them() -> None:
    fields = f"<s_city>{' ' * 70_000}{'x' * 1000}{' ' * 70_000}</s_city>"
    order = only(order_xml(fields=fields, lines=line_xml() * 1000))
    assert (len(order.items), order.ship_to.city) == (1000, "x" * 1000)


def test_a_field_is_too_long_however_its_letters_are_spread() -> None:
    file = parsed(order_xml(fields=f"<s_city>{'x' * 900}{' ' * 140_000}{'x' * 99}</s_city>"), order_xml("2"))
    assert [order.order_number for order in file.orders] == ["2"]


def test_what_is_forbidden_in_other_elements_costs_nobody() -> None:
    file = parsed("<shop>\x00</shop><!-- \x00 -->", order_xml("1"))
    assert [order.order_number for order in file.orders] == ["1"]


def test_a_file_says_the_same_however_it_is_cut_into_pieces() -> None:
    before = ["\ufeff \n", "<?xml version='1.0'?>", "<orders>\n"]
    orders = [
        order_xml("1", fields="<s_city>Málaga &#233;&#2; &lt;</s_city>"),
        order_xml("2", fields="<s_city>é&#233;"),
    ]
    xml = "".join([*before, *orders]).replace("é&#233;", "é&#233;</s_city>").encode() + b"\xe9</orders>"
    whole = parse_orders(xml)
    assert [order.ship_to.city for order in whole.orders] == ["éé"]
    assert len(whole.refused) == 1
    for piece in (1, 2, 3, 7, 64):
        assert parse_orders(xml, piece) == whole


def test_of_two_orders_with_one_number_the_first_is_taken() -> None:
    file = parsed(order_xml("web-1", lines=line_xml(amount="2")), "\n", order_xml(" WEB-1 "))
    assert [(order.order_number, order.items) for order in file.orders] == [("web-1", (("50001", 2),))]
    assert file.refused == (RefusedOrder(2, "WEB-1", "the order in line 1 has the same number"),)


def test_a_bad_order_does_not_stand_in_the_way_of_a_good_one_with_its_number() -> None:
    file = parsed(order_xml("1", lines=line_xml(amount="0")), order_xml("1", lines=line_xml(amount="2")))
    assert [order.items for order in file.orders] == [(("50001", 2),)]


def test_more_orders_than_anybody_has_are_no_order_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xcart, "MOST_ORDERS", 3)
    assert len(parsed(*map(order_xml, "123")).orders) == 3
    with pytest.raises(Rejected, match=r"^line 1: it has more than 3 orders; split it$"):
        parsed(*map(order_xml, "1234"))


PIECES = [
    *(b"<order>", b"</order>", b"<orderid>1</orderid>", b"<orderid>2</orderid>", b"<s_city>", b"</s_city>", b"</a>"),
    *(b"<order_detail>", b"</order_detail>", b"<productid>5</productid>", b"<amount>2</amount>", b"<amount>x</amount>"),
    *(
        b"\n",
        b"text",
        "é€".encode(),
        b"\xe9",
        b"\x00",
        b"&#2;",
        b"&amp;",
        b"&",
        b"<!-- ",
        b" -->",
        b"<![CDATA[",
        b"]]>",
    ),
]


@given(st.binary(max_size=200) | st.text(alphabet="<>/&#;! -[]orde\0\x1b\ufdd0é", max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        parse_orders(data)
    except Rejected as error:
        assert re.match(r"line \d+, column \d+: ", str(error))


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.integers(1, 9))
def test_no_file_says_other_things_when_it_comes_in_other_pieces(data: bytes, piece: int) -> None:
    def outcome(size: int) -> object:
        try:
            return parse_orders(b"<orders>" + data + b"</orders>", size)
        except Rejected:
            return "rejected"

    assert outcome(piece) == outcome(2**16)


BUNDLES = {
    "60001": (("50001", 4), ("60002", 1), ("50002", 2)),
    "60002": (("50003", 10),),
}


@pytest.mark.parametrize(
    ("items", "shipped"),
    [
        ((), ()),
        ((("50009", 2),), (("50009", 2),)),
        ((("60002", 3),), (("50003", 30),)),
        ((("60001", 2),), (("50001", 8), ("60002", 2), ("50002", 4))),  # one level: 60002 is not opened
        ((("50002", 1), ("60001", 1), ("50002", 5)), (("50002", 8), ("50001", 4), ("60002", 1))),
    ],
)
def test_a_bundle_is_replaced_by_its_parts(items: tuple[tuple[str, int], ...], shipped: object) -> None:
    assert expand(items, BUNDLES) == shipped


def test_key_products_are_chosen_after_bundles_are_opened() -> None:
    items = (("60001", 1), ("50009", 1))
    assert expand(items, BUNDLES, {"50001", "60001"}) == (("50001", 4),)


def test_an_order_without_a_key_product_has_nothing_left() -> None:
    assert expand((("50009", 1),), BUNDLES, {"50001"}) == ()


def test_more_pieces_than_the_database_can_count_are_refused() -> None:
    assert expand((("50009", 2**31 - 1),), BUNDLES) == (("50009", 2**31 - 1),)
    with pytest.raises(Rejected, match="2147483650 pieces are more than an order can have"):
        expand((("60002", 214748365),), BUNDLES)
