"""The writers of a chaos run: they commit orders all the time, and try on when the database does not let them."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from tests.support.writers import Writer


class Traffic:
    """Some writers, each a thread, from `flowing` on. `hush` asks them to write no more, `wait_until_quiet` waits."""

    def __init__(self, url: str, writers: int = 3) -> None:
        self._writers = [Writer(f"W{number}", f"{url}&connect_timeout=2", random.Random()) for number in range(writers)]
        self._hushed = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def acknowledged(self) -> set[str]:
        """The numbers of all orders whose COMMIT was answered."""
        return {number for writer in self._writers for number in writer.committed}

    @contextmanager
    def flowing(self, dice: random.Random) -> Iterator[None]:
        """Write as long as the block lasts, or until hushed."""
        self._hushed.clear()
        for writer in self._writers:
            writer.random = random.Random(dice.random())
        self._threads = [threading.Thread(target=self._run, args=(writer,)) for writer in self._writers]
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.hush()
            self.wait_until_quiet()

    def hush(self) -> None:
        """Have each writer end with the transaction that it is in."""
        self._hushed.set()

    def wait_until_quiet(self, timeout: float = 60) -> None:
        """Wait until nobody writes any more."""
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a writer has not come to an end"

    def _run(self, writer: Writer) -> None:
        pace = writer.random.uniform(0.4, 1.6)
        while not self._hushed.is_set():
            with suppress(psycopg.Error):  # it is the fault's doing; what has become of the order, the table says
                writer.run(1)
            self._hushed.wait(pace)
