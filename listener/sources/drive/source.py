"""A folder of Google Drive as a source: which order files it holds now, and their bytes.

A file is its id and its content, by checksum; names need not be unique, and times are set by clients. What Drive lists
may be minutes behind what it serves, and a file may change between the two: bytes that are not those that were listed
are not taken. An empty list may mean that the folder is not shared any more, so then, and at the start, the folder
itself is looked at.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import filterfalse
from tempfile import SpooledTemporaryFile
from typing import IO

from listener.errors import Rejected, Transient
from listener.http_limits import TooLong
from listener.sources.drive.answers import FOLDER, Denied, Entry, Missing, Outage
from listener.sources.drive.api import DriveApi
from listener.sources.drive.setbacks import Setbacks
from listener.sources.source import (
    LARGEST_FILE,
    UNSHOWABLE,
    Changed,
    Listing,
    SourceFile,
    in_other_letters,
    is_order_file,
    too_large,
)

IN_MEMORY = 2**20
"""Bytes of a file that are held in memory; a larger one is put aside in the folder for temporary files."""

LONGEST_NAME = 255
NAME_TOO_LONG = f"its name is longer than {LONGEST_NAME} characters; rename it"
NO_REVISION = "Drive tells no size of it, or neither checksum nor revision"
OTHER_BYTES = "its bytes are not those that Drive lists; it is tried again each minute"
NOT_THERE = "it is listed, but not there; it is tried again each minute"

NOT_SHARED = "it is not there, or not shared with that address as a viewer; share it, or correct ORDER_SOURCE"


class FolderUnreadable(Transient):
    """The sentence that names folder and address; its cause says what Drive answered."""


class Drive:
    """The `*.xml` of one folder: no subfolder, native document, shortcut or hidden file, and nothing in the trash.

    A file that left the folder (to the trash, or elsewhere) and came back is a new one, while this process lives.
    """

    def __init__(self, folder_id: str, api: DriveApi, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = f"drive:{folder_id}"
        self._folder_id = folder_id
        self._api = api
        self._clock = clock
        self._seen_before = False
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, str] = {}
        self._restored: dict[str, Entry] = {}
        self._setbacks = Setbacks()

    def listing(self) -> Listing:
        """Return what is there now. Raises Transient when the folder cannot be read, for whatever reason."""
        with self._naming_the_folder():
            entries = self._list()
        self._note_what_came_back(entries)
        faults = tuple((_shown(entry.name), fault) for entry in entries.values() if (fault := _fault(entry)))
        listing = self._setbacks.arrange(map(self._file, filterfalse(_fault, entries.values())), self._clock())
        return replace(listing, unreadable=faults + listing.unreadable)

    @contextmanager
    def open(self, file: SourceFile) -> Iterator[IO[bytes]]:
        """Open a listed file: its bytes lie on this machine by then, and are those that were listed.

        Raises: Rejected when it is larger than 200 MB; Changed when there is no longer that revision to be had, or
        this file alone is refused; Transient when Drive does not answer.
        """
        if file.size > LARGEST_FILE:
            raise Rejected(too_large(file.size, LARGEST_FILE))
        entry = self._entries.get(file.file_id)
        if entry is None or self._file(entry) != file:
            raise Changed(f"{file.name} was changed since it was listed")
        with SpooledTemporaryFile(IN_MEMORY) as content:
            self._download(file, entry, content)
            if not entry.is_of(content):
                raise self._changed(file, OTHER_BYTES)
            self._setbacks.forget(file)
            yield content

    def _download(self, file: SourceFile, entry: Entry, into: IO[bytes]) -> None:
        try:
            with self._naming_the_folder():
                self._api.download(entry, into)
        except TooLong as error:
            raise self._changed(file, OTHER_BYTES) from error
        except FolderUnreadable as error:
            match error.__cause__:
                case Missing():
                    raise self._changed(file, NOT_THERE) from error
                case Denied() as denied:
                    raise self._changed(file, str(denied), lasting=True) from error
                case Outage() as outage:  # whatever it is, the other files need not wait behind this one
                    self._setbacks.note(file, str(outage), self._clock())
            raise

    def _changed(self, file: SourceFile, reason: str, *, lasting: bool = False) -> Changed:
        self._setbacks.note(file, reason, self._clock(), lasting=lasting)
        return Changed(f"{file.name}: {reason}")

    def _list(self) -> dict[str, Entry]:
        """Return the order files by id. Raises what the API raises."""
        at_start, self._seen_before = not self._seen_before, False  # after a failure it starts over
        if at_start:
            self._look_at_folder()
        entries = self._api.list_folder(self._folder_id)
        if not entries and not at_start:
            self._look_at_folder()
        self._seen_before = True
        wanted = (entry for entry in entries if is_order_file(entry.name) and entry.has_bytes and not entry.trashed)
        return {entry.file_id: entry for entry in wanted}

    def _look_at_folder(self) -> None:
        folder = self._api.look_at(self._folder_id)
        if folder.mime_type != FOLDER:
            raise Denied("it is no folder; name one in ORDER_SOURCE")
        if folder.trashed:
            raise Denied("it is in the trash; restore it, or name another in ORDER_SOURCE")

    @contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        try:
            yield
        except Transient as error:
            why = NOT_SHARED if isinstance(error, Missing) else str(error)
            text = f"Google Drive folder {self._folder_id} cannot be read as {self._api.email}: {why}"
            raise FolderUnreadable(text, retry_after=error.retry_after) from error

    def _note_what_came_back(self, entries: dict[str, Entry]) -> None:
        for file_id, entry in entries.items():
            if self._gone.pop(file_id, None) == entry.revision:
                self._restored[file_id] = entry
        self._gone |= {gone: entry.revision for gone, entry in self._entries.items() if gone not in entries}
        self._entries = entries

    def _file(self, entry: Entry) -> SourceFile:
        """Return it as the import knows it; one that came back unchanged has a revision that was never there before."""
        revision, restored = entry.revision, self._restored.get(entry.file_id)
        if restored is not None and restored.revision == revision:
            revision = f"{revision}+{restored.version}"
        return SourceFile(entry.file_id, entry.name, revision, entry.size or 0)


def _fault(entry: Entry) -> str:
    """Return why a file cannot be read, whatever its bytes; '' for none."""
    if not entry.name.isprintable():
        return UNSHOWABLE
    if len(entry.name) > LONGEST_NAME:
        return NAME_TOO_LONG
    return "" if entry.revision and entry.size is not None else NO_REVISION


def _shown(name: str) -> str:
    name = name[:LONGEST_NAME]
    return name if name.isprintable() else in_other_letters(name)
