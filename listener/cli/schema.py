"""`install`, `uninstall`, `verify`, `rollback`: the commands that run the files of `sql/`, and say what came of it."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict

import click

from listener import install as files
from listener.cli.bars import waiting
from listener.errors import Fatal
from listener.settings import read_direct_url
from listener.store import home
from listener.verify import Check, Verdict
from listener.verify import verify as check_everything

print_option = click.option("--print", "only_print", is_flag=True, help="Only show the SQL, for psql to run.")


Apply = Callable[..., Sequence[str]]


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _apply(files: Apply, *arguments: str, **options: bool) -> None:
    """Have files applied, saying at a terminal what takes long of them, and what has been applied at the end."""
    url = read_direct_url(os.environ)
    with waiting() as terminal:

        def tell(line: str) -> None:
            terminal.above(lambda: _tell(line))

        applied = files(url, *arguments, **options, tell=tell, show=terminal.show)
    _report(applied)


def _report(applied: Sequence[str]) -> None:
    for file in applied:
        click.echo(f"applied sql/{file}")


@click.command()
@click.option("--base-tables", is_flag=True, help="First create the shop's own tables where they are missing.")
@click.option("--this-is-production", is_flag=True, help="Afterwards: let a restored or moved database upload again.")
@print_option
def install(base_tables: bool, this_is_production: bool, only_print: bool) -> None:
    """Prepare the database. Safe to run again.

    The first run remembers the database's name, its cluster and the host of LISTEN_DATABASE_URL. Where one of them
    differs, nothing is uploaded: --this-is-production remembers those of now. Name the host as the listener does.

    \b
    Example: DATABASE_URL=postgresql://shop@localhost/shop listener install
             listener install --print | psql "$DATABASE_URL" -v ON_ERROR_STOP=1
    """
    if only_print and this_is_production:
        raise click.UsageError("--this-is-production notes what it is connected to: that cannot be printed")
    if only_print:
        click.echo(files.script(files.install_files(base_tables=base_tables)), nl=False)
        return
    _apply(files.install, base_tables=base_tables)
    click.echo("installed; `listener verify` looks at all of it")
    if this_is_production:
        _move_in(read_direct_url(os.environ))


def _move_in(url: str) -> None:
    with files.open_session(url, _tell) as session:
        here = home.where_it_is(session)
        home.move_in(session, here)
    cluster = here.system_identifier or "not known"
    click.echo(f"production is here now: database {here.database}, host {here.host}, cluster {cluster}")


@click.command()
@print_option
def uninstall(only_print: bool) -> None:
    """Remove everything that install added. The ledger is lost with it; orders are not touched.

    \b
    Example: listener uninstall --print
    """
    if only_print:
        click.echo(files.script(files.UNINSTALL), nl=False)
        return
    _apply(files.uninstall)
    click.echo("uninstalled; the shop's tables are as they were")


@click.command()
@click.argument("what", type=click.Choice(list(files.ROLLBACKS)))
@click.option("--back", is_flag=True, help="Take the rollback of the flags back.")
@print_option
def rollback(what: str, back: bool, only_print: bool) -> None:
    """Switch a part off at once, without a restart.

    flags: polling every 300 seconds, as before (--back: the flags as they were). notify: no triggers, the heartbeat
    goes on. all: everything that install made; the listener's memory is lost with it, orders are not. After notify and
    all, `listener install` is the way back.

    \b
    Example: listener rollback notify
             listener rollback flags --back
    """
    if back and what != "flags":
        raise click.UsageError(f"rollback {what} is taken back with `listener install`")
    file = files.FLAGS_BACK if back else files.ROLLBACKS[what]
    if only_print:
        click.echo(files.script((file,)), nl=False)
        return
    if back:
        _apply(files.flags_back)
    else:
        _apply(files.rollback, what)
        click.echo(f"to take it back: `listener {'rollback flags --back' if what == 'flags' else 'install'}`")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check that everything is installed and in force, a line each; then the orders by status.

    \b
    Example: listener verify --json
    """
    verdict = _ask()
    click.echo(json.dumps(_as_dict(verdict), indent=2) if as_json else "\n".join(_lines(verdict)))
    context.exit(0 if verdict.ok else 1)


def _ask() -> Verdict:
    """Ask the database; not getting an answer is an answer too."""
    try:
        return check_everything(read_direct_url(os.environ))
    except Fatal as fault:
        return Verdict((Check("the database answers", False, str(fault)),), {})


def _as_dict(verdict: Verdict) -> dict[str, object]:
    return {"ok": verdict.ok, **asdict(verdict)}


def _lines(verdict: Verdict) -> list[str]:
    lines = [f"ok    {c.check}" if c.ok else f"NO    {c.check}: {c.todo}" for c in verdict.checks]
    return lines + [f"      {orders} orders are {status}" for status, orders in verdict.statuses.items()]
