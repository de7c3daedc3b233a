"""doctor and the work itself: flags, switches, due orders, claims, the budget, the mirror, and whose database it is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from listener.doctor import sessions
from listener.doctor.findings import Finding
from listener.store import home
from tests.support.bell import holding
from tests.support.doctor import bad, examined, is_well, mend, mends, the_one
from tests.support.shop import Connection, insert_order, set_flag, switch, value_of


@pytest.fixture
def shop(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def told(url: str, check: str, **environment: str) -> list[Finding]:
    """Return what one check tells of a database in which nothing is wrong."""
    findings = examined(url, **environment)
    assert not bad(findings)
    return [found for found in findings if found.check == check]


def interval(shop: Connection) -> str:
    query = "select value from configuration_params where parameter_name = 'fast_polling_interval'"
    return str(value_of(shop, query))


def test_a_refused_flag_is_set_to_the_value_that_is_in_force(dsn: str, shop: Connection) -> None:
    set_flag(shop, "fast_polling_interval", "soon")
    assert "fast_polling_interval = 'soon': must be a whole number" in the_one(dsn, "flags", "warning").sentence
    assert mends(dsn)
    assert interval(shop) == "15"
    set_flag(shop, "fast_polling_interval", "later")
    shop.execute(
        "insert into listener.config_log (parameter_name, new_value, verdict, seen_at)"
        " values ('fast_polling_interval', '20', 'accepted', now()), ('fast_polling_interval', 'no', 'refused', now())"
    )
    assert "; 20 is in force" in the_one(dsn, "flags", "warning").sentence
    assert mends(dsn)
    assert interval(shop) == "20"


def test_of_two_rows_of_a_flag_the_one_that_counts_stays(dsn: str, shop: Connection) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value) values ('Polling', 'sync_interval', '240')"
    )
    assert "flag sync_interval has 2 rows; the last counts: 240" in the_one(dsn, "flags", "warning").sentence
    assert mends(dsn)
    assert shop.execute("select value from configuration_params where parameter_name = 'sync_interval'").fetchall() == [
        ("240",)
    ]


def test_a_flag_that_there_is_not_is_told(dsn: str, shop: Connection) -> None:
    shop.execute(
        "insert into configuration_params (category, parameter_name, value) values ('Polling', 'fast_poling', 'true')"
    )
    assert "fast_poling; is one misspelt?" in told(dsn, "flags")[0].sentence


def test_a_command_is_safe_to_copy_whatever_the_name(dsn: str, shop: Connection) -> None:
    shop.execute("insert into workflow_controls (workflow_name, enabled) values ('x; rm -r y', false)")
    assert "`listener resume 'x; rm -r y'`" in told(dsn, "workflows")[0].todo


def test_who_switched_a_workflow_off_is_told(dsn: str, shop: Connection) -> None:
    switch(shop, "xml-import", on=False)
    shop.execute("update workflow_controls set updated_by = 'alex' where workflow_name = 'xml-import'")
    (found,) = told(dsn, "workflows")
    assert "workflow xml-import is switched off by alex since 20" in found.sentence
    assert "`listener resume xml-import`" in found.todo


def ran(shop: Connection, workflow: str, seconds_ago: float) -> None:
    """Do what an old script does at the end of its round."""
    ran_at = "localtimestamp - make_interval(secs => %s)"
    shop.execute(
        f"update workflow_controls set last_run_at = {ran_at} where workflow_name = %s".encode(),
        [seconds_ago, workflow],
    )


def test_an_old_uploader_that_still_runs_beside_a_leader_is_a_warning(dsn: str, shop: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True, application_name="listener 0a work") as work:
        work.execute("select pg_advisory_lock(1818850164, 2)")
        lead(shop, work.info.backend_pid)
        assert told(dsn, "old scripts")[0].sentence == "no other program has done a workflow's work lately"
        shop.execute("update listener.leader set since = now() - interval '10 minutes'")
        ran(shop, "shipstation-upload", 120)
        found = the_one(dsn, "old scripts", "warning")
        assert "last_run_at of shipstation-upload moved 2 min ago, which the listener never does" in found.sentence
        assert "two uploaders make double orders" in found.sentence
        assert "`listener pause shipstation-upload`" in found.todo
        switch(shop, "shipstation-upload", on=False)
        (found,) = told(dsn, "old scripts")
        assert "switched off, does not" in found.sentence


@pytest.mark.parametrize(("seconds_ago", "severity"), [(60, "info"), (3600, "ok")])
def test_an_old_script_that_ran_before_anybody_led_is_no_fault(
    dsn: str, shop: Connection, seconds_ago: float, severity: str
) -> None:
    ran(shop, "unified-shipstation-sync", seconds_ago)
    assert [found.severity.value for found in told(dsn, "old scripts")] == [severity]
    with psycopg.connect(dsn, autocommit=True, application_name="listener 0a work") as work:
        work.execute("select pg_advisory_lock(1818850164, 2)")
        lead(shop, work.info.backend_pid)
        assert [found.severity.value for found in told(dsn, "old scripts")] == [severity]


def test_what_an_idle_day_costs_is_told_of_either_policy(dsn: str, shop: Connection) -> None:
    set_flag(shop, "fast_polling_interval", "30")
    awake, asleep = [finding.sentence for finding in told(dsn, "idle")]
    assert "always_on (in force): about 14,400 statements an idle day" in awake
    assert "waits 30 s at most" in awake
    assert "allow_sleep: about 1,200 statements an idle day" in asleep
    assert "waits 3600 s at most, or for SIGUSR1" in asleep
    set_flag(shop, "idle_policy", "allow_sleep")
    assert "allow_sleep (in force)" in told(dsn, "idle")[1].sentence


def test_a_policy_of_sleep_that_another_flag_keeps_awake_is_a_warning(dsn: str, shop: Connection) -> None:
    set_flag(shop, "idle_policy", "allow_sleep")
    set_flag(shop, "notify_enabled", "false")
    assert the_one(dsn, "idle", "warning").sentence.startswith("allow_sleep has no effect")


def test_orders_that_are_due_while_nobody_leads_are_an_error(dsn: str, shop: Connection) -> None:
    insert_order(shop, "A-1")
    insert_order(shop, "A-2")
    found = the_one(dsn, "orders", "error")
    assert "2 orders are due, the first of them A-1, entered" in found.sentence
    assert found.sentence.endswith("and no listener leads")
    assert "`listener run`" in found.todo


def lead(shop: Connection, pid: int) -> None:
    shop.execute("update listener.leader set holder = 'listener 0a work', pid = %s, since = now()", [pid])


def test_an_order_that_waits_for_long_under_a_leader_is_a_warning(dsn: str, shop: Connection) -> None:
    insert_order(shop, "A-1")
    with psycopg.connect(dsn, autocommit=True, application_name="listener 0a work") as work:
        work.execute("select pg_advisory_lock(1818850164, 2)")
        lead(shop, work.info.backend_pid)
        assert "1 order is due, the first of them A-1" in told(dsn, "orders")[0].sentence
        shop.execute("update orders_inbox set created_at = created_at - interval '40 seconds'")
        found = the_one(dsn, "orders", "warning")
        assert "`listener explain A-1`" in found.todo
        shop.execute("update listener.budget set tokens = 0, refilled_at = clock_timestamp()")
        assert "wait for the API budget" in examined(dsn, "orders")[-1].sentence
        switch(shop, "shipstation-upload", on=False)
        assert "the upload is paused by" in examined(dsn, "orders")[-1].sentence


def test_who_has_the_row_of_the_first_due_order_locked_is_named(
    dsn: str, shop: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_order(shop, "A-1")
    with holding(dsn, 2), psycopg.connect(dsn, application_name="a clerk's desk") as clerk:
        clerk.execute("select from orders_inbox for update")
        (found,) = bad(examined(dsn, "orders"))
        assert f"A-1 is due, and its row is locked by pid {clerk.info.backend_pid}" in found.sentence
        assert "a clerk's desk" in found.sentence
        assert not found.sql
        monkeypatch.setattr(sessions, "FORGOTTEN_SECONDS", 0.0)
        mend(dsn, examined(dsn, "orders"))
        assert is_well(dsn, "orders")
        clerk.close()


SENT = """
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, epoch, owner, started_at)
values ('A-1', 1, 'A-1', 'sending', 'listener-A-1', 7, 'listener 0a work', now() - interval '6 minutes'),
       ('A-2', 2, 'A-2', 'unknown', 'listener-A-2', 7, 'listener 0a work', now() - interval '2 hours'),
       ('A-3', 3, 'A-3', 'unknown', 'listener-A-3', 7, 'listener 0a work', now())
