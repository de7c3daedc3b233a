"""A folder of order files: which there are, whether they are whole yet, and their bytes.

A file is its name and its content: a new time stamp on the same bytes is no new file. For that its bytes are read only
when size, times or inode moved, so a look at a folder that rests costs a stat per file. A file that is being written is
left alone until it stood still for a second.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
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

LONGEST_LOOK_SECONDS = 1.0
"""Then what is new and has not been read yet is left for the next look: ten thousand files must not hold up a stop."""


@dataclass(slots=True)
class _Seen:
    """What we know of one name: its stamp (size, times, inode), since when, and its revision once it was computed."""

    stamp: tuple[int, int, int, int]
    since: float
    revision: str | None = None


class FileContent:
    """The bytes of a file. Its checksum is taken on the way, and compared at its end."""

    def __init__(self, file: SourceFile, opened: BufferedReader) -> None:
        self._file = file
        self._opened = opened
        self._digest = hashlib.sha256()
        self._left = file.size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end. Raises Changed."""
        try:
            data = self._opened.read(min(size, self._left + 1))
        except OSError as error:
            raise Changed(f"{self._file.name} cannot be read to its end: {_reason(error)}") from error
        self._left -= len(data)
        self._digest.update(data)
        if self._left < 0 or (not data and self._digest.hexdigest() != self._file.revision):
            raise Changed(f"{self._file.name} was changed while it was read")
        return data


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
        sizes, unreadable = self._look()
        now = self._clock()
        files, unsettled = [], []
        for name, size in sizes.items():
            seen = self._seen[name]
            late = seen.revision is None and self._clock() - now > LONGEST_LOOK_SECONDS
            if late or now - seen.since < SETTLED_AFTER_SECONDS:
                unsettled.append(name)
                continue
            try:
                files.append(SourceFile(name, name, self._revision(name), size))
            except OSError as error:
                unreadable.append((name, _reason(error)))
        return Listing(tuple(files), tuple(unsettled), tuple(unreadable))

    @contextmanager
    def open(self, file: SourceFile) -> Iterator[FileContent]:
        """Open a listed file. Raises Rejected when it is larger than 200 MB, Changed when it cannot be opened."""
        if file.size > LARGEST_FILE:
            raise Rejected(too_large(file.size, LARGEST_FILE))
        try:
            with self._opened(file) as opened:
                yield FileContent(file, opened)
        except Changed:
            self._seen.pop(file.name, None)  # what we knew of it holds no longer: it does not stand before the others
            raise

    def _opened(self, file: SourceFile) -> BufferedReader:
        try:
            return _open(self._path / file.name)
        except OSError as error:
            raise Changed(f"{file.name} in {self._path} cannot be read: {_reason(error)}") from error

    def _look(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        """Return the size of each order file by name, in the names' order, and what cannot be looked at."""
        found: dict[str, int] = {}
        unreadable: list[tuple[str, str]] = []
        seen, self._seen = self._seen, {}
        for entry in self._order_files():
            try:
                status = entry.stat()
            except OSError as error:
                if entry.is_symlink() or not isinstance(error, FileNotFoundError):  # else it is gone since
                    unreadable.append((_shown(entry.name), _reason(error)))
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            self._seen[entry.name] = self._stamped(seen.get(entry.name), status)
            if entry.name.isprintable():
                found[entry.name] = status.st_size
            else:
                unreadable.append((_shown(entry.name), UNSHOWABLE))
        return found, unreadable

    def _order_files(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._path) as entries:
                return sorted((entry for entry in entries if is_order_file(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            raise Transient(f"the folder {self._path} cannot be read: {_reason(error)}; see ORDER_SOURCE") from error

    def _stamped(self, before: _Seen | None, status: os.stat_result) -> _Seen:
        # The change time, too: a copy may set back the modification time of what it has just written.
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        return before if before and before.stamp == stamp else _Seen(stamp, self._clock())

    def _revision(self, name: str) -> str:
        seen = self._seen[name]
        if seen.revision is None:
            size, modified_ns, *_ = seen.stamp
            seen.revision = f"{size}-{modified_ns}" if size > LARGEST_FILE else self._digest(name)
        return seen.revision

    def _digest(self, name: str) -> str:
        with _open(self._path / name) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()


def _open(path: Path) -> BufferedReader:
    """Open without waiting: what was a file when it was listed may be a pipe by now, and nobody writes to it."""
    opened = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise OSError(errno.EINVAL, "it is no file any more")
    return opened


def _shown(name: str) -> str:
    return name if name.isprintable() else in_other_letters(name)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
