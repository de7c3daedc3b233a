"""The networks of a chaos run: a crossing that can lead elsewhere, a pooler, and a host of its own that loses its link.

A proxy that swallows is not a dead link: its bytes are acknowledged, so only deadlines notice. A link that is down
acknowledges nothing, and the system's own time limits notice.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict

from listener.embedded.postgres import as_service, free_port, temporary_folder
from tests.support.pooler import TransactionPooler
from tests.support.proxy import TcpProxy
from tests.support.wait import eventually


class Crossing(TcpProxy):
    """A proxy that can lead to another port from one connection to the next."""

    def lead_to(self, port: int) -> None:
        """Lead all new connections to `port`, and end those that are open."""
        self._target_port = port
        self.cut()


# A transaction pooler: PgBouncer where it is installed, else the tests' own, which does the same.

PGBOUNCER = """
[databases]
{database} = host={host} port={target_port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
server_round_robin = 1
"""


@contextmanager
def transaction_pooler(target: str) -> Iterator[int]:
    """Run a pooler in front of a database; yields its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        with TransactionPooler(target, 5) as pooler:
            yield int(pooler.server_address[1])
        return
    port, known = free_port(), conninfo_to_dict(target)
    names = {"host": known["host"], "target_port": known["port"], "database": known["dbname"], "user": known["user"]}
    with tempfile.TemporaryDirectory(prefix="listener-chaos-", dir=temporary_folder()) as folder:
        Path(folder).chmod(0o755)  # it does not run as root
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(PGBOUNCER.format(port=port, **names))
        command = as_service([program, "-q", str(settings)])
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _answers(port), timeout=10)
                yield port
            finally:
                process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# A host of its own: a network namespace, and a cable to it that can be pulled.


class Host:
    """Another host on a cable, and what it reaches of ours: `ports` are in the order of `targets`.

    `ours` and `theirs` are the addresses of the two ends, other ones for each process that makes such a host.

    What listens on this machine alone is reached by a proxy at our end of the cable. So the server's side of a dead
    link stays alive, as behind a balancer: a former session is there until its owner or the server ends it.
    """

    def __init__(self, *targets: int) -> None:
        self.name = f"lchaos{os.getpid()}"
        network = f"10.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250}"
        self.ours, self.theirs = f"{network}.1", f"{network}.2"
        self.ports: list[int] = []
        self._cable = f"lchaos{os.getpid() % 100_000}"
        self._targets = targets
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self._remove)
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "cable", "netns", self.name)
        _ip("address", "add", f"{self.ours}/30", "dev", self._cable)
        _ip("-n", self.name, "address", "add", f"{self.theirs}/30", "dev", "cable")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "set", "cable", "up")
        self.plug(True)
        self.ports = [self._stack.enter_context(TcpProxy(target, self.ours)).port for target in self._targets]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self._cable], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)

    def plug(self, plugged: bool) -> None:
        """Put the cable in, or pull it out: nothing passes then, and nobody is told."""
        _ip("link", "set", self._cable, "up" if plugged else "down")

    @property
    def enter(self) -> str:
        """Python that moves the process which runs it to this host, for good; it must have one thread."""
        return (
            "import ctypes, os\n"
            f"assert ctypes.CDLL(None).setns(os.open('/run/netns/{self.name}', os.O_RDONLY), 0x40000000) == 0"
        )


def why_no_host() -> str:
    """Return why there can be no host of its own here; '' when there can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and the program ip"
    try:
        with Host():
            return ""
    except subprocess.CalledProcessError as error:
        return f"ip says: {error.stderr.strip()}"  # a container without the right to


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
