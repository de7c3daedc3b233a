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
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from listener.embedded.postgres import as_service, free_port, temporary_folder
from tests.support.hosts import Host, Network
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


@dataclass(frozen=True)
class OtherHost:
    """Another host, and what it reaches of ours: `ports` of `address`, in the order that was asked for."""

    host: Host
    address: str
    ports: tuple[int, ...]


@contextmanager
def other_host(*targets: int) -> Iterator[OtherHost]:
    """Lay a cable to another host, from which these ports of ours can be reached.

    What listens on this machine alone is reached by a proxy at our end of the cable. So the server's side of a dead
    link stays alive, as behind a balancer: a former session is there until its owner or the server ends it.
    """
    with Network() as net, ExitStack() as proxies:
        host = net.host(1)
        ports = [proxies.enter_context(TcpProxy(target, net.address)).port for target in targets]
        yield OtherHost(host, net.address, tuple(ports))
