"""The upload and the shop's rows, which are renamed, locked and cancelled meanwhile; and the listener's own schema."""

import psycopg
import pytest

from listener.embedded.shipstation import ShipStationSimulator
from listener.leader import LeadLost
from listener.store import inbox
from listener.store.inbox import Claimed, Known
from tests.support.shop import Connection, insert_order, row_of, value_of
from tests.support.upload import CREATE, LIST, Leader, insert, rows, statuses, times_made, while_it_sends

# What the shop does with its rows meanwhile.


def refuse_to_change(shop: Connection, number: str) -> None:
    shop.execute(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'this row is frozen'; end $$"
    )
    condition = f"when (old.order_number = '{number}')"
    shop.execute(
        f"create trigger refuse before update on orders_inbox for each row {condition} "
        "execute function refuse()".encode()
    )


def test_a_row_that_the_shops_own_trigger_protects_does_not_hold_up_others(
    ours: Leader, shop: Connection, account: ShipStationSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_to_change(shop, "A-2")
    insert(shop, 3)
    ours.run_all()
    insert_order(shop, "B-1")
    for _ in range(5):
        ours.run_all()
        ours.time.advance(15)
    assert {number: row[0] for number, row in rows(shop).items()} == {
        "A-1": "uploaded",
        "A-2": "awaiting_shipment",
        "A-3": "uploaded",
        "B-1": "uploaded",
    }
    assert ours.ledger("A-2") == ("accepted",)
    assert set(times_made(account).values()) == {1}
    assert caplog.text.count("this row is frozen") == 1
    shop.execute("drop trigger refuse on orders_inbox")
    ours.run_all()
    assert statuses(shop) == {"uploaded": 4}


@pytest.mark.parametrize("number", ["100123", "N" * 51])
def test_nor_does_one_that_is_not_sent_at_all(ours: Leader, shop: Connection, number: str) -> None:
    refuse_to_change(shop, number)
    insert_order(shop, number)
    ours.run_all()
    insert_order(shop, "B-1")
    ours.run_all()
    assert ours.sent() == [["B-1"]]


def rename(shop: Connection, old: str, new: str) -> None:
    shop.execute("update orders_inbox set order_number = %s where order_number = %s", [new, old])


def test_a_row_that_is_renamed_while_in_doubt_gets_the_id_of_what_was_sent_and_is_not_sent_again(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    rename(shop, "A-1", "B-1")
    fresh.run_all()
    (there,) = account.orders
    assert there["orderNumber"] == "A-1"
    assert row_of(shop, "B-1") == ("uploaded", str(there["orderId"]), None)
    fresh.time.advance(3600)
    fresh.run_all()
    assert fresh.sent() == [["A-1"]]


def test_a_row_that_is_renamed_while_in_doubt_goes_under_its_new_number_only_when_the_old_did_not_arrive(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-before-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    rename(shop, "A-1", "B-1")
    fresh.run_all()
    fresh.time.advance(35)
    fresh.run_all()
    assert fresh.sent() == [["A-1"]]
    fresh.time.advance(10)
    fresh.run_all()
    assert fresh.sent() == [["A-1"], ["B-1"]]
    assert times_made(account) == {"B-1": 1}
    assert row_of(shop, "B-1")[0] == "uploaded"


def test_a_row_that_is_renamed_under_a_lock_while_it_is_sent_gets_its_id(
    fresh: Leader, dsn: str, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    with psycopg.connect(dsn) as locker:
        with while_it_sends(fresh, account):
            locker.execute("update orders_inbox set order_number = 'B-1'")
        assert row_of(shop, "A-1") == ("awaiting_shipment", None, None)
    fresh.run_all()
    (there,) = account.orders
    assert row_of(shop, "B-1") == ("uploaded", str(there["orderId"]), None)
    assert fresh.sent() == [["A-1"]]


def test_a_row_that_the_shop_cancels_while_it_is_sent_gets_its_id_and_keeps_its_status(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    with while_it_sends(fresh, account):
        shop.execute("update orders_inbox set status = 'cancelled'")
    assert row_of(shop, "A-1") == ("cancelled", str(account.orders[0]["orderId"]), None)


def test_a_number_that_a_row_had_before_it_was_renamed_is_free_when_nothing_was_made_under_it(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("partial", orders=("A-1",), times=1)
    insert_order(shop, "A-1")
    fresh.run_all()
    rename(shop, "A-1", "B-1")
    insert_order(shop, "A-1")
    fresh.run_all()
    fresh.time.advance(10)
    fresh.run_all()
    assert times_made(account) == {"A-1": 1, "B-1": 1}
    assert statuses(shop) == {"uploaded": 2}


@pytest.mark.parametrize("number", ["abc-1", " ABC-1", "ABC-1 "])
def test_a_number_that_an_uploaded_row_has_in_another_case_is_a_double(
    ours: Leader, shop: Connection, number: str
) -> None:
    first = insert_order(shop, "Abc-1", status="uploaded")
    shop.execute("update orders_inbox set shipstation_order_id = '77'")
    insert_order(shop, number)
    ours.run_all()
    assert row_of(shop, number) == ("failed", None, f"same number as row {first}")
    assert row_of(shop, "Abc-1") == ("uploaded", "77", None)
    assert (ours.sent(), ours.states()) == ([], {})


def test_it_is_a_double_also_when_the_uploaded_row_came_later(ours: Leader, shop: Connection) -> None:
    insert_order(shop, "abc-1")
    later = insert_order(shop, "ABC-1", status="shipped")
    ours.run_all()
    assert row_of(shop, "abc-1") == ("failed", None, f"same number as row {later}")
    assert ours.sent() == []


def test_of_two_rows_that_wait_the_first_goes_and_a_failed_one_is_in_nobodys_way(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    first = insert_order(shop, "abc-1")
    insert_order(shop, "ABC-1")
    insert_order(shop, "ABC-1 ", status="failed")
    ours.run_all()
    assert row_of(shop, "ABC-1") == ("failed", None, f"same number as row {first}")
    assert times_made(account) == {"abc-1": 1}


def test_a_row_that_was_cleaned_up_and_came_back_is_the_same_order(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    ours.run_all()
    shop.execute("delete from shipstation_order_line_items")
    shop.execute("delete from orders_inbox")
    insert_order(shop, "A-1")
    ours.run_all()
    assert row_of(shop, "A-1") == ("uploaded", str(account.orders[0]["orderId"]), None)
    assert len(ours.sent()) == 1


# The listener's own schema, and who leads.


def test_when_the_listeners_schema_goes_between_request_and_answer_the_row_gets_its_id_all_the_same(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert(shop, 2)
    with while_it_sends(fresh, account):
        shop.execute("drop schema listener cascade")
    ids = {order["orderNumber"]: str(order["orderId"]) for order in account.orders}
    assert rows(shop) == {number: ["uploaded", order_id, None] for number, order_id in ids.items()}
    assert len(ids) == 2


RESTORE = """
delete from listener.ledger; delete from listener.mirror; delete from shipstation_order_line_items;
update orders_inbox set status = 'awaiting_shipment', shipstation_order_id = null;
"""


def test_after_a_restore_from_a_backup_what_was_sent_since_is_taken_over_and_not_sent_again(
    fresh: Leader, dsn: str, shop: Connection, account: ShipStationSimulator
) -> None:
    then = value_of(shop, "select watermark from listener.mirror_state")
    insert(shop, 3)
    fresh.run_all()
    before = rows(shop)
    fresh.db.close()
    shop.execute(RESTORE)
    shop.execute("update listener.mirror_state set watermark = %s, fresh_at = %s", [then, then])
    fresh.time.advance(3600)
    fresh.lead(dsn)
    fresh.run_all()
    assert rows(shop) == before
    assert len(fresh.sent()) == 1


def test_an_answer_that_could_not_be_recorded_is_recorded_by_the_next_session(
    fresh: Leader, dsn: str, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'listener test work'"
    with while_it_sends(fresh, account):
        shop.execute(end)
    assert row_of(shop, "A-1") == ("awaiting_shipment", None, None)
    fresh.lead(dsn)
    fresh.run_all()
    assert row_of(shop, "A-1")[0] == "uploaded"
    assert (len(fresh.sent()), len(fresh.calls(LIST))) == (1, 1), "without asking anybody"


def test_an_answer_that_the_ledger_refuses_for_now_is_kept_and_recorded_first_thing(
    fresh: Leader, dsn: str, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    fresh.db.execute("set lock_timeout = '100ms'")
    with psycopg.connect(dsn) as locker:
        with while_it_sends(fresh, account):
            locker.execute("select from listener.ledger for update")
        assert fresh.ledger("A-1") == ("sending",)
    fresh.run_all()
    assert row_of(shop, "A-1")[0] == "uploaded"
    assert (len(fresh.sent()), len(fresh.calls(LIST))) == (1, 1)


def test_who_leads_no_more_claims_and_resolves_nothing(
    fresh: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    account.inject("drop-after-commit", path=CREATE, times=1)
    insert_order(shop, "A-1")
    fresh.run()
    shop.execute("update listener.leader set epoch = epoch + 1")
    with pytest.raises(LeadLost):
        fresh.run()
    insert_order(shop, "B-1")
    fresh.db.execute("update listener.ledger set not_before = 'infinity'")
    with pytest.raises(LeadLost):
        fresh.run()
    assert fresh.states() == {"A-1": "unknown"}
    assert fresh.sent() == [["A-1"]]


# What was settled while the row could not be written.


def test_an_order_of_a_refused_batch_that_was_settled_just_before_a_crash_is_shown_after_it(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert_order(shop, "A-1")
    ours.run_all()
    shown = row_of(shop, "A-1")
    ours.db.execute("update listener.ledger set batch_limit = 4, row_written = false")
    shop.execute("update orders_inbox set status = 'awaiting_shipment', shipstation_order_id = null")
    ours.run_all()
    assert row_of(shop, "A-1") == shown
    assert times_made(account) == {"A-1": 1}


def test_what_is_due_and_cannot_be_claimed_is_left_alone_for_a_second_and_named(
    ours: Leader, shop: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert_order(shop, "A-1")
    with monkeypatch.context() as broken:
        broken.setattr(inbox, "claim_due_rows", lambda *_: Claimed([], Known({}, {}), ()))
        assert ours.run_all().report.retry_after == 1.0
    assert "can't be claimed: A-1" in caplog.text
    ours.time.advance(1)
    ours.run_all()
    assert row_of(shop, "A-1")[0] == "uploaded"


# While the upload is paused, what it has sent before is still its own.


def test_a_paused_upload_shows_the_id_of_an_order_whose_row_was_locked(
    dsn: str, ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert(shop, 1)
    with psycopg.connect(dsn) as clerk:
        with while_it_sends(ours, account):
            clerk.execute("select from orders_inbox for update")
        ours.upload.finish(ours.db, ours.epoch, ours.flags)
        assert row_of(shop, "A-1")[0] == "awaiting_shipment"
    insert_order(shop, "B-1")
    ours.upload.finish(ours.db, ours.epoch, ours.flags)
    assert statuses(shop) == {"uploaded": 1, "awaiting_shipment": 1}
    assert ours.sent() == [["A-1"]]


def test_a_paused_upload_finds_out_what_became_of_an_order_in_doubt(
    ours: Leader, shop: Connection, account: ShipStationSimulator
) -> None:
    insert(shop, 1)
    account.inject("drop-after-commit", path=CREATE, times=1)
    ours.run()
    account.inject("503", path=LIST, times=2)
    ours.upload.finish(ours.db, ours.epoch, ours.flags)
    assert ours.ledger("A-1") == ("unknown",)
    ours.time.advance(61)
    ours.upload.finish(ours.db, ours.epoch, ours.flags)
    assert statuses(shop) == {"uploaded": 1}
    assert times_made(account) == {"A-1": 1}
