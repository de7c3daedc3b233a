"""The Postgres of a chaos run: it can be ended in every way there is, and its disk can be filled.

The disk is a small file system of its own where mounting is allowed; else the faults of the disk are skipped.
"""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from listener.embedded.postgres import EmbeddedPostgres, find_binaries, temporary_folder

DISK_MEGABYTES = 1024
PIECE = bytes(1 << 20)

SETTINGS = {"max_connections": "40", "max_prepared_transactions": "4", "max_wal_size": "128MB"}
SETTINGS_17 = {"max_notify_queue_pages": "64"}  # the least; a queue of 8 GB takes a minute to fill


def major_version() -> int:
    """Return the major version of the server programs."""
    command = [str(find_binaries() / "postgres"), "--version"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[2].split(".")[0])


class Disk:
    """A folder for the server's data. `is_small` tells whether it is a file system that can be filled."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="listener-chaos-disk-", dir=temporary_folder()))
        self.folder.chmod(0o755)  # the server's user has to get to its own folder in it
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=755", "listener-chaos", str(self.folder)]
        self.is_small = os.geteuid() == 0 and _succeeds(mount)

    def fill(self) -> None:
        """Leave no byte free."""
        with suppress_full(), self._ballast.open("wb") as ballast:
            while True:
                ballast.write(PIECE)
                ballast.flush()

    def free(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Give the folder back to the system; its server must be down."""
        if self.is_small:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def suppress_full() -> Iterator[None]:
    """Go on when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


class Server(EmbeddedPostgres):
    """The server of one run, on a disk of its own."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.major = major_version()
        super().__init__(self.disk.folder, SETTINGS | (SETTINGS_17 if self.major >= 17 else {}))

    def stop(self) -> None:
        super().stop()
        self.disk.remove()

    def halt(self, how: signal.Signals) -> None:
        """End it by a signal: SIGINT (fast), SIGQUIT (immediate) or SIGKILL. Returns when its last process is gone."""
        self._end(how)

    @property
    def is_up(self) -> bool:
        """Tell whether the postmaster runs. One that has found no room for its log ends by itself."""
        return self._server is not None and self._server.poll() is None

    def mend(self) -> None:
        """Have it run again, whatever has become of it."""
        self.disk.free()
        if not self.is_up:
            self.crash()
            self.start()


def _succeeds(command: list[str]) -> bool:
    with suppress(FileNotFoundError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


def freeze(pid: int) -> Callable[[], None]:
    """Stop a process where it stands; returns what lets it go on, also when it has ended meanwhile."""
    os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return go_on
