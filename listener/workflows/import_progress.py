"""How far the import of a large file is: a line in the log every few seconds, and a figure for the status page."""

import logging
import time
from collections.abc import Callable

from listener.events import IMPORT
from listener.metrics import Metrics

logger = logging.getLogger(__name__)

TELL_EVERY_SECONDS = 3.0


class Progress:
    """Tells how far one file is, if it takes long."""

    def __init__(self, name: str, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._tell_at = clock() + TELL_EVERY_SECONDS

    def read(self, orders: int) -> None:
        """So many orders of the file were read."""
        self._tell("%d orders read", orders)

    def wrote(self, orders: int, of: int) -> None:
        """So many of them stand in the database, in a transaction that is not at its end yet."""
        self._tell("%d of %d orders written", orders, of)

    def end(self) -> None:
        """The file is done with."""
        self._metrics.set_workflow(IMPORT, progress=None)

    def _tell(self, text: str, *figures: int) -> None:
        now = self._clock()
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_EVERY_SECONDS
        logger.info(f"Importing %s: {text}", self._name, *figures, extra={"event": "import_progress"})
        self._metrics.set_workflow(IMPORT, progress=f"{self._name}: {text % figures}")
