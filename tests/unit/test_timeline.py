"""The story of an order, told from values: a sentence for each way in which it can stand, and what has happened."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from listener.flags import Flags
from listener.order_states import LEADS_TO, NEW
from listener.story.dossier import (
    Conflict,
    Dossier,
    HistoryLine,
    Imported,
    Locker,
    PutAside,
    Quarantined,
    Remote,
    Requeued,
    Shipped,
)
from listener.story.standing import TELL
from listener.story.timeline import Story, tell
from listener.story.wording import instant, requeue_command, soon, span
from listener.workflows.adopt import SEVERAL
from tests.support.dossiers import EARLIER, NOW, ROW, THERE, around, ledger, order, row

FILE = "orders.xml"

ACCEPTED = ledger(
    "accepted", shipstation_order_id="123456", settled_at=EARLIER, row_status="uploaded", row_written=True
)
UPLOADED = row(status="uploaded", shipstation_order_id="123456")
REFUSED = ledger("waiting", attempts=2, error="the zone is unknown", not_before=NOW + timedelta(seconds=40))
FAILED = ledger("rejected", attempts=5, error="the zone is unknown", settled_at=EARLIER, row_written=True)

STANDINGS = [
    (order(), "due", "is due: the listener sends it as soon as it looks"),
    (order(surroundings=around(leader=None)), "due", "is due: no listener leads at the moment"),
    (
        order(surroundings=around(call_in=12.2)),
        "due",
        "is due: it waits for the API budget (0 of 200 calls left, next in 12 s)",
    ),
    (order(surroundings=around(paused_by="alex")), "due", "is due: the upload is paused by alex"),
    (
        order(surroundings=around(flags=Flags(fast_polling_enabled=False))),
        "due",
        "is due: the upload runs every 300 s only (fast_polling_enabled is false)",
    ),
    (
        order(lockers=(Locker(17, 4711, "psql", EARLIER),)),
        "due",
        "is due: its row is locked by pid 4711 (psql, since 2026-03-01T13:57:30Z)",
    ),
    (order(lockers=(Locker(17, None, "", None),)), "due", "is due: its row is locked by a prepared transaction"),
    (order(lockers=(Locker(18, 4711, "psql", None),)), "due", "is due: the listener sends it as soon as it looks"),
    (
        order(row=row(age_days=20)),
        "held_back",
        "is held back when the listener looks: 20 days old, max_order_age_days is 14",
    ),
    (
        order(surroundings=around(flags=Flags(manual_order_pattern="^1001$"))),
        "manual",
        "is a manual order (number matches manual_order_pattern ^1001$)",
    ),
    (order(shipped=(Shipped("2026-02-01", "77"),)), "due", "is in shipped_orders already: it is not sent"),
    (
        order(remote=(THERE,)),
        "due",
        "is at ShipStation already as 123456, not made by us: it is not sent",
    ),
    (
        order(remote=(replace(THERE, status="cancelled"),)),
        "due",
        "was cancelled at ShipStation as 123456: it is not sent",
    ),
    (
        order(ledger=REFUSED),
        "waiting",
        "waits: ShipStation refused it 2 times, the last time with «the zone is unknown»; "
        "next try at 14:03:10 UTC (in 40 s)",
    ),
    (
        order(ledger=replace(REFUSED, not_before=NOW)),
        "due",
        "is due, after ShipStation refused it 2 times: the listener sends it as soon as it looks",
    ),
    (
        order(ledger=ledger("waiting", looks=1, error="no items", not_before=NOW + timedelta(seconds=1))),
        "waiting",
        "waits: not all of it is there yet (no items); next look at 14:02:31 UTC (in 1 s)",
    ),
    (
        order(ledger=ledger("waiting", not_before=NOW + timedelta(days=2))),
        "waiting",
        "waits: it was not sent yet; next try at 2026-03-03T14:02:30Z (in 2 days)",
    ),
    (
        order(row=row(status="cancelled"), ledger=REFUSED),
        "not_pending",
        "is not sent any more: changed while it waited, its row now says cancelled",
    ),
    (order(row=None, ledger=REFUSED), "gone", "is not sent any more: while it waited, its row is gone"),
    (
        order(row=None, ledger=REFUSED, renamed_to="1002"),
        "gone",
        "is not sent any more: while it waited, the shop changed its number to 1002",
    ),
    (order(ledger=ledger("sending")), "sending", "is being sent since 2026-03-01T13:57:30Z"),
    (
        order(ledger=ledger("sending", epoch=6)),
        "in_doubt",
        "is in doubt: a request of 2026-03-01T13:57:30Z got no answer; it is looked up before it is sent again",
    ),
    (
        order(ledger=ledger("unknown", doubt="no answer")),
        "in_doubt",
        "is in doubt: a request of 2026-03-01T13:57:30Z got no answer; it is looked up before it is sent again",
    ),
    (
        order(ledger=ledger("unknown", doubt="locked there")),
        "in_doubt",
        "is in doubt: ShipStation refused it as one that is shipped or cancelled there already; "
        "it is looked up before it is sent again",
    ),
    (order(row=UPLOADED, ledger=ACCEPTED), "at_shipstation", "is at ShipStation as 123456 since 2026-03-01T13:57:30Z"),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(replace(THERE, status="on_hold"),)),
        "at_shipstation",
        "is at ShipStation as 123456 since 2026-03-01T13:57:30Z; there it is on_hold (as of 2026-03-01T13:57:30Z)",
    ),
    (
        order(row=UPLOADED, ledger=ACCEPTED, remote=(replace(THERE, status="cancelled"),)),
        "cancelled_there",
        "is at ShipStation as 123456 since 2026-03-01T13:57:30Z, and cancelled there since",
    ),
    (
        order(row=UPLOADED, ledger=replace(ACCEPTED, state="adopted", shipstation_order_id="77")),
        "adopted",
        "was not sent by us: ShipStation had it already as 77 (adopted)",
    ),
    (
        order(
            row=row(status="shipped"),
            ledger=replace(ACCEPTED, state="adopted", shipstation_order_id=None, row_status="shipped"),
            shipped=(Shipped("2026-02-01", ""),),
        ),
        "adopted",
        "was not sent by us: shipped_orders had it already (adopted)",
    ),
    (
        order(row=row(status="failed"), ledger=FAILED),
        "failed",
        "failed: the zone is unknown; `listener requeue 1001` tries again",
    ),
    (
        order(row=row(status="failed"), ledger=replace(FAILED, error="cancelled at ShipStation as 123")),
        "failed",
        "failed: cancelled at ShipStation as 123; `listener requeue --again 1001` makes a new order there",
    ),
    (order(ledger=FAILED), "due", "is due: the listener sends it as soon as it looks"),
    (
        order(row=row(status="cancelled"), ledger=FAILED),
        "not_pending",
        "failed (the zone is unknown), and was changed since: its row now says cancelled",
    ),
    (
        order(row=row(status="failed", failure_reason="same number as row 5")),
        "failed",
        "failed: same number as row 5; give its row a number of its own, or delete it",
    ),
    (
        order(row=row(status="failed")),
        "failed",
        "failed: no reason is given; `listener requeue 1001` tries again",
    ),
    (order(row=row(status="synced_manual"), ledger=ledger("excluded")), "manual", "is a manual order (set aside when "),
    (
        order(ledger=ledger("held_back", error="held back: 20 days old, max_order_age_days is 14")),
        "held_back",
        "is held back: 20 days old, max_order_age_days is 14; `listener requeue 1001` sends it",
    ),
    (
        order(row=row(status="cancelled"), ledger=ledger("held_back")),
        "not_pending",
        "is not sent any more: changed while it waited, its row now says cancelled",
    ),
    (order(row=row(status="on_hold")), "not_pending", "is not to be sent: its row says on_hold"),
    (order(row=row(status="shipped")), "shipped", "is shipped, says its row; we did not send it"),
    (
        order(row=row(shipstation_order_id="88")),
        "at_shipstation",
        "is at ShipStation as 88, says its row (awaiting_shipment); we did not send it",
    ),
    (
        order(row=None, shipped=(Shipped("2026-02-01", "77"),)),
        "shipped",
        "was shipped on 2026-02-01 as 77 (shipped_orders); its row was cleaned up",
    ),
    (
        order(row=None, remote=(THERE,)),
        "only_there",
        "is not in orders_inbox: it was made at ShipStation, not by us, as 123456 (awaiting_shipment)",
    ),
    (
        order(row=None, quarantined=(Quarantined(EARLIER, FILE, 12, "no SKU"),)),
        "quarantined",
        "stands in orders.xml, line 12, and was not imported: no SKU",
    ),
    (
        order(row=None, imported=Imported(EARLIER, FILE)),
        "imported",
        "was imported from orders.xml on 2026-03-01T13:57:30Z; its row is gone",
    ),
    (order(row=None, history=(HistoryLine(EARLIER, "sending", None),)), "forgotten", "has left the ledger and the inb"),
]


@pytest.mark.parametrize(("known", "state", "sentence"), STANDINGS, ids=lambda value: str(value)[:50])
def test_each_way_to_stand_has_a_sentence(known: Dossier, state: str, sentence: str) -> None:
    assert known.is_known
    story = tell(known)
    assert story.sentence.startswith(f"Order 1001 {sentence}")
    assert story.state == state
    assert story.sentence.endswith(".")
    assert story.next
    assert not story.next.endswith(".")


def test_every_state_of_the_ledger_is_told() -> None:
    assert TELL.keys() == LEADS_TO.keys() - {NEW}


def test_an_order_of_which_nothing_bears_the_number_is_unknown() -> None:
    assert not order(row=None).is_known


def test_several_obstacles_are_all_named_and_so_is_what_ends_each() -> None:
    story = tell(order(surroundings=around(leader=None, paused_by="alex")))
    assert story.sentence == "Order 1001 is due: no listener leads at the moment; the upload is paused by alex."
    assert story.next == (
        "`listener run` has to be started; `listener resume shipstation-upload` switches it on; then it is sent"
    )


def test_what_follows_a_wait_names_what_stands_in_the_way_as_well() -> None:
    story = tell(order(ledger=REFUSED, surroundings=around(leader=None)))
    assert story.next == (
        "`listener run` has to be started; it is tried again at 14:03:10 UTC (in 40 s); "
        "with 5 refusals it fails (max_upload_attempts)"
    )


@pytest.mark.parametrize(
    ("known", "following"),
    [
        (order(), "it is sent, at the latest with the next heartbeat (every 15 s)"),
        (order(row=row(items=0)), "it has no items yet"),
        (order(surroundings=around(mirror_at=None)), "ShipStation is asked first whether it has it (not done to the e"),
        (order(surroundings=around(mirror_at=EARLIER)), "ShipStation is asked first whether it has it (last done at 2"),
        (order(row=row(age_days=20)), "then `listener requeue 1001` sends it"),
        (order(row=UPLOADED, ledger=ACCEPTED), "nothing: the upload has done its part"),
        (order(ledger=replace(ACCEPTED, row_written=False)), "its row gets the id with the next pass"),
        (order(ledger=ledger("unknown", not_before=NOW + timedelta(minutes=1))), "it is looked up at 14:03:30 UTC (in"),
        (order(ledger=ledger("unknown", not_before=EARLIER)), "it is looked up as soon as the listener looks"),
    ],
)
def test_what_follows_fits_the_sentence(known: Dossier, following: str) -> None:
    assert tell(known).next.startswith(following)


def test_a_requeued_order_that_waits_still_says_why_it_was_refused() -> None:
    waits = replace(REFUSED, error="requeued by alex")
    history = (HistoryLine(EARLIER, "waiting", "the zone is unknown"), HistoryLine(NOW, "waiting", "requeued by alex"))
    assert "with «the zone is unknown»" in tell(order(ledger=waits, history=history)).sentence


@pytest.mark.parametrize(
    ("status", "there", "changed"),
    [
        ("uploaded", None, False),
        ("shipped", None, False),
        ("awaiting_shipment", None, False),
        ("cancelled", None, True),
        ("on_hold", None, True),
        ("on_hold", "on_hold", False),
        ("cancelled", "cancelled", False),
        ("cancelled", "a_new_word", True),
    ],
)
def test_a_row_that_was_changed_after_it_was_sent_is_named_unless_shipstation_says_the_same(
    status: str, there: str | None, changed: bool
) -> None:
    remote = (replace(THERE, status=there),) if there else ()
    story = tell(order(row=replace(UPLOADED, status=status), ledger=ACCEPTED, remote=remote))
    said = f"Changed after it was sent: the row now says {status}; what ShipStation has stays as it is."
    assert story.remarks == ((said,) if changed else ())


def remarks(known: Dossier) -> tuple[str, ...]:
    return tell(known).remarks


def test_a_row_that_was_cleaned_up_or_got_another_number_is_named() -> None:
    assert remarks(order(row=None, ledger=ACCEPTED)) == ("Its row is not in orders_inbox any more.",)
    assert remarks(order(row=None, ledger=ACCEPTED, renamed_to="2")) == ("Its row bears the number 2 now.",)


def test_a_double_and_a_conflict_are_named() -> None:
    double = row(id=18, order_number=" 1001 ", status="failed", failure_reason="same number as row 17")
    known = order(rows=(double, UPLOADED), ledger=ACCEPTED, conflicts=(Conflict(SEVERAL, ["1", "2"], EARLIER),))
    assert known.row == UPLOADED
    assert remarks(known) == (
        "Row 18 has the same number, written ' 1001 ': same number as row 17.",
        "Somebody should look at this: several orders at ShipStation (1, 2).",
    )


def test_what_the_sync_could_not_show_is_named_with_the_next_try() -> None:
    aside = PutAside("its row is locked", NOW + timedelta(seconds=40))
    said = "What ShipStation has done with it is not shown here yet: its row is locked; next try"
    (remark,) = remarks(order(row=UPLOADED, ledger=ACCEPTED, put_aside=(aside,)))
    assert remark == f"{said} at 14:03:10 UTC (in 40 s)."


def test_a_lock_is_named_once() -> None:
    lockers = (Locker(17, 4711, "psql", None),)
    assert remarks(order(lockers=lockers)) == ()
    assert remarks(order(row=replace(UPLOADED, status="failed"), lockers=lockers)) == (
        "At this moment its row is locked by pid 4711 (psql).",
    )


def test_a_pending_row_stands_for_the_order_when_the_ledger_names_none() -> None:
    assert order(rows=(row(id=3, status="failed"), ROW)).row == ROW


def after(minutes: float) -> datetime:
    return EARLIER + timedelta(minutes=minutes)


def told(story: Story) -> list[str]:
    return [event.what for event in story.timeline]


def test_the_timeline_tells_everything_in_the_order_in_which_it_happened() -> None:
    known = order(
        row=row(created_at=after(0)),
        ledger=ACCEPTED,
        imported=Imported(after(1), FILE),
        quarantined=(Quarantined(after(-1), "old.xml", None, "no SKU"),),
        history=(
            HistoryLine(after(2), "sending", None),
            HistoryLine(after(3), "unknown", "no answer came"),
            HistoryLine(after(4), "waiting", "requeued by alex"),
            HistoryLine(after(7), "accepted", None),
        ),
        requeues=(Requeued(after(4), "alex"), Requeued(after(5), "sam")),
        remote=(Remote("123456", "on_hold", after(6), after(8), None), Remote("9", "cancelled", after(9), NOW, "10")),
        conflicts=(Conflict(SEVERAL, ["9", "123456"], after(10)),),
    )
    story = tell(known)
    assert told(story) == [
        "refused in old.xml: no SKU",
        "row 17 of orders_inbox (X-Cart), dated 2026-03-01",
        "imported from orders.xml",
        "is being sent",
        "is in doubt: no answer came",
        "waits: requeued by alex",
        "requeued by sam",
        "ShipStation: order 9 is cancelled, merged into 10",
        "ShipStation: order 123456 was made",
        "is at ShipStation",
        "ShipStation: order 123456 is on_hold",
        "ShipStation: order 9 was made",
        "several orders at ShipStation: 9, 123456",
    ]


def test_without_a_history_the_ledger_says_when_the_order_was_first_seen() -> None:
    assert "seen by the listener" in told(tell(order(ledger=ACCEPTED)))
    history = (HistoryLine(EARLIER, "sending", None),)
    assert "seen by the listener" not in told(tell(order(ledger=ACCEPTED, history=history)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (40, "40 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days"), (1e6, "12 days")],
)
def test_a_length_of_time_is_told_in_the_unit_that_says_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_are_utc_whatever_zone_they_come_in() -> None:
    pacific = datetime.fromisoformat("2026-03-01T06:02:30.9-08:00")
    assert instant(pacific) == "2026-03-01T14:02:30Z"
    assert soon(pacific, NOW) == "at 14:02:30 UTC (in 1 s)"


@pytest.mark.parametrize(
    ("number", "again", "command"),
    [
        ("1001", False, "`listener requeue 1001`"),
        ("1001", True, "`listener requeue --again 1001`"),
        ("a b'c", False, """`listener requeue 'a b'"'"'c'`"""),
        ("-5", True, "`listener requeue --again -- -5`"),
    ],
)
def test_the_command_that_is_named_can_be_typed_as_it_stands(number: str, again: bool, command: str) -> None:
    assert requeue_command(number, again=again) == command
