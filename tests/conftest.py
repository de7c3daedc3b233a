"""The fixtures of all tests: a database each, servers that can be broken, and `listener` as a process.

The rule: a fixture takes back what it made, and a test never sees what another left.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import psycopg
import pytest

from listener.embedded.postgres import EmbeddedPostgres, free_port
from tests.support.postgres import Cluster, fast_folder, running_cluster
from tests.support.process import ListenerProcess
from tests.support.proxy import TcpProxy
from tests.support.worker import as_worker

hypothesis.settings.register_profile("long", max_examples=500, deadline=None)

PRODUCTION_SCHEMA = Path(__file__).parent / "data" / "production_schema.sql"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--as-worker", action="store_true", help="run every `listener` process under sql/roles.sql's role")


def pytest_configure() -> None:
    """Forget the developer's own database, which libpq would take from these, and clean up when told to end."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end (SIGTERM)", returncode=143))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server of the whole run. Tests get a database on it, and do nothing to the server itself."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a database with the shop's tables and everything that `listener install` makes."""
    from listener.install import install  # noqa: PLC0415 - a fault in it must fail the tests that need it, not all

    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("create database installed_template")
    install(cluster.url("installed_template"), base_tables=True)
    return "installed_template"


@pytest.fixture(scope="session")
def production_template(cluster: Cluster) -> str:
    """The name of a database as production has it, before the first install."""
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("create database production_template")
    with psycopg.connect(cluster.url("production_template")) as db:
        db.execute(PRODUCTION_SCHEMA.read_bytes())
    return "production_template"


@pytest.fixture
def dsn(cluster: Cluster, template: str) -> Iterator[str]:
    """The URL of a database of this test's own, installed and empty."""
    with cluster.database(template) as url:
        yield url


@pytest.fixture
def empty_dsn(cluster: Cluster) -> Iterator[str]:
    """The URL of a database of this test's own with nothing in it."""
    with cluster.database() as url:
        yield url


@pytest.fixture
def production_dsn(cluster: Cluster, production_template: str) -> Iterator[str]:
    """The URL of a database of this test's own with production's tables, where nothing is installed yet."""
    with cluster.database(production_template) as url:
        yield url


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to be crashed and restarted; its only database is `postgres`, and that is empty."""
    with EmbeddedPostgres(fast_folder()) as server:
        yield server


@pytest.fixture
def shipstation() -> Iterator["ShipStationSimulator"]:  # noqa: F821 - named for the reader, imported when needed
    """A ShipStation account of this test's own, over HTTP on loopback."""
    from listener.embedded.shipstation import ShipStationSimulator  # noqa: PLC0415 - as in `template`

    with ShipStationSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="session")
def private_key() -> "RSAPrivateKey":  # noqa: F821 - named for the reader, imported when needed
    """What the service accounts of all tests sign with: making one takes a tenth of a second."""
    from listener.embedded.drive import make_private_key  # noqa: PLC0415 - as in `template`

    return make_private_key()


@pytest.fixture
def drive(private_key: "RSAPrivateKey") -> Iterator["DriveSimulator"]:  # noqa: F821 - as above
    """A Google Drive of this test's own, over HTTP on loopback, with a folder that is shared."""
    from listener.embedded.drive import DriveSimulator  # noqa: PLC0415 - as in `template`

    with DriveSimulator(private_key=private_key) as simulator:
        yield simulator


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[[int], TcpProxy]]:
    """Make a network to a port of this machine that the test can break: `tcp_proxy(own_server.port)`."""
    with ExitStack() as proxies:
        yield lambda target_port: proxies.enter_context(TcpProxy(target_port))


@pytest.fixture
def listener_process(
    shipstation: "ShipStationSimulator",  # noqa: F821
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., ListenerProcess]]:
    """Start `listener run` on a database: `listener_process(dsn)`, with `NAME="value"` for more environment.

    It talks to the test's `shipstation` and serves its status page; `first` is Python that it runs before. Its log is
    printed when the test fails.
    """
    started: list[ListenerProcess] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:

        def start(database_url: str, *arguments: str, first: str = "", **environment: str) -> ListenerProcess:
            if request.config.getoption("--as-worker"):
                database_url = as_worker(database_url)
            usual = {
                "DATABASE_URL": database_url,
                "SHIPSTATION_API_KEY": shipstation.api_key,
                "SHIPSTATION_API_SECRET": shipstation.api_secret,
                "SHIPSTATION_BASE_URL": shipstation.url,
                "STATUS_ADDRESS": f"127.0.0.1:{free_port()}",
            }
            process = ListenerProcess(arguments or ("run",), usual | environment, Path(folder), first)
            started.append(processes.enter_context(process))
            return process

        yield start
    for process in started:
        print(f"--- log of listener process {process.pid} ---", *process.lines, sep="\n")
