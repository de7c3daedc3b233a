"""The import, from files in a folder to rows in a real database."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from listener.database import Connection
from listener.errors import Transient
from listener.events import StepReport
from listener.headway import Headway
from listener.locks import LEADER_KEY, LOCK_CLASS
from listener.sources import folder
from listener.sources.folder import Folder
from listener.store import import_orders, imports
from listener.workflows import import_progress, import_xml, order_spool
from listener.workflows.import_xml import ImportXml
from tests.support.importing import Shop, orders_xml
from tests.support.wait import eventually


@pytest.fixture
def open_shop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], Shop]]:
    caplog.set_level(logging.INFO)
    shops: list[Shop] = []

    def open_one(dsn: str) -> Shop:
        shops.append(Shop(dsn, tmp_path))
        return shops[-1]

    yield open_one
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(dsn: str, open_shop: Callable[[str], Shop]) -> Shop:
    return open_shop(dsn)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged since the last look, METRICS lines aside."""
    lines = [record.getMessage() for record in caplog.records if record.name == import_xml.__name__]
    caplog.clear()
    return lines


def checks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the METRICS lines since the last look, without their duration."""
    lines = [record.getMessage() for record in caplog.records if record.name == "listener.metrics"]
    caplog.clear()
    return [" ".join(word for word in line.split() if not word.startswith("duration_ms=")) for line in lines]


def test_the_orders_of_a_file_are_pending_rows_with_lines(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.put("orders.xml")
    shop.run()
    assert said(caplog) == ["Imported orders.xml: 2 orders, 2 new, 0 known, 0 refused"]
    header = """select order_number, order_date, customer_email, status, shipstation_order_id, total_items,
                       total_amount_cents, source_system, failure_reason from orders_inbox order by id"""
    assert shop.rows(header) == [
        ("700101", date(2025, 10, 16), "mara.quill@example.com", "awaiting_shipment", None, 5, None, "X-Cart", None),
        ("700102", date(2025, 10, 17), "jo.barrow@example.com", "awaiting_shipment", None, 3, None, "X-Cart", None),
    ]
    items = (
        "select o.order_number, sku, quantity, unit_price_cents, sku_lot from order_items_inbox i join orders_inbox o"
    )
    assert shop.rows(f"{items} on o.id = i.order_inbox_id order by i.id") == [
        ("700101", "50001", 5, None, None),
        ("700102", "60001", 2, None, None),
        ("700102", "50002", 1, None, None),
    ]


def test_addresses_stand_in_their_columns_and_what_is_absent_is_null(shop: Shop) -> None:
    shop.put("orders.xml")
    shop.run()
    columns = ("name", "company", "street1", "street2", "city", "state", "postal_code", "country", "phone")
    for kind, expected in {
        "ship": "Mara Quill|Alder Street Clinic|12 Alder Street\nSuite 4|-|Fairhaven|OR|97000|US|555-0101",
        "bill": "Tomas Ferrow|-|9 Ledger Lane|-|Northmill|WA|98000|US|555-0102",
    }.items():
        (row,) = shop.rows(f"select {', '.join(f'{kind}_{c}' for c in columns)} from orders_inbox where id = 1")
        assert "|".join("-" if value is None else value for value in row) == expected


def test_an_order_without_a_date_is_of_today(shop: Shop) -> None:
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.rows("select order_date = current_date from orders_inbox") == [(True,)]


def test_bundles_are_opened_and_key_products_chosen(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.db.execute(
        "insert into bundle_skus (bundle_sku, description, active) values ('60001', 'x', 1), ('50001', 'x', 0)"
    )
    shop.db.execute("""insert into bundle_components (bundle_sku_id, component_sku, multiplier, sequence)
                       values (1, '50002', 4, 2), (1, '50003', 1, 3), (1, '50004', 10, 1), (2, '50009', 7, 1)""")
    shop.db.execute("""insert into configuration_params (category, parameter_name, value, sku)
                       values ('Key Products', 'a', '50002', '50002'), ('Key Products', 'b', '50004', ' 50004 '),
                              ('Key Products', 'c', 'no sku', null)""")
    shop.put("orders.xml")
    shop.run()
    assert shop.rows("select sku, quantity from order_items_inbox order by id") == [("50004", 20), ("50002", 9)]
    assert shop.rows("select order_number, total_items from orders_inbox") == [("700102", 29)]
    assert said(caplog) == ["Imported orders.xml: 2 orders, 1 new, 0 known, 0 refused, 1 without a key product"]


def test_a_bundle_that_is_not_active_is_a_product_like_any_other(shop: Shop) -> None:
    shop.db.execute("insert into bundle_skus (bundle_sku, description, active) values ('50001', 'x', 0)")
    shop.db.execute("insert into bundle_components (bundle_sku_id, component_sku, multiplier) values (1, '50002', 4)")
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.rows("select sku, quantity from order_items_inbox") == [("50001", 1)]


@pytest.mark.parametrize("sku", [None, "", "  "])
def test_a_key_product_without_a_sku_chooses_nothing(shop: Shop, sku: str | None) -> None:
    row = (
        "insert into configuration_params (category, parameter_name, value, sku) values ('Key Products', 'a', 'b', %s)"
    )
    shop.db.execute(row, [sku])
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.numbers() == ["1"]


def test_an_order_comes_when_its_product_becomes_a_key_product(shop: Shop) -> None:
    shop.db.execute("""insert into configuration_params (category, parameter_name, value, sku)
                       values ('Key Products', 'a', '50002', '50002')""")
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.numbers() == []
    shop.db.execute("update configuration_params set sku = '50001' where category = 'Key Products'")
    shop.put("orders.xml", orders_xml("1", "2"))
    shop.run()
    assert shop.numbers() == ["1", "2"]


def test_a_file_that_was_replaced_brings_only_what_is_new(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.put("orders.xml", orders_xml("1", "2"))
    shop.run()
    shop.put("orders.xml", orders_xml("2", "3"))  # as many as before: a count would miss it
    shop.run()
    assert shop.numbers() == ["1", "2", "3"]
    assert said(caplog)[-1] == "Imported orders.xml: 2 orders, 1 new, 1 known, 0 refused"
    figures = (
        "select orders_in_file, orders_new, orders_known, orders_refused, status from listener.imports order by id"
    )
    assert shop.rows(figures) == [(2, 2, 0, 0, "imported"), (2, 1, 1, 0, "imported")]


@pytest.mark.parametrize(
    "known",
    [
        "insert into orders_inbox (order_number, order_date) values (' Web-1', '2025-10-16')",
        "insert into shipped_orders (order_number, ship_date) values ('web-1 ', '2025-10-16')",
        """insert into listener.ledger (order_key, order_inbox_id, order_number, state, shipstation_key)
           values ('WEB-1', 1, 'web-1', 'accepted', 'k')""",
        "insert into listener.imported_orders (order_key) values ('WEB-1')",
    ],
    ids=["inbox", "shipped", "ledger", "an earlier file"],
)
def test_a_number_that_anybody_knows_is_no_new_order(shop: Shop, known: str) -> None:
    shop.db.execute(known.encode())
    before = shop.numbers()
    shop.put("orders.xml", orders_xml("WEB-1", "WEB-2"))
    shop.run()
    assert shop.numbers() == [*before, "WEB-2"]
    assert shop.rows("select orders_new, orders_known from listener.imports") == [(1, 1)]


def test_an_order_that_was_cleaned_up_does_not_come_back(shop: Shop) -> None:
    shop.db.execute(
        "insert into orders_inbox (order_number, order_date, status) values ('2', '2025-10-16', 'cancelled')"
    )
    shop.put("orders.xml", orders_xml("1", "2"))
    shop.run()
    shop.db.execute("delete from orders_inbox")
    shop.put("orders.xml", orders_xml("1", "2", "3"))
    shop.run()
    assert shop.numbers() == ["3"]


def test_a_bad_order_is_quarantined_and_the_others_go_in(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.put("one_bad_order.xml")
    shop.run()
    assert shop.numbers() == ["700201", "700203"]
    assert said(caplog) == [
        "Imported one_bad_order.xml: 3 orders, 2 new, 0 known, 1 refused",
        "Of the orders of one_bad_order.xml, 1 are refused: `listener imports --quarantine` says why",
    ]
    reason = "the amount of product 50001 is 'a dozen', which is no number of pieces"
    assert shop.rows("select import_id, line, order_number, reason from listener.quarantine") == [
        (1, 8, "700202", reason)
    ]


def test_a_refused_order_comes_when_it_was_mended(shop: Shop) -> None:
    shop.put("orders.xml", orders_xml("1", amount="0"))
    shop.run()
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.numbers() == ["1"]


def test_an_order_that_only_the_database_refuses_costs_no_good_one(shop: Shop) -> None:
    shop.db.execute("alter table orders_inbox add constraint no_fives check (order_number not like '%5')")
    shop.put("orders.xml", orders_xml(*map(str, range(1, 31))))
    shop.run()
    assert sorted(map(int, shop.numbers())) == [n for n in range(1, 31) if n % 10 != 5]
    assert [row[0] for row in shop.rows("select order_number from listener.quarantine order by id")] == [
        "5",
        "15",
        "25",
    ]
    ((reason,),) = shop.rows("select distinct reason from listener.quarantine")
    assert reason.startswith("the database refuses it: ") and "no_fives" in reason
    assert shop.rows("select count(*) from listener.imported_orders where right(order_key, 1) = '5'") == [(0,)]
    assert shop.rows("select orders_in_file, orders_new, orders_refused from listener.imports") == [(30, 27, 3)]


def test_pieces_that_a_bundle_makes_too_many_are_refused(shop: Shop) -> None:
    shop.db.execute("insert into bundle_skus (bundle_sku, description) values ('50001', 'x')")
    shop.db.execute("insert into bundle_components (bundle_sku_id, component_sku, multiplier) values (1, '50002', 50)")
    shop.put("orders.xml", orders_xml("1", amount="2000000000"))
    shop.run()
    assert shop.numbers() == []
    ((reason,),) = shop.rows("select reason from listener.quarantine")
    assert reason == "100000000000 pieces are more than an order can have"


@pytest.mark.parametrize("name", ["cut_off.xml", "entities.xml"])
def test_a_bad_file_is_named_once_and_does_not_hold_up_the_next(
    shop: Shop, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    shop.put(name)
    shop.put("orders.xml")
    shop.run()
    warning, imported = said(caplog)
    assert warning.startswith(f"{name} cannot be imported: line ")
    assert imported.startswith("Imported orders.xml: 2 orders, 2 new")
    ((status, error),) = shop.rows("select status, error from listener.imports where name = %s", name)
    assert (status, warning) == ("failed", f"{name} cannot be imported: {error}")
    shop.run()
    assert said(caplog) == []


def test_a_bad_file_is_read_again_when_it_changes_and_not_before(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.put("orders.xml", b"<orders>")
    shop.run()
    shop.workflow.close()
    shop.workflow = shop.another()
    shop.run()
    assert len(said(caplog)) == 1
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    assert shop.numbers() == ["1"]


def test_a_step_begins_no_file_after_its_time_and_says_whether_there_is_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_xml, "STEP_SECONDS", 0.0)
    for name in ("a.xml", "b.xml", "c.xml"):
        shop.put(name, orders_xml(name))
    assert shop.step() == StepReport(done=0, more=False, retry_after=1.0)
    shop.now += 1
    assert shop.step() == StepReport(done=1, more=True)
    assert shop.numbers() == ["a.xml"]
    assert shop.step() == StepReport(done=1, more=True)
    assert shop.step() == StepReport(done=1, more=False)
    assert shop.step() == StepReport()
    assert shop.numbers() == ["a.xml", "b.xml", "c.xml"]


def test_every_check_has_its_metrics_line(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.step("startup")
    shop.put("a.xml", orders_xml("1", "2"))
    shop.put("b.xml", orders_xml("3"))
    shop.step("heartbeat")
    shop.now += 1
    shop.step("retry")
    shop.step("heartbeat")
    assert checks(caplog) == [
        "METRICS: workflow=xml-import exists=False count=0 action=skip source=startup",
        "METRICS: workflow=xml-import exists=False count=0 action=skip source=heartbeat",
        "METRICS: workflow=xml-import exists=True count=2 action=process source=retry",
        "METRICS: workflow=xml-import exists=False count=0 action=skip source=heartbeat",
    ]
    assert shop.metrics.snapshot()["workflows"]["xml-import"]["processed"] == 3


def test_a_quiet_look_says_whether_there_is_something_new_and_asks_no_database(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.put("a.xml", orders_xml("1"))
    shop.run()
    shop.put("b.xml", orders_xml("2"))
    opened = len(shop.connections)
    assert shop.workflow.step("heartbeat", quiet=True) == StepReport(retry_after=1.0), "it is being written, perhaps"
    assert all(connection.closed for connection in shop.connections)
    shop.now += 1
    checks(caplog)
    assert shop.workflow.step("heartbeat", quiet=True) == StepReport(more=True)
    assert checks(caplog) == ["METRICS: workflow=xml-import exists=True count=1 action=process source=heartbeat"]
    assert (len(shop.connections), shop.numbers()) == (opened, ["1"])
    shop.run()
    assert shop.workflow.step("heartbeat", quiet=True) == StepReport()
    assert shop.numbers() == ["1", "2"]


def test_a_missing_folder_is_an_error_and_its_return_needs_no_restart(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    gone = shop.path.rename(shop.path.parent / "unmounted")
    with pytest.raises(Transient, match="cannot be read: No such file or directory; see ORDER_SOURCE"):
        shop.step()
    assert checks(caplog) == ["METRICS: workflow=xml-import exists=False count=0 action=error source=heartbeat"]
    gone.rename(shop.path)
    shop.put("orders.xml")
    shop.run()
    assert shop.numbers() == ["700101", "700102"]


def test_an_unreadable_file_is_named_once_until_that_changes(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a\nb.xml", "a\nb.xml", "c\nd.xml"):
        shop.put(name, orders_xml("1"))
        shop.run()
    words = "cannot be read: its name has characters that cannot be shown; rename it"
    assert said(caplog) == [f"a\\nb.xml {words}", f"c\\nd.xml {words}"]


@pytest.mark.parametrize(
    "content", [orders_xml("1", "2"), orders_xml("2"), b"<orders><order/>", b"<or<", b"<or<" + b" " * 2000, b""]
)
def test_a_file_that_changes_while_it_is_read_is_no_bad_file_and_is_looked_at_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    shop.put("orders.xml", orders_xml("1") + b" " * 5000)
    shop.step()
    shop.now += 1
    open_file = Folder.open

    def write_then_open(folder: Folder, file: Any) -> Any:
        shop.put("orders.xml", content)
        return open_file(folder, file)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "open", write_then_open)
        assert shop.step() == StepReport(done=1, more=False, retry_after=1.0)
    assert (shop.numbers(), said(caplog)) == ([], [])
    assert shop.rows("select * from listener.imports") == []
    shop.put("orders.xml", orders_xml("1", "2"))
    shop.run()
    assert shop.numbers() == ["1", "2"]


def test_a_check_that_finds_nothing_new_moves_polling_state_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("orders.xml")
    shop.run()
    shop.db.execute("update polling_state set last_xml_check = 'epoch', last_xml_count = 0")
    statements: list[object] = []
    execute = psycopg.Connection.execute
    monkeypatch.setattr(
        psycopg.Connection, "execute", lambda c, query, *rest: (statements.append(query), execute(c, query, *rest))[1]
    )
    shop.step()
    monkeypatch.undo()
    assert statements == [imports.MOVE_SQL]
    state = (
        "select last_xml_check between localtimestamp - interval '1 minute' and localtimestamp, last_xml_count::text"
    )
    assert shop.rows(f"{state} from polling_state") == [(True, "1")]


def test_a_check_that_finds_nothing_new_changes_one_row(shop: Shop) -> None:
    """By the server's own count: of rows changed and rows read, in every table."""
    shop.put("orders.xml")
    shop.run()
    shop.db.execute("select pg_stat_force_next_flush()")

    def changes() -> dict[str, tuple[int, int]]:
        shop.workflow.close()  # a session tells what it did at its end
        eventually(
            lambda: shop.rows("select count(*) from pg_stat_activity where application_name = 'test step'"),
            lambda found: found == [(0,)],
        )
        query = """select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del,
                          coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables"""
        return {table: (changed, read) for table, changed, read in shop.rows(query)}

    before = changes()
    for _ in range(5):
        assert shop.step() == StepReport()
    after = eventually(changes, lambda found: found["public.polling_state"][0] - before["public.polling_state"][0] == 5)
    assert {table for table in after if after[table] != before[table]} == {"public.polling_state"}


