"""`config`, `pause`, `resume`: what the listener is told by rows of the database, and what became of that."""

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click

from listener.cli.answer import connected, json_option, limit_option
from listener.database import Connection
from listener.errors import Fatal
from listener.events import WORKFLOWS
from listener.flags import READERS, Flags, Value, as_text, parse_flags
from listener.log import escape
from listener.store.config import Receipt, all_flag_rows, limit_transaction, read_history, switch_workflow

NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """One flag as `config` shows it. `refused` says why its row is not taken; the value is the default then."""

    name: str
    value: Value
    default: Value
    source: str
    refused: str | None


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def config(context: click.Context, as_json: bool) -> None:
    """Show the flags that the database sets. They are rows of configuration_params; a change is in force at once.

    \b
    Example: listener config
             psql "$DATABASE_URL" -c "update configuration_params set value = '30'
               where category = 'Polling' and parameter_name = 'fast_polling_interval'"
             listener config history
    """
    if context.invoked_subcommand is not None:
        return
    with _transaction() as connection:
        rows = all_flag_rows(connection)
    flags = _shown(rows)
    if as_json:
        click.echo(json.dumps({"flags": [asdict(flag) for flag in flags], "ignored": _ignored(rows)}, indent=2))
    else:
        click.echo("\n".join([*_table(flags), *_remarks(flags, _ignored(rows))]))


@config.command()
@limit_option
@json_option
def history(limit: int, as_json: bool) -> None:
    """Show what was changed, a line a change, the newest last: accepted, or refused and why.

    \b
    Example: listener config history --limit 10
    """
    with _transaction() as connection:
        receipts = read_history(connection, limit)
    if as_json:
        click.echo(json.dumps([_as_dict(receipt) for receipt in receipts], indent=2))
    else:
        click.echo("\n".join(map(_line, receipts)) or "no change was recorded yet")


by_option = click.option("--by", metavar="WHO", help="Who does this; by default the user's name.")
workflow_argument = click.argument("workflow", type=click.Choice(WORKFLOWS))


@click.command()
@workflow_argument
@by_option
def pause(workflow: str, by: str | None) -> None:
    """Switch a workflow off, at once; the step under way is finished first.

    \b
    Example: listener pause shipstation-upload --by alex
    """
    who = _switch(workflow, by, enabled=False)
    click.echo(f"{workflow} is paused by {escape(who)}; `listener resume {workflow}` switches it on again")


@click.command()
@workflow_argument
@by_option
def resume(workflow: str, by: str | None) -> None:
    """Switch a workflow on again, at once.

    \b
    Example: listener resume shipstation-upload
    """
    who = _switch(workflow, by, enabled=True)
    click.echo(f"{workflow} is switched on by {escape(who)}")


def _switch(workflow: str, by: str | None, *, enabled: bool) -> str:
    who = by or user_name()
    with _transaction() as connection:
        if not switch_workflow(connection, workflow, enabled=enabled, who=who):
            raise Fatal(f"workflow_controls has no row for {workflow}; run `listener install`, which adds it")
    return who


def user_name() -> str:
    """Return who gives the command, as the system knows them."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"


@contextmanager
def _transaction() -> Iterator[Connection]:
    """Yield a transaction on DATABASE_URL, with limits on time. Raises Fatal with one line for whatever goes wrong."""
    with connected("listener config", reads=False) as connection, connection.transaction():
        limit_transaction(connection)
        yield connection


def _shown(rows: Sequence[tuple[str, str]]) -> list[Shown]:
    flags, refusals = parse_flags(rows, Flags())
    values, defaults = asdict(flags), asdict(Flags())
    refused = {refusal.parameter_name: refusal.reason for refusal in refusals}
    set_names = {name for name, _ in rows} - refused.keys()
    return [
        Shown(name, values[name], defaults[name], "table" if name in set_names else "default", refused.get(name))
        for name in READERS
    ]


def _ignored(rows: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({name for name, _ in rows} - READERS.keys())


def _table(flags: Sequence[Shown]) -> Iterator[str]:
    rows = [("flag", "value", "default", "source"), *map(_cells, flags)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(flag: Shown) -> tuple[str, str, str, str]:
    source = "default (refused)" if flag.refused else flag.source
    return flag.name, escape(as_text(flag.value)), as_text(flag.default), source


def _remarks(flags: Sequence[Shown], ignored: Sequence[str]) -> Iterator[str]:
    refused = [flag.refused for flag in flags if flag.refused]
    for reason in refused:
        yield f"refused: {escape(reason)}"
    if refused:
        yield "the default is shown for these: a running listener keeps the last good value it has read"
    if ignored:
        more = f" and {len(ignored) - NAMES_SHOWN} more" if len(ignored) > NAMES_SHOWN else ""
        yield f"ignored, no such flag: {escape(', '.join(ignored[:NAMES_SHOWN]))}{more}"


def _line(receipt: Receipt) -> str:
    # Cut where no good value is that long: a row may hold anything.
    change = f"{receipt.parameter_name}  {str(receipt.old_value)[:200]} -> {str(receipt.new_value)[:200]}"
    verdict = "accepted" if receipt.verdict == "accepted" else f"refused: {receipt.reason}"
    return escape(f"{_instant(receipt.seen_at)}  {change}  {verdict}")


def _as_dict(receipt: Receipt) -> dict[str, object]:
    in_force_at = _instant(receipt.in_force_at) if receipt.in_force_at else None
    return asdict(receipt) | {"seen_at": _instant(receipt.seen_at), "in_force_at": in_force_at}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
