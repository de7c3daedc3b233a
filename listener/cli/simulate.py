"""`listener simulate`: the simulators alone, for trying things by hand; prints what to export to reach them."""

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from listener.embedded import drive, shipstation
from listener.embedded.drive import DriveSimulator
from listener.embedded.shipstation import ShipStationSimulator
from listener.embedded.simulator import Simulator

ENDING = {signal.SIGINT, signal.SIGTERM}
DRIVE = "drive:"

EPILOG = f"""\b
Examples:
  listener simulate
  listener simulate --shipstation-port 8790 --drive-port 8791
  listener simulate --fault delay:seconds=2,times=3
  listener simulate --fault drop-after-commit:probability=0.1,seed=7
  listener simulate --fault 'partial:order=1001,order=1002,message=No such country'
  listener simulate --fault drive:403:reason=userRateLimitExceeded,times=2

\b
A fault of ShipStation is KIND or KIND:option=value,option=value, one of Drive
has drive: before it. Every kind takes path, method, times, probability and
seed; ShipStation's also order (repeatable), Drive's also alt. Kinds:
  {", ".join(list(shipstation.Fault.KINDS)[:7])},
  {", ".join(list(shipstation.Fault.KINDS)[7:])};
Drive's:
  {", ".join(drive.Fault.KINDS)}

\b
While it runs:
  curl $SHIPSTATION_BASE_URL/_simulator/orders      what has arrived
  curl $SHIPSTATION_BASE_URL/_simulator/requests    the calls, with their times
  curl -X POST -d '{{"kind": "503"}}' $SHIPSTATION_BASE_URL/_simulator/faults
  curl -X DELETE $SHIPSTATION_BASE_URL/_simulator/faults
  curl --data-binary @orders.xml $DRIVE_BASE_URL/_simulator/files
  curl $DRIVE_BASE_URL/_simulator/files             what lies in the folder
  curl -X POST $DRIVE_BASE_URL/_simulator/unshare   and share, expire_tokens
"""


@click.command(epilog=EPILOG)
@click.option("--shipstation-port", type=click.IntRange(0, 65535), default=0, help="Port; 0, the default, is any free.")
@click.option("--drive-port", type=click.IntRange(0, 65535), default=0, help="Port of Drive; 0 is any free.")
@click.option(
    "--fault", "specs", multiple=True, metavar="SPEC", help="Something that goes wrong, see below; repeatable."
)
def simulate(shipstation_port: int, drive_port: int, specs: tuple[str, ...]) -> None:
    """Run the simulators of ShipStation and Google Drive until Ctrl-C or SIGTERM."""
    shipstation, drive = ShipStationSimulator(port=shipstation_port), DriveSimulator(port=drive_port)
    for spec in specs:
        of_drive = spec.startswith(DRIVE)
        _inject(drive if of_drive else shipstation, spec.removeprefix(DRIVE) if of_drive else spec)
    with (
        _ending_signals_blocked(),
        _started(shipstation, "--shipstation-port"),
        _started(drive, "--drive-port"),
        tempfile.TemporaryDirectory(prefix="listener-simulate-") as folder,
    ):
        click.echo(f"# ShipStation simulator at {shipstation.url}, Ctrl-C ends it")
        _export(
            {
                "SHIPSTATION_BASE_URL": shipstation.url,
                "SHIPSTATION_API_KEY": shipstation.api_key,
                "SHIPSTATION_API_SECRET": shipstation.api_secret,
            }
        )
        click.echo(f"# Google Drive simulator at {drive.url}, with a folder that is shared")
        _export(drive.environment(Path(folder) / "service-account.json"))
        signal.sigwait(ENDING)


def _export(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        click.echo(f"export {name}={value}")


def _inject(simulator: Simulator[Any, Any], spec: str) -> None:
    try:
        simulator.inject(spec)
    except ValueError as error:
        raise click.ClickException(f"--fault: {error}") from error


@contextmanager
def _started(simulator: Simulator[Any, Any], option: str) -> Iterator[None]:
    try:
        simulator.start()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        message = f"port {simulator.port} can't be used ({reason}); choose another with {option}"
        raise click.ClickException(message) from error
    try:
        yield
    finally:
        simulator.stop()


@contextmanager
def _ending_signals_blocked() -> Iterator[None]:
    """Keep the signals for sigwait, from before the threads start: they inherit the mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