def test_ten_thousand_files_that_were_read_cost_a_check_one_statement(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.path / "0.xml").touch()
    for number in range(1, 10_000):
        (shop.path / f"{number}.xml").hardlink_to(shop.path / "0.xml")
    revision = hashlib.sha256(b"").hexdigest()
    shop.db.execute(
        "insert into listener.imports (source, file_id, revision, name, status)"
        " select %s, n || '.xml', %s, n || '.xml', 'failed' from generate_series(0, 9999) n",
        [f"folder:{shop.path}", revision],
    )
    shop.step()
    shop.now += 1
    while shop.step().retry_after:
        pass
    statements: list[object] = []
    execute = psycopg.Connection.execute
    monkeypatch.setattr(
        psycopg.Connection, "execute", lambda c, query, *rest: (statements.append(query), execute(c, query, *rest))[1]
    )
    monkeypatch.setattr(folder, "_open", lambda *_: pytest.fail("a file was opened"))
    assert shop.step() == StepReport()
    assert statements == [imports.MOVE_SQL]
    assert shop.rows("select count(*) from listener.imports") == [(10_000,)]


def test_a_file_of_many_orders_rings_once(shop: Shop) -> None:
    orders = 2 * order_spool.ORDERS_A_CHUNK + 1
    with psycopg.connect(shop.dsn) as leader, psycopg.connect(shop.dsn, autocommit=True) as ear:
        leader.execute("select pg_advisory_lock(%s, %s)", [LOCK_CLASS, LEADER_KEY])  # somebody leads, and sleeps
        ear.execute("listen orders_inbox")
        shop.put("orders.xml", orders_xml(*map(str, range(orders))))
        shop.run()
        assert len(shop.numbers()) == orders
        assert len(list(ear.notifies(timeout=0.2))) == 1


