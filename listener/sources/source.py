"""What a source of order files is: which files it holds now, and their bytes. Nothing in it is ever changed.

A file is its id and its content. Its time is never asked: clients set it as they like.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from listener.errors import Transient

SETTLED_AFTER_SECONDS = 1.0
"""A file that may still be being written is looked at again after this."""

LARGEST_FILE = 200 * 1024 * 1024

UNSHOWABLE = "its name has characters that cannot be shown; rename it"


class Changed(Transient):
    """The file was written to, or taken away, since it was listed."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A whole file. `revision` tells its content from any other that it may have had under this id."""

    file_id: str
    name: str
    revision: str
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds now.

    unsettled:  names of files that may still be being written, or were not looked into yet: look again after a second
    unreadable: (name, reason) of files that cannot be read
    """

    files: tuple[SourceFile, ...] = ()
    unsettled: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


class Content(Protocol):
    """The bytes of a file, to be read from its beginning to its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end: only then it is known that this was the listed revision.

        Raises: Changed when it was not, or when the rest cannot be had.
        """


class OrderSource(Protocol):
    """A folder, wherever it is."""

    source: str
    """Its name in `listener.imports`."""

    def listing(self) -> Listing:
        """Return what is there now. Raises Transient when it cannot be seen: that never reads as nothing there."""

    def open(self, file: SourceFile) -> AbstractContextManager[Content]:
        """Open a listed file.

        Raises: Rejected when it will never be read; Changed when there is no longer that revision to be had.
        """


def is_order_file(name: str) -> bool:
    """Tell order files by their names: `*.xml` of any case, not hidden."""
    return name.lower().endswith(".xml") and not name.startswith(".")


def in_other_letters(name: str) -> str:
    """Return a name that cannot be shown, as it can be."""
    return ascii(name)[1:-1]


def too_large(size: int, most: int) -> str:
    """Say why a file of so many bytes is not read."""
    return f"the file has {size // 2**20} MB; at most {most // 2**20} MB are read"
