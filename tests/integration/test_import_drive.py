"""The import from a folder of Google Drive, to rows in a real database."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from listener.database import connect_step
from listener.embedded.drive import DriveSimulator
from listener.events import Failed, Imported, RunImport, Source, StepReport
from listener.metrics import Metrics
from listener.store import imports
from listener.workflows import import_xml, run_import
from listener.workflows.import_xml import ImportXml
from listener.workflows.run_import import ImportRunner
from tests.support.drive import folder_of, source_of


class Shop:
    """The import over a folder of Drive and a database, with a clock that the test moves."""

    def __init__(self, dsn: str, drive: DriveSimulator, key_file: Path) -> None:
        self.dsn, self.drive, self.now = dsn, drive, 100.0
        self.folder = folder_of(drive.environment(key_file))
        self.db = psycopg.connect(dsn, autocommit=True)
        self.metrics = Metrics("test")
        self.started: list[ImportXml] = []
        self.start()

    def start(self) -> None:
        """Begin anew, as a process that was just started does."""
        source = source_of(self.folder, lambda: self.now)
        self.workflow = ImportXml(lambda: connect_step(self.dsn, "test step"), source, self.metrics)
        self.started.append(self.workflow)

    def step(self) -> StepReport:
        return self.workflow.step("heartbeat")

    def run(self) -> None:
        """Import whatever is there."""
        for _ in range(10):
            report = self.step()
            self.now += report.retry_after or 0
            if not report.more and report.retry_after is None:
                return
        pytest.fail("after ten steps there still is more")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.db.execute(query.encode()).fetchall()

    def numbers(self) -> list[str]:
        return [number for (number,) in self.rows("select order_number from orders_inbox order by id")]


@pytest.fixture
def shop(dsn: str, drive: DriveSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Shop]:
    caplog.set_level(logging.INFO)
    shop = Shop(dsn, drive, tmp_path / "key.json")
    yield shop
    for workflow in shop.started:
        workflow.close()
    shop.db.close()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the import has logged since the last look, METRICS lines aside."""
    names = (import_xml.__name__, run_import.__name__)
    lines = [record.getMessage() for record in caplog.records if record.name in names]
    caplog.clear()
    return lines


def orders_xml(*numbers: str) -> bytes:
    line = "<order_detail><amount>1</amount><productid>50001</productid></order_detail>"
    orders = [f"<order><orderid>{number}</orderid>{line}</order>" for number in numbers]
    return "".join(["<orders>", *orders, "</orders>"]).encode()


