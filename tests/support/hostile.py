"""Orders as nobody should write them, and what must hold of each all the same.

The rule: rows go in with plain SQL, by column, as any program of the shop's could write them.
"""

import http.client
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from click.testing import CliRunner
from hypothesis import settings
from psycopg import sql

from listener.cli import orders
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection
from tests.support.wait import eventually

USUAL = {
    "order_date": "today",
    "status": "awaiting_shipment",
    "customer_email": "customer@example.com",
    "total_items": 1,
    "ship_name": "Ada Example",
    "ship_street1": "1 Sample Street",
    "ship_city": "Springfield",
    "ship_state": "IL",
    "ship_postal_code": "62701",
    "ship_country": "US",
}
ONE_ITEM = ({"sku": "17001", "quantity": 1, "unit_price_cents": 1999},)

ROWS = "select order_number, status, shipstation_order_id, failure_reason from orders_inbox order by id"
UNSETTLED = """
select coalesce(string_agg(left(o.order_number, 60) || ' ' || coalesce(l.state, '-'), ', '), '')
from orders_inbox o left join listener.ledger l on l.order_inbox_id = o.id where o.status = 'awaiting_shipment'
"""

BEGIN_OF_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING) [\w.]+ ")
LONGEST_LINE = 5000


def examples(few: int) -> int:
    """Return how many examples to try: `few`, or with `pytest --hypothesis-profile long` very many."""
    return few if settings.get_current_profile_name() != "long" else settings().max_examples


def insert(shop: Connection, number: str, items: Sequence[Mapping[str, Any]] = ONE_ITEM, **columns: Any) -> None:
    """Insert an order with these columns, and its items, in one transaction."""
    with shop.transaction():
        row_id = _insert(shop, "orders_inbox", USUAL | {"order_number": number} | columns)
        for item in items:
            _insert(shop, "order_items_inbox", {"order_inbox_id": row_id, **item})


def _insert(shop: Connection, table: str, row: Mapping[str, Any]) -> int:
    query = sql.SQL("insert into {} ({}) values ({}) returning id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    found = shop.execute(query, list(row.values())).fetchone()
    assert found is not None
    return int(found[0])


def wait_until_settled(shop: Connection, timeout: float = 15) -> None:
    """Wait until no order awaits shipment any more."""
    eventually(lambda: shop.execute(UNSETTLED).fetchone(), lambda row: row == ("",), timeout=timeout)


def assert_each_is_there_once_or_refused(shop: Connection, account: ShipStationSimulator) -> dict[str, str]:
    """Every row shows an order of its own at ShipStation, or a reason; return {number: reason} of the refused ones."""
    there = {str(order["orderId"]): order for order in account.orders}
    refused, shown = {}, []
    for number, status, order_id, reason in shop.execute(ROWS):
        if order_id:
            assert status == "uploaded"
            assert there[order_id]["orderNumber"] == number.strip(" "), (number, there[order_id])
            shown.append(order_id)
        else:
            assert status == "failed", (number, status)
            assert reason.strip(), number
            refused[number] = reason
    assert sorted(shown) == sorted(there), "an order is there twice, or that nobody shows"
    return refused


def assert_log_is_whole(process: ListenerProcess) -> None:
    """Every line of the log is one of ours, short, printable, and none is an error."""
    for line in process.lines:
        assert BEGIN_OF_LINE.match(line), line[:200]
        assert not unprintable(line), repr(line[:200])
        assert len(line) < LONGEST_LINE, line[:200]


def assert_told(url: str, process: ListenerProcess, numbers: Iterable[str]) -> None:
    """Page and command tell of each order, without a character of its own kind of trouble."""
    for number in numbers:
        status, page = get(process, f"/orders/{quote(number, safe='')}")
        assert status == 200, (number[:60], page[:200])
        assert "<script>" not in page.lower()
        assert "<img" not in page.lower()
        told = CliRunner().invoke(orders.explain, ["--", number], env={"DATABASE_URL": url})
        assert (told.exit_code, told.exception, told.stderr) == (0, None, ""), number[:60]
        assert not unprintable(told.stdout.replace("\n", "")), repr(told.stdout[:200])
    listed = CliRunner().invoke(orders.failed, [], env={"DATABASE_URL": url})
    assert (listed.exit_code, listed.exception) == (0, None)
    assert not unprintable(listed.stdout.replace("\n", ""))
    for path in ("/page/past.json", "/page/now.json", "/status.json"):
        status, body = get(process, path)
        assert status == 200
        assert not json.loads(body).get("away")


def get(process: ListenerProcess, path: str) -> tuple[int, str]:
    host, _, port = process.status_address.rpartition(":")
    page = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        page.request("GET", path)
        answer = page.getresponse()
        return answer.status, answer.read().decode()
    finally:
        page.close()


def unprintable(text: str) -> list[str]:
    return [letter for letter in text if unicodedata.category(letter) == "Cc" or letter in "\u2028\u2029\u202e\u2066"]
