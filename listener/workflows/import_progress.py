"""How far the import of a large file is: a line in the log every few seconds, and a figure for whoever looks."""

import logging
import time
from collections.abc import Callable

from listener.events import IMPORT
from listener.headway import Headway
from listener.metrics import Metrics
from listener.sources.source import SourceFile

logger = logging.getLogger(__name__)

TELL_EVERY_SECONDS = 3.0
SHOW_EVERY_SECONDS = 0.2


class Progress:
    """Tells how far one file is, if it takes long."""

    def __init__(self, file: SourceFile, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._size = file.name, file.size
        self._metrics = metrics
        self._clock = clock
        self._bytes = 0
        self._show_at = clock() + SHOW_EVERY_SECONDS
        self._tell_at = clock() + TELL_EVERY_SECONDS

    def read(self, size: int, orders: int) -> None:
        """So many bytes more were read, and so many orders were found till now."""
        self._bytes += size
        if self._is_due():
            percent = 100 * self._bytes // max(self._size, 1)
            self._tell("read", self._bytes, self._size, "bytes", f"{orders} orders read, {percent} %")

    def wrote(self, orders: int, of: int) -> None:
        """So many of them stand in the database, in a transaction that is not at its end yet."""
        if self._is_due():
            self._tell("written", orders, of, "orders", f"{orders} of {of} orders written")

    def end(self) -> None:
        """The file is done with."""
        self._metrics.set_workflow(IMPORT, progress=None)

    def _is_due(self) -> bool:
        return self._clock() >= self._show_at

    def _tell(self, verb: str, done: int, total: int, unit: str, text: str) -> None:
        now = self._clock()
        self._show_at = now + SHOW_EVERY_SECONDS
        headway = Headway(f"{self._name}, {verb}", done, total, unit, f"{self._name}: {text}")
        self._metrics.set_workflow(IMPORT, progress=headway)
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY_SECONDS
            logger.info("Importing %s", headway.text, extra={"event": "import_progress"})
