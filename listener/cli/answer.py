"""How the commands ask the database and answer: one connection, 80 columns, or JSON.

The rule: whatever comes from a table is escaped before it reaches a terminal.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import click
import psycopg

from listener.cli.bars import waiting
from listener.database import Connection, connect_step, sentence
from listener.errors import Fatal, Transient
from listener.headway import Headway
from listener.log import escape
from listener.settings import read_database_url
from listener.store.config import limit_transaction

NUMBER_WIDTH = 32
"""A longer order number is cut in a table."""

json_option = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many."
)


@contextmanager
def connected(name: str, *, reads: bool) -> Iterator[Connection]:
    """Yield a connection to DATABASE_URL. Raises Fatal with one line for whatever goes wrong.

    reads: each transaction sees one moment, and writes nothing
    """
    url = read_database_url(os.environ)
    try:
        with connect_step(url, name) as connection:
            level = psycopg.IsolationLevel
            connection.isolation_level = level.REPEATABLE_READ if reads else level.READ_COMMITTED
            connection.read_only = reads
            yield connection
    except Transient as error:
        raise Fatal(f"the database of DATABASE_URL does not answer: {error}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise Fatal(f"{sentence(error)}; run `listener install` on this database") from error
    except psycopg.errors.LockNotAvailable as error:
        raise Fatal("another session has a row or table locked for more than 5 s; try again when it ends") from error
    except psycopg.Error as error:
        raise Fatal(f"the database refused: {sentence(error)}") from error


@contextmanager
def asking(name: str) -> Iterator[Connection]:
    """Yield a connection to ask in, by one transaction that sees one moment. Raises Fatal as `connected` does."""
    with waiting() as terminal:
        terminal.show(Headway("waiting for the database"))
        with connected(name, reads=True) as connection, connection.transaction():
            limit_transaction(connection)
            yield connection


def shortened(number: str) -> str:
    """Return an order number as it fits into a table."""
    number = escape(number.strip(" "))
    return number if len(number) <= NUMBER_WIDTH else number[: NUMBER_WIDTH - 1] + "…"


def left_out(shown: int, total: int) -> str:
    """Return the last line of a table that does not hold all."""
    return f"the newest {shown} of {total}; --limit shows more"


def in_json(value: object) -> str:
    """Return what a command answers with --json."""
    return json.dumps(value, indent=2, default=_as_text)


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
