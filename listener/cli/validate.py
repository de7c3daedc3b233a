"""`validate`: is a stage of the rollout met?"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC

import click

from listener.cli.answer import asking, json_option
from listener.lines import wrapped
from listener.rollout import STAGE_HOURS, Criterion, Verdict, Window, criteria
from listener.store.prune import MINUTE_DAYS_KEPT
from listener.store.rollout import read_evidence


@click.command()
@click.option("--stage", required=True, type=click.IntRange(1, 2), help="1: the upload alone. 2: everything.")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * (MINUTE_DAYS_KEPT - 1)),
    help="Look at the last so many hours; by default at 48 for stage 1, at 72 for stage 2.",
)
@json_option
@click.pass_context
def validate(context: click.Context, stage: int, hours: int | None, as_json: bool) -> None:
    """Check what a stage of the rollout asks for, a line each, against the figures of the last hours.

    A listener writes its figures each minute, and keeps them for two weeks. Ends with 0 when everything is met, with
    1 when something is not, or cannot be told yet.

    \b
    Example: listener validate --stage 1
             listener validate --stage 2 --hours 24
             listener validate --stage 2 --json
    """
    with asking("listener validate") as connection:
        evidence = read_evidence(connection, hours or STAGE_HOURS[stage])
    found = criteria(stage, evidence)
    met = all(criterion.verdict is Verdict.OK for criterion in found)
    if as_json:
        since, until = (at.astimezone(UTC).isoformat() for at in evidence.window[:2])
        body = {"stage": stage, "since": since, "until": until, "met": met}
        click.echo(json.dumps(body | {"criteria": [asdict(criterion) for criterion in found]}, indent=2))
    else:
        click.echo("\n".join(_lines(stage, evidence.window, found)))
    context.exit(0 if met else 1)


def _lines(stage: int, window: Window, found: Sequence[Criterion]) -> Iterator[str]:
    since, until = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in window[:2])
    yield f"stage {stage}, {since} to {until} UTC"
    yield ""
    yield f"{'':9}{'':35}{'target':10}measured"
    for criterion in found:
        yield f"{criterion.verdict:9}{criterion.name:35}{criterion.target:10}{criterion.measured}"
        if criterion.note:
            yield wrapped(criterion.note, " " * 11, first=" " * 11)
    yield ""
    yield _summary(stage, found)


def _summary(stage: int, found: Sequence[Criterion]) -> str:
    times = Counter(criterion.verdict for criterion in found)
    if times[Verdict.OK] == len(found):
        return f"stage {stage} is met"
    missing = [
        f"{n} of {len(found)} {words}"
        for words, n in (("are not met", times[Verdict.NOT_MET]), ("have too little data yet", times[Verdict.NO_DATA]))
        if n
    ]
    return f"stage {stage} is not met: {', '.join(missing)}"
