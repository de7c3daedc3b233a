"""The tests' own tools do what the other tests trust them to do."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from listener.embedded.postgres import EmbeddedPostgres
from tests.support.catalog import catalog
from tests.support.postgres import Cluster
from tests.support.process import ListenerProcess
from tests.support.proxy import TcpProxy
from tests.support.wait import eventually

ProxyFactory = Callable[[int], TcpProxy]


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url) as db:
        return db.execute(query).fetchone()[0]


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while piece := self.request.recv(65_536):
                self.request.sendall(piece)


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


class TestDatabases:
    def test_a_test_gets_a_database_of_its_own(self, cluster: Cluster) -> None:
        with cluster.database() as one, cluster.database() as other:
            with psycopg.connect(one) as db:
                db.execute("create table here (id int)")
            assert scalar(one, "select to_regclass('here') is not null")
            assert not scalar(other, "select to_regclass('here') is not null")

    def test_a_database_is_dropped_though_somebody_is_still_connected(self, cluster: Cluster) -> None:
        with cluster.database() as url:
            left_open = psycopg.connect(url)
            name = left_open.info.dbname
        assert scalar(cluster.url(), f"select count(*) from pg_database where datname = '{name}'") == 0
        left_open.close()

    def test_a_copy_has_the_settings_of_the_database_it_was_copied_from(self, cluster: Cluster) -> None:
        with cluster.database() as original:
            name = psycopg.conninfo.conninfo_to_dict(original)["dbname"]
            with psycopg.connect(original, autocommit=True) as db:
                db.execute(f"alter database {name} set statement_timeout = '7s'")
                db.execute(f"alter database {name} set listener.bell = 'off'")
            with cluster.database(name) as copy:
                assert scalar(copy, "show statement_timeout") == "7s"
                assert scalar(copy, "show listener.bell") == "off"

    def test_the_installed_database_is_ready_for_orders(self, dsn: str) -> None:
        assert scalar(dsn, "select count(*) from orders_inbox") == 0
        assert scalar(dsn, "select count(*) from listener.leader") == 1

    def test_the_production_database_has_the_shops_tables_and_no_listener(self, production_dsn: str) -> None:
        assert scalar(production_dsn, "select count(*) from workflow_controls") == 3
        assert not scalar(production_dsn, "select to_regnamespace('listener') is not null")

    def test_the_empty_database_has_no_tables(self, empty_dsn: str) -> None:
        assert scalar(empty_dsn, "select count(*) from pg_stat_user_tables") == 0


class TestCatalog:
    def test_two_looks_at_an_unchanged_database_are_equal(self, production_dsn: str) -> None:
        assert catalog(production_dsn) == catalog(production_dsn)

    @pytest.mark.parametrize(
        "change",
        [
            "alter table sku_lot add column note text",
            "alter table sku_lot alter column lot set default 'none'",
            "create function bell() returns int language sql as 'select 2'",
            "alter table sku_lot disable trigger quiet",
            "alter database {name} set statement_timeout = '9s'",
            "grant select on sku_lot to public",
            "comment on table sku_lot is 'changed'",
            "create index concurrently broken on sku_lot ((1 / (id - 1)))",
        ],
    )
    def test_every_change_of_the_definition_shows(self, production_dsn: str, change: str) -> None:
        with psycopg.connect(production_dsn, autocommit=True) as db:
            db.execute("create function noop() returns trigger language plpgsql as 'begin return null; end'")
            db.execute("create trigger quiet after insert on sku_lot execute function noop()")
            db.execute("insert into sku_lot (id, sku, lot) values (1, 'S', 'L')")
            before = catalog(production_dsn)
            try:
                db.execute(change.format(name=db.info.dbname))
            except psycopg.errors.DivisionByZero:
                assert "concurrently" in change  # which leaves an invalid index behind
        assert catalog(production_dsn) != before

    def test_rows_do_not_show(self, production_dsn: str) -> None:
        before = catalog(production_dsn)
        with psycopg.connect(production_dsn) as db:
            db.execute("insert into sku_lot (sku, lot) values ('S', 'L')")
        assert catalog(production_dsn) == before


class TestProxy:
    def test_bytes_pass_both_ways(self, tcp_proxy: ProxyFactory, echo_port: int) -> None:
        with connect(tcp_proxy(echo_port)) as client:
            client.sendall(b"there and back")
            assert client.recv(100) == b"there and back"

    def test_a_cut_resets_what_is_open_and_lets_new_ones_in(self, tcp_proxy: ProxyFactory, echo_port: int) -> None:
        proxy = tcp_proxy(echo_port)
        with connect(proxy) as client:
            client.sendall(b"1")
            assert client.recv(1) == b"1"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with connect(proxy) as client:
            client.sendall(b"2")
            assert client.recv(1) == b"2"

    def test_refusing_leaves_open_connections_alone(self, tcp_proxy: ProxyFactory, echo_port: int) -> None:
        proxy = tcp_proxy(echo_port)
        with connect(proxy) as client:
            client.sendall(b"1")
            assert client.recv(1) == b"1"
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                connect(proxy)
            client.sendall(b"2")
            assert client.recv(1) == b"2"
        proxy.accept()
        connect(proxy).close()

    @pytest.mark.parametrize("lane", ["to_server", "to_client"])
    def test_a_held_lane_is_silent_and_loses_nothing(self, tcp_proxy: ProxyFactory, echo_port: int, lane: str) -> None:
        proxy = tcp_proxy(echo_port)
        with connect(proxy) as client:
            getattr(proxy, lane).hold()
            client.sendall(b"late")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(4)
            getattr(proxy, lane).release()
            client.settimeout(5)
            assert client.recv(4) == b"late"

    def test_a_held_connection_can_still_be_cut(self, tcp_proxy: ProxyFactory, echo_port: int) -> None:
        proxy = tcp_proxy(echo_port)
        with connect(proxy) as client:
            proxy.hold()
            client.sendall(b"lost")
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(4)

    def test_a_delay_counts_once_for_each_lane_that_has_one(self, tcp_proxy: ProxyFactory, echo_port: int) -> None:
        proxy = tcp_proxy(echo_port)
        proxy.to_client.delay(0.1)
        with connect(proxy) as client:
            sent = time.monotonic()
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert time.monotonic() - sent >= 0.1

    def test_a_server_that_is_down_shows_as_a_connection_that_ends_at_once(self, tcp_proxy: ProxyFactory) -> None:
        with (
            pytest.raises(ConnectionResetError),
            connect(tcp_proxy(1)) as client,
        ):  # it may come before connect() is done
            client.recv(1)

    def test_postgres_through_a_cut_link_is_an_operational_error(
        self, tcp_proxy: ProxyFactory, own_server: EmbeddedPostgres
    ) -> None:
        proxy = tcp_proxy(own_server.port)
        with psycopg.connect(proxy.url(own_server.url())) as db:
            assert db.execute("select 1").fetchone() == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                db.execute("select 1")


class TestEventually:
    def test_it_returns_the_first_value_that_is_accepted(self) -> None:
        values = iter([1, 2, 3, 4])
        assert eventually(lambda: next(values), lambda value: value > 2) == 3

    def test_it_fails_with_the_last_value_it_saw(self) -> None:
        with pytest.raises(AssertionError, match="it still was 'empty'"):
            eventually(lambda: "empty", lambda value: value == "full", timeout=0.05)


class TestListenerProcess:
    """With a Python program in the listener's place, so that these tell of the tool alone."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Iterator[Callable[[str], ListenerProcess]]:
        started: list[ListenerProcess] = []

        def start(code: str) -> ListenerProcess:
            package = tmp_path / "listener" / "cli"
            package.mkdir(parents=True)
            (tmp_path / "listener" / "__init__.py").touch()
            (package / "__init__.py").touch()
            (package / "__main__.py").write_text(code)
            started.append(ListenerProcess((), {"PYTHONPATH": str(tmp_path)}, tmp_path))
            return started[-1]

        yield start
        for process in started:
            process.kill()

    def test_it_waits_for_a_line_that_is_yet_to_come(self, program: Callable[[str], ListenerProcess]) -> None:
        process = program("import sys; sys.stderr.write('order A-1 sent\\n'); sys.stderr.flush(); sys.stdin.read()")
        assert process.wait_for(r"order (\S+) sent").group(1) == "A-1"

    def test_a_mark_hides_the_lines_before_it(self, program: Callable[[str], ListenerProcess]) -> None:
        process = program("import sys; print('once', file=sys.stderr)")
        process.wait_for("once")
        with pytest.raises(AssertionError, match="before the process ended"):
            process.wait_for("once", after=process.mark())

    def test_a_process_that_ends_fails_the_wait_at_once_with_its_log(
        self, program: Callable[[str], ListenerProcess]
    ) -> None:
        process = program("raise SystemExit('no database')")
        started = time.monotonic()
        with pytest.raises(AssertionError, match=r"(?s)the process ended.*no database"):
            process.wait_for("started", timeout=60)
        assert time.monotonic() - started < 50
        assert process.wait() == 1

    def test_stop_asks_and_returns_the_exit_code(self, program: Callable[[str], ListenerProcess]) -> None:
        process = program(
            "import signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
            "print('ready', file=sys.stderr, flush=True)\n"
            "signal.pause()"
        )
        process.wait_for("ready")
        assert process.stop() == 7

    def test_the_developers_own_environment_stays_outside(
        self, program: Callable[[str], ListenerProcess], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHIPSTATION_API_KEY", "the real one")
        process = program("import os; print(os.environ.get('SHIPSTATION_API_KEY'))")
        process.wait()
        assert process.output == ["None"]

    def test_the_listener_runs_against_the_tests_database(
        self, listener_process: Callable[..., ListenerProcess], dsn: str
    ) -> None:
        process = listener_process(dsn)
        assert process.wait_status(lambda status: status["role"] == "leader")["version"]
        assert process.stop() == 0
