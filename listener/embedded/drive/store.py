"""What the simulated Drive holds: files with their revisions, in folders that are shared or not. No I/O.

The rules: an id stays with a file through all its contents; a name need not be unique; every change raises `version`,
a new content also makes a new `headRevisionId`. Access, and the trash, are inherited from the folder above.
Not safe for threads.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_urlsafe

from listener.embedded.drive.calls import JsonObject

NATIVE = "application/vnd.google-apps."
FOLDER = NATIVE + "folder"


@dataclass(slots=True)
class File:
    """A file, or a folder. `contents` are its revisions, oldest first; a native document has none."""

    file_id: str
    name: str
    mime_type: str
    parent: str
    created: datetime
    modified: datetime
    drive_id: str = ""
    shared: bool = False
    trashed: bool = False
    version: int = 1
    head: str = ""
    contents: list[bytes] = field(default_factory=list)

    @property
    def content(self) -> bytes | None:
        return self.contents[-1] if self.contents else None

    def metadata(self) -> JsonObject:
        """Return the whole file resource as the API shows it: whole numbers of 64 bits are strings."""
        shown: JsonObject = {
            "kind": "drive#file",
            "id": self.file_id,
            "name": self.name,
            "mimeType": self.mime_type,
            "parents": [self.parent] if self.parent else [],
            "trashed": self.trashed,
            "explicitlyTrashed": self.trashed,
            "createdTime": stamp(self.created),
            "modifiedTime": stamp(self.modified),
            "version": str(self.version),
            "capabilities": {"canDownload": not self.mime_type.startswith(NATIVE)},
        }
        if self.drive_id:
            shown["driveId"] = self.drive_id
        return shown | self._of_content()

    def _of_content(self) -> JsonObject:
        content = self.content
        if content is None:
            return {}
        return {
            "size": str(len(content)),
            "quotaBytesUsed": str(len(content)),
            "headRevisionId": self.head,
            "md5Checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "sha1Checksum": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "sha256Checksum": hashlib.sha256(content).hexdigest(),
            "originalFilename": self.name,
            "fileExtension": self.name.rpartition(".")[2],
            "fullFileExtension": self.name.partition(".")[2],
        }


class Store:
    """Every file by id. While `lagging`, metadata is shown as it was before, as the service may for minutes."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.files: dict[str, File] = {}
        self._stale: dict[str, JsonObject] | None = None

    def create(self, name: str, mime_type: str, parent: str, content: bytes | None, *, drive_id: str = "") -> File:
        """Add a file; the id is new."""
        now = self._clock()
        file = File("1" + token_urlsafe(24), name, mime_type, parent, now, now, drive_id)
        if content is not None:
            file.contents, file.head = [content], "0B" + token_urlsafe(24)
        self.files[file.file_id] = file
        return file

    def replace(self, file: File, content: bytes, modified: datetime | None = None) -> None:
        """Give a file another content. `modified`: the time that the client sets, as some do."""
        file.contents.append(content)
        file.head = "0B" + token_urlsafe(24)
        file.version += 1
        file.modified = modified or self._clock()

    def can_see(self, file: File) -> bool:
        """The service account may read it: it, or a folder above it, is shared."""
        above = self.files.get(file.parent)
        return file.shared or (above is not None and self.can_see(above))

    def find(self, file_id: str, *, all_drives: bool) -> File | None:
        """Return a file that the service account may see; one of a shared drive only to a caller who knows of these."""
        file = self.files.get(file_id)
        return file if file and self.can_see(file) and (all_drives or not file.drive_id) else None

    def visible(self, *, all_drives: bool) -> list[JsonObject]:
        """Return the metadata of every file that the service account may see."""
        seen = [self.shown(file) for file in self.files.values() if self.find(file.file_id, all_drives=all_drives)]
        return [metadata for metadata in seen if metadata]

    def shown(self, file: File) -> JsonObject:
        """Return the metadata of a file, late if the store lags; nothing for a file that came since."""
        return self._metadata(file) if self._stale is None else self._stale.get(file.file_id, {})

    def _metadata(self, file: File) -> JsonObject:
        return file.metadata() | {"trashed": self._is_trashed(file)}

    def _is_trashed(self, file: File) -> bool:
        above = self.files.get(file.parent)
        return file.trashed or (above is not None and self._is_trashed(above))

    @property
    def lagging(self) -> bool:
        return self._stale is not None

    @lagging.setter
    def lagging(self, on: bool) -> None:
        self._stale = {file_id: self._metadata(file) for file_id, file in self.files.items()} if on else None


def stamp(at: datetime) -> str:
    """Return an instant as the service writes it: RFC 3339 in UTC, with milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