def test_the_orders_of_a_file_are_pending_rows_and_the_file_is_known_by_its_id(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = shop.drive.user.upload(orders_xml("1", "2"))
    shop.run()
    assert shop.numbers() == ["1", "2"]
    assert said(caplog) == ["Imported orders.xml: 2 orders, 2 new, 0 known, 0 refused"]
    ((source, known_as, revision, name),) = shop.rows("select source, file_id, revision, name from listener.imports")
    assert (source, known_as, name) == (f"drive:{shop.drive.folder_id}", file_id, "orders.xml")
    assert revision.startswith("sha256:")


def test_a_longer_content_under_the_same_id_brings_only_what_is_new(shop: Shop) -> None:
    file_id = shop.drive.user.upload(orders_xml("1", "2"))
    shop.run()
    shop.drive.user.replace(file_id, orders_xml("2", "3"))
    shop.run()
    assert shop.numbers() == ["1", "2", "3"]
    assert shop.rows("select orders_new, orders_known from listener.imports order by id") == [(2, 0), (1, 1)]


def test_files_of_the_same_name_all_go_in(shop: Shop) -> None:
    for number in ("1", "2", "3"):
        shop.drive.user.upload(orders_xml(number))
    shop.run()
    assert sorted(shop.numbers()) == ["1", "2", "3"]
    assert shop.rows("select count(*), count(distinct file_id) from listener.imports") == [(3, 3)]


def test_a_restart_downloads_nothing_that_is_unchanged(shop: Shop) -> None:
    files = [shop.drive.user.upload(content) for content in (orders_xml("1"), b"<orders>", b"")]
    shop.run()
    shop.start()
    shop.run()
    assert [shop.drive.downloads(file_id) for file_id in files] == [1, 1, 1]


def test_a_check_that_finds_nothing_new_moves_polling_state_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.drive.user.upload(orders_xml("1"))
    shop.run()
    statements: list[object] = []
    execute = psycopg.Connection.execute
    monkeypatch.setattr(
        psycopg.Connection, "execute", lambda c, query, *rest: (statements.append(query), execute(c, query, *rest))[1]
    )
    before = len(shop.drive.requests)
    shop.step()
    assert statements == [imports.MOVE_SQL]
    assert [request.path for request in shop.drive.requests[before:]] == ["/drive/v3/files"]


@pytest.mark.parametrize("content", [b"", b"<orders><order>", b"\x00\x01"])
def test_a_bad_file_is_named_once_recorded_and_read_again_when_it_changes(
    shop: Shop, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file_id = shop.drive.user.upload(content, "a.xml")
    shop.drive.user.upload(orders_xml("1"), "b.xml")
    for _ in range(3):
        shop.run()
    imported, warning = sorted(said(caplog))
    assert warning.startswith("a.xml cannot be imported: ")
    assert imported.startswith("Imported b.xml")
    assert shop.rows("select name from listener.imports where status = 'failed'") == [("a.xml",)]
    shop.drive.user.replace(file_id, orders_xml("2"))
    shop.run()
    assert shop.numbers() == ["1", "2"]


def test_a_file_that_changes_between_list_and_download_is_looked_at_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = shop.drive.user.upload(orders_xml("1"))
    api = shop.workflow._source._api
    download = api.download

    def replace_then_download(*arguments: Any) -> Any:
        shop.drive.user.replace(file_id, orders_xml("1", "2"))
        return download(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(api, "download", replace_then_download)
        assert shop.step() == StepReport(done=1, more=False, retry_after=1.0)
    assert (shop.numbers(), said(caplog)) == ([], [])
    shop.run()
    assert shop.numbers() == ["1", "2"]


def test_a_file_that_may_not_be_downloaded_is_named_once_and_holds_up_nobody(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = shop.drive.user.upload(orders_xml("1"), "a.xml")
    shop.drive.user.upload(orders_xml("2"), "b.xml")
    shop.drive.inject("403", reason="cannotDownloadFile", path=f"/drive/v3/files/{file_id}")
    for _ in range(3):
        shop.run()
        shop.now += 60
    assert shop.numbers() == ["2"]
    assert shop.drive.downloads(file_id) >= 3
    assert sorted(line.partition(":")[0] for line in said(caplog)) == ["Imported b.xml", "a.xml cannot be read"]
    shop.drive.clear_faults()
    shop.now += 60
    shop.run()
    assert shop.numbers() == ["2", "1"]


def test_a_file_that_is_restored_from_the_trash_is_read_again_and_its_orders_are_known(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = shop.drive.user.upload(orders_xml("1"))
    shop.run()
    shop.drive.user.trash(file_id)
    shop.run()
    shop.drive.user.untrash(file_id)
    for _ in range(3):
        shop.run()
    assert said(caplog)[1:] == ["Imported orders.xml: 1 orders, 0 new, 1 known, 0 refused"]
    assert (shop.numbers(), shop.drive.downloads(file_id)) == (["1"], 2)


class TestRunner:
    """What becomes of a fault outside the step."""

    ACTION = RunImport(Source.HEARTBEAT)

    def test_a_time_to_wait_reaches_the_schedule(self, shop: Shop) -> None:
        shop.drive.inject("429:retry_after=90,path=/drive/v3/files")
        failed = ImportRunner(shop.workflow, shop.metrics).run(self.ACTION)
        assert isinstance(failed, Failed)
        assert failed.retry_after == 90
        assert shop.drive.folder_id in failed.reason

    def test_a_fault_that_lasts_is_logged_once_and_its_end_too(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = ImportRunner(shop.workflow, shop.metrics)
        shop.drive.user.unshare()
        for _ in range(3):
            assert isinstance(runner.run(self.ACTION), Failed)
        shop.drive.inject("500")
        for _ in range(2):
            runner.run(self.ACTION)
        shop.drive.clear_faults()
        shop.drive.user.share()
        for _ in range(2):
            assert isinstance(runner.run(self.ACTION), Imported)
        unshared, outage, recovered = said(caplog)
        assert "not shared with that address" in unshared
        assert "answered 500" in outage
        assert recovered == "The import works again"
        assert shop.metrics.snapshot()["workflows"]["xml-import"]["errors"] == 5