def test_a_file_that_takes_long_says_how_far_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for pause in ("SHOW_EVERY_SECONDS", "TELL_EVERY_SECONDS"):
        monkeypatch.setattr(import_progress, pause, 0.0)
    shown: list[Headway | None] = []
    tell = shop.metrics.set_workflow
    monkeypatch.setattr(shop.metrics, "set_workflow", lambda name, **f: (shown.append(f["progress"]), tell(name, **f)))
    shop.put("orders.xml")
    shop.run()
    lines = [record.getMessage() for record in caplog.records if record.name == import_progress.__name__]
    assert lines == [
        "Importing orders.xml: 2 orders read, 100 %",
        "Importing orders.xml: 2 of 2 orders written",
    ]
    size = (shop.path / "orders.xml").stat().st_size
    assert shown == [
        Headway("orders.xml, read", size, size, "bytes", "orders.xml: 2 orders read, 100 %"),
        Headway("orders.xml, written", 2, 2, "orders", "orders.xml: 2 of 2 orders written"),
        None,
    ]
    assert shop.metrics.snapshot()["workflows"]["xml-import"]["progress"] is None


def test_the_first_rollouts_count_may_be_text(production_dsn: str, open_shop: Callable[[str], Shop]) -> None:
    from listener.install import install  # noqa: PLC0415 - what it makes of production is another test's business

    install(production_dsn)
    shop = open_shop(production_dsn)
    assert shop.rows("select pg_typeof(last_xml_count)::text from polling_state") == [("text",)]
    shop.put("orders.xml", orders_xml("1", sku="17612"))
    shop.run()
    assert shop.numbers() == ["1"]
    assert shop.rows("select last_xml_count from polling_state") == [("1",)]