"""


def test_claims_without_an_outcome_are_named_with_their_epoch(dsn: str, shop: Connection) -> None:
    shop.execute(SENT)
    found = the_one(dsn, "claims", "warning")
    assert "2 orders have no outcome for long: A-2 is in doubt for 2 h by listener 0a work, epoch 7;" in found.sentence
    assert "A-1 is being sent for 6 min" in found.sentence


SETTLED = """
insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key, settled_at)
values ('A-1', 1, 'A-1', 'rejected', 'listener-A-1', now()), ('A-2', 2, 'A-2', 'held_back', 'listener-A-2', now()),
       ('A-3', 3, 'A-3', 'rejected', 'listener-A-3', now() - interval '8 days');
insert into listener.conflicts (order_key, kind, shipstation_order_ids) values ('A-4', 'several', '{1,2}')
"""


def test_orders_that_need_a_person_are_counted(dsn: str, shop: Connection) -> None:
    shop.execute(SETTLED)
    found = the_one(dsn, "outcomes", "warning")
    assert "1 order has failed in the last seven days" in found.sentence
    assert "`listener failed`" in found.todo
    others = [other.sentence for other in examined(dsn, "outcomes") if other.check == "outcomes" and other != found]
    assert others[0].startswith("1 order is held back")
    assert others[1].startswith("1 order has doubles at ShipStation")


def test_an_empty_budget_and_a_throttled_call_are_told(dsn: str, shop: Connection) -> None:
    shop.execute("update listener.budget set tokens = 0, refilled_at = clock_timestamp()")
    shop.execute("insert into listener.api_calls (endpoint, status) values ('GET /orders', 429), ('GET /orders', 200)")
    spent, throttled = bad(examined(dsn))
    assert "2 of 200 ShipStation calls were made in the last hour, and none is left for" in spent.sentence
    assert "ShipStation throttled us" in throttled.sentence


def test_a_key_that_was_refused_at_the_last_call_is_an_error(dsn: str, shop: Connection) -> None:
    shop.execute("insert into listener.api_calls (endpoint, status) values ('GET /orders', 200), ('GET /orders', 401)")
    assert "ShipStation refused our key at the last call" in the_one(dsn, "budget", "error").sentence
    shop.execute("insert into listener.api_calls (endpoint, error) values ('GET /orders', 'it did not answer')")
    assert "got no answer: it did not answer" in told(dsn, "budget")[-1].sentence


def test_how_far_the_mirror_was_read_is_told(dsn: str, shop: Connection) -> None:
    assert "have not been read yet" in told(dsn, "mirror")[0].sentence
    shop.execute("update listener.mirror_state set watermark = now() - interval '90 days'")
    assert "90 days are left" in told(dsn, "mirror")[0].sentence
    shop.execute("update listener.mirror_state set full_at = now(), fresh_at = now() - interval '1 hour'")
    assert "read to the end 60 min ago: it is read on" in told(dsn, "mirror")[0].sentence
    shop.execute("update listener.mirror_state set fresh_at = now()")
    assert told(dsn, "mirror")[0].severity == "ok"


def set_watermark(shop: Connection, text: str) -> None:
    shop.execute(
        "insert into sync_watermark (workflow_name, last_sync_timestamp) values ('unified-shipstation-sync', %s)"
        " on conflict (workflow_name) do update set last_sync_timestamp = excluded.last_sync_timestamp",
        [text],
    )


def test_a_sync_that_stands_still_is_a_warning_unless_it_is_switched_off(dsn: str, shop: Connection) -> None:
    assert "has not run yet" in told(dsn, "sync")[0].sentence
    set_watermark(shop, datetime.now(UTC).isoformat())
    assert told(dsn, "sync")[0].severity == "ok"
    set_watermark(shop, (datetime.now(UTC) - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert "3 h ago" in the_one(dsn, "sync", "warning").sentence
    switch(shop, "unified-shipstation-sync", on=False)
    assert "it is switched off" in told(dsn, "sync")[0].sentence


def test_a_watermark_that_is_no_time_is_an_error(dsn: str, shop: Connection) -> None:
    set_watermark(shop, "last week")
    found = the_one(dsn, "sync", "error")
    assert "holds no time: last week" in found.sentence
    shop.execute(found.todo.split("`")[1].encode())
    assert not bad(examined(dsn))


def test_a_restored_copy_is_found_and_a_person_says_whether_it_is_production(dsn: str, shop: Connection) -> None:
    home.note_first_run(shop, home.where_it_is(shop))
    assert told(dsn, "home")[0].severity == "ok"
    shop.execute("update listener.home set database = 'the_original'")
    found = the_one(dsn, "home", "error")
    assert "it was the_original" in found.sentence
    assert "`listener install --this-is-production`" in found.todo
    assert not found.sql
