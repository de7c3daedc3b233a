"""`listener simulate`: the simulators alone, for trying things by hand; prints what to export to reach them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from listener.embedded.shipstation import Fault, ShipStationSimulator

ENDING = {signal.SIGINT, signal.SIGTERM}

EPILOG = f"""\b
Examples:
  listener simulate
  listener simulate --shipstation-port 8790
  listener simulate --fault delay:seconds=2,times=3
  listener simulate --fault drop-after-commit:probability=0.1,seed=7
  listener simulate --fault 'partial:order=1001,order=1002,message=No such country'

\b
A fault is KIND or KIND:option=value,option=value. Every kind takes path, method,
order (repeatable), times, probability and seed. Kinds:
  {", ".join(list(Fault.KINDS)[:7])},
  {", ".join(list(Fault.KINDS)[7:])}

\b
While it runs:
  curl $SHIPSTATION_BASE_URL/_simulator/orders      what has arrived
  curl $SHIPSTATION_BASE_URL/_simulator/requests    the calls, with their times
  curl -X POST -d '{{"kind": "503"}}' $SHIPSTATION_BASE_URL/_simulator/faults
  curl -X DELETE $SHIPSTATION_BASE_URL/_simulator/faults
"""


@click.command(epilog=EPILOG)
@click.option("--shipstation-port", type=click.IntRange(0, 65535), default=0, help="Port; 0, the default, is any free.")
@click.option(
    "--fault", "specs", multiple=True, metavar="SPEC", help="Something that goes wrong, see below; repeatable."
)
def simulate(shipstation_port: int, specs: tuple[str, ...]) -> None:
    """Run the ShipStation simulator until Ctrl-C or SIGTERM."""
    simulator = ShipStationSimulator(port=shipstation_port)
    for fault in _read_faults(specs):
        simulator.inject(fault)
    with _ending_signals_blocked(), _started(simulator):
        click.echo(f"# ShipStation simulator at {simulator.url}, Ctrl-C ends it")
        click.echo(f"export SHIPSTATION_BASE_URL={simulator.url}")
        click.echo(f"export SHIPSTATION_API_KEY={simulator.api_key}")
        click.echo(f"export SHIPSTATION_API_SECRET={simulator.api_secret}")
        signal.sigwait(ENDING)


def _read_faults(specs: tuple[str, ...]) -> list[Fault]:
    try:
        return [Fault.parse(spec) for spec in specs]
    except ValueError as error:
        raise click.ClickException(f"--fault: {error}") from error


@contextmanager
def _started(simulator: ShipStationSimulator) -> Iterator[None]:
    try:
        simulator.start()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        message = f"port {simulator.port} can't be used ({reason}); choose another with --shipstation-port"
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
