"""`status`: what the running listener is doing, asked of its page or, when that does not answer, of the database."""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from listener.cli.answer import connected, json_option
from listener.errors import Fatal, Transient
from listener.settings import read_status_address
from listener.status.from_afar import ask_database, ask_page
from listener.store.config import limit_view

EVERY_SECONDS = 2.0


class NoneRuns(Fatal):
    """`status` ends with 3, so that a script can tell it from a fault."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What was heard, in the shape of /status.json, and of whom."""

    asked: str
    body: dict[str, Any]


@click.command()
@click.option("--watch", is_flag=True, help="Ask again every two seconds, until Ctrl-C.")
@json_option
def status(watch: bool, as_json: bool) -> None:
    """Show what the running listener is doing: how it is and why, figures, and the three workflows.

    Asks the page at STATUS_ADDRESS (127.0.0.1:8750); when that does not answer, what the listener has left in the
    database of DATABASE_URL. Ends with 3 when no listener runs. Colours are left out with NO_COLOR, and in a pipe.

    \b
    Example: listener status
             listener status --watch
             listener status --json | jq .order_latency_ms
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for programs: give one of them")
    if watch:
        _watch()
        return
    try:
        answer = _ask()
    except NoneRuns:
        if as_json:
            click.echo(json.dumps({"running": False}))
        raise
    if as_json:
        click.echo(json.dumps(answer.body | {"asked": answer.asked}, indent=2))
    else:
        from rich.console import Console  # noqa: PLC0415  a short command need not wait for it

        from listener.cli.status_view import view  # noqa: PLC0415

        Console(highlight=False).print(view(answer.body, answer.asked))


def _watch() -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from listener.cli.status_view import message, view  # noqa: PLC0415

    console = Console(highlight=False)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as screen:
        while True:
            try:
                answer = _ask()
                shown = view(answer.body, answer.asked)
            except Fatal as fault:  # it may come back
                shown = message(str(fault))
            if console.is_terminal:
                screen.update(shown, refresh=True)
            else:
                console.print(shown)
            time.sleep(EVERY_SECONDS)


def _ask() -> Answer:
    """Return the first answer. Raises NoneRuns, or Fatal when nobody can tell."""
    address = read_status_address(os.environ)
    page = "STATUS_ADDRESS is off"
    if address is not None:
        where = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
        try:
            return Answer(f"the page at {where}", ask_page(address))
        except Transient as error:
            page = f"no listener answers at {where} ({error})"
    if not any(os.environ.get(name, "").strip() for name in ("DATABASE_URL", "DATABASE_URL_FILE")):
        raise NoneRuns(f"{page}, and DATABASE_URL is not set, so the database was not asked")
    return _ask_database(page)


def _ask_database(page: str) -> Answer:
    try:
        with connected("listener status", reads=True) as connection, connection.transaction():
            limit_view(connection)
            seen, body = ask_database(connection)
    except Fatal as fault:
        raise Fatal(f"{page}, and {fault}") from fault
    ago = f"{seen.beat_seconds_ago:.0f} s ago" if seen.beat_seconds_ago is not None else "never"
    if seen.holder is None:
        raise NoneRuns(f"{page}, and none leads on this database (last heartbeat {ago})")
    return Answer(f"the database (last heartbeat {ago}), since {page}", body)
