"""What people do in Drive by hand: upload, replace, trash, share. Files are named by their ids."""

from datetime import datetime
from threading import Condition

from listener.embedded.drive.calls import JsonObject
from listener.embedded.drive.listing import Lister
from listener.embedded.drive.store import FOLDER, File, Store

TEXT_XML = "text/xml"


class DriveUser:
    """Acts on the files under the simulator's lock, and wakes whoever waits for a change. Unknown ids are KeyErrors."""

    def __init__(self, store: Store, lister: Lister, folder_id: str, changed: Condition) -> None:
        self._store = store
        self._lister = lister
        self._folder_id = folder_id
        self._changed = changed

    def upload(self, content: bytes, name: str = "orders.xml", mime_type: str = TEXT_XML, folder: str = "") -> str:
        """Put a new file into the shop's folder, or another, and return its id; a name may exist already."""
        return self._create(name, mime_type, folder, content)

    def create(self, name: str, mime_type: str = FOLDER, folder: str = "") -> str:
        """Make a folder, or another thing without bytes (a native document, a shortcut), and return its id."""
        return self._create(name, mime_type, folder, None)

    def _create(self, name: str, mime_type: str, folder: str, content: bytes | None) -> str:
        with self._changed:
            parent = self._store.files[folder or self._folder_id]
            file = self._store.create(name, mime_type, parent.file_id, content, drive_id=parent.drive_id)
            self._changed.notify_all()
            return file.file_id

    def new_shared_drive_folder(self) -> str:
        """Make a folder in a shared drive that the service account is a member of, and return its id."""
        with self._changed:
            file = self._store.create("orders", FOLDER, "", None, drive_id="0ASample")
            file.shared = True
            return file.file_id

    def replace(self, file_id: str, content: bytes, modified: datetime | None = None) -> None:
        """Give a file new content under its id; `modified` is the time that a sync client sets."""
        with self._changed:
            self._store.replace(self._store.files[file_id], content, modified)
            self._changed.notify_all()

    def restore_revision(self, file_id: str, number: int) -> None:
        """Make an older content the current one again, as a new revision; 0 is the first."""
        with self._changed:
            file = self._store.files[file_id]
            self._store.replace(file, file.contents[number])
            self._changed.notify_all()

    def rename(self, file_id: str, name: str) -> None:
        self._change(file_id, name=name)

    def touch(self, file_id: str, modified: datetime) -> None:
        """Set the time alone, as a sync client may, also back."""
        self._change(file_id, modified=modified)

    def trash(self, file_id: str) -> None:
        self._change(file_id, trashed=True)

    def untrash(self, file_id: str) -> None:
        self._change(file_id, trashed=False)

    def delete(self, file_id: str) -> None:
        """Delete for good: the id is gone."""
        with self._changed:
            del self._store.files[file_id]
            self._changed.notify_all()

    def share(self, file_id: str = "") -> None:
        """Share the shop's folder, or another, with the service account."""
        self._change(file_id or self._folder_id, shared=True)

    def unshare(self, file_id: str = "") -> None:
        self._change(file_id or self._folder_id, shared=False)

    def _change(self, file_id: str, **changes: object) -> None:
        with self._changed:
            file: File = self._store.files[file_id]
            for name, value in changes.items():
                setattr(file, name, value)
            file.version += 1
            self._changed.notify_all()

    # What the service does of itself

    def lag(self, on: bool) -> None:
        """Show metadata as it is now, whatever changes, until the lag ends."""
        with self._changed:
            self._store.lagging = on

    def limit_pages(self, files: int) -> None:
        """Put at most so many files on a page, whatever is asked for."""
        with self._changed:
            self._lister.page_limit = files

    def hide_unshared(self, on: bool) -> None:
        """Answer a list of an unshared folder with nothing (True, as at first), or with 404."""
        with self._changed:
            self._lister.hides = on

    def search_incompletely(self, on: bool) -> None:
        with self._changed:
            self._lister.incomplete = on

    def files(self) -> list[JsonObject]:
        """Return the metadata of everything, trashed and unshared too, oldest first."""
        with self._changed:
            return [file.metadata() for file in self._store.files.values()]
