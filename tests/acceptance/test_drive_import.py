"""Order files in a folder of Google Drive become orders at ShipStation, and what goes wrong there is said and ends."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from listener.embedded.drive import DriveSimulator
from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, set_flag
from tests.support.wait import eventually

DAY = datetime.now(UTC).date()  # older orders are held back

Start = Callable[..., ListenerProcess]


@pytest.fixture
def environment(drive: DriveSimulator, tmp_path: Path) -> dict[str, str]:
    return drive.environment(tmp_path / "key.json")


@pytest.fixture
def importing(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    environment: dict[str, str],
    listener_process: Start,
) -> ListenerProcess:
    """A listener that leads, and looks at its folder every second."""
    set_flag(shop, "fast_polling_interval", "1")
    process = listener_process(dsn, **environment, LOG_LEVEL="DEBUG")
    wait_until_asleep(process)
    return process


@pytest.fixture
def again(shop: Connection) -> Callable[[], None]:
    """End a backoff, as any change of a flag does."""
    values = count(301)
    return lambda: set_flag(shop, "idle_after", str(next(values)))


def arrived(account: ShipStationSimulator) -> Counter[str]:
    return Counter(order["orderNumber"] for order in account.orders)


def degraded(process: ListenerProcess, *words: str) -> str:
    """Return the reason that has these words in it, once there is one."""

    def found(status: dict[str, list[str]]) -> list[str]:
        return [reason for reason in status["degraded"] if all(word in reason for word in words)]

    return found(process.wait_status(found))[0]


def said(process: ListenerProcess, words: str) -> int:
    return sum(words in line for line in process.lines)


def test_the_orders_of_a_file_arrive_once_each_and_no_secret_is_logged(
    account: ShipStationSimulator, drive: DriveSimulator, environment: dict[str, str], importing: ListenerProcess
) -> None:
    importing.wait_for(r"XML import started \(interval=1s\)")
    file_id = drive.user.upload(orders_xml(5, DAY))
    assert account.wait_for_orders(5, 15)
    importing.wait_for("Imported orders.xml: 5 orders, 5 new, 0 known, 0 refused$")
    drive.user.replace(file_id, orders_xml(8, DAY))
    drive.user.upload(orders_xml(9, DAY))
    assert account.wait_for_orders(9, 15)
    assert arrived(account) == {str(600001 + n): 1 for n in range(9)}
    status = importing.status()
    assert (status["degraded"], status["workflows"]["xml-import"]["errors"]) == ([], 0)
    key = json.loads(Path(environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    for secret in (*key["private_key"].split("\n")[1:-2], *drive._account._tokens, "Bearer"):
        assert secret not in importing.log


def test_a_folder_that_is_not_shared_any_more_is_said_once_and_read_again_without_a_restart(
    shop: Connection,
    account: ShipStationSimulator,
    drive: DriveSimulator,
    importing: ListenerProcess,
    again: Callable[[], None],
) -> None:
    drive.user.upload(orders_xml(1, DAY))
    assert account.wait_for_orders(1, 15)
    drive.user.unshare()
    drive.user.upload(orders_xml(2, DAY))
    reason = degraded(importing, drive.folder_id, drive.service_account)
    assert "not shared with that address" in reason
    again()
    importing.wait_for("Backing off 60s after error #1")
    eventually(lambda: said(importing, "Backing off"), lambda times: times >= 2)
    assert said(importing, "Import error: ") == 1
    insert_order(shop, "BESIDE-1")
    assert account.wait_for_orders(2, 5), "the upload is not concerned"
    drive.user.share()
    again()
    assert account.wait_for_orders(3, 15)
    importing.wait_for("The import works again")
    importing.wait_status(lambda status: status["degraded"] == [])


def test_an_outage_and_a_refused_key_end_without_a_restart(
    account: ShipStationSimulator,
    drive: DriveSimulator,
    environment: dict[str, str],
    importing: ListenerProcess,
    again: Callable[[], None],
) -> None:
    drive.stop()
    degraded(importing, drive.folder_id, drive.service_account, "there is no answer")
    drive.start()
    drive.change_key()
    again()
    degraded(importing, drive.folder_id, "Google refuses its key")
    drive.write_key(Path(environment["GOOGLE_APPLICATION_CREDENTIALS"]))
    drive.user.upload(orders_xml(2, DAY))
    again()
    assert account.wait_for_orders(2, 15)
    assert said(importing, "Import error: ") == 2


def test_a_restart_downloads_nothing_that_is_unchanged(
    dsn: str,
    account: ShipStationSimulator,
    drive: DriveSimulator,
    environment: dict[str, str],
    importing: ListenerProcess,
    listener_process: Start,
) -> None:
    file_id = drive.user.upload(orders_xml(2, DAY))
    assert account.wait_for_orders(2, 15)
    importing.wait_for("Imported orders.xml")
    assert importing.stop() == 0
    next_one = listener_process(dsn, **environment)
    looks = "METRICS: workflow=xml-import exists=False"
    eventually(lambda: said(next_one, looks), lambda times: times >= 2, timeout=15)
    assert drive.downloads(file_id) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key: key.unlink(), "names a file that cannot be read"),
        (lambda key: key.write_text("{}"), "not the key of a service account"),
        (lambda key: key.write_text(key.read_text().replace("PRIVATE KEY", "EMPTY")), "private_key cannot be used"),
    ],
    ids=["missing", "no key", "cannot sign"],
)
def test_a_key_file_that_cannot_be_used_is_one_line_and_exit_2(
    dsn: str,
    environment: dict[str, str],
    listener_process: Start,
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    spoil(Path(environment["GOOGLE_APPLICATION_CREDENTIALS"]))
    process = listener_process(dsn, **environment)
    assert process.wait() == 2
    (line,) = process.lines
    assert line.startswith("listener: GOOGLE_APPLICATION_CREDENTIALS names a ")
    assert words in line


def test_without_a_key_file_a_folder_of_drive_is_exit_2(
    dsn: str, environment: dict[str, str], listener_process: Start
) -> None:
    process = listener_process(dsn, ORDER_SOURCE=environment["ORDER_SOURCE"])
    assert process.wait() == 2
    assert "GOOGLE_APPLICATION_CREDENTIALS is not set" in process.lines[-1]
