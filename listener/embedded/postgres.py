"""A Postgres server for the length of a demo or a test: fresh, on 127.0.0.1 only, gone when its owner goes.

The rule: it owns the folder it made and nothing else. It changes no permission of, and leaves no file in, a place
that was there before; and it never runs the server as root, which Postgres refuses.
"""

import atexit
import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

import psycopg

from listener.embedded.postgres_folder import OwnedFolder
from listener.embedded.postgres_programs import (
    as_service,
    find_binaries,
    give_to_service,
    require_known_user,
    service_user,
    temporary_folder,
)
from listener.errors import Fatal

__all__ = ["EmbeddedPostgres", "as_service", "find_binaries", "free_port", "service_user", "temporary_folder"]

LOG = "server.log"
INITDB_OPTIONS = ("-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8")

DEFAULT_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",  # what a power cut would lose is thrown away here anyway; kill -9 loses nothing
        "shared_buffers": "16MB",
        "max_wal_size": "64MB",
        "logging_collector": "off",
        "unix_socket_directories": "",  # a socket's path may have 107 bytes; a temporary folder may have more
        "timezone": "UTC",
    }
)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now.

    It lies below the ports that systems give to outgoing connections (from 32768 on Linux, 49152 on macOS), or one of
    those could take it while the server is down between a crash and its restart.
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def create_data_folder(binaries: Path, data: Path) -> None:
    """Make `data` and a new cluster in it, owned by the user that the server will run as."""
    require_known_user()
    data.mkdir(mode=0o700)
    give_to_service(data)
    initdb = as_service([str(binaries / "initdb"), "-D", str(data), *INITDB_OPTIONS])
    made = subprocess.run(initdb, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)  # noqa: S603
    if made.returncode != 0:
        raise Fatal(f"initdb failed in {data}: {made.stderr.strip()}")


def server_command(binaries: Path, data: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    """Return the command line of a postmaster for `data`, on 127.0.0.1 and `port`."""
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    postgres = str(binaries / "postgres")
    return as_service([postgres, "-D", str(data), "-h", "127.0.0.1", "-p", str(port), *options])


def server_url(port: int, dbname: str = "postgres") -> str:
    """Return the URL of a database of a server on this machine.

    It says no to TLS itself, because shells that are set up for a managed Postgres have PGSSLMODE=require.
    """
    return f"postgresql://postgres@127.0.0.1:{port}/{dbname}?sslmode=disable&channel_binding=disable"


def answers(port: int) -> bool:
    """Tell whether a server on `port` lets us in yet."""
    try:
        psycopg.connect(server_url(port), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


class EmbeddedPostgres:
    """One server with a fresh cluster. `start`, `crash` and `restart` keep data and port; `stop` removes everything.

    directory: the folder to make its own folder in (default: the system's temporary folder)
    settings:  postgresql.conf names and values that override DEFAULT_SETTINGS, for instance {"fsync": "on"}
    """

    def __init__(self, directory: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.port = free_port()
        self.settings = {**DEFAULT_SETTINGS, **settings}
        self._parent = directory
        self._folder: OwnedFolder | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._life_line = -1
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, dbname: str = "postgres") -> str:
        """Return the URL of a database here; good before the start too, and the same after every restart."""
        return server_url(self.port, dbname)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None while it is down."""
        return self._server.pid if self._server else None

    def log_text(self) -> str:
        """Return what the server has logged so far, over all its starts; '' before the first and after `stop`."""
        return (self._folder.path / LOG).read_text(errors="replace") if self._folder else ""

    def start(self, timeout_seconds: float = 30) -> None:
        """Start the server, with a new cluster the first time, and return when it answers."""
        if self._server is not None:
            return
        binaries = find_binaries()
        data = self._data(binaries)
        # Every process of the server inherits the writing end and none knows of it: the reading end is at its end
        # exactly when the last of them is gone, also those that outlive a killed postmaster for a moment.
        self._life_line, theirs = os.pipe()
        command = server_command(binaries, data, self.port, self.settings)
        with os.fdopen(theirs, "wb"), data.with_name(LOG).open("ab") as log:
            # A session of its own, or Ctrl-C would stop it before its owner had come to an orderly end.
            self._server = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs,), start_new_session=True
            )
        self._wait_until_it_answers(timeout_seconds)

    def stop(self) -> None:
        """Stop the server and remove its folder. Harmless when it is down, and in a forked child, whose it is not."""
        if os.getpid() != self._owner:
            return
        self.shut_down()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
        atexit.unregister(self.stop)

    def shut_down(self) -> None:
        """Stop the server in order (its sessions are cut) and keep the data, for another `start`."""
        if self._server is not None:
            self._end(signal.SIGINT)

    def restart(self) -> None:
        """Stop in order and start again, on the same data and port."""
        self.shut_down()
        self.start()

    def crash(self) -> None:
        """Kill the postmaster with SIGKILL and return when its last process has gone; the data stays as it was."""
        if self._server is not None:
            self._end(signal.SIGKILL)

    def _data(self, binaries: Path) -> Path:
        if self._folder is None:
            self._folder = OwnedFolder(self._parent)
            atexit.register(self.stop)  # the program may end on an exception elsewhere
            create_data_folder(binaries, self._folder.path / "data")
        return self._folder.path / "data"

    def _wait_until_it_answers(self, timeout_seconds: float) -> None:
        end = time.monotonic() + timeout_seconds
        while not answers(self.port):
            if self._server is None or self._server.poll() is not None or time.monotonic() > end:
                self.crash()
                raise Fatal("PostgreSQL did not start: " + " / ".join(self.log_text().splitlines()[-5:]))
            time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        life_line, self._life_line = self._life_line, -1
        if server is None:
            return
        try:
            server.send_signal(how)
            _wait_or_kill(server, 20)
            if not select.select([life_line], [], [], 20)[0]:
                raise Fatal(f"processes of the PostgreSQL server {server.pid} are still there 20 s after its end")
        finally:
            os.close(life_line)


def _wait_or_kill(server: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
