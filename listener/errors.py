"""The three kinds of failure, named by what the loop does next.

Edges (database, HTTP, files) translate a library's error once into one of these, with ``raise … from``.
Anything else that escapes a step is a bug: it is logged with its traceback, and the loop goes on.
"""


class Transient(Exception):
    """It may work later: the step is tried again, after a pause."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait before the next try, when the other side said so."""


class Rejected(Exception):
    """This order, file or value is bad: it is recorded, and the rest goes on."""


class Fatal(Exception):
    """The program cannot go on. The message says how to mend it."""
