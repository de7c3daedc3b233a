"""The folder of an embedded server, which goes away with the process that made it, however that one ends.

The rule: what is removed is the folder that was made here, and the only process ended is the server that runs in it.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from listener.embedded.postgres_programs import give_to_service, temporary_folder

# Its standard input is a pipe from us. We never write: it ends, and the shell goes on, when we are gone, also by
# SIGKILL. The server is looked up in its own pid file, so that no stranger with a recycled number is hit.
CLEAN_UP_AFTER_US = """
read -r nothing
if read -r server < "$0/data/postmaster.pid"; then kill -QUIT "$server"; sleep 1; fi
rm -rf "$0"
"""


class OwnedFolder:
    """A new folder in `parent` that belongs to the user that the server runs as. `remove` it, or it goes at our end."""

    def __init__(self, parent: Path | None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="listener-pg-", dir=parent or temporary_folder()))
        give_to_service(self.path)
        # In a session of its own: Ctrl-C, and whatever ends our process group, must not reach it.
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", CLEAN_UP_AFTER_US, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def remove(self) -> None:
        """Remove the folder now; its server must be down."""
        self._guard.kill()
        self._guard.communicate()
        shutil.rmtree(self.path, ignore_errors=True)
