"""Which database this is: the one of the first run, or a copy of it that must not ship."""

import logging

from listener.database import Connection
from listener.store import home

logger = logging.getLogger(__name__)


class Whereabouts:
    """What one process knows of it. A dry run sends nothing, and need not hold back.

    difference: in what this is another database than at the first run; '' for not at all
    """

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._here = home.Home("", "", "")
        self.difference = ""

    def look_around(self, connection: Connection) -> None:
        """See where this session is. The first run remembers it."""
        self._here = home.where_it_is(connection)
        if not self._dry_run:
            home.note_first_run(connection, self._here)
        elif foreign := home.differences(self._here, home.read_home(connection)):
            logger.warning("A run would hold all orders here: %s", foreign, extra={"event": "foreign"})
        self.compare(home.read_home(connection))

    def compare(self, remembered: list[str] | None) -> str:
        """Return the difference from what is remembered now."""
        self.difference = "" if self._dry_run else home.differences(self._here, remembered)
        return self.difference
