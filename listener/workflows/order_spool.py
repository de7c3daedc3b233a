"""The orders of a file, put aside until the whole file is known to be good.

What XML ends with decides whether it was well formed, and only the last byte whether it is the listed revision. Until
then nothing of it may be in the database, and a large file's orders do not fit into memory: so they lie here, in a file
that has no name and is gone with the process.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from operator import attrgetter
from tempfile import SpooledTemporaryFile
from typing import Any, Self

from listener.orders import Address, RefusedOrder, XmlOrder

IN_MEMORY_BYTES = 4 * 2**20
ORDERS_A_CHUNK = 250
CHUNK_BYTES = 2**20
"""A chunk becomes one statement; in Python and in JSON together it takes some twenty times its bytes."""

Entry = XmlOrder | RefusedOrder


class OrderSpool:
    """What was read of one file, in its order. Its methods raise OSError when there is no room for it."""

    def __init__(self) -> None:
        self.orders = 0
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, entry: Entry) -> None:
        """Put one more order aside."""
        self._file.write(json.dumps(_as_list(entry), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self.orders += 1

    def chunks(self) -> Iterator[list[Entry]]:
        """Yield what was put aside, so much at a time as one statement takes."""
        self._file.seek(0)
        chunk: list[Entry] = []
        size = 0
        for line in self._file:
            if chunk and (len(chunk) >= ORDERS_A_CHUNK or size + len(line) > CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(_entry(json.loads(line)))
            size += len(line)
        if chunk:
            yield chunk


_address_parts = attrgetter(*(field.name for field in fields(Address)))


def _as_list(entry: Entry) -> list[Any]:
    if isinstance(entry, RefusedOrder):
        return [entry.line, entry.order_number, entry.reason]
    day = entry.order_date.isoformat() if entry.order_date else None
    addresses = _address_parts(entry.ship_to), _address_parts(entry.bill_to)
    return [entry.line, entry.order_number, day, entry.customer_email, *addresses, entry.items]


def _entry(values: list[Any]) -> Entry:
    if len(values) == 3:
        return RefusedOrder(*values)
    line, number, day, email, ship_to, bill_to, items = values
    return XmlOrder(
        line=line,
        order_number=number,
        order_date=date.fromisoformat(day) if day else None,
        customer_email=email,
        ship_to=Address(*ship_to),
        bill_to=Address(*bill_to),
        items=tuple((sku, quantity) for sku, quantity in items),
    )
