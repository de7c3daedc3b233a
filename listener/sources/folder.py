"""A folder of order files: which there are, whether they are whole yet, and their bytes.

A file is its name and its content: a new time stamp on the same bytes is no new file. For that its bytes are read only
when size, times or inode moved, so a look at a folder that rests costs a stat per file. A file that is being written is
left alone until it stood still for a second.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from listener.errors import Rejected, Transient
from listener.sources.source import (
    LARGEST_FILE,
    SETTLED_AFTER_SECONDS,
    UNSHOWABLE,
    Changed,
    Listing,
    SourceFile,
    in_other_letters,
    is_order_file,
    too_large,
)


@dataclass(slots=True)
class _Seen:
    """What we know of one name: its stamp (size, times, inode), since when, and its revision once it was computed."""

    stamp: tuple[int, int, int, int]
    since: float
    revision: str | None = None


class Folder:
    """The `*.xml` of one directory, without its subdirectories and hidden files.

    A file's id is its name. Its revision is its content's SHA-256; its size and time, when it is too large to be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = f"folder:{path.absolute()}"
        self._path = path
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def listing(self) -> Listing:
        """Return what is there now. Raises Transient when the folder itself cannot be read."""
        stats = self._stats()
        self._seen = {name: self._look(name, found) for name, found in stats.items()}
        unreadable = [(in_other_letters(name), UNSHOWABLE) for name in stats if not name.isprintable()]
        shown = [name for name in stats if name.isprintable()]
        now = self._clock()
        unsettled = tuple(name for name in shown if now - self._seen[name].since < SETTLED_AFTER_SECONDS)
        files = []
        for name in (name for name in shown if name not in unsettled):
            try:
                files.append(SourceFile(name, name, self._revision(name), stats[name].st_size))
            except OSError as error:
                unreadable.append((name, _reason(error)))
        return Listing(tuple(files), unsettled, tuple(unreadable))

    def read(self, file: SourceFile) -> bytes:
        """Return the bytes of the listed revision.

        Raises: Rejected when it is larger than 200 MB; Changed when there is no longer that revision to be had.
        """
        if file.size > LARGEST_FILE:
            raise Rejected(too_large(file.size, LARGEST_FILE))
        try:
            with (self._path / file.name).open("rb") as opened:
                data = opened.read(file.size + 1)
        except OSError as error:
            self._seen.pop(file.name, None)  # what we knew of it holds no longer: it does not stand before the others
            raise Changed(f"{file.name} in {self._path} cannot be read: {_reason(error)}") from error
        if hashlib.sha256(data).hexdigest() != file.revision:
            self._seen.pop(file.name, None)
            raise Changed(f"{file.name} was changed while it was read")
        return data

    def _stats(self) -> dict[str, os.stat_result]:
        try:
            names = sorted(entry.name for entry in self._path.iterdir())
        except OSError as error:
            raise Transient(f"the folder {self._path} cannot be read: {_reason(error)}; see ORDER_SOURCE") from error
        found = {name: _stat(self._path / name) for name in names if is_order_file(name)}
        return {name: status for name, status in found.items() if status and stat.S_ISREG(status.st_mode)}

    def _look(self, name: str, found: os.stat_result) -> _Seen:
        # The change time, too: a copy may set back the modification time of what it has just written.
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        before = self._seen.get(name)
        return before if before and before.stamp == stamp else _Seen(stamp, self._clock())

    def _revision(self, name: str) -> str:
        seen = self._seen[name]
        if seen.revision is None:
            size, modified_ns, *_ = seen.stamp
            seen.revision = f"{size}-{modified_ns}" if size > LARGEST_FILE else self._digest(name)
        return seen.revision

    def _digest(self, name: str) -> str:
        with (self._path / name).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None  # gone since it was listed, or a link to nowhere: not a file


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
