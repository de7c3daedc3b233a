"""files.list: which files, in which order, page by page. No I/O.

A page token is opaque, and good only for the question that it was given to: with another `q` or order it is refused.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping

from listener.embedded.drive.calls import JsonObject, bad_parameter, not_found
from listener.embedded.drive.fields import select_list
from listener.embedded.drive.query import read_query
from listener.embedded.drive.store import FOLDER, Store

LARGEST_PAGE = 1000

PARAMETERS = {
    *("q", "pageSize", "pageToken", "orderBy", "fields", "spaces", "corpora", "driveId", "alt"),
    *("supportsAllDrives", "includeItemsFromAllDrives"),
}
SORT_KEYS: Mapping[str, Callable[[JsonObject], object]] = {
    "createdTime": lambda file: file["createdTime"],
    "folder": lambda file: file["mimeType"] != FOLDER,
    "modifiedTime": lambda file: file["modifiedTime"],
    "name": lambda file: file["name"].lower(),
    "quotaBytesUsed": lambda file: int(file.get("quotaBytesUsed", "0")),
}


class Lister:
    """Answers files.list on a store.

    page_limit: at most so many files are on a page, whatever was asked for: the service may do so at any time
    hides:      what an unshared or unknown folder reads as: True an empty list, False a 404; the service does both
    incomplete: say of every page that not everything was searched
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.page_limit = LARGEST_PAGE
        self.hides = True
        self.incomplete = False

    def page(self, query: Mapping[str, str]) -> JsonObject:
        """Return one page. Raises CallRefused."""
        if unknown := query.keys() - PARAMETERS:
            raise bad_parameter(min(unknown), query[min(unknown)], "invalidParameter")
        found = self._found(query)
        first = self._first(query)
        last = first + min(_page_size(query), self.page_limit)
        page = {"kind": "drive#fileList", "incompleteSearch": self.incomplete, "files": found[first:last]}
        if last < len(found):
            page["nextPageToken"] = _token(query, last)
        return select_list(query.get("fields", ""), page)

    def _found(self, query: Mapping[str, str]) -> list[JsonObject]:
        matches = read_query(query.get("q", ""))
        both = query.get("supportsAllDrives") == "true" and query.get("includeItemsFromAllDrives") == "true"
        self._refuse_unseen_folder(query.get("q", ""), all_drives=both)
        files = [file for file in self._store.visible(all_drives=both) if matches(file)]
        for key in reversed((query.get("orderBy") or "modifiedTime desc").split(",")):
            name, _, direction = key.strip().partition(" ")
            if name not in SORT_KEYS or direction not in ("", "desc"):
                raise bad_parameter("orderBy", key)
            files.sort(key=SORT_KEYS[name], reverse=direction == "desc")  # type: ignore[arg-type]
        return files

    def _refuse_unseen_folder(self, q: str, *, all_drives: bool) -> None:
        if self.hides or " in parents" not in q:
            return
        if self._store.find(q.partition("'")[2].partition("'")[0], all_drives=all_drives) is None:
            raise not_found("")

    def _first(self, query: Mapping[str, str]) -> int:
        token = query.get("pageToken", "")
        if not token:
            return 0
        try:
            asked, first = json.loads(urlsafe_b64decode(token))
        except ValueError as error:
            raise bad_parameter("pageToken", token) from error
        if asked != _digest(query):
            raise bad_parameter("pageToken", token)
        return int(first)


def _page_size(query: Mapping[str, str]) -> int:
    text = query.get("pageSize", "100")
    if not text.isdigit() or int(text) < 1:
        raise bad_parameter("pageSize", text)
    return min(int(text), LARGEST_PAGE)


def _digest(query: Mapping[str, str]) -> str:
    """Return what the token is bound to: everything of the question but the token and the size of its page."""
    rest = {name: value for name, value in query.items() if name not in ("pageToken", "pageSize")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def _token(query: Mapping[str, str], first: int) -> str:
    return urlsafe_b64encode(json.dumps([_digest(query), first]).encode()).decode()