def test_a_check_never_waits_for_a_row_of_polling_state(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as other:
        other.execute("select from polling_state for update")
        shop.put("orders.xml")
        shop.run()
        assert shop.numbers() == ["700101", "700102"]


def test_a_file_goes_in_whole_or_not_at_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("orders.xml")

    def lose_the_connection(connection: Connection, *_: object) -> None:
        connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patched, pytest.raises(Transient, match="terminating connection"):
        patched.setattr(imports, "finish_import", lose_the_connection)
        shop.run()
    assert shop.rows("select (select count(*) from orders_inbox) + (select count(*) from listener.imports)") == [(0,)]
    shop.run()
    assert shop.numbers() == ["700101", "700102"]


def test_a_file_that_another_process_imports_at_once_goes_in_once(shop: Shop) -> None:
    shop.put("orders.xml")
    workflows = [shop.workflow, shop.another()]
    for workflow in workflows:
        workflow.step("heartbeat")
    shop.now += 1
    ready = threading.Barrier(2)
    errors: list[Exception] = []

    def step(workflow: ImportXml) -> None:
        ready.wait()
        try:
            workflow.step("heartbeat")
        except Transient as error:
            errors.append(error)

    threads = [threading.Thread(target=step, args=[workflow]) for workflow in workflows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    workflows[1].close()
    assert errors == []
    assert shop.numbers() == ["700101", "700102"]
    assert shop.rows("select orders_new from listener.imports") == [(2,)]


def test_an_order_that_somebody_inserts_meanwhile_is_known(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = import_orders.insert_orders

    def insert_late(*arguments: Any) -> Any:
        shop.db.execute("insert into orders_inbox (order_number, order_date) values ('2', '2025-10-16')")
        return insert(*arguments)

    monkeypatch.setattr(import_orders, "insert_orders", insert_late)
    shop.put("orders.xml", orders_xml("1", "2", "3"))
    shop.run()
    assert sorted(shop.numbers()) == ["1", "2", "3"]
    assert shop.rows("select orders_new, orders_known from listener.imports") == [(2, 1)]


def test_a_row_lock_of_the_shop_is_waited_for_two_seconds_and_the_file_comes_later(shop: Shop) -> None:
    shop.put("orders.xml", orders_xml("1", "2"))
    with psycopg.connect(shop.dsn) as other:
        other.execute("insert into orders_inbox (order_number, order_date) values ('2', '2025-10-16')")
        with pytest.raises(Transient, match="lock timeout"):
            shop.run()
    shop.run()
    assert sorted(shop.numbers()) == ["1", "2"]


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(shop: Shop) -> None:
    shop.step()
    (kept,) = shop.connections
    shop.db.execute("select pg_terminate_backend(%s)", [kept.info.backend_pid])
    shop.put("orders.xml")
    shop.run()
    assert shop.numbers() == ["700101", "700102"]
    assert len(shop.connections) == 2


def test_a_rollback_is_an_outage_and_a_new_install_needs_no_restart(shop: Shop) -> None:
    shop.put("a.xml", orders_xml("1"))
    shop.run()
    shop.db.execute("alter schema listener rename to elsewhere")
    shop.put("b.xml", orders_xml("2"))
    with pytest.raises(Transient, match="run `listener install`"):
        shop.run()
    shop.db.execute("alter schema elsewhere rename to listener")
    shop.db.execute("truncate listener.imports cascade; truncate listener.imported_orders")
    shop.run()
    assert shop.numbers() == ["1", "2"]
    assert shop.rows("select name, orders_known from listener.imports order by id") == [("a.xml", 1), ("b.xml", 0)]


def test_a_restart_imports_nothing_that_is_unchanged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.put("orders.xml")
    shop.run()
    said(caplog)
    shop.workflow.close()
    shop.workflow = shop.another()
    shop.run()
    assert said(caplog) == []


def test_a_connection_is_opened_on_demand_and_closed_when_told(shop: Shop) -> None:
    assert shop.connections == []
    shop.step()
    assert [connection.closed for connection in shop.connections] == [False]
    shop.workflow.close()
    assert [connection.closed for connection in shop.connections] == [True]
    shop.step()
    assert [connection.closed for connection in shop.connections] == [True, False]


def test_a_file_that_fails_does_not_stand_before_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.xml", "b.xml", "c.xml"):
        shop.put(name, orders_xml(name))
    begin = imports.begin_import

    def begin_unless_a(connection: Connection, file: imports.FileRow) -> int | None:
        if file.name == "a.xml":
            raise psycopg.errors.LockNotAvailable("lock timeout")
        return begin(connection, file)

    monkeypatch.setattr(imports, "begin_import", begin_unless_a)
    shop.step()
    shop.now += 1
    for _ in range(2):
        with pytest.raises(Transient, match="lock timeout"):
            shop.step()
    assert shop.numbers() == ["b.xml", "c.xml"]
    monkeypatch.undo()
    assert shop.step() == StepReport(done=1)
    assert shop.numbers() == ["b.xml", "c.xml", "a.xml"]


def test_a_temporary_folder_without_room_is_an_outage_and_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    shop.put("orders.xml")
    with monkeypatch.context() as patched, pytest.raises(Transient, match=r"No space left on device\); see TMPDIR"):
        patched.setattr(order_spool.OrderSpool, "put", no_room)
        shop.run()
    shop.run()
    assert shop.numbers() == ["700101", "700102"]


def test_a_refusal_that_stands_is_one_row_and_is_told_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    good = "<order><orderid>{}</orderid><order_detail><productid>1</productid></order_detail></order>"
    bad = ["<order><orderid>7</orderid></order>", "<order/>", "<order/>"]
    for count in (1, 2, 3):
        orders = "\n".join(good.format(number) for number in range(100, 100 + count))
        shop.put("orders.xml", f"<orders>{orders}{''.join(bad[:count])}</orders>".encode())
        shop.put("other.xml", b"<orders><order><orderid>7</orderid></order></orders>")
        shop.run()
    files = shop.rows("select id, orders_refused from listener.imports where name = 'orders.xml' order by id")
    assert [refused for _, refused in files] == [1, 2, 3]
    newest, _ = files[-1]
    standing = shop.rows("select line, order_number from listener.quarantine where import_id = %s order by id", newest)
    assert standing == [(3, "7"), (3, None), (3, None)]
    assert shop.rows("select count(*) from listener.quarantine") == [(4,)]
    assert [line for line in said(caplog) if "are refused" in line and "other" not in line] == [
        "Of the orders of orders.xml, 1 are refused: `listener imports --quarantine` says why",
        "Of the orders of orders.xml, 1 are refused: `listener imports --quarantine` says why",
        "Of the orders of orders.xml, 1 are refused: `listener imports --quarantine` says why",
    ]


def test_nothing_of_the_session_is_left_changed(shop: Shop) -> None:
    """A transaction pooler gives this server connection to somebody else next."""
    shop.put("orders.xml")
    shop.run()
    (connection,) = shop.connections
    settings = ("statement_timeout", "lock_timeout", "search_path", "idle_in_transaction_session_timeout")
    shown = [connection.execute(f"show {name}".encode()).fetchone() for name in settings]
    assert shown == [shop.db.execute(f"show {name}".encode()).fetchone() for name in settings]
    assert connection.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
    assert shop.rows("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]


def test_thousands_of_orders_go_in_by_a_few_statements(shop: Shop) -> None:
    many = 3 * order_spool.ORDERS_A_CHUNK + 1
    shop.put("orders.xml", orders_xml(*(f"N{n}" for n in range(many))))
    shop.run()
    assert shop.rows("select count(*), count(distinct order_number) from orders_inbox") == [(many, many)]
    assert shop.rows("select count(*) from order_items_inbox") == [(many,)]
    assert shop.rows("select count(*) from listener.imported_orders") == [(many,)]


def test_orders_get_their_rows_in_the_files_order(shop: Shop) -> None:
    shop.put("orders.xml", orders_xml("9", "1", "5", "3"))
    shop.run()
    assert shop.numbers() == ["9", "1", "5", "3"]
