"""doctor as a whole: the ways to the database and beyond, what hangs, what is secret, the forms of the report."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener import wake
from listener.cli.doctor import doctor
from listener.doctor import examination
from listener.doctor.checks import CHECKS, Check, Way
from listener.doctor.server import judge_clocks
from listener.embedded.drive import DriveSimulator
from listener.embedded.postgres import EmbeddedPostgres, free_port
from listener.embedded.shipstation import ShipStationSimulator
from listener.metrics import Metrics
from listener.status.archive import Archive
from listener.status.pages import Sources
from listener.status.server import StatusServer
from listener.store import home
from listener.store.server import compare_clocks, read_server
from tests.support.bell import role
from tests.support.doctor import bad, complaints, examined, mends, the_one
from tests.support.pooler import TransactionPooler
from tests.support.postgres import Cluster
from tests.support.proxy import TcpProxy
from tests.support.shop import insert_order, set_flag, value_of
from tests.support.wait import eventually

VERSION, WAY_IN = "version", "database"
SECRET = "hunter2-hunter2"  # noqa: S105 - invented


def by_command(*options: str, **environment: str) -> Result:
    return CliRunner(env={"STATUS_ADDRESS": "off"} | environment).invoke(doctor, options)


# The way to the database


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_a_database_it_reports_on_stdout_and_fails(options: list[str]) -> None:
    told = by_command(*options, DATABASE_URL=f"postgresql://shop:hidden@127.0.0.1:{free_port()}/shop")
    assert (told.exit_code, told.stderr) == (1, "")
    assert "Connection refused" in " ".join(told.stdout.split())
    assert "hidden" not in told.output


def test_without_a_database_there_is_no_sql_and_it_says_so() -> None:
    told = by_command("--sql", DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/shop")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "not for SQL to mend" in told.stderr


def test_a_log_in_that_is_refused_says_what_to_correct(dsn: str) -> None:
    found = the_one(make_conninfo(dsn, user="nobody_of_ours", password=SECRET), WAY_IN, "error")
    assert 'role "nobody_of_ours" does not exist; correct the user and the password' in found.sentence


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATABASE_URL": ""}, "not set: DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://shop:hunter2-hunter2@db.example.com:port/shop"}, "no address of a PostgreSQL"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT = 'xml' must be one of"),
        ({"SHIPSTATION_API_KEY_FILE": "/nowhere/hunter2-hunter2"}, "names a file that cannot be read"),
    ],
)
def test_each_fault_of_the_settings_is_an_error(dsn: str, environment: dict[str, str], words: str) -> None:
    told = by_command("--json", **{"DATABASE_URL": dsn} | environment)
    assert told.exit_code == 1
    (found,) = [found for found in json.loads(told.stdout)["findings"] if found["severity"] == "error"]
    assert found["check"] == "settings"
    assert words in found["sentence"]
    assert "hunter2" not in told.output


def test_a_key_that_travels_in_the_clear_is_a_warning(dsn: str) -> None:
    found = the_one(dsn, "settings", "warning", SHIPSTATION_BASE_URL="http://shipping.example.com")
    assert "in the clear" in found.sentence


def test_keys_that_are_not_set_here_are_no_fault_of_the_database(dsn: str) -> None:
    told = by_command(DATABASE_URL=dsn)
    assert told.exit_code == 0
    assert "not set here: SHIPSTATION_API_KEY, SHIPSTATION_API_SECRET" in told.stdout


@pytest.fixture
def pooler(dsn: str) -> Iterator[TransactionPooler]:
    with TransactionPooler(dsn) as pooler:
        yield pooler


def test_behind_a_transaction_pooler_the_listener_is_deaf_and_the_setting_is_named(
    dsn: str, pooler: TransactionPooler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "PROBE_SECONDS", 0.2)  # what does not come through here does not come later either
    found = the_one(pooler.url(dsn), "LISTEN", "error")
    assert "deaf through DATABASE_URL: LISTEN succeeds at 127.0.0.1 and hears nothing" in found.sentence
    assert found.todo.startswith("set LISTEN_DATABASE_URL to")


def test_with_a_direct_address_for_listen_the_pooler_is_no_fault(dsn: str, pooler: TransactionPooler) -> None:
    findings = examined(pooler.url(dsn), LISTEN_DATABASE_URL=dsn)
    assert not bad(findings)
    assert [found.sentence.split()[0] for found in findings if found.check == WAY_IN] == [
        "DATABASE_URL",
        "LISTEN_DATABASE_URL",
    ]


def test_it_leaves_no_setting_on_a_poolers_connection(dsn: str) -> None:
    with TransactionPooler(dsn, size=1) as pooler:
        examined(pooler.url(dsn), "schema")
        with psycopg.connect(pooler.url(dsn), autocommit=True, prepare_threshold=None) as next_client:
            query = (
                "select array[coalesce(current_setting('listener.verify', true), ''), current_setting('lock_timeout')]"
            )
            assert value_of(next_client, query) == ["", "0"]


def test_two_addresses_of_two_databases_are_an_error(cluster: Cluster, dsn: str) -> None:
    findings = bad(examined(cluster.url(), VERSION, LISTEN_DATABASE_URL=dsn))
    assert [found.check for found in findings] == [WAY_IN]
    assert "lead to two databases: database postgres on 127.0.0.1 and database" in findings[0].sentence


def test_the_database_is_looked_at_by_the_address_that_works(dsn: str) -> None:
    refused = f"postgresql://127.0.0.1:{free_port()}/shop"
    for ways in ({"DATABASE_URL": refused, "LISTEN_DATABASE_URL": dsn}, {"LISTEN_DATABASE_URL": refused}):
        findings = examined(dsn, VERSION, "home", **ways)
        assert complaints(findings) == [(WAY_IN, "error")]
        assert {found.check for found in findings} == {"settings", WAY_IN, VERSION, "home"}
    assert "not compared" in findings[-1].sentence


def test_privileges_are_looked_at_for_the_role_of_each_address(dsn: str) -> None:
    with role(dsn, "pooled", "select") as url:
        found = bad(examined(url, "privileges", LISTEN_DATABASE_URL=dsn))[0]
    assert found.sentence.startswith("role pooled_of_")


def test_a_standby_is_named(own_server: EmbeddedPostgres) -> None:
    with psycopg.connect(own_server.url()) as connection:
        data = Path(str(value_of(connection, "show data_directory")))
    own_server.shut_down()
    (data / "standby.signal").touch()
    (data / "standby.signal").chmod(0o666)
    own_server.start()
    findings = examined(own_server.url(), "LISTEN")
    assert complaints(findings) == [(WAY_IN, "error")]
    assert "DATABASE_URL leads to a standby" in bad(findings)[0].sentence
    assert bad(findings)[0].todo == "set DATABASE_URL to the address of the primary"


def test_a_database_that_only_reads_is_mended(dsn: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))
    assert "begin read-only" in the_one(dsn, WAY_IN, "error").sentence
    assert mends(dsn)


def test_a_clock_that_differs_is_a_warning(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for seconds, words in ((30, "30 s behind this machine's"), (-30, "30 s ahead of this machine's")):
            (found,) = judge_clocks(compare_clocks(connection, lambda ahead=seconds: time.time() + ahead))
            assert words in found.sentence
        (found,) = judge_clocks(compare_clocks(connection))
        assert found.severity == "ok"


# What hangs, and what breaks


@pytest.fixture
def proxy(dsn: str, tcp_proxy: Callable[[int], TcpProxy]) -> TcpProxy:
    return tcp_proxy(int(str(conninfo_to_dict(dsn)["port"])))


def test_a_host_that_takes_connections_and_says_nothing_does_not_hold_it_up(
    dsn: str, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "CONNECT_SECONDS", 0.2)
    proxy.hold()
    findings = examined(proxy.url(dsn))
    assert complaints(findings) == [(WAY_IN, "error")]
    assert "the database gave no answer" in bad(findings)[0].sentence
    assert "checks were not made" in findings[-1].sentence
    proxy.cut()


def test_a_database_that_falls_silent_in_a_check_is_not_asked_again(dsn: str, proxy: TcpProxy) -> None:
    def fall_silent(patient: Any) -> None:
        proxy.hold()
        patient.database.execute("select 1")

    silent = Check("silent", fall_silent, lambda _: [], Way.ITSELF, seconds=0.2)
    findings = examination.examine({"DATABASE_URL": proxy.url(dsn)}, checks=(silent, *CHECKS[:3], CHECKS[-2]))
    assert complaints(findings) == [("silent", "warning")]
    assert [found.check for found in findings[-2:]] == ["source", "doctor"]
    assert "3 checks were not made" in findings[-1].sentence
    proxy.cut()


def test_all_of_it_ends_in_time_however_many_checks_are_slow(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "TOTAL_SECONDS", 0.0)
    findings = examined(dsn)
    assert not bad(findings)
    assert f"{len(CHECKS)} checks were not made" in findings[-1].sentence


def test_a_session_that_is_lost_in_a_check_is_an_error(dsn: str) -> None:
    def lose(patient: Any) -> None:
        patient.database.execute("select pg_terminate_backend(pg_backend_pid())")

    lost = Check("lost", lose, lambda _: [])
    findings = examination.examine({"DATABASE_URL": dsn}, checks=(lost, CHECKS[0]))
    assert complaints(findings) == [("lost", "error")]
    assert "1 checks were not made" in findings[-1].sentence


def test_a_fault_of_its_own_is_a_finding_and_the_other_checks_go_on(dsn: str) -> None:
    wrong = Check("wrong", lambda _: 0, lambda number: [1 / number])
    findings = examination.examine({"DATABASE_URL": dsn}, checks=(wrong, CHECKS[0]))
    assert complaints(findings) == [("wrong", "warning")]
    assert "ZeroDivisionError" in bad(findings)[0].sentence
    assert findings[-1].check == CHECKS[0].name


def test_it_leaves_nothing_behind(dsn: str) -> None:
    def state() -> list[Any]:
        with psycopg.connect(dsn) as connection:
            tables = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables"
            ours = "select count(*) from pg_stat_activity where application_name like 'listener doctor%%'"
            connection.execute("select pg_stat_force_next_flush()")
            return [value_of(connection, query) for query in (tables, ours)]

    before = state()
    examined(dsn)
    assert eventually(state, lambda after: after == before)


# ShipStation


def asking(shipstation: ShipStationSimulator, **changed: str) -> dict[str, Any]:
    keys = {"SHIPSTATION_API_KEY": shipstation.api_key, "SHIPSTATION_API_SECRET": shipstation.api_secret}
    return {"SHIPSTATION_BASE_URL": shipstation.url, "offline": False} | keys | changed


def answer(url: str, **environment: Any) -> tuple[str, str]:
    """Return severity and sentence of what ShipStation's check finds."""
    (found,) = [found for found in examined(url, "ShipStation", **environment) if found.check == "ShipStation"]
    return found.severity, found.sentence


