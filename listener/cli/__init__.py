"""The command line: one file a group of commands; what they do lives elsewhere, and is imported when it is asked for.

Answers go to stdout. A fault is one line on stderr that says what to do, never a traceback for bad input.
"""

import os
import sys
from importlib import import_module

import click

from listener import __version__
from listener.errors import Fatal

COMMANDS = {
    "run": "listener.cli.run",
    "demo": "listener.cli.demo",
    "install": "listener.cli.schema",
    "uninstall": "listener.cli.schema",
    "verify": "listener.cli.schema",
    "doctor": "listener.cli.doctor",
    "rollback": "listener.cli.schema",
    "config": "listener.cli.steer",
    "validate": "listener.cli.validate",
    "pause": "listener.cli.steer",
    "resume": "listener.cli.steer",
    "status": "listener.cli.status",
    "explain": "listener.cli.orders",
    "failed": "listener.cli.orders",
    "requeue": "listener.cli.orders",
    "imports": "listener.cli.imports",
    "simulate": "listener.cli.simulate",
    "completion": "listener.cli.completion",
}
"""Each command and its module, in the order of the help; importing them all would cost a short command its speed."""


class Commands(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="listener")
def group() -> None:
    """Move orders from a shop's PostgreSQL inbox to ShipStation the moment they are committed, exactly once.

    \b
    Examples:
      listener demo                        see it work, on a database and a ShipStation of its own
      listener install                     put tables and triggers into $DATABASE_URL
      listener run                         the worker
      listener status --watch              how it is, and what it is doing
      listener explain 1001                what became of an order, and what happens next
      listener validate --stage 1          does it run as the rollout asks, over the last two days?
      listener doctor                      what is wrong anywhere in the chain, and what mends it
      listener config history              what was changed, when, and whether it was taken
    """


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = group.main(prog_name="listener", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Fatal as error:
        click.echo(f"listener: {error}", err=True)
        code = getattr(error, "exit_code", 1)
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:  # the reader of a pipe has left; what Python writes at its end has nowhere to go either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
