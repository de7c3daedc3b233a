"""Showing in `orders_inbox` what the ledger has settled. The ledger is right without it; the shop reads the rows.

Each row may have a CHECK or a trigger of the shop's own that refuses our UPDATE. So all are written together, and when
that is refused, one by one: a row that can't be written must not keep the others from being shown, or from being sent.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TypeVar

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg.pq import TransactionStatus

from listener.database import Connection, sentence
from listener.store import rows

logger = logging.getLogger(__name__)

K = TypeVar("K")

FINAL = ("accepted", "adopted", "rejected", "excluded")


def show_outcomes(connection: Connection, order_keys: Sequence[str]) -> dict[str, str]:
    """Write the rows of these orders; return {order_key: why the shop's database refused it}. Locked rows are left."""
    if not order_keys:
        return {}
    return _one_by_one(connection, order_keys, lambda keys: rows.write_rows(connection, keys))


def refuse_doubles(connection: Connection, doubles: Sequence[tuple[int, int]]) -> dict[int, str]:
    """Fail each row whose number another row has; return {row id: why the shop's database refused that}."""
    if not doubles:
        return {}
    others = dict(doubles)
    return _one_by_one(
        connection, list(others), lambda ids: rows.refuse_doubles(connection, [(i, others[i]) for i in ids])
    )


def _one_by_one(connection: Connection, keys: Sequence[K], write: Callable[[Sequence[K]], object]) -> dict[K, str]:
    refused: dict[K, str] = {}
    alone = connection.info.transaction_status is TransactionStatus.IDLE
    try:
        # A statement alone is a transaction of its own.
        with nullcontext() if alone else connection.transaction():
            write(keys)
    except psycopg.Error as error:
        if not _is_a_refusal(error):
            raise
        if len(keys) == 1:
            return {keys[0]: sentence(error)}
        for key in keys:
            refused |= _one_by_one(connection, [key], write)
    return refused


def _is_a_refusal(error: psycopg.Error) -> bool:
    """Tell a refusal of the row from what concerns us: locks, deadlines, a lost link, a schema that has gone."""
    ours = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.NotSupportedError)
    return not isinstance(error, (*ours, UndefinedTable, InvalidSchemaName))
