"""What the listener is compared with: procrastinate and PgQueuer, in a venv of their own, as processes of their own.

Each has a database of its own on the server of the run, so that no NOTIFY of one wakes another.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from stage import Connection

from listener.embedded.postgres import EmbeddedPostgres

HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".venv-peers"
WANTED = HERE / "peers.txt"
STAMP = VENV / "peers-stamp"


@dataclass(frozen=True)
class Kind:
    """What has to be known of a peer's tables.

    idle:      has a row when nothing is left to do, also not to be recorded
    committed: when each job was enqueued, by the server's clock, in order
    done:      (jobs that are done, seconds between the first and the last), by the server's clock
    clear:     makes its tables empty
    channel:   what its worker listens to
    widths:    jobs at a time, or a batch: for one job, and for many, where each is at its fastest
    """

    name: str
    idle: str
    committed: str
    done: str
    clear: str
    channel: str
    widths: tuple[int, int]


PROCRASTINATE = Kind(
    "procrastinate",
    idle="select 1 where not exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
    committed="""select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from procrastinate_events
                 where type = 'deferred' order by id""",
    done="""select count(*), extract(epoch from max(at) - min(at))::float8 from procrastinate_events
            where type = 'succeeded'""",
    clear="truncate procrastinate_jobs restart identity cascade",
    channel="procrastinate_any_queue_v1",
    widths=(1, 20),
)
PGQUEUER = Kind(
    "pgqueuer",
    idle="select 1 where not exists (select from pgqueuer)",
    committed="""select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from pgqueuer_log
                 where status = 'queued' order by id""",
    done="""select count(*), extract(epoch from max(created) - min(created))::float8 from pgqueuer_log
            where status = 'successful'""",
    clear="truncate pgqueuer, pgqueuer_log restart identity",
    channel="ch_pgqueuer",
    widths=(1, 500),
)
KINDS = (PROCRASTINATE, PGQUEUER)


def peers_python() -> Path:
    """Return the Python that has the peers, made ready on first use."""
    python = VENV / "bin" / "python"
    stamp = WANTED.read_text() + sys.version
    if not STAMP.exists() or STAMP.read_text() != stamp:
        print(f"making {VENV} with the peers of {WANTED.name}, once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", WANTED]
        if subprocess.run(pip, check=False).returncode:
            raise SystemExit("the peers could not be installed (pip's reason is above): --no-peers goes without them")
        STAMP.write_text(stamp)
    return python


@dataclass(frozen=True)
class Peer:
    """One peer, installed in its database."""

    kind: Kind
    url: str
    operator: Connection

    def command(self, role: str, *more: str) -> list[str]:
        return [str(peers_python()), str(HERE / "peer.py"), self.kind.name, role, self.url, *more]

    def enqueue_sql(self) -> str:
        """Return what the peer's own client sends to enqueue one job."""
        return subprocess.run(self.command("sql"), check=True, capture_output=True, text=True).stdout

    @contextmanager
    def process(self, role: str, width: int) -> Iterator[subprocess.Popen[str]]:
        command = self.command(role, "--width", str(width))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@contextmanager
def installed_peers(postgres: EmbeddedPostgres) -> Iterator[list[Peer]]:
    """Install both, each in a database of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(_installed(postgres, kind)) for kind in KINDS]


@contextmanager
def _installed(postgres: EmbeddedPostgres, kind: Kind) -> Iterator[Peer]:
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"create database {kind.name}".encode())
    url = postgres.url(kind.name)
    with psycopg.connect(url, autocommit=True) as operator:
        peer = Peer(kind, url, operator)
        subprocess.run(peer.command("install"), check=True)
        yield peer
