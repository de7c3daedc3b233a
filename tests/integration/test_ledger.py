"""The ledger and who leads: what is ours to send, what an answer changes, and that a former leader changes nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from listener import leader
from listener.database import Connection
from listener.leader import LeadLost, begin_epoch, begin_epoch_by_lease, lead, renew_lease, stand_fast, step_down
from listener.order_states import LEADS_TO, NEW
from listener.store import ledger
from listener.store.ledger import Candidate, Settled, Verdict
from tests.support.bell import hearing
from tests.support.shop import value_of
from tests.support.wait import eventually

Connect = Callable[[], Connection]

ADVISORY_LOCKS = """
select count(*) from pg_locks where locktype = 'advisory'
and database = (select oid from pg_database where datname = current_database())
"""


@pytest.fixture
def connect(dsn: str) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(psycopg.connect(dsn, autocommit=True))


@pytest.fixture
def db(connect: Connect) -> Connection:
    return connect()


def candidates(*numbers: str, first_id: int = 1) -> list[Candidate]:
    return [Candidate(number, row_id, number, f"listener-{number}") for row_id, number in enumerate(numbers, first_id)]


def row_of(db: Connection, key: str, *columns: str) -> tuple[Any, ...]:
    query = f"select {', '.join(columns)} from listener.ledger where order_key = %s"
    row = db.execute(query.encode(), [key]).fetchone()
    assert row is not None
    return row


def state(db: Connection, key: str) -> str:
    return str(row_of(db, key, "state")[0])


def due_now(db: Connection) -> None:
    db.execute("update listener.ledger set not_before = now() where not_before is not null")


def record(db: Connection, *settled: Settled, epoch: int = 1, **options: Any) -> list[ledger.Recorded]:
    return ledger.record(db, settled, **{"epoch": epoch, "http_status": 200, "max_attempts": 5} | options)


def refusal(key: str, words: str = "no such country") -> Settled:
    return Settled(key, "waiting", error=words, refused=True)


# The claim.


def test_a_claimed_order_is_being_sent_under_our_epoch(db: Connection) -> None:
    assert ledger.claim(db, candidates("A-1", "A-2"), epoch=4)() == {"A-1", "A-2"}
    columns = ("order_inbox_id", "state", "epoch", "shipstation_key", "started_at is not null", "row_written")
    assert row_of(db, "A-2", *columns) == (2, "sending", 4, "listener-A-2", True, False)


def test_two_that_claim_the_same_orders_at_once_get_each_order_once(connect: Connect) -> None:
    first, second, watch = connect(), connect(), connect()
    ours = candidates("A-1", "A-2", "A-3")
    theirs = candidates("A-2", "A-3", "A-4")
    got: list[set[str]] = []
    pid = second.info.backend_pid
    with first.transaction():
        mine = ledger.claim(first, ours, epoch=1)()
        racer = threading.Thread(target=lambda: got.append(ledger.claim(second, theirs, epoch=1)()))
        racer.start()
        waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
        eventually(lambda: value_of(watch, waits, pid))
    racer.join(10)
    assert mine == {"A-1", "A-2", "A-3"}
    assert got == [{"A-4"}]


def test_many_that_claim_in_any_order_share_the_orders_without_overlap(connect: Connect) -> None:
    numbers = [f"N-{n}" for n in range(60)]
    sessions, start, got = [connect() for _ in range(4)], threading.Barrier(4), []

    def race(session: Connection, shift: int) -> None:
        start.wait(10)
        for at in range(0, 60, 5):
            part = sorted((numbers[shift:] + numbers[:shift])[at : at + 5])
            got.append(ledger.claim(session, candidates(*part), epoch=1)())

    racers = [threading.Thread(target=race, args=(session, 15 * n)) for n, session in enumerate(sessions)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
    assert len(got) == 4 * 12
    assert sorted(key for keys in got for key in keys) == sorted(numbers)


@pytest.mark.parametrize("taken", ["sending", "unknown", "accepted", "adopted", "excluded", "held_back"])
def test_an_order_that_is_sent_or_settled_cannot_be_claimed(db: Connection, taken: str) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    db.execute("update listener.ledger set state = %s, not_before = now(), row_written = true", [taken])
    assert ledger.claim(db, candidates("A-1"), epoch=2)() == set()
    assert row_of(db, "A-1", "state", "epoch") == (taken, 1)


def test_a_waiting_order_can_be_claimed_when_its_time_has_come(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, refusal("A-1"))
    assert ledger.claim(db, candidates("A-1"), epoch=1)() == set()
    due_now(db)
    assert ledger.claim(db, candidates("A-1", first_id=8), epoch=2)() == {"A-1"}
    columns = ("order_inbox_id", "epoch", "attempts", "not_before", "error", "http_status")
    assert row_of(db, "A-1", *columns) == (8, 2, 1, None, None, None)


def test_a_rejected_order_is_claimed_anew_only_after_its_row_has_said_so(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, refusal("A-1"), max_attempts=1)
    assert ledger.claim(db, candidates("A-1"), epoch=1)() == set()
    db.execute("update listener.ledger set row_written = true")
    assert ledger.claim(db, candidates("A-1"), epoch=1)() == {"A-1"}
    assert row_of(db, "A-1", "state", "attempts", "row_status", "row_written") == ("sending", 0, None, False)


# The outcome.


def test_outcomes_are_recorded_by_key_and_told_back(db: Connection) -> None:
    ledger.claim(db, candidates("A-1", "A-2"), epoch=1)
    recorded = record(db, Settled("A-2", "accepted", "902", "uploaded"), Settled("A-1", "unknown", wait_seconds=0.0))
    assert {(order.order_key, order.state) for order in recorded} == {("A-1", "unknown"), ("A-2", "accepted")}
    assert all(0 <= order.seconds_since_seen < 60 for order in recorded)
    columns = ("state", "shipstation_order_id", "row_status", "http_status", "settled_at is not null", "row_written")
    assert row_of(db, "A-2", *columns) == ("accepted", "902", "uploaded", 200, True, False)
    assert row_of(db, "A-1", "state", "shipstation_order_id", "settled_at") == ("unknown", None, None)


@pytest.mark.parametrize("settled_as", ["accepted", "adopted", "unknown", "waiting", "rejected"])
def test_what_another_has_settled_since_stays(db: Connection, settled_as: str) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    db.execute("update listener.ledger set state = %s, shipstation_order_id = '77'", [settled_as])
    assert record(db, Settled("A-1", "accepted", "902", "uploaded")) == []
    assert row_of(db, "A-1", "state", "shipstation_order_id") == (settled_as, "77")


def test_what_was_sent_under_another_epoch_is_not_ours_to_settle(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=2)
    assert record(db, Settled("A-1", "accepted", "902", "uploaded"), epoch=1) == []
    assert state(db, "A-1") == "sending"


def test_a_look_up_settles_what_is_unknown_and_nothing_else(db: Connection) -> None:
    ledger.claim(db, candidates("A-1", "A-2"), epoch=1)
    record(db, Settled("A-1", "unknown", wait_seconds=0.0))
    settled = [Settled(key, "accepted", "9", "uploaded") for key in ("A-1", "A-2")]
    assert [order.order_key for order in ledger.resolve(db, settled, max_attempts=5)] == ["A-1"]
    assert state(db, "A-2") == "sending"
    assert row_of(db, "A-1", "http_status", "epoch") == (200, 1), "a look-up is no answer to the request"


def test_the_waits_after_refusals_grow_with_the_square_up_to_an_hour(db: Connection) -> None:
    waits = []
    ledger.claim(db, candidates("A-1"), epoch=1)
    for attempts in (0, 1, 2, 3, 18, 30):
        db.execute("update listener.ledger set state = 'sending', attempts = %s", [attempts])
        record(db, refusal("A-1"), max_attempts=100)
        seconds = "extract(epoch from not_before - clock_timestamp())::float8"
        waits.append(round(row_of(db, "A-1", seconds)[0] / 10) * 10)
        assert row_of(db, "A-1", "attempts") == (attempts + 1,)
    assert waits == [10, 40, 90, 160, 3600, 3600]


def test_after_max_attempts_it_is_rejected_with_their_last_words(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    states = []
    for attempt in range(1, 4):
        (order,) = record(db, refusal("A-1", f"words {attempt}"), max_attempts=3)
        states.append(order.state)
        due_now(db)
        ledger.claim(db, candidates("A-1"), epoch=1)
    assert states == ["waiting", "waiting", "rejected"]
    assert row_of(db, "A-1", "state", "error", "row_status", "attempts") == ("rejected", "words 3", "failed", 3)


def test_an_order_that_is_rejected_by_its_last_refusal_has_a_time_of_that(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, refusal("A-1"), max_attempts=1)
    assert row_of(db, "A-1", "state", "settled_at is not null") == ("rejected", True)


def test_waiting_without_a_refusal_counts_no_attempt(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, Settled("A-1", "waiting", wait_seconds=0.0), max_attempts=1)
    assert row_of(db, "A-1", "state", "attempts") == ("waiting", 0)
    assert ledger.claim(db, candidates("A-1"), epoch=1)() == {"A-1"}, "and it is due at once"


def test_a_claim_says_whose_it_is_and_takes_nothing_over_from_the_doubt_before(db: Connection) -> None:
    assert lead(db, "listener abcd work", by_lease=False) == 1
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, Settled("A-1", "unknown", wait_seconds=0.0, doubt="failed alone"))
    db.execute("update listener.ledger set state = 'waiting'")  # as requeue does, which leaves the rest as it was
    ledger.claim(db, candidates("A-1"), epoch=1)
    assert row_of(db, "A-1", "owner", "doubt", "error") == ("listener abcd work", None, None)


# With how many others it may share a request.


def test_a_limit_stays_while_the_order_is_tried_and_only_another_limit_changes_it(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, Settled("A-1", "unknown", wait_seconds=0.0, batch_limit=4))
    ledger.resolve(db, [Settled("A-1", "waiting", wait_seconds=0.0)], max_attempts=5)
    ledger.claim(db, candidates("A-1"), epoch=1)
    assert row_of(db, "A-1", "batch_limit") == (4,)
    record(db, Settled("A-1", "waiting", wait_seconds=0.0, batch_limit=2))
    assert row_of(db, "A-1", "batch_limit") == (2,)


def test_an_order_that_failed_and_is_tried_anew_may_share_a_request_with_any(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, refusal("A-1")._replace(batch_limit=1), max_attempts=1)
    db.execute("update listener.ledger set row_written = true")
    ledger.claim(db, candidates("A-1"), epoch=1)
    assert row_of(db, "A-1", "batch_limit") == (None,)


def test_of_the_suspects_that_are_due_the_largest_groups_come_first(db: Connection) -> None:
    assert ledger.suspects(db) == (None, 0)
    ledger.claim(db, candidates("A-1", "A-2", "A-3", "A-4", "A-5"), epoch=1)
    waits = {"A-1": (2, 0.0), "A-2": (4, 0.0), "A-3": (8, 60.0), "A-4": (None, 0.0)}
    record(db, *[Settled(key, "waiting", wait_seconds=wait, batch_limit=n) for key, (n, wait) in waits.items()])
    record(db, Settled("A-5", "unknown", wait_seconds=0.0, batch_limit=16))
    assert ledger.suspects(db) == (4, 4), "one in doubt is no candidate, but is still to come"


# Doubt.


def test_what_was_being_sent_up_to_an_epoch_is_in_doubt_and_what_is_settled_is_not(db: Connection) -> None:
    ledger.claim(db, candidates("OLD-1", "OLD-2"), epoch=1)
    record(db, Settled("OLD-2", "accepted", "902", "uploaded"))
    ledger.claim(db, candidates("OWN-1", first_id=3), epoch=2)
    ledger.claim(db, candidates("NEW-1", first_id=4), epoch=3)
    assert ledger.doubt_what_was_sent(db, 2) == 2
    states = [state(db, key) for key in ("OLD-1", "OLD-2", "OWN-1", "NEW-1")]
    assert states == ["unknown", "accepted", "unknown", "sending"]
    doubtful, _ = ledger.doubtful(db)
    assert (doubtful.order_key, doubtful.shipstation_key, doubtful.doubt) == ("OLD-1", "listener-OLD-1", "no answer")
    assert 0 <= doubtful.seconds_since_started < 60
    assert doubtful.row_created_at is None, "there is no such row"
    assert ledger.doubt_what_was_sent(db, 2) == 0


def test_a_look_up_that_failed_is_put_off_for_a_minute_and_only_while_in_doubt(db: Connection) -> None:
    ledger.claim(db, candidates("A-1", "A-2"), epoch=1)
    record(db, Settled("A-1", "unknown", wait_seconds=0.0))
    ledger.postpone_look_up(db, ["A-1", "A-2"], "no answer")
    assert ledger.doubtful(db) == []
    assert 50 < float(ledger.seconds_until_due(db)[1] or 0) <= 60
    assert row_of(db, "A-1", "state", "error") == ("unknown", "no answer")
    assert row_of(db, "A-2", "state", "error") == ("sending", None)


def test_orders_in_doubt_are_looked_up_oldest_first_and_only_when_due(db: Connection) -> None:
    for number in ("B-2", "B-1", "B-3"):
        ledger.claim(db, candidates(number), epoch=1)
    unknown = [Settled(key, "unknown", wait_seconds=0.0) for key in ("B-1", "B-2")]
    record(db, *unknown, Settled("B-3", "unknown", wait_seconds=60.0))
    assert [order.order_key for order in ledger.doubtful(db)] == ["B-2", "B-1"]


def test_it_tells_when_the_next_waiting_and_the_next_doubtful_order_are_due(db: Connection) -> None:
    assert ledger.seconds_until_due(db) == (None, None)
    ledger.claim(db, candidates("A-1", "A-2", "A-3", "A-4"), epoch=1)
    record(db, *[Settled(f"A-{n}", "waiting", wait_seconds=wait) for n, wait in ((1, 9.0), (2, 90.0))])
    record(db, *[Settled(f"A-{n}", "unknown", wait_seconds=wait) for n, wait in ((3, 90.0), (4, 30.0))])
    waiting, doubtful = ledger.seconds_until_due(db)
    assert 5 < float(waiting or 0) <= 9
    assert 25 < float(doubtful or 0) <= 30


def test_doubt_that_is_due_is_told_and_a_waiting_order_that_is_due_is_left_to_the_check(db: Connection) -> None:
    ledger.claim(db, candidates("A-1", "A-2"), epoch=1)
    record(db, Settled("A-1", "waiting", wait_seconds=0.0), Settled("A-2", "unknown", wait_seconds=0.0))
    assert ledger.seconds_until_due(db) == (None, 0.0)


# Set aside, and rows that come back.


def test_what_is_set_aside_stands_in_the_ledger_with_its_reason(db: Connection) -> None:
    one, two = candidates("A-1", "A-2")
    ledger.set_aside(
        db,
        [Verdict(one, "adopted", None, "shipped", "77"), Verdict(two, "waiting", "parts", wait_seconds=9.0, looks=2)],
    )
    assert row_of(db, "A-1", "state", "row_status", "shipstation_order_id") == ("adopted", "shipped", "77")
    columns = ("state", "error", "looks", "settled_at", "not_before > clock_timestamp() + interval '5 seconds'")
    assert row_of(db, "A-2", *columns) == ("waiting", "parts", 2, None, True)


@pytest.mark.parametrize("taken", ["sending", "unknown", "accepted", "adopted"])
def test_setting_aside_does_not_touch_what_may_be_at_shipstation(db: Connection, taken: str) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    db.execute("update listener.ledger set state = %s", [taken])
    ledger.set_aside(db, [Verdict(candidates("A-1")[0], "rejected", "no items", "failed")])
    assert state(db, "A-1") == taken


def test_an_outcome_follows_its_order_to_a_new_row_and_a_pending_one_does_not(db: Connection) -> None:
    ledger.claim(db, candidates("A-1", "A-2"), epoch=1)
    record(db, Settled("A-1", "accepted", "901", "uploaded"))
    db.execute("update listener.ledger set row_written = true")
    ledger.relink(db, [("A-1", 51), ("A-2", 52)])
    assert row_of(db, "A-1", "order_inbox_id", "row_written") == (51, False)
    assert row_of(db, "A-2", "order_inbox_id", "row_written") == (2, True)


def test_the_history_has_a_line_for_each_change_of_state_or_words_and_none_for_others(db: Connection) -> None:
    ledger.claim(db, candidates("A-1"), epoch=1)
    record(db, refusal("A-1"), http_status=400)
    due_now(db)
    ledger.claim(db, candidates("A-1"), epoch=2)
    db.execute("update listener.ledger set looks = 3")
    record(db, Settled("A-1", "accepted", "901", "uploaded"), epoch=2)
    lines = db.execute("select state, epoch, http_status, note from listener.history order by id").fetchall()
    assert lines == [
        ("sending", 1, None, None),
        ("waiting", 1, 400, "no such country"),
        ("sending", 2, None, None),
        ("accepted", 2, 200, None),
    ]


STATES = [state for state in LEADS_TO if state != NEW]


@pytest.mark.parametrize("state_before", STATES)
def test_no_statement_leads_where_the_table_of_states_does_not(db: Connection, state_before: str) -> None:
    (one,) = candidates("A-1")
    verdicts = [Verdict(one, state, "why", wait_seconds=1.0) for state in LEADS_TO[NEW] - {"sending"}]
    outcomes = [Settled("A-1", state, wait_seconds=1.0) for state in LEADS_TO["sending"] | LEADS_TO["unknown"]]
    acts: list[Callable[[], object]] = [
        lambda: ledger.claim(db, [one], epoch=1),
        lambda: ledger.doubt_what_was_sent(db, 1),
        lambda: ledger.relink(db, [("A-1", 5)]),
        lambda: ledger.postpone_look_up(db, ["A-1"], "why"),
    ]
    acts += [lambda v=verdict: ledger.set_aside(db, [v]) for verdict in verdicts]
    acts += [lambda s=settled: record(db, s) for settled in outcomes if settled.state in LEADS_TO["sending"]]
    acts += [lambda s=settled: ledger.resolve(db, [s], max_attempts=5) for settled in outcomes]
    ledger.claim(db, [one], epoch=1)
    for act in acts:
        with db.transaction(force_rollback=True):
            db.execute("update listener.ledger set state = %s, row_written = true, not_before = now()", [state_before])
            act()
            assert state(db, "A-1") in LEADS_TO[state_before] | {state_before}


# Who leads.


def test_the_epoch_rises_with_each_leader_and_the_row_says_who_it_is(db: Connection) -> None:
    assert lead(db, "one", by_lease=False) == 1
    pid = db.info.backend_pid
    assert db.execute("select epoch, holder, pid, lease_until from listener.leader").fetchone() == (1, "one", pid, None)


def test_one_at_a_time_leads_by_the_lock_and_the_next_when_its_session_ends(connect: Connect, db: Connection) -> None:
    first = connect()
    assert lead(first, "one", by_lease=False) == 1
    assert lead(db, "two", by_lease=False) is None
    first.close()
    assert eventually(lambda: lead(db, "two", by_lease=False)) == 2


def test_a_former_leader_cannot_claim_record_or_resolve(connect: Connect, db: Connection) -> None:
    former = connect()
    assert lead(former, "one", by_lease=False) == 1
    with former.transaction():
        stand_fast(former, 1)
    former.execute(leader.UNLOCK_SQL)
    assert lead(db, "two", by_lease=False) == 2
    with pytest.raises(LeadLost), former.transaction():
        stand_fast(former, 1)
    with db.transaction():
        stand_fast(db, 2)


def test_a_takeover_waits_for_a_claim_that_stands_fast(connect: Connect, db: Connection) -> None:
    claiming, heir = connect(), connect()
    assert begin_epoch(claiming, "one") == 1
    began: list[int | None] = []
    pid = heir.info.backend_pid
    with claiming.transaction():
        stand_fast(claiming, 1)
        takeover = threading.Thread(target=lambda: began.append(begin_epoch(heir, "two")))
        takeover.start()
        eventually(lambda: value_of(db, "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s", pid))
        assert began == []
        ledger.claim(claiming, candidates("A-1"), epoch=1)
    takeover.join(10)
    assert began == [2]
    assert ledger.doubt_what_was_sent(heir, 2) == 1


def test_standing_fast_twice_at_once_is_no_contention(connect: Connect, db: Connection) -> None:
    other = connect()
    assert begin_epoch(db, "one") == 1
    other.execute("set lock_timeout = '500ms'")
    with db.transaction(), other.transaction():
        stand_fast(db, 1)
        stand_fast(other, 1)


def run_out(db: Connection) -> None:
    db.execute("update listener.leader set lease_until = now() - interval '1 second'")


def test_who_is_deaf_leads_by_a_lease_that_holds_no_lock(connect: Connect, db: Connection) -> None:
    assert lead(db, "deaf", by_lease=True) == 1
    assert value_of(db, ADVISORY_LOCKS) == 0
    renew_lease(db, 1, hearing=False)
    with db.transaction():
        stand_fast(db, 1)


def test_neither_lock_nor_lease_leads_beside_a_lease_that_runs(connect: Connect, db: Connection) -> None:
    other = connect()
    assert lead(db, "deaf", by_lease=True) == 1
    assert lead(other, "two", by_lease=True) is None
    assert lead(other, "two", by_lease=False) is None
    assert value_of(db, ADVISORY_LOCKS) == 0, "the lock is given back"


def test_no_lease_begins_beside_a_leader_by_the_lock(connect: Connect, db: Connection) -> None:
    other = connect()
    assert lead(other, "one", by_lease=False) == 1
    assert begin_epoch_by_lease(db, "deaf") is None
    assert value_of(db, "select epoch from listener.leader") == 1


def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_over(db: Connection) -> None:
    assert lead(db, "deaf", by_lease=True) == 1
    run_out(db)
    with pytest.raises(LeadLost, match="the lease has run out"):
        renew_lease(db, 1, hearing=False)
    with pytest.raises(LeadLost), db.transaction():
        stand_fast(db, 1)


@pytest.mark.parametrize("by_lease", [True, False])
def test_a_lease_that_ran_out_makes_room_and_cannot_be_renewed_after(
    connect: Connect, db: Connection, by_lease: bool
) -> None:
    other = connect()
    assert lead(db, "deaf", by_lease=True) == 1
    run_out(db)
    assert lead(other, "two", by_lease=by_lease) == 2
    with pytest.raises(LeadLost, match="the lease has run out"):
        renew_lease(db, 1, hearing=False)
    with pytest.raises(LeadLost), db.transaction():
        stand_fast(db, 1)


@pytest.mark.parametrize("by_lease", [True, False])
def test_who_steps_down_makes_room_at_once_and_rings_for_a_standby(
    dsn: str, connect: Connect, db: Connection, by_lease: bool
) -> None:
    other = connect()
    with hearing(dsn, "listener_leader") as ear:
        epoch = lead(other, "one", by_lease=by_lease)
        assert epoch == 1
        step_down(other, epoch)
        assert len(ear.heard()) == 1
    assert lead(db, "two", by_lease=not by_lease) == 2
    step_down(other, epoch)
    assert value_of(db, "select holder from listener.leader") == "two", "a late step down takes nothing from the next"


def test_only_our_own_former_work_sessions_are_ended(dsn: str, connect: Connect) -> None:
    with ExitStack() as stack:
        ours, theirs, new = (
            stack.enter_context(psycopg.connect(dsn, autocommit=True, application_name=name))
            for name in ("listener a work", "listener b work", "listener a work")
        )
        leader.end_former_sessions(new, "listener a work")
        with pytest.raises(psycopg.OperationalError):
            ours.execute("select 1")
        assert theirs.execute("select 1").fetchone() == new.execute("select 1").fetchone() == (1,)
