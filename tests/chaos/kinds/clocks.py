"""The clock of the listener's machine jumps; that of the database and of ShipStation do not.

A few lines of C stand between the process and the system's time of day (`shifted_clock.c`), so that whatever reads it
is misled: Python, libpq and OpenSSL.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.kinds.kind import kind
from tests.chaos.operator import linger
from tests.chaos.world import World

SOURCE = Path(__file__).with_name("shifted_clock.c")
HOUR = 3600


def why_no_clock() -> str:
    """Return why the clock cannot be shifted here."""
    return "" if shutil.which("cc") and Path("/proc/self").exists() else "needs Linux and a C compiler"


def shift(world: World, seconds: int) -> None:
    """Set the time of day of whoever was started by `start_on_shifted_clock`."""
    with (world.folder / "shift").open("r+b") as file:
        file.write(struct.pack("=q", seconds))


def start_on_shifted_clock(world: World) -> None:
    library, seconds = world.folder / "shifted_clock.so", world.folder / "shift"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    seconds.write_bytes(struct.pack("=q", 0))
    world.stop(world.listener)
    world.start(leads=True, LD_PRELOAD=str(library), CLOCK_SHIFT=str(seconds))


@kind("clock: jumps ahead and back", lasts=(0.5, 2), slow=True, why_not=why_no_clock)
def ahead(world: World, dice: random.Random) -> Iterator[None]:
    """An hour or a year ahead, and back."""
    start_on_shifted_clock(world)
    linger(dice.uniform(0, 1))
    shift(world, dice.choice([HOUR, 365 * 24 * HOUR]))
    yield
    shift(world, 0)


@kind("clock: jumps back and ahead", lasts=(0.5, 2), slow=True, why_not=why_no_clock)
def behind(world: World, dice: random.Random) -> Iterator[None]:
    """A minute, a day or ten years back, and ahead."""
    start_on_shifted_clock(world)
    linger(dice.uniform(0, 1))
    shift(world, -dice.choice([60, 24 * HOUR, 10 * 365 * 24 * HOUR]))
    yield
    shift(world, 0)
