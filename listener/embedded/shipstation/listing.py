"""GET /orders: filters, sorting and pages, as "List Orders" of the V1 reference words them.

The traps are kept: orderNumber matches by its beginning, create and modify dates mean "after" and "before", and a
page is cut from whatever the list is at that moment, so that a moving list skips or repeats rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from listener.embedded.shipstation.account import Account
from listener.embedded.shipstation.calls import JsonObject
from listener.embedded.shipstation.index import LAST_CHARACTER, folded
from listener.embedded.shipstation.paging import (
    Query,
    read_descending,
    read_integer,
    read_paging,
    read_sort,
    read_span,
)
from listener.embedded.shipstation.shape import Record, order_object, sent_time

OrderTest = Callable[[Record], bool]

SORTS = {"orderdate": "order_date", "modifydate": "modified", "createdate": "created"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows of a query come from: part of an index, what that is sorted by, and the filter it answers."""

    ids: Callable[[slice], list[int]]
    rows: slice
    sorted_by: str
    answers: str


def list_orders(account: Account, query: Query) -> JsonObject:
    """Return the page of orders a query asks for, or raise CallRefused for a value that can't be read."""
    paging = read_paging(query)
    sort, descending = read_sort(query, SORTS, "order_id"), read_descending(query)
    source = _source(account, query)
    tests = _tests(query, source)
    if source is not None and source.sorted_by == sort and not tests and not descending:
        ids = source.ids(paging.within(source.rows))  # the index is the answer already: no look at each order
        total = source.rows.stop - source.rows.start
        return paging.envelope("orders", [order_object(account.orders[one]) for one in ids], total)
    found = _candidates(account, source)
    if tests:
        found = [record for record in found if all(test(record) for test in tests)]
    found.sort(key=_sort_key(sort), reverse=descending)
    page = found[paging.within(slice(0, len(found)))]
    return paging.envelope("orders", [order_object(record) for record in page], len(found))


def _source(account: Account, query: Query) -> Source | None:
    """Return the narrowest index the query can use; its other filters become tests on each order."""
    if number := query.get("ordernumber"):
        rows = account.by_number.matching(folded(number), folded(number) + LAST_CHARACTER)
        return Source(account.by_number.ids, rows, "number", "ordernumber")
    for name, field, index in (
        ("modifydate", "modified", account.by_modified),
        ("createdate", "created", account.by_created),
    ):
        span = read_span(query, name)
        if any(span):
            return Source(index.ids, index.between(*span), field, name)
    return None


def _candidates(account: Account, source: Source | None) -> list[Record]:
    if source is None:
        return list(account.orders.values())
    return [account.orders[one] for one in source.ids(source.rows)]


def _sort_key(sort: str) -> Callable[[Record], Any]:
    return attrgetter("order_id") if sort == "order_id" else attrgetter(sort, "order_id")


def _tests(query: Query, source: Source | None) -> list[OrderTest]:
    answered = source.answers if source else ""
    tests = [make(value) for name, make in TESTS.items() if (value := query.get(name))]
    for name, (read, at_edge) in DATES.items():
        after, before = read_span(query, name)
        if (after or before) and name != answered:
            tests.append(_between(read, after, before, at_edge))
    return tests


def _between(
    read: Callable[[Record], datetime | None], after: datetime | None, before: datetime | None, at_end: bool
) -> OrderTest:
    def test(record: Record) -> bool:
        value = read(record)
        if value is None or (after and value <= after):
            return False
        return before is None or value < before or (at_end and value == before)

    return test


DATES: Mapping[str, tuple[Callable[[Record], datetime | None], bool]] = {
    # filter: the date it looks at, and whether the end belongs to the span ("greater than … less than or equal")
    "createdate": (attrgetter("created"), False),
    "modifydate": (attrgetter("modified"), False),
    "orderdate": (attrgetter("order_date"), True),
    "paymentdate": (lambda record: sent_time(record, "paymentDate"), True),
}


def _with_status(value: str) -> OrderTest:
    return lambda record: record.status == value.lower()


def _with_store(value: str) -> OrderTest:
    store = read_integer("storeId", value)
    return lambda record: record.store_id == store


def _with_customer(value: str) -> OrderTest:
    wanted = value.lower()
    return lambda record: any(
        wanted in str((record.sent.get(side) or {}).get("name") or "").lower() for side in ("billTo", "shipTo")
    )


def _with_item(value: str) -> OrderTest:
    wanted = value.lower()
    return lambda record: any(
        wanted in str(item.get(name) or "").lower()
        for item in record.sent.get("items") or ()
        for name in ("sku", "name", "upc", "fulfillmentSku")
    )


TESTS: Mapping[str, Callable[[str], OrderTest]] = {
    "orderstatus": _with_status,
    "storeid": _with_store,
    "customername": _with_customer,
    "itemkeyword": _with_item,
}
