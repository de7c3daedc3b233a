"""`imports`: the files that were read, and what was refused in them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from listener.cli.answer import asking, in_json, json_option, left_out, limit_option, shortened
from listener.lines import wrapped
from listener.store.imports import ReadFile, Refusal, read_files, refusals
from listener.story.wording import instant

SHOWN_OF_A_REVISION = 8
"""As many letters as tell a file from the one before; --json has them all."""

INDENT = "    "
NOTHING = re.compile("(?!)")
"""No part of what a file says must stay on one line."""

Line = ReadFile | Refusal
COUNTS = ("orders", "new", "known", "refused")


@click.command()
@click.option(
    "--quarantine", is_flag=True, help="List the orders that were refused, each with its line and the reason."
)
@limit_option
@json_option
def imports(quarantine: bool, limit: int, as_json: bool) -> None:
    """List the files that were read, the newest first, and what became of their orders.

    \b
    orders   in the file         known    imported or shipped before, so skipped
    new      imported from it    refused  not imported: see --quarantine

    A file that failed is no readable XML; it is read again when it changes. A refused order costs no other one: mend it
    in the shop, and the next export brings it. An order without a key product counts as none of the three.

    \b
    Example: listener imports --limit 10
             listener imports --quarantine
             listener imports --quarantine --json | jq -r '.[].order_number'
    """
    with asking("listener imports") as connection:
        found: Sequence[Line] = refusals(connection, limit) if quarantine else read_files(connection, limit)
    if as_json:
        click.echo(in_json([_as_entry(line) for line in found]))
    else:
        click.echo("\n".join(_table(found)) or ("no order was refused" if quarantine else "no file has been read yet"))


def _table(found: Sequence[Line]) -> Iterator[str]:
    for place, line in enumerate(found):
        if isinstance(line, ReadFile):
            yield from _file(line, heading=place == 0)
        else:
            yield from _refusal(line, heading=place == 0)
    if found and found[0].total > len(found):
        yield left_out(len(found), found[0].total)


def _file(file: ReadFile, *, heading: bool) -> Iterator[str]:
    if heading:
        yield _row("when", "revision", COUNTS, "state")
    revision = file.revision.rpartition(":")[2]  # Drive's begin with the kind of checksum
    counts = [str(count) for count in (file.orders, file.new, file.known, file.refused)]
    yield _row(instant(file.at), shortened(revision[:SHOWN_OF_A_REVISION]), counts, file.status)
    yield _below(f"{file.name} in {file.source}")
    if file.error:
        yield _below(file.error)


def _row(when: str, revision: str, counts: Sequence[str], state: str) -> str:
    return f"{when:20}  {revision:{SHOWN_OF_A_REVISION}}  {'  '.join(f'{count:>7}' for count in counts)}  {state}"


def _refusal(order: Refusal, *, heading: bool) -> Iterator[str]:
    if heading:
        yield f"{'when':20}  {'line':>8}  order"
    line = "-" if order.line is None else str(order.line)
    yield f"{instant(order.at) if order.at else '-':20}  {line:>8}  {shortened(order.order_number or '-')}"
    yield _below(f"{order.name}: {order.reason}")


def _below(text: str) -> str:
    return wrapped(text, INDENT, first=INDENT, whole=NOTHING)


def _as_entry(line: Line) -> dict[str, object]:
    return {name: value for name, value in asdict(line).items() if name != "total"}
