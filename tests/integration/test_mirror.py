"""The mirror: read from ShipStation over HTTP into the database, page by page, and how long it counts as fresh."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.budget import Budget, NoBudget
from listener.database import Connection, connect_work
from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.shipstation.listing import RemoteOrder
from listener.shipstation.pacific import overlap, tick, to_pacific
from listener.store import mirror
from listener.workflows.keep_mirror import LIST, LOOK_UP, KeepMirror
from tests.support.shop import value_of
from tests.support.upload import Time

FLAGS = Flags(api_calls_per_hour=1_000_000)


class Mirror:
    """A mirror as one process keeps it."""

    def __init__(self, db: Connection, account: ShipStationSimulator, at: Time, client: ShipStation) -> None:
        self.db, self.account, self.time = db, account, at
        self.metrics = Metrics("test")
        self.budget = Budget(self.metrics, at.monotonic)
        self.keeper = KeepMirror(client, self.budget, self.metrics, at.monotonic)
        self.keeper.load(db)

    def read_page(self) -> bool:
        (call_id,) = self.budget.take(self.db, FLAGS, LIST)
        return self.keeper.read_page(self.db, call_id)

    def read_all(self, pages: int = 20) -> int:
        """Read to the end; return how many pages that took."""
        for count in range(1, pages + 1):
            if self.read_page():
                return count
        raise AssertionError(f"it was not read to the end in {pages} pages")

    def look_up(self, number: str) -> list[str]:
        """Look a number up; return the ids of what the mirror has under it then."""
        (call_id,) = self.budget.take(self.db, FLAGS, LOOK_UP)
        self.keeper.look_up(self.db, number, call_id)
        return self.ids(number.strip().upper())

    def ids(self, key: str) -> list[str]:
        return [order.shipstation_order_id for order in mirror.with_these_numbers(self.db, [key])]

    def statuses(self) -> dict[str, str]:
        return dict(self.db.execute("select order_number, status from listener.mirror").fetchall())

    @property
    def state(self) -> mirror.MirrorState:
        return mirror.read_state(self.db)

    @property
    def is_fresh(self) -> bool:
        return self.keeper.is_fresh(FLAGS)

    def journal(self) -> list[tuple[Any, ...]]:
        return self.db.execute("select endpoint, status, error from listener.api_calls order by id").fetchall()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def account(shipstation: ShipStationSimulator) -> ShipStationSimulator:
    shipstation.limit_per_minute = None
    return shipstation


@pytest.fixture
def start(dsn: str, account: ShipStationSimulator, stack: ExitStack) -> Callable[[], Mirror]:
    """Start as a process does that finds in the database what was there before it; all share one time."""
    at = Time()
    account.clock = at.utc

    def start() -> Mirror:
        db = stack.enter_context(connect_work(dsn, "listener test mirror"))
        at.rule(db)
        client = ShipStation(account.url, account.api_key, account.api_secret)
        stack.callback(client.close)
        return Mirror(db, account, at, client)

    return start


@pytest.fixture
def ours(start: Callable[[], Mirror]) -> Mirror:
    return start()


def add(account: ShipStationSimulator, count: int, *, days_ago: float = 30, name: str = "M") -> datetime:
    """Have people make so many orders at ShipStation, one a minute; return when the last one was made."""
    now, clock = account.clock(), account.clock
    for number in range(count):
        account.clock = lambda at=now - timedelta(days=days_ago, minutes=-number): at
        account.user.create_manual(f"{name}-{number}")
    made, account.clock = account.clock(), clock
    return made


def progress(ours: Mirror) -> list[tuple[int, int | None]]:
    """Return what is shown of how far a reading is."""
    return [(headway.done, headway.total) for headway in ours.metrics.progress()]


def pages_asked(account: ShipStationSimulator) -> int:
    return len(account.requests)


def near(one: datetime | None, other: datetime) -> bool:
    return one is not None and abs(one - other) < timedelta(seconds=1)


# The first reading.


def test_the_first_reading_goes_page_by_page_and_says_how_far_it_is(
    ours: Mirror, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    last = add(account, 1100)
    caplog.set_level(logging.INFO)
    assert ours.state[:4] == (None, False, None, 0)
    assert not ours.read_page()
    assert progress(ours) == [(500, 1100)]
    assert (ours.state.orders, ours.state.is_full, ours.is_fresh) == (500, False, False)
    assert near(ours.state.watermark, last - timedelta(minutes=600))
    assert not ours.read_page()
    assert progress(ours) == [(999, 1100)]
    assert ours.read_page()
    assert progress(ours) == []
    assert (ours.state.orders, ours.state.is_full, ours.is_fresh) == (1100, True, True)
    assert near(ours.state.watermark, last), "it is a time that ShipStation has named, and not ours"
    said = [record.getMessage() for record in caplog.records if record.name.endswith("keep_mirror")]
    text = "Mirror: {} orders of the last 180 days read from ShipStation, {}"
    assert said == [
        text.format(500, "2 pages to go"),
        text.format(999, "1 pages to go"),
        text.format(1100, "it is full"),
    ]
    mirror = ours.metrics.snapshot()["mirror"]
    assert (mirror["full"], mirror["orders"], mirror["age_seconds"] is not None) == (True, 1100, True)


def test_how_far_a_reading_is_is_no_longer_said_when_somebody_else_has_read_to_the_end(
    start: Callable[[], Mirror], account: ShipStationSimulator
) -> None:
    add(account, 1100)
    ours, theirs = start(), start()
    assert not ours.read_page()
    theirs.read_all()
    assert len(progress(ours)) == 1
    assert ours.keeper.is_fresh_by_now(ours.db, FLAGS)
    assert progress(ours) == []


def test_it_begins_half_a_year_back(ours: Mirror, account: ShipStationSimulator) -> None:
    add(account, 1, days_ago=181, name="OLD")
    add(account, 1, days_ago=179, name="NEW")
    ours.read_all()
    assert ours.statuses() == {"NEW-0": "awaiting_shipment"}


def test_an_empty_account_is_read_in_one_call_and_is_full(ours: Mirror, account: ShipStationSimulator) -> None:
    assert ours.read_all() == 1
    assert (ours.state.is_full, ours.state.watermark, ours.is_fresh) == (True, None, True)


def test_orders_that_were_all_changed_in_the_same_second_are_all_read(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    moment = account.clock() - timedelta(days=3)
    clock, account.clock = account.clock, lambda: moment
    for number in range(1100):
        account.user.create_manual(f"M-{number}")
    account.clock = clock
    ours.read_all()
    assert ours.state.orders == 1100


def test_a_restart_in_the_middle_goes_on_where_it_was(
    start: Callable[[], Mirror], account: ShipStationSimulator
) -> None:
    add(account, 1100)
    first = start()
    first.read_page()
    second = start()
    assert not second.keeper.is_full
    before = pages_asked(account)
    second.read_all()
    assert (second.state.orders, pages_asked(account) - before) == (1100, 2)


# Later readings.


def test_a_later_reading_is_one_call_from_the_watermark_less_an_overlap(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    add(account, 1100)
    ours.read_all()
    account.user.ship("M-3")
    before = pages_asked(account)
    assert ours.read_page()
    assert pages_asked(account) == before + 1
    assert ours.statuses()["M-3"] == "shipped"
    account.user.cancel("M-4")
    ours.time.advance(60)
    assert ours.read_page()
    assert ours.statuses()["M-4"] == "cancelled"


def test_a_later_reading_of_many_pages_says_how_far_it_is_to_whoever_looks(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    add(account, 10)
    ours.read_all()
    add(account, 1100, days_ago=1, name="LATER")
    assert not ours.read_page()
    assert progress(ours) == [(500, 1106)], "some of the first ones lie in the overlap"
    ours.read_all()
    assert progress(ours) == []


def test_later_readings_are_nobodys_news(ours: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    ours.read_all()
    caplog.set_level(logging.INFO)
    caplog.clear()
    ours.read_all()
    assert caplog.records == []


def test_the_watermark_never_goes_back_and_a_stamp_in_the_far_future_moves_it_nowhere(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    made = add(account, 1, days_ago=2)
    ours.read_all()
    ours.db.execute("update listener.mirror_state set watermark = watermark + interval '1 minute'")
    clock, account.clock = account.clock, lambda: ours.time.utc() + timedelta(days=400)
    account.user.create_manual("FUTURE")
    account.clock = clock
    ours.keeper.load(ours.db)
    ours.read_all()
    assert near(ours.state.watermark, made + timedelta(minutes=1))
    assert "FUTURE" in ours.statuses()


def test_a_reading_that_rested_for_minutes_begins_anew(ours: Mirror, account: ShipStationSimulator) -> None:
    add(account, 1100)
    ours.read_page()
    watermark = ours.state.watermark
    assert watermark is not None
    ours.time.advance(121)
    ours.read_page()
    assert account.requests[-1].query["modifydatestart"] == to_pacific(tick(watermark - overlap(watermark)))
    ours.read_all()
    assert ours.state.orders == 1100


# How long it is good.


@pytest.mark.parametrize(
    ("sync_interval", "good_for"), [(120, 150), (10, 40), (569, 599), (570, 600), (571, 600), (86400, 600)]
)
def test_it_is_fresh_for_a_cycle_of_the_sync_and_30_s_but_at_most_10_minutes(
    ours: Mirror, sync_interval: int, good_for: float
) -> None:
    flags = Flags(sync_interval=sync_interval)
    ours.read_all()
    ours.time.advance(good_for - 5)
    assert ours.keeper.is_fresh(flags)
    assert ours.keeper.knows("A-1", flags)
    ours.time.advance(5)
    assert not ours.keeper.is_fresh(flags)
    assert not ours.keeper.knows("A-1", flags)
    ours.read_all()
    assert ours.keeper.is_fresh(flags)


def test_its_age_counts_from_when_the_last_page_was_asked_for(ours: Mirror, account: ShipStationSimulator) -> None:
    ours.read_all()
    hold = account.hold(when="after")

    def slowly() -> None:
        hold.arrived.wait(5)
        ours.time.passed += 100  # the answer takes its time; no session of the test's thread is touched
        hold.release()

    waiting = threading.Thread(target=slowly)
    waiting.start()
    ours.read_page()
    waiting.join(10)
    ours.time.advance(45)
    assert ours.is_fresh
    ours.time.advance(10)
    assert not ours.is_fresh


def test_a_standby_of_old_takes_over_what_is_fresh_and_how_fresh_it_is(start: Callable[[], Mirror]) -> None:
    first, standby = start(), start()
    first.time.advance(1)
    first.read_all()
    first.time.advance(100)
    standby.keeper.load(standby.db)
    assert (standby.keeper.is_full, standby.is_fresh) == (True, True)
    standby.time.advance(55)
    assert not standby.is_fresh
    assert standby.keeper.is_full


# A rehearsal of the rollout found it: the old uploader had been ended between its request and its row, and `run` began
# right after `run --dry-run`, whose reading of the mirror counted as fresh; the order was made a second time.
def test_what_was_read_before_a_process_began_is_not_fresh_to_it(start: Callable[[], Mirror]) -> None:
    first = start()
    first.read_all()
    first.time.advance(1)
    second = start()
    assert (second.keeper.is_full, second.is_fresh) == (True, False)
    second.read_all()
    assert second.is_fresh


def test_a_process_that_starts_long_after_reads_first_but_only_what_is_new(
    start: Callable[[], Mirror], account: ShipStationSimulator
) -> None:
    add(account, 600)
    start().read_all()
    late = start()
    late.time.advance(3600)
    late = start()
    assert (late.keeper.is_full, late.is_fresh) == (True, False)
    assert late.read_all() == 1


# Faults.


@pytest.mark.parametrize("fault", ["503", "500", "drop-before-commit", "cut", 'answer:body={"orders": null}'])
def test_a_page_that_fails_is_an_error_and_moves_nothing(
    ours: Mirror, account: ShipStationSimulator, fault: str
) -> None:
    add(account, 1100)
    ours.read_page()
    before = ours.state
    account.inject(fault)
    with pytest.raises(Transient):
        ours.read_page()
    assert ours.state[:4] == before[:4]
    assert not ours.is_fresh
    _, status, error = ours.journal()[-1]
    assert error, "and the journal says why"
    assert status in (None, 200)
    account.clear_faults()
    assert ours.read_all() == 2, "then it goes on where it was"
    assert ours.state.orders == 1100


def test_a_failure_leaves_a_mirror_that_was_fresh_as_fresh_as_it_was(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    ours.read_all()
    ours.time.advance(100)
    account.inject("503")
    with pytest.raises(Transient):
        ours.read_page()
    assert ours.is_fresh
    ours.time.advance(55)
    assert not ours.is_fresh


def test_a_throttled_page_closes_the_window_for_as_long_as_they_say(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    account.inject("429", reset=17)
    with pytest.raises(NoBudget) as none_left:
        ours.read_page()
    assert 16 < none_left.value.seconds <= 17
    with pytest.raises(NoBudget):
        ours.read_page()
    assert pages_asked(account) == 1
    assert ours.journal() == [(LIST, 429, "ShipStation answered 429: too many requests")]


def test_orders_that_have_no_id_are_named_and_keep_nobody_from_being_read(
    ours: Mirror, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    body = (
        '{"orders": [{"orderNumber": "BAD-1"}, {"orderId": 7, "orderNumber": "A-7", "orderStatus": "shipped",'
        ' "modifyDate": "2025-01-02T03:04:05"}], "total": 2, "page": 1, "pages": 1}'
    )
    account.inject("answer", body=body)
    ours.read_all()
    assert "BAD-1" in caplog.text
    assert ours.statuses() == {"A-7": "shipped"}


def test_words_and_numbers_that_the_database_cannot_hold_do_not_stop_a_page(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    row = '{"orderId": %d, "orderNumber": "A-%s", "orderStatus": "%s", "modifyDate": "2025-01-02T03:04:05"}'
    rows = [row % (7, "1", "\\u0000odd"), row % (8, "\\ud83d", "shipped"), row % (9, "3", "x" * 1000)]
    account.inject("answer", body=f'{{"orders": [{", ".join(rows)}], "total": 3, "page": 1, "pages": 1}}')
    ours.read_all()
    assert ours.state.orders == 3
    assert ours.ids("A-3") == ["9"]


# One number.


def test_a_look_up_finds_the_exact_number_though_the_service_matches_by_its_beginning(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    wanted = account.user.create_manual("A-1")
    for number in ("A-10", "A-1-B", "B-A-1"):
        account.user.create_manual(number)
    assert ours.look_up("A-1") == [str(wanted["orderId"])]
    assert ours.look_up("A-") == []
    assert set(ours.statuses()) == {"A-1", "A-10", "A-1-B"}, "what it has shown besides is true as well"


@pytest.mark.parametrize("number", ["abc-1", " Abc-1", "ABC-1  "])
def test_a_look_up_takes_case_and_blanks_around_the_number_for_nothing(
    ours: Mirror, account: ShipStationSimulator, number: str
) -> None:
    wanted = account.user.create_manual("Abc-1")
    assert ours.look_up(number) == [str(wanted["orderId"])]
    assert ours.keeper.knows("ABC-1", FLAGS)


def test_a_number_that_was_looked_up_is_known_and_others_are_not_and_not_for_longer_than_the_mirror(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    assert not ours.keeper.knows("A-1", FLAGS)
    assert ours.look_up("A-1") == []
    assert ours.keeper.knows("A-1", FLAGS), "not there is an answer too"
    assert not ours.keeper.knows("A-10", FLAGS)
    assert not ours.is_fresh
    assert (ours.state.watermark, ours.state.is_full) == (None, False)
    ours.time.advance(145)
    assert ours.keeper.knows("A-1", FLAGS)
    ours.time.advance(5)
    assert not ours.keeper.knows("A-1", FLAGS)


def test_a_look_up_that_fails_or_is_cut_to_a_page_is_no_answer(ours: Mirror, account: ShipStationSimulator) -> None:
    account.inject("503", times=1)
    with pytest.raises(Transient, match="503"):
        ours.look_up("M-1")
    assert not ours.keeper.knows("M-1", FLAGS)
    add(account, 501, name="N")
    ours.look_up("N")
    assert not ours.keeper.knows("N", FLAGS)


# What changed since.


def test_what_changed_since_a_moment_is_read_though_the_watermark_is_further(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    ours.read_all()
    add(account, 1, days_ago=1, name="LATE")  # it shows only now
    ours.db.execute("update listener.mirror_state set watermark = clock_timestamp()")
    ours.keeper.read_since(ours.db, FLAGS, account.clock() - timedelta(days=1))
    assert "LATE-0" in ours.statuses()
    assert ours.journal()[-1][:2] == (LIST, 200)


def test_it_makes_the_mirror_fresh_when_that_is_full(ours: Mirror, account: ShipStationSimulator) -> None:
    ours.read_all()
    ours.time.advance(200)
    account.user.create_manual("A-1")
    ours.keeper.read_since(ours.db, FLAGS, account.clock())
    assert ours.is_fresh
    assert near(ours.state.watermark, account.clock())


def test_beside_the_first_reading_it_moves_neither_the_watermark_nor_the_reading(
    ours: Mirror, account: ShipStationSimulator
) -> None:
    add(account, 1100)
    ours.read_page()
    before = ours.state
    account.user.create_manual("A-1")
    ours.keeper.read_since(ours.db, FLAGS, account.clock())
    assert "A-1" in ours.statuses()
    assert (ours.state.watermark, ours.state.is_full, ours.is_fresh) == (before.watermark, False, False)
    ours.read_all()
    assert ours.state.orders == 1101


# What is taken over.


def remote(order_id: str, modified: datetime, status: str = "awaiting_shipment", **changes: Any) -> RemoteOrder:
    values = {"order_number": "A-1", "shipstation_key": "k", "merged_ids": ()} | changes
    created = datetime(2025, 1, 1, tzinfo=UTC)
    return RemoteOrder(order_id, status=status, created_at=created, modified_at=modified, **values)


def test_an_older_change_does_not_overwrite_a_newer_one(ours: Mirror) -> None:
    then = datetime(2025, 1, 2, tzinfo=UTC)
    mirror.apply_orders(ours.db, [remote("7", then, "shipped")])
    mirror.apply_orders(ours.db, [remote("7", then - timedelta(seconds=1), "awaiting_shipment", order_number="A-0")])
    assert ours.statuses() == {"A-1": "shipped"}
    mirror.apply_orders(ours.db, [remote("7", then + timedelta(seconds=1), "cancelled", order_number="A-2")])
    assert ours.statuses() == {"A-2": "cancelled"}


def test_a_page_that_shows_an_order_twice_is_taken_over_with_the_later_one(ours: Mirror) -> None:
    then = datetime(2025, 1, 2, tzinfo=UTC)
    mirror.apply_orders(ours.db, [remote("7", then, "shipped"), remote("7", then - timedelta(seconds=1))])
    assert ours.statuses() == {"A-1": "shipped"}


def test_two_changes_within_one_stamp_leave_what_was_seen_last(ours: Mirror) -> None:
    then = datetime(2025, 1, 2, tzinfo=UTC)
    mirror.apply_orders(ours.db, [remote("7", then)])
    mirror.apply_orders(ours.db, [remote("7", then, "shipped")])
    assert ours.statuses() == {"A-1": "shipped"}


def test_an_order_that_was_merged_into_another_counts_as_that_one(ours: Mirror, account: ShipStationSimulator) -> None:
    gone = account.user.create_manual("A-1")
    ours.read_all()
    account.user.delete("A-1")  # it vanishes from the lists
    merging = account.user.create_manual("B-1", advancedOptions={"mergedIds": [gone["orderId"]]})
    ours.read_all()
    (there,) = mirror.with_these_numbers(ours.db, ["A-1"])
    assert there.shipstation_order_id == str(merging["orderId"])
    assert ours.ids("B-1") == [str(merging["orderId"])]


def test_an_order_that_vanished_from_the_lists_is_still_known(ours: Mirror, account: ShipStationSimulator) -> None:
    gone = account.user.create_manual("A-1")
    ours.read_all()
    account.user.delete("A-1")
    ours.read_all()
    assert ours.ids("A-1") == [str(gone["orderId"])]
    assert ours.look_up("A-1") == [str(gone["orderId"])], "not listed is not never made"


def test_the_oldest_under_a_number_comes_first(ours: Mirror, account: ShipStationSimulator) -> None:
    young = account.user.create_manual("A-1")
    add(account, 1, days_ago=9, name="X")
    old = account.user.edit("X-0", orderNumber="a-1 ")
    ours.read_all()
    assert ours.ids("A-1") == [str(old["orderId"]), str(young["orderId"])]


def test_our_orders_are_found_by_their_key(ours: Mirror) -> None:
    then = datetime(2025, 1, 2, tzinfo=UTC)
    orders = [
        remote("7", then, shipstation_key="listener-A-1"),
        remote("8", then, shipstation_key="listener-A-1~2"),
        remote("9", then, shipstation_key=None),
    ]
    mirror.apply_orders(ours.db, orders)
    found = mirror.with_these_keys(ours.db, ["listener-A-1", "listener-A-9"])
    assert [order.shipstation_order_id for order in found] == ["7"]


def test_a_conflict_is_noted_once(ours: Mirror) -> None:
    for _ in range(2):
        mirror.note_conflict(ours.db, "A-1", "several", ["7", "8"])
    mirror.note_conflict(ours.db, "A-1", "several", ["7", "8", "9"])
    assert value_of(ours.db, "select count(*) from listener.conflicts") == 2
