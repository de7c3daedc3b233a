"""How the sync reads: where it begins, what it does about faults, and that a watermark means what it says."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from listener.database import UNINSTALLED
from listener.embedded.shipstation import ShipStationSimulator
from listener.errors import Transient
from listener.events import SYNC, Failed, RunSync, Source
from listener.leader import LeadLost
from listener.shipstation.pacific import from_pacific, overlap, tick, to_pacific
from listener.workflows import read_labels
from listener.workflows.run_sync import SyncRunner
from tests.support.shop import Connection, value_of
from tests.support.sync import ORDERS, WATERMARK, Syncing, failures, status_of, syncing, upload
from tests.support.upload import Time

HELD = "2035-12-24"


def watermark(shop: Connection) -> str | None:
    text: str | None = value_of(shop, WATERMARK)
    return text


def hold(sync: Syncing, numbers: list[str], seconds: float = 0) -> None:
    """Have orders changed one after the other, with so much time between."""
    for number in numbers:
        sync.account.user.hold(number, HELD)
        sync.time.advance(seconds)


def held(shop: Connection) -> int:
    return int(value_of(shop, "select count(*) from orders_inbox where status = 'on_hold'"))


def made(sync: Syncing, shop: Connection, count: int, name: str = "A") -> list[str]:
    numbers = [f"{name}-{n}" for n in range(count)]
    for number in numbers:
        upload(shop, sync.account, number)
    sync.time.advance(3600)
    return numbers


# Where it begins, and where it ends.


def test_it_begins_an_overlap_before_the_watermark(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    sync.cycle()
    stands_at = from_pacific(watermark(shop) or "")
    sync.next_cycle()
    assert sync.calls(ORDERS)[-1]["modifydatestart"] == to_pacific(tick(stands_at - overlap(stands_at)))


@pytest.mark.parametrize("seconds", [0, 0.3, 1, 20])
def test_nothing_is_missed_at_the_borders_of_pages_whatever_the_stamps(
    sync: Syncing, shop: Connection, small_pages: int, seconds: float
) -> None:
    numbers = made(sync, shop, 65)
    hold(sync, numbers, seconds)
    sync.cycle()
    assert held(shop) == 65


def test_what_changes_while_it_reads_is_not_missed_either(sync: Syncing, shop: Connection, small_pages: int) -> None:
    numbers = made(sync, shop, 60)
    hold(sync, numbers, 3)
    sync.step()
    hold(sync, numbers[:30], 1)  # they jump to the end of the list
    sync.cycle()
    assert held(shop) == 60


def test_a_crash_at_any_page_costs_only_time(sync: Syncing, shop: Connection, small_pages: int) -> None:
    numbers = made(sync, shop, 65)
    hold(sync, numbers, 2)
    for _ in range(3):
        sync.step()
        sync.lead()
    assert 0 < held(shop) < 65
    sync.cycle()
    assert held(shop) == 65


def test_the_watermark_stands_on_what_has_been_taken_over_and_moves_with_each_page(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    numbers = made(sync, shop, 50)
    hold(sync, numbers, 2)
    stood = []
    for _ in range(6):
        sync.step()
        stands_at = watermark(shop) or ""
        behind = [o["orderNumber"] for o in account.orders if o["modifyDate"] <= stands_at]
        assert all(status_of(shop, number) == "on_hold" for number in behind if number in numbers)
        stood.append(stands_at)
    assert stood == sorted(stood)
    assert stood[0] < stood[-1]


def test_a_stamp_in_the_far_future_moves_it_nowhere(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    clock, account.clock = account.clock, lambda: sync.time.utc() + timedelta(days=400)
    account.user.hold("A-0", HELD)
    account.clock = clock
    sync.cycle()
    assert status_of(shop, "A-0") == "on_hold"
    assert watermark(shop) is None
    upload(shop, account, "B-1")
    account.user.ship("B-1")
    sync.next_cycle()
    assert status_of(shop, "B-1") == "shipped"


def test_two_interleaved_programs_leave_the_greater_watermark(sync: Syncing, shop: Connection) -> None:
    made(sync, shop, 1)
    later = "2035-07-15T12:59:00.0000000"
    shop.execute(
        "insert into sync_watermark (workflow_name, last_sync_timestamp) values ('unified-shipstation-sync', %s)",
        [later],
    )
    sync.cycle()
    assert watermark(shop) == later


NIGHTS = [datetime(2035, 11, 4, 8, tzinfo=UTC), datetime(2035, 3, 11, 9, tzinfo=UTC)]
"""An hour before California's clock goes back, and before it goes forward."""