def test_a_key_that_shipstation_takes_costs_one_call_of_the_budget(dsn: str, shipstation: ShipStationSimulator) -> None:
    assert answer(dsn, **asking(shipstation)) == ("ok", "ShipStation takes our key")
    assert len(shipstation.requests) == 1
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select endpoint, status from listener.api_calls").fetchall() == [
            ("GET /orders", 200)
        ]
        assert round(value_of(connection, "select tokens from listener.budget")) == 19


def test_a_key_that_it_refuses_is_an_error(dsn: str, shipstation: ShipStationSimulator) -> None:
    wrong = asking(shipstation, SHIPSTATION_API_KEY="hunter2-hunter2")
    assert answer(dsn, **wrong) == ("error", "ShipStation refuses our key (401)")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("429", ("warning", "ShipStation throttles us at the moment (429)")),
        ("throttle-in-body", ("warning", "ShipStation throttles us at the moment (429)")),
        ("500", ("warning", "ShipStation answered 500 to a question that it should answer")),
        ("cut", ("error", "ShipStation did not answer")),
    ],
)
def test_whatever_else_it_says_is_told(
    dsn: str, shipstation: ShipStationSimulator, fault: str, expected: tuple[str, str]
) -> None:
    shipstation.inject(fault)
    severity, sentence = answer(dsn, **asking(shipstation))
    assert severity == expected[0]
    assert sentence.startswith(expected[1])


