"""A process that stops itself, as SIGSTOP does it, at a point of its work that the test chooses.

The rule: a point is a function of the listener's, and the process stops before the function runs; for how long the
test decides.
"""

import os
import signal
from pathlib import Path

from tests.support.process import ListenerProcess
from tests.support.wait import eventually

STOP_AT = """
import importlib, os, signal
from pathlib import Path

def watch(point):
    module, _, names = point.partition(":")
    holder = importlib.import_module(module)
    *way, name = names.split(".")
    for step in way:
        holder = getattr(holder, step)
    run = getattr(holder, name)
    def stop_first(*arguments, **options):
        try:
            Path(point).unlink()
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        return run(*arguments, **options)
    setattr(holder, name, stop_first)

for point in {points!r}:
    watch(point)
"""


def watching(*points: str) -> str:
    """Return Python that a process runs before it begins, so that `stop_at` works. A point is `module:name`."""
    return STOP_AT.format(points=points)


def stop_at(folder: Path, point: str) -> None:
    """Have the first process of this folder that comes to the point stop there."""
    (folder / point).touch()


def wait_until_stopped(process: ListenerProcess) -> None:
    """Wait until all of the process stands still."""
    eventually(lambda: _state(process.pid), lambda state: state == "T", timeout=10)


def stop(process: ListenerProcess) -> None:
    """Stop it where it is."""
    os.kill(process.pid, signal.SIGSTOP)
    wait_until_stopped(process)


def wake(process: ListenerProcess) -> None:
    """Let it go on, as if nothing had happened."""
    os.kill(process.pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
