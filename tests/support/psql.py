"""psql as an operator runs it: every file of `sql/` must do under it what it does under `listener install`."""

import os
import subprocess

from listener.embedded.postgres import find_binaries
from listener.install import sql_dir


def run_psql(
    url: str, *files: str, options: str = "", command: str = "", given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run files of `sql/`, then a command; `options` become the session's own settings, `given` is its stdin."""
    arguments = [str(find_binaries() / "psql"), url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    arguments += [part for file in files for part in ("-f", str(sql_dir() / file))]
    arguments += ["-c", command] if command else []
    environment = {**os.environ, "PGOPTIONS": options}
    return subprocess.run(arguments, capture_output=True, text=True, env=environment, input=given, check=False)


def psql(url: str, *files: str, options: str = "", command: str = "", given: str | None = None) -> str:
    """Run it as above; return what it printed, and fail on any error."""
    done = run_psql(url, *files, options=options, command=command, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout
