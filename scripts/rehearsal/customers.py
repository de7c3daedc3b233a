"""Orders that keep coming: writers that do in a transaction whatever writers do, and a file that grows."""

import random
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

from listener.embedded.orders_xml import orders_xml
from tests.support.writers import Writer

WRITERS = 2
END = b"</order>"
PRODUCT = re.compile(rb"<productid>\d+")
KEY_PRODUCT = b"<productid>17612"
"""Production imports orders with this one alone."""

PAUSE_SECONDS = 0.1


class Customers:
    """Start with `with`; afterwards no transaction of theirs is under way."""

    def __init__(self, url: str, file: Path) -> None:
        self._writers = [Writer(f"W{n}", url, random.Random(n)) for n in range(WRITERS)]
        self._threads = [threading.Thread(target=self._write, args=[w], daemon=True) for w in self._writers]
        self._closed = threading.Event()
        self._file = file
        self._in_file = 0
        self.faults: list[str] = []

    def __enter__(self) -> "Customers":
        self.add_to_file(12)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def committed(self) -> set[str]:
        """The numbers of all orders that writers have committed."""
        return {number for writer in self._writers for number in list(writer.committed)}

    @property
    def in_file(self) -> set[str]:
        return {str(600_001 + n) for n in range(self._in_file)}

    def add_to_file(self, count: int) -> None:
        """Export the file anew, with so many orders more; it is never seen half-written."""
        self._in_file += count
        beside = self._file.with_suffix(".part")
        orders = orders_xml(self._in_file, datetime.now(UTC).date()).split(END)
        beside.write_bytes(END.join(PRODUCT.sub(KEY_PRODUCT, order, count=1) for order in orders))
        beside.replace(self._file)

    def _write(self, writer: Writer) -> None:
        while not self._closed.wait(PAUSE_SECONDS):
            try:
                writer.run(1)
            except Exception as fault:  # an order that could not be placed: the check names it
                self.faults.append(f"{writer.name}: {fault}")
