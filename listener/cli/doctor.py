"""`doctor`: the whole chain looked at, and what mends it."""

import json
import os

import click

from listener import install
from listener.cli.answer import json_option
from listener.cli.bars import waiting
from listener.doctor import report
from listener.doctor.examination import examine


@click.command()
@click.option("--sql", "only_sql", is_flag=True, help="Print only the SQL that mends what is wrong, for psql to run.")
@json_option
@click.option("--offline", is_flag=True, help="Leave ShipStation and Google alone.")
@click.pass_context
def doctor(context: click.Context, only_sql: bool, as_json: bool, offline: bool) -> None:
    """Look at the whole chain, from the settings to ShipStation, and say what is wrong and what mends it.

    It changes nothing, and asks ShipStation one small question when the budget has a call to spare. Each finding is an
    error (orders do not go, or not as promised), a warning, an info, or ok. Ends with 1 when there is an error.

    \b
    Example: listener doctor
             listener doctor --offline --json
             listener doctor --sql | psql "$DATABASE_URL"    mends what SQL can mend: read it first
    """
    if only_sql and as_json:
        raise click.UsageError("--sql and --json are two different answers: give one of them")
    with waiting() as terminal:
        findings = examine(os.environ, offline=offline or only_sql, show=terminal.show)
    if only_sql:
        click.echo(report.as_sql(findings, install.script), nl=False)
        if left := report.left_for_a_person(findings):
            click.echo(f"listener: {left} findings are not for SQL to mend; `listener doctor` tells them", err=True)
    else:
        click.echo(json.dumps(report.as_json(findings), indent=2) if as_json else report.as_text(findings))
    context.exit(1 if report.has_errors(findings) else 0)
