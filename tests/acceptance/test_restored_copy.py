"""A restored copy has pending orders and perhaps the key to ShipStation, and must not ship them."""

from collections.abc import Callable
from pathlib import Path

import psycopg
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from listener.cli import schema
from listener.embedded.shipstation import ShipStationSimulator
from tests.acceptance.conftest import wait_until_asleep
from tests.support.postgres import Cluster
from tests.support.process import ListenerProcess
from tests.support.shop import insert_order, set_flag, value_of
from tests.support.wait import eventually

UPLOAD = "shipstation-upload"
BEATS = "select last_upload_check from polling_state"


def test_a_copy_holds_its_orders_loudly_until_it_is_called_production(
    cluster: Cluster,
    dsn: str,
    account: ShipStationSimulator,
    listener_process: Callable[..., ListenerProcess],
    tmp_path: Path,
) -> None:
    with psycopg.connect(dsn, autocommit=True) as original:
        set_flag(original, "fast_polling_interval", "1")
        set_flag(original, "api_calls_per_hour", "1000000")
    first = listener_process(dsn)
    wait_until_asleep(first)
    assert first.stop() == 0
    asked_before = len(account.requests)
    with (
        cluster.database(str(conninfo_to_dict(dsn)["dbname"])) as copy_url,
        psycopg.connect(copy_url, autocommit=True) as copy,
    ):
        insert_order(copy, "COPY-1")
        process = listener_process(copy_url, ORDER_SOURCE=str(tmp_path))
        status = process.wait_status(lambda status: status["workflows"][UPLOAD]["state"] == "held")
        assert [reason for reason in status["degraded"] if "listener install --this-is-production" in reason]
        process.wait_for("ERROR .*looks like a restored copy: the database is .*, it was .*--this-is-production")
        insert_order(copy, "COPY-2")
        process.wait_status(lambda status: status["pending"] == 2)
        beat = value_of(copy, BEATS)
        eventually(lambda: value_of(copy, BEATS), lambda later: later > beat)
        process.wait_for("workflow=xml-import .*action=skip")
        assert len(account.requests) == asked_before, "held, ShipStation is not asked anything"

        done = CliRunner(env={"DATABASE_URL": copy_url}).invoke(schema.install, ["--this-is-production"])
        assert done.exit_code == 0
        assert account.wait_for_orders(2, 10)
        process.wait_status(lambda status: status["degraded"] == [])
        wait_until_asleep(process)
        assert process.stop() == 0
    assert [line for line in process.lines if " ERROR " in line][1:] == []
