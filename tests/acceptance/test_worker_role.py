"""The listener under the role of sql/roles.sql may do all that it does; `--as-worker` runs every other test so too."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from listener.cli import group
from listener.embedded.orders_xml import orders_xml
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, row_of, set_flag, value_of
from tests.support.wait import eventually
from tests.support.worker import as_worker

DAY = datetime.now(UTC).date()
RECEIPT = "select verdict from listener.config_log where parameter_name = 'max_upload_attempts' and new_value = '1'"
PRUNED = "select count(*) from listener.history where at < now() - interval '400 days'"


def test_a_whole_day_of_the_listener_under_its_own_role(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
    tmp_path: Path,
) -> None:
    theirs = as_worker(dsn)

    def command(*arguments: str) -> str:
        done = CliRunner(env={"DATABASE_URL": theirs}).invoke(group, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    shop.execute("insert into listener.history (at) values (now() - interval '500 days')")
    set_flag(shop, "fast_polling_interval", "1")
    (tmp_path / "orders.xml").write_bytes(orders_xml(3, DAY))
    process = listener_process(theirs, ORDER_SOURCE=str(tmp_path))
    assert account.wait_for_orders(3, 15), "imported and uploaded"
    eventually(lambda: value_of(shop, PRUNED), lambda count: count == 0)

    wait_until_asleep(process)
    set_flag(shop, "max_upload_attempts", "1")
    assert eventually(lambda: value_of(shop, RECEIPT)) == "accepted"

    account.inject("partial", message="no such street")
    insert_order(shop, "B-1")
    assert eventually(lambda: row_of(shop, "B-1"), lambda row: row[0] == "failed")[2] == "no such street"
    account.clear_faults()
    assert "no such street" in command("explain", "B-1")
    command("requeue", "B-1")
    eventually(lambda: row_of(shop, "B-1")[0], lambda status: status == "uploaded")

    command("pause", "shipstation-upload")
    process.wait_status(lambda status: not status["workflows"]["shipstation-upload"]["enabled"])
    command("resume", "shipstation-upload")
    process.wait_status(lambda status: status["workflows"]["shipstation-upload"]["enabled"])
    assert "fast_polling_interval" in command("config")
    assert process.stop() == 0
    assert [line for line in process.lines if "denied" in line or " ERROR " in line] == []