@pytest.mark.parametrize("night", NIGHTS)
def test_in_the_nights_of_the_clock_nothing_is_missed(
    dsn: str, shop: Connection, account: ShipStationSimulator, night: datetime, small_pages: int
) -> None:
    at = Time()
    at.passed = (night - datetime.now(UTC)).total_seconds()
    with syncing(dsn, account, at) as sync:
        numbers = made(sync, shop, 40)
        sync.time.advance(-3600)
        for minute in range(0, 200, 5):  # 200 minutes, a change and a cycle each 5
            account.user.hold(numbers[minute // 5], HELD)
            sync.time.advance(300)
            sync.cycle()
            assert held(shop) == minute // 5 + 1


# Faults.


def test_an_order_put_aside_is_tried_again_after_a_minute_then_after_twice_as_long(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    shop.execute("alter table orders_inbox add constraint test check (status <> 'on_hold')")
    hold(sync, ["A-0"])
    for tries, wait in enumerate([0, 61, 121, 241]):
        sync.time.advance(wait - 5)
        if tries:
            sync.cycle()
            assert failures(shop)[0][3] == tries - 1, "it is not time yet"
        sync.time.advance(10)
        sync.cycle()
        assert failures(shop)[0][3] == tries
    before = len(account.requests)
    shop.execute("alter table orders_inbox drop constraint test")
    sync.time.advance(86400)
    sync.cycle()
    assert (status_of(shop, "A-0"), failures(shop)) == ("on_hold", [])
    assert "/orders/" not in {request.path[:8] for request in account.requests[before:]}, "from what was kept of it"


def test_a_later_version_of_an_order_takes_the_place_of_the_one_put_aside(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    shop.execute("alter table orders_inbox add constraint test check (status <> 'on_hold')")
    hold(sync, ["A-0"])
    sync.cycle()
    account.user.restore("A-0")
    account.user.ship("A-0")
    sync.next_cycle()
    assert (status_of(shop, "A-0"), failures(shop)) == ("shipped", [])


def test_an_order_that_makes_no_sense_is_put_aside_with_the_reason(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    numbers = made(sync, shop, 2)
    hold(sync, numbers)
    broken, good = account.orders
    broken |= {"items": [{"sku": "17001", "quantity": "many"}]}
    body = json.dumps({"orders": [broken, good], "total": 2, "page": 1, "pages": 1})
    account.inject("answer", path="/orders", body=body)
    sync.cycle()
    assert status_of(shop, "A-1") == "on_hold"
    ((_, _, error, _),) = failures(shop)
    assert "quantity of item '17001' is 'many'" in error


def test_a_page_whose_failure_cannot_be_recorded_moves_nothing(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 2)
    sync.cycle()
    before = watermark(shop)
    shop.execute("alter table orders_inbox add constraint test check (order_number <> 'A-0' or status <> 'on_hold')")
    shop.execute("alter table listener.sync_failures rename to gone")
    hold(sync, ["A-0", "A-1"], 1)
    with pytest.raises(Exception, match="sync_failures"):
        sync.next_cycle()
    assert (watermark(shop), held(shop)) == (before, 0)
    shop.execute("alter table listener.gone rename to sync_failures")
    sync.next_cycle()
    assert (held(shop), len(failures(shop))) == (1, 1)


def test_an_order_that_spoils_its_pages_is_skipped_named_and_read_when_it_is_well_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, small_pages: int, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = made(sync, shop, 50)
    hold(sync, numbers, 2)
    account.inject("poison", orders=("A-33",), path="/orders")
    with pytest.raises(Transient):
        sync.cycle()
    sync.time.advance(60)
    sync.cycle()
    assert held(shop) == 49
    assert status_of(shop, "A-33") == "uploaded"
    assert "The sync skips 1 orders that spoil each page they are on" in caplog.text
    assert [failure[0] for failure in failures(shop)] == ["stretch"]
    newest = max(order["modifyDate"] for order in account.orders)
    assert watermark(shop) == newest
    account.clear_faults()
    sync.time.advance(3600)
    sync.cycle()
    assert (held(shop), failures(shop)) == (50, [])


def test_while_it_spoils_its_page_a_cycle_does_not_take_it_apart_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, small_pages: int
) -> None:
    numbers = made(sync, shop, 5)
    hold(sync, numbers, 2)
    account.inject("poison", orders=("A-4",), path="/orders")  # nothing comes behind it that could move the watermark
    with pytest.raises(Transient):
        sync.cycle()
    sync.time.advance(60)
    sync.cycle()
    before = len(account.requests)
    for _ in range(3):
        sync.next_cycle()
    assert len(account.requests) == before + 3
    upload(shop, account, "B-1")
    account.user.ship("B-1", "T1")
    sync.next_cycle()
    assert status_of(shop, "B-1") == "shipped"


def test_an_outage_costs_a_call_a_try_but_for_now_and_then(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 3)
    account.inject("500", path="/orders")
    calls = []
    for _ in range(6):
        before = len(account.requests)
        with pytest.raises(Transient):
            sync.cycle()
        calls.append(len(account.requests) - before)
        sync.time.advance(300)
    assert calls[0] == 1
    assert 10 < calls[1] < 30
    assert calls[2:] == [1, 1, 1, 1]
    account.clear_faults()
    hold(sync, ["A-0"])
    sync.cycle()
    assert held(shop) == 1


def test_an_order_without_an_id_is_named_once_and_holds_nobody_up(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    order = '{"orderNumber": "NO-ID", "modifyDate": "2035-07-15T12:00:00"}'
    account.inject("answer", path="/orders", body=f'{{"orders": [{order}, 7], "total": 2, "page": 1, "pages": 1}}')
    sync.cycle()
    sync.next_cycle()
    assert caplog.text.count("NO-ID") == 1


def test_refused_keys_are_said_once_and_it_backs_off(
    sync: Syncing, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    runner = SyncRunner(sync.sync, sync.metrics)
    account.inject("answer", status=401, body="{}")
    for _ in range(3):
        failed = runner.run(RunSync(Source.HEARTBEAT, sync.epoch), sync.flags)
        assert isinstance(failed, Failed)
    said = [record for record in caplog.records if "refuses our key (401)" in record.getMessage()]
    assert len(said) == 1
    assert said[0].levelno == logging.WARNING
    figures = sync.metrics.snapshot()["workflows"]["unified-shipstation-sync"]
    assert (figures["errors"], figures["checks"]) == (3, 3)


def test_without_its_tables_it_says_what_to_do_and_goes_on_after_an_install(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    runner = SyncRunner(sync.sync, sync.metrics)
    shop.execute("alter table listener.links rename to gone")
    made(sync, shop, 1)
    assert runner.run(RunSync(Source.HEARTBEAT, sync.epoch), sync.flags) == Failed(SYNC, UNINSTALLED)
    shop.execute("alter table listener.gone rename to links")
    runner.run(RunSync(Source.HEARTBEAT, sync.epoch), sync.flags)
    assert watermark(shop) is not None


def test_under_another_leaders_epoch_nothing_is_written(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    hold(sync, ["A-0"])
    shop.execute("update listener.leader set epoch = epoch + 1")
    with pytest.raises(LeadLost):
        sync.cycle()
    assert (held(shop), watermark(shop), sync.calls(ORDERS)) == (0, None, [])
    sync.lead()
    (step, answer) = (sync.step, account.hold(path=ORDERS, when="after"))
    answer.release()
    account.clear_faults()
    step()
    assert held(shop) == 1


def test_a_lead_that_is_lost_while_shipstation_answers_writes_nothing(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    hold(sync, ["A-0"])
    list_orders = sync._shipstation.list_orders

    def and_then(query: dict[str, str]) -> object:
        answer = list_orders(query)
        shop.execute("update listener.leader set epoch = epoch + 1")
        return answer

    sync._shipstation.list_orders = and_then  # type: ignore[method-assign,assignment]
    with pytest.raises(LeadLost):
        sync.cycle()
    assert (held(shop), watermark(shop), value_of(shop, "select count(*) from listener.mirror")) == (0, None, 0)


# What it says.


def test_a_long_reading_says_how_far_it_is_now_and_then_and_not_at_each_page(
    sync: Syncing, shop: Connection, small_pages: int, caplog: pytest.LogCaptureFixture
) -> None:
    made(sync, shop, 0)
    for n in range(400):
        sync.account.user.create_manual(f"X-{n}")
        sync.time.advance(2)
    caplog.set_level(logging.INFO)
    sync.step()
    assert [(headway.done, headway.total) for headway in sync.metrics.progress()] == [(20, 400)]
    assert sync.metrics.snapshot()["workflows"][SYNC]["progress"] == "20 of 400 changed orders read"
    sync.cycle()
    assert sync.metrics.progress() == []
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Sync: ")]
    assert said[0] == "Sync: 20 orders read, 19 pages to go"
    assert said[-1] == "Sync: up to date, 400 orders read"
    assert len(said) < 6
    caplog.clear()
    sync.next_cycle()
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition("duration")[0] for text in said if "METRICS" not in text] == []


def test_many_labels_say_how_many_have_been_read(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_labels, "ORDERS_A_BATCH", 3)
    for number in made(sync, shop, 7):
        account.user.ship(number)
    shown = []
    while not sync.step().over:
        shown += [headway.text for headway in sync.metrics.progress()]
    assert list(dict.fromkeys(shown)) == [
        "labels of 3 orders read",
        "labels of 6 orders read",
        "labels of 7 orders read",
    ]
    assert sync.metrics.progress() == []


def test_a_cycle_that_fails_says_no_more_how_far_it_was(sync: Syncing, shop: Connection, small_pages: int) -> None:
    made(sync, shop, 60)
    sync.step()
    assert len(sync.metrics.progress()) == 1
    sync.account.inject("500:path=/orders,times=2")
    with pytest.raises(Transient):
        sync.step()
    assert sync.metrics.progress() == []


def test_each_cycle_has_its_metrics_line(
    sync: Syncing, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made(sync, shop, 3)
    sync.cycle()
    sync.next_cycle()
    hold(sync, ["A-0", "A-1"])
    sync.next_cycle()
    account.inject("503", path="/orders")
    with pytest.raises(Transient):
        sync.next_cycle()
    lines = [record.getMessage() for record in caplog.records if "METRICS" in record.getMessage()]
    assert [line.partition(" interval")[0] for line in lines] == [
        "METRICS: workflow=sync fetched=3 changed=0",
        "METRICS: workflow=sync fetched=0 changed=0",
        "METRICS: workflow=sync fetched=2 changed=2",
        "METRICS: workflow=sync fetched=0 changed=0",
    ]
    assert [line.split("action=")[1] for line in lines] == [
        *("process source=manual", "skip source=manual", "process source=manual", "error source=manual"),
    ]
    figures = sync.metrics.snapshot()["workflows"]["unified-shipstation-sync"]
    assert (figures["checks"], figures["skips"], figures["processed"]) == (4, 1, 2)


def test_a_connection_that_a_pooler_has_closed_is_opened_again(
    sync: Syncing, shop: Connection, account: ShipStationSimulator
) -> None:
    made(sync, shop, 1)
    sync.cycle()
    hold(sync, ["A-0"])
    sync.time.advance(120)
    shop.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'listener test step'")
    sync.cycle()
    assert held(shop) == 1
