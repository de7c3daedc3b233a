"""Reading on around an order that spoils every page it is on: no other one is missed, and no error is taken for one.

The list is a small service's, which answers None for a page that is spoiled.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.errors import Transient
from listener.shipstation import listing
from listener.shipstation.listing import Page, decode_page
from listener.shipstation.pacific import from_pacific, to_pacific
from listener.workflows.read_list import ReadList, Taken

NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)
START = NOW - timedelta(hours=2)


@dataclass
class Service:
    """Orders by id, with the second of their last change after START; `spoilt` ones break the page they are on."""

    orders: dict[int, float]
    spoilt: set[int]
    calls: int = 0
    broken: bool = False
    seen: set[int] = field(default_factory=set)

    def page(self, query: dict[str, str]) -> Page | None:
        self.calls += 1
        after = from_pacific(query["modifyDateStart"])
        before = from_pacific(query["modifyDateEnd"]) if "modifyDateEnd" in query else NOW + timedelta(days=1)
        rows = sorted((at, number) for number, at in self.orders.items())
        rows = [(at, number) for at, number in rows if after <= START + timedelta(seconds=at) < before]
        size, page = int(query["pageSize"]), int(query["page"])
        shown = rows[(page - 1) * size : page * size]
        if self.broken or any(number in self.spoilt for _, number in shown):
            return None
        self.seen |= {number for _, number in shown}
        orders: list[dict[str, Any]] = [
            {"orderId": number, "orderNumber": str(number), "modifyDate": stamp(at)} for at, number in shown
        ]
        pages = -(-len(rows) // size)
        return decode_page({"orders": orders, "total": len(rows), "page": page, "pages": pages}, NOW)


def stamp(at: float) -> str:
    return to_pacific(START + timedelta(seconds=at)).replace(" ", "T")


def read_all(service: Service, reading: ReadList, most: int = 400) -> list[Taken]:
    """Read to the end; return what was taken, with the watermarks that it led to."""
    took: list[Taken] = []
    for _ in range(most):
        page = service.page(reading.query())
        taken = reading.spoiled() if page is None else reading.took(page)
        took += [taken] if taken else []
        if taken and taken.at_end:
            return took
    raise AssertionError("it never comes to an end")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 20)


def test_a_list_without_faults_is_read_in_whole_pages() -> None:
    service = Service({n: 10.0 * n for n in range(50)}, set())
    took = read_all(service, ReadList(START - timedelta(seconds=1)))
    assert service.seen == set(range(50))
    assert service.calls == 3
    assert not any(taken.stretch for taken in took)


@pytest.mark.parametrize("spoilt", [0, 7, 19, 20, 33, 49])
def test_one_order_that_spoils_its_page_is_skipped_and_reported_and_no_other_one_is(spoilt: int) -> None:
    service = Service({n: 10.0 * n for n in range(50)}, {spoilt})
    took = read_all(service, ReadList(START - timedelta(seconds=1)))
    assert service.seen == set(range(50)) - {spoilt}
    assert service.calls < 45
    (stretch,) = [taken.stretch for taken in took if taken.stretch]
    begins, ends = (datetime.fromisoformat(stretch.payload[name]) for name in ("start", "end"))
    assert begins <= START + timedelta(seconds=10 * spoilt) < ends


def test_the_watermark_moves_to_what_was_read_and_never_back() -> None:
    service = Service({n: 10.0 * n for n in range(50)}, {30})
    marks = [t.watermark for t in read_all(service, ReadList(START - timedelta(seconds=1))) if t.watermark]
    assert marks == sorted(marks)
    assert marks[-1] == START + timedelta(seconds=490)


def test_what_is_read_around_it_says_nothing_of_what_lies_before() -> None:
    service = Service({n: 10.0 * n for n in range(10)}, {9})
    took = read_all(service, ReadList(START - timedelta(seconds=1)))
    assert [taken.start is None for taken in took if taken.stretch] == [True]


def test_when_nothing_answers_it_is_an_outage_and_nothing_is_skipped() -> None:
    service, reading = Service({n: 10.0 * n for n in range(50)}, set(), broken=True), ReadList(START)
    with pytest.raises(Transient, match="not one by one either"):
        read_all(service, reading)
    assert service.calls < 20


def test_an_outage_in_the_midst_of_it_skips_nothing_either() -> None:
    service = Service({n: 10.0 * n for n in range(50)}, {30})
    reading = ReadList(START - timedelta(seconds=1))
    for _ in range(12):
        page = service.page(reading.query())
        taken = reading.spoiled() if page is None else reading.took(page)
        assert taken is None or taken.stretch is None
    service.broken = True
    with pytest.raises(Transient):
        read_all(service, reading)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=70),
    st.sets(st.integers(0, 69), max_size=3),
)
def test_whatever_the_stamps_and_whichever_orders_spoil_their_pages_all_others_are_read(
    seconds: list[int], spoilt: set[int]
) -> None:
    service = Service({n: float(at) for n, at in enumerate(seconds)}, spoilt)
    took = read_all(service, ReadList(START - timedelta(seconds=1)))
    assert service.seen == service.orders.keys() - spoilt
    skipped = [taken.stretch for taken in took if taken.stretch]
    assert bool(skipped) == bool(spoilt & service.orders.keys())