def test_a_shipstation_that_is_not_reached_is_an_error(dsn: str, shipstation: ShipStationSimulator) -> None:
    there = asking(shipstation, SHIPSTATION_BASE_URL=f"http://127.0.0.1:{free_port()}")
    severity, sentence = answer(dsn, **there)
    assert (severity, sentence.split(":")[0]) == ("error", "ShipStation cannot be reached")


def test_a_shipstation_that_hangs_does_not_hold_it_up(
    dsn: str, shipstation: ShipStationSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = shipstation.hold()
    (check,) = [check for check in CHECKS if check.name == "ShipStation"]
    impatient = Check("ShipStation", check.gather, check.judge, check.way, seconds=0.5)
    there = {name: value for name, value in asking(shipstation).items() if name != "offline"}
    findings = examination.examine({"DATABASE_URL": dsn, **there}, checks=(impatient, CHECKS[-2]))
    assert complaints(findings) == [("ShipStation", "warning")]
    assert findings[-1].check == "source"
    hold.release()


def test_it_is_left_alone_where_nobody_may_ask(dsn: str, shipstation: ShipStationSimulator) -> None:
    reasons = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        reasons.append(answer(dsn, **asking(shipstation, offline=True)))
        reasons.append(answer(dsn, **asking(shipstation, SHIPSTATION_API_SECRET="")))
        connection.execute("update listener.budget set tokens = 1, refilled_at = clock_timestamp()")
        reasons.append(answer(dsn, **asking(shipstation)))
        home.move_in(connection, home.where_it_is(connection)._replace(database="the_original"))
        reasons.append(answer(dsn, **asking(shipstation)))
    words = ["--offline", "no key is set", "the budget has no call to spare for", "this is, or may be, a restored copy"]
    for (severity, sentence), word in zip(reasons, words, strict=True):
        assert severity == "info"
        assert sentence.startswith(f"ShipStation was not asked: {word}")
    assert not shipstation.requests


# The folder, and the page


def test_a_folder_that_is_not_there_is_an_error_and_one_with_files_is_counted(dsn: str, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    assert "cannot be read" in the_one(dsn, "source", "error", ORDER_SOURCE=str(folder)).sentence
    folder.mkdir()
    for name in ("a.xml", "b.XML", ".c.xml", "d.txt"):
        (folder / name).write_text("<orders/>")
    (told,) = [found for found in examined(dsn, ORDER_SOURCE=str(folder)) if found.check == "source"]
    assert told.sentence.endswith("has 2 XML files")


def test_a_folder_of_drive_is_listed_and_one_that_is_not_shared_is_an_error(
    dsn: str, drive: DriveSimulator, tmp_path: Path
) -> None:
    environment = drive.environment(tmp_path / "key.json")
    left_alone = examined(dsn, "source", **environment)[-1]
    assert left_alone.sentence.startswith("Google was not asked for drive:")
    drive.user.upload(b"<orders/>", "a.xml")
    told = examined(dsn, "source", offline=False, **environment)[-1]
    assert told.sentence.endswith("has 1 XML file")
    drive.user.unshare()
    fault = the_one(dsn, "source", "error", "source", offline=False, **environment).sentence
    assert drive.service_account in fault
    assert drive.folder_id in fault


def test_a_file_that_cannot_be_opened_is_a_warning(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "bad\nname.xml").write_text("<orders/>")
    found = the_one(dsn, "source", "warning", ORDER_SOURCE=str(tmp_path))
    assert r"bad\nname.xml in ORDER_SOURCE cannot be read" in found.sentence


@contextmanager
def page(metrics: Metrics) -> Iterator[str]:
    server = StatusServer(Sources(metrics, lambda: True, Archive("postgresql://127.0.0.1:1/nobody", "test")))
    assert server.start(("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop()


def test_what_the_running_listener_complains_of_is_repeated(dsn: str) -> None:
    metrics = Metrics("1.2.3")
    metrics.set(role="leader", degraded=["deaf: LISTEN is not heard", "upload backs off"])
    metrics.missed()
    with page(metrics) as address:
        findings = [found for found in examined(dsn, STATUS_ADDRESS=address) if found.check == "page"]
    assert [found.severity for found in findings] == ["warning", "warning", "warning", "info"]
    assert "deaf: LISTEN is not heard" in findings[0].sentence
    assert "1 notification was missed" in findings[2].sentence
    assert "is 1.2.3, this is" in findings[3].sentence


def test_where_no_listener_answers_nothing_is_wrong(dsn: str, shipstation: ShipStationSimulator) -> None:
    for port, words in ((free_port(), "nothing is served there"), (shipstation.port, "is not the listener's page")):
        (told,) = [found for found in examined(dsn, STATUS_ADDRESS=f"0.0.0.0:{port}") if found.check == "page"]
        assert told.severity == "info"
        assert f"127.0.0.1:{port}" in told.sentence
        assert words in told.sentence


# The report


def test_the_sql_of_a_healthy_database_is_nothing_at_all(dsn: str) -> None:
    told = by_command("--sql", DATABASE_URL=dsn)
    assert (told.exit_code, told.stdout, told.stderr) == (0, "", "")


def test_only_errors_make_it_fail(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        set_flag(connection, "idle_after", "never")
        assert by_command(DATABASE_URL=dsn).exit_code == 0
        insert_order(connection, "A-1")
    told = by_command("--json", DATABASE_URL=dsn)
    assert told.exit_code == 1
    report = json.loads(told.stdout)
    assert (report["ok"], report["errors"], report["warnings"]) == (False, 1, 1)
    assert set(report["findings"][0]) == {"check", "severity", "sentence", "todo", "sql", "files"}


HOSTILE = "A-1\x1b[2J\n" + "very-long-number-" * 9


def test_the_report_keeps_to_80_columns_and_to_its_own_terminal(dsn: str) -> None:
    with psycopg.connect(
        dsn, autocommit=True, application_name="a name that is as long as names may be, and says nothing"
    ) as other:
        other.execute("select pg_advisory_lock(1818850164, 1)")
        insert_order(other, HOSTILE)
        set_flag(other, "manual_order_pattern", "(" * 300)
        other.execute("update workflow_controls set enabled = false, updated_by = %s", [HOSTILE])
        other.execute("drop index listener.ledger_open; drop index idx_orders_inbox_key")
        other.execute("alter table orders_inbox disable trigger all")
        told = by_command(DATABASE_URL=dsn)
    assert told.exit_code == 1
    assert all(len(line) <= 80 for line in told.stdout.splitlines()), max(told.stdout.splitlines(), key=len)
    assert "\x1b" not in told.stdout
    assert "--sql | psql" in told.stdout


def test_two_forms_at_once_are_refused() -> None:
    told = by_command("--sql", "--json")
    assert told.exit_code == 2


def test_a_secret_that_the_database_repeats_is_masked(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        insert_order(connection, SECRET)
    told = by_command(DATABASE_URL=make_conninfo(dsn, password=SECRET))
    assert "the first of them ***" in told.stdout
    assert "hunter2" not in told.stdout


def test_the_server_is_read_as_the_address_names_it(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        assert read_server(connection).host == "127.0.0.1"
