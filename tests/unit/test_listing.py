"""Reading a list that moves: single answers first, then readings of a small service whose orders change meanwhile.

The service sorts and filters as one knob or the other says, because nobody has said how the real one does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.errors import Transient
from listener.shipstation.listing import Cursor, Page, decode_page, newest, next_cursor, query_of
from listener.shipstation.pacific import overlap

PACIFIC = ZoneInfo("America/Los_Angeles")
NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)
ORDER = {
    "orderId": 71,
    "orderNumber": "1001",
    "orderKey": "listener-1001",
    "orderStatus": "on_hold",
    "createDate": "2025-07-01T04:00:00.0000000",
    "modifyDate": "2025-07-01T04:30:00.1230000",
    "advancedOptions": {"mergedIds": [5, "6", None]},
}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def body(*orders: Any, **said: Any) -> dict[str, Any]:
    return {"orders": list(orders), "total": len(orders), "page": 1, "pages": 1} | said


def stamped(*stamps: str) -> list[dict[str, Any]]:
    return [ORDER | {"orderId": number, "modifyDate": stamp} for number, stamp in enumerate(stamps, 1)]


def page_of(*stamps: str, **said: Any) -> Page:
    return decode_page(body(*stamped(*stamps), **said), NOW)


# One answer.


def test_an_order_is_read_with_its_times_as_instants() -> None:
    (order,) = decode_page(body(ORDER), NOW).orders
    assert (order.shipstation_order_id, order.order_number, order.shipstation_key) == ("71", "1001", "listener-1001")
    assert (order.status, order.merged_ids) == ("on_hold", ("5", "6"))
    assert order.created_at == datetime(2025, 7, 1, 11, tzinfo=UTC)
    assert order.modified_at == datetime(2025, 7, 1, 11, 30, 0, 123000, tzinfo=UTC)


def test_an_order_of_which_only_the_id_is_said_was_changed_just_now() -> None:
    (order,) = decode_page(body({"orderId": "72"}), NOW).orders
    assert (order.order_number, order.shipstation_key, order.status, order.merged_ids) == ("", None, "", ())
    assert order.created_at == order.modified_at == NOW


@pytest.mark.parametrize("modified", [None, "", "yesterday", 5, "0001-01-01T00:00:00.0000000", "9999-12-31T00:00:00"])
def test_an_order_without_a_time_of_change_was_changed_when_it_was_made(modified: Any) -> None:
    page = decode_page(body(ORDER | {"modifyDate": modified}), NOW)
    assert page.orders[0].modified_at == datetime(2025, 7, 1, 11, tzinfo=UTC)
    assert newest(page) is None, "the watermark moves to what ShipStation has named, and to nothing else"


def test_a_change_in_the_second_pass_of_the_repeated_hour_is_not_older_than_one_in_the_first() -> None:
    page = page_of("2025-11-02T01:50:00", "2025-11-02T01:10:00")
    assert page.orders[0].modified_at == page.orders[1].modified_at


@pytest.mark.parametrize("identity", [None, 0, "", True, 7.5, [1]])
def test_an_order_without_an_id_is_named_and_hides_no_other(identity: Any) -> None:
    page = decode_page(body(ORDER | {"orderId": identity}, ORDER, None, "rubbish"), NOW)
    assert [order.shipstation_order_id for order in page.orders] == ["71"]
    assert page.unreadable == ("1001", "", "")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "Too Many Requests",
        {"message": "Too Many Requests"},
        body() | {"orders": {}},
        body(pages=None),
        body(pages="1"),
        body(pages=True),
        body(total=-1),
    ],
)
def test_what_is_not_a_whole_page_is_never_an_empty_one(answer: Any) -> None:
    with pytest.raises(Transient):
        decode_page(answer, NOW)


def test_a_list_that_does_not_say_of_how_many_pages_it_is_one_is_whole() -> None:
    page = decode_page({"orders": [ORDER]}, NOW)
    assert (page.page, page.pages, page.total, len(page.orders)) == (1, 1, 1, 1)


def test_the_watermark_may_move_to_the_last_change_that_the_page_names() -> None:
    assert newest(page_of("2025-07-01T04:00:00", "2025-07-01T04:30:00")) == NOW - timedelta(minutes=30)
    assert newest(page_of()) is None


def test_the_watermark_does_not_move_into_the_future() -> None:
    assert newest(page_of("2025-07-01T04:30:00", "2025-07-01T12:00:00")) == NOW - timedelta(minutes=30)
    assert newest(page_of("2025-07-01T05:04:00")) == NOW + timedelta(minutes=4), "their clock may be ahead of ours"


def test_the_query_is_in_pacific_time_and_sorted_by_change() -> None:
    cursor = Cursor(NOW + seconds(0.9))
    assert query_of(cursor) == {
        "modifyDateStart": "2025-07-01 05:00:00",
        "sortBy": "ModifyDate",
        "sortDir": "ASC",
        "pageSize": "500",
        "page": "1",
    }
    closed = query_of(replace(cursor, end=NOW + seconds(3), page=4))
    assert (closed["modifyDateEnd"], closed["page"]) == ("2025-07-01 05:00:03", "4")


START = Cursor(NOW - timedelta(hours=2))


@pytest.mark.parametrize(
    "page",
    [
        page_of(pages=0),
        page_of("2025-07-01T04:00:00"),
        page_of("2025-07-01T04:00:00", "2025-07-01T04:10:00", pages=0),  # as an example of the reference has it
        page_of("2012-01-01T00:00:00", "2011-01-01T00:00:00", "2025-07-01T04:00:00"),  # filters and order ignored
    ],
)
def test_what_is_on_one_page_has_been_read(page: Page) -> None:
    assert next_cursor(START, page) is None


def test_after_a_page_comes_the_second_before_its_last_change() -> None:
    page = page_of("2025-07-01T04:00:00", "2025-07-01T04:10:00.9870000", pages=2)
    assert next_cursor(START, page) == Cursor(datetime(2025, 7, 1, 11, 9, 59, tzinfo=UTC))


def test_a_total_beyond_the_page_means_more_whatever_is_said_of_pages() -> None:
    page = page_of("2025-07-01T04:00:00", "2025-07-01T04:10:00", total=3)
    assert next_cursor(START, page) == Cursor(datetime(2025, 7, 1, 11, 9, 59, tzinfo=UTC))


def test_a_page_of_one_second_is_closed_off_and_read_from_the_last_page_to_the_first() -> None:
    second = NOW - timedelta(hours=1)
    full = page_of("2025-07-01T04:00:00.1", "2025-07-01T04:00:00.2", pages=3, total=6)
    closed = Cursor(second - seconds(1), end=second + seconds(2))
    assert next_cursor(Cursor(second - seconds(1)), full) == closed
    third = next_cursor(closed, full)
    assert third == replace(closed, page=3, counted=True)
    second_page = next_cursor(third, replace(full, page=3))
    assert second_page == replace(closed, page=2, counted=True)
    first_page = next_cursor(second_page, replace(full, page=2))
    assert first_page == replace(closed, page=1, counted=True)
    assert next_cursor(first_page, full) == Cursor(second + seconds(1))


def test_a_closed_off_second_that_fits_on_one_page_is_read_once() -> None:
    closed = Cursor(NOW - seconds(1), end=NOW + seconds(2))
    assert next_cursor(closed, page_of("2025-07-01T05:00:00.1")) == Cursor(NOW + seconds(1))


def test_a_closed_off_list_that_has_become_shorter_is_read_on() -> None:
    cursor = Cursor(NOW, end=NOW + seconds(3), page=3, counted=True)
    expected = replace(cursor, page=2)
    assert next_cursor(cursor, page_of(page=3, pages=2)) == expected
    assert next_cursor(cursor, page_of("2025-07-01T05:00:01", page=2, pages=2)) == expected


@pytest.mark.parametrize(
    ("cursor", "page"),
    [
        (START, page_of("2025-07-01T04:10:00", "2025-07-01T04:00:00", pages=2)),  # out of order
        (START, page_of("2025-06-01T04:00:00", "2025-06-01T04:10:00", pages=2)),  # not from the start on
        (START, page_of("soon", "later", pages=2)),  # no time to go on from
        (START, page_of(total=3)),  # there should be something
        (
            replace(START, end=NOW, page=3, counted=True),
            page_of("2025-07-01T04:00:00", page=1, pages=3),
        ),  # not asked for
    ],
)
def test_a_list_that_cannot_be_read_to_its_end_is_not_called_read(cursor: Cursor, page: Page) -> None:
    with pytest.raises(Transient):
        next_cursor(cursor, page)


# Whole readings.


@dataclass
class Rules:
    """How a service reads and sorts times."""

    start_belongs: bool = False
    end_belongs: bool = False
    fractions: bool = True
    by_clock: bool = True  # sorts and compares what the clock showed, or what really came first
    fold: int = 0  # which pass of the repeated hour an edge is taken for; only if not by_clock
    filters: bool = True
    counts_as_asked: bool = False  # counts its pages by the page size that was asked for, not by its own

    def key(self, instant: datetime) -> datetime:
        return instant.astimezone(PACIFIC).replace(tzinfo=None, fold=0) if self.by_clock else instant

    def edge(self, text: str) -> datetime:
        local = datetime.fromisoformat(text)
        return local if self.by_clock else local.replace(tzinfo=PACIFIC, fold=self.fold).astimezone(UTC)

    def takes(self, key: datetime, query: dict[str, str]) -> bool:
        key = key if self.fractions else key.replace(microsecond=0)
        start = self.edge(query["modifyDateStart"])
        if not self.filters or key <= start:
            return not self.filters or (key == start and self.start_belongs)
        end = self.edge(query["modifyDateEnd"]) if "modifyDateEnd" in query else None
        return end is None or key < end or (key == end and self.end_belongs)


RULES = [Rules(start, end, fractions) for start, end, fractions in product((False, True), (False, True), (False, True))]


@dataclass
class Service:
    """Orders with their last change and how many there have been. Its clock moves with every request."""

    rules: Rules
    size: int
    now: datetime
    changed: dict[int, datetime] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)

    def change(self, order_id: int, at: datetime | None = None) -> None:
        self.changed[order_id] = at or self.now
        self.versions[order_id] = self.versions.get(order_id, 0) + 1

    def delete(self, order_id: int) -> None:
        self.changed.pop(order_id, None)
        self.versions.pop(order_id, None)

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        rows = sorted((self.rules.key(at), order_id) for order_id, at in self.changed.items())
        rows = [row for row in rows if self.rules.takes(row[0], query)]
        page, pages = int(query["page"]), -(-len(rows) // self.size)
        shown = rows[(page - 1) * self.size : page * self.size]
        orders = [self.order(order_id) for order_id in map(itemgetter(1), shown)]
        if self.rules.counts_as_asked:
            pages = -(-len(rows) // int(query["pageSize"]))
        return {"orders": orders, "total": len(rows), "page": page, "pages": pages}

    def order(self, order_id: int) -> dict[str, Any]:
        local = self.changed[order_id].astimezone(PACIFIC).replace(tzinfo=None)
        return {
            "orderId": order_id,
            "orderStatus": str(self.versions[order_id]),
            "modifyDate": local.isoformat(timespec="milliseconds") + "0000",
        }


@dataclass
class Reading:
    """Reads a service, and remembers the latest version it saw of each order."""

    service: Service
    seen: dict[int, int] = field(default_factory=dict)
    watermark: datetime | None = None
    closed_until: datetime | None = None
    requests: int = 0

    def read(self, start: datetime, between: Callable[[], None] = lambda: None, at_most: int | None = None) -> bool:
        """Read from `start` on, with `between` happening after each request. Return whether the end was reached."""
        cursor: Cursor | None = Cursor(start)
        self.requests = 0
        while cursor is not None and self.requests != at_most:
            assert self.requests < 300, "this reading does not come to an end"
            self.requests += 1
            page = decode_page(self.service.answer(query_of(cursor)), self.service.now)
            self.closed_until = max(filter(None, (self.closed_until, cursor.end)), default=None)
            self.seen |= {int(order.shipstation_order_id): int(order.status) for order in page.orders}
            self.watermark = max(filter(None, (self.watermark, newest(page))), default=None)
            cursor = next_cursor(cursor, page)
            if cursor is not None:
                between()
        return cursor is None

    def missed(self) -> set[int]:
        return {one for one, version in self.service.versions.items() if self.seen.get(one) != version}


# A history with crowds in single seconds, before a service's clock that starts a little after it.
BEFORE = NOW - timedelta(minutes=20)
TIMES = st.builds(
    lambda crowd, milliseconds: BEFORE + timedelta(seconds=crowd, milliseconds=milliseconds),
    st.sampled_from([2, 3, 5, 400, 401, 402, 1150]),
    st.sampled_from([0, 0, 1, 400, 999]),
)
ACTS = st.lists(st.tuples(st.sampled_from(["change", "change", "delete"]), st.integers(1, 40)), max_size=6)
TURNS = st.lists(st.tuples(st.sampled_from([1, 300, 1000, 4000]), ACTS), max_size=12)


class Turns:
    """What happens to a service between requests, drawn beforehand."""

    def __init__(self, reading: Reading, turns: list[tuple[int, list[tuple[str, int]]]]) -> None:
        self.reading, self.turns = reading, iter(turns)
        self.in_closed: set[int] = set()

    def __call__(self) -> None:
        service = self.reading.service
        milliseconds, acts = next(self.turns, (1000, []))
        service.now += timedelta(milliseconds=milliseconds)
        for act, order_id in acts:
            service.delete(order_id) if act == "delete" else service.change(order_id)
            if self.reading.closed_until and service.now < self.reading.closed_until:
                self.in_closed.add(order_id)


def service_of(times: list[datetime], rules: Rules, size: int, now: datetime) -> Service:
    service = Service(rules, size, now)
    for order_id, at in enumerate(times, 1):
        service.change(order_id, at)
    return service


@given(st.lists(TIMES, max_size=30), TURNS, st.sampled_from(RULES), st.integers(2, 5), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_reading_that_has_come_to_its_end_has_seen_every_order_as_it_is(
    times: list[datetime], turns: list[tuple[int, list[tuple[str, int]]]], rules: Rules, size: int, as_asked: bool
) -> None:
    reading = Reading(service_of(times, replace(rules, counts_as_asked=as_asked), size, BEFORE + seconds(1151)))
    happening = Turns(reading, turns)
    assert reading.read(BEFORE, happening)
    # Only what changed inside a span of three seconds that was being read backwards may be missing, until next time.
    assert reading.missed() <= happening.in_closed
    assert reading.watermark is None or reading.read(reading.watermark - overlap(reading.watermark))
    assert not reading.missed()


@given(st.lists(TIMES, max_size=30), TURNS, st.sampled_from(RULES), st.integers(2, 5), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_reading_that_was_cut_off_is_taken_up_from_its_watermark(
    times: list[datetime], turns: list[tuple[int, list[tuple[str, int]]]], rules: Rules, size: int, requests: int
) -> None:
    reading = Reading(service_of(times, rules, size, BEFORE + seconds(1151)))
    happening = Turns(reading, turns)
    reading.read(BEFORE, happening, at_most=requests)
    start = reading.watermark - overlap(reading.watermark) if reading.watermark else BEFORE
    assert reading.read(start)
    assert not reading.missed()


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_far_more_than_a_page_in_one_second_is_read_while_it_shrinks(rules: Rules) -> None:
    crowd = [BEFORE + timedelta(seconds=10, milliseconds=20 * number) for number in range(40)]
    times = [BEFORE + seconds(9), *crowd, BEFORE + seconds(11), BEFORE + seconds(12)]
    service = service_of(times, rules, 4, NOW)
    reading, leaving = Reading(service), iter(range(1, 40, 2))

    def between() -> None:
        service.now += seconds(1)
        if order_id := next(leaving, None):
            service.change(order_id)

    assert reading.read(BEFORE, between)
    assert not reading.missed()
    assert reading.requests < 60


@pytest.mark.parametrize("size", [3, 50])
def test_a_service_that_ignores_the_filters_does_not_keep_us_for_ever(size: int) -> None:
    times = [BEFORE + seconds(number) for number in range(40)]
    reading = Reading(service_of(times, Rules(filters=False), size, NOW))
    if size > len(times):
        assert reading.read(BEFORE + seconds(20))
        assert not reading.missed()
    else:
        with pytest.raises(Transient, match="begin"):
            reading.read(BEFORE + seconds(20))


# The repeated hour: 01:00 to 02:00 on the clock, from 08:00 UTC and again from 09:00 UTC.

HOUR = datetime(2025, 11, 2, 8, tzinfo=UTC)
NIGHT_RULES = [
    replace(rules, by_clock=by_clock, fold=fold)
    for rules in RULES
    for by_clock, fold in [(True, 0), (False, 0), (False, 1)]
]
NIGHT_TIMES = st.one_of(
    st.integers(-600, 8000).map(lambda count: HOUR + seconds(count)),
    st.sampled_from([HOUR + seconds(count) for count in (-1, 0, 3599, 3600, 7199, 7200, 7201)]),
)


@given(st.lists(NIGHT_TIMES, max_size=30), st.sampled_from(NIGHT_RULES), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_the_repeated_hour_is_read_whole_however_it_is_sorted(times: list[datetime], rules: Rules, size: int) -> None:
    reading = Reading(service_of(times, rules, size, HOUR + seconds(8001)))
    assert reading.read(HOUR - seconds(700))
    assert not reading.missed()


@given(st.lists(NIGHT_TIMES, min_size=1, max_size=30), st.sampled_from(NIGHT_RULES), st.integers(2, 5), st.randoms())
@settings(max_examples=25, deadline=None)
def test_what_changes_in_the_repeated_hour_is_seen_by_the_first_reading_after_it(
    times: list[datetime], rules: Rules, size: int, dice: Any
) -> None:
    """Each reading begins at the watermark of the one before; meanwhile the clock goes back, and with it the stamps."""
    service = service_of([at for at in times if at < HOUR], rules, size, HOUR - seconds(1))
    service.change(99)
    reading = Reading(service)
    assert reading.read(HOUR - seconds(700))
    for at in sorted(at for at in times if at >= HOUR):
        service.now = at
        service.change(dice.randint(1, 30))
        if dice.random() < 0.5:
            assert reading.watermark is not None
            assert reading.read(reading.watermark - overlap(reading.watermark))
    service.now = max(service.now, HOUR + seconds(7200))
    assert reading.watermark is not None
    assert reading.read(reading.watermark - overlap(reading.watermark))
    assert not reading.missed()
