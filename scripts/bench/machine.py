"""What a run of benchmarks ran on: versions, cores, and what else was going on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import VENV

from listener import __version__
from listener.embedded.postgres import find_binaries

ASK_VERSIONS = "import importlib.metadata as m; print(m.version('procrastinate'), m.version('pgqueuer'))"


def describe() -> dict[str, Any]:
    """Return what a reader must know to read the figures, as of now."""
    return {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": _said(find_binaries() / "postgres", "--version").removeprefix("postgres (PostgreSQL) "),
        "listener": __version__,
        "psycopg": version("psycopg"),
        **_peers(),
    }


def in_words(machine: dict[str, Any]) -> str:
    """Return the same as one line."""
    return (
        f"{machine['taken']}; {machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, load"
        f" {machine['load_at_start']} at the start; {machine['system']}, Python {machine['python']},"
        f" PostgreSQL {machine['postgres']}, listener {machine['listener']}"
        + "".join(f", {name} {machine[name]}" for name in ("procrastinate", "pgqueuer") if name in machine)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _peers() -> dict[str, str]:
    python = VENV / "bin" / "python"
    said = _said(python, "-c", ASK_VERSIONS).split() if python.exists() else []
    return dict(zip(("procrastinate", "pgqueuer"), said, strict=False))


def _said(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.strip()
