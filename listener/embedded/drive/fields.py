"""The partial response: what the parameter `fields` leaves of an answer. No I/O.

A field that was not asked for is not there, and one that does not exist is refused: a client that forgot to ask for
what it needs must fail here and not in production.
"""

import re
from typing import Any

from listener.embedded.drive.calls import JsonObject, bad_parameter

Selection = dict[str, "Selection"]
"""Names, each with what is selected below it; nothing below means all."""

OF_FILE = {
    *("kind", "id", "name", "mimeType", "parents", "trashed", "explicitlyTrashed", "createdTime", "modifiedTime"),
    *("version", "size", "quotaBytesUsed", "headRevisionId", "md5Checksum", "sha1Checksum", "sha256Checksum"),
    *("originalFilename", "fileExtension", "fullFileExtension", "driveId", "capabilities"),
}
OF_LIST = {"kind", "files", "nextPageToken", "incompleteSearch"}

FILE_DEFAULT = "kind,id,name,mimeType"
LIST_DEFAULT = f"kind,incompleteSearch,nextPageToken,files({FILE_DEFAULT})"

NAME = re.compile(r"[A-Za-z0-9]+|\*")


def select_file(fields: str, file: JsonObject) -> JsonObject:
    """Return what is asked of one file."""
    selection = _read(fields or FILE_DEFAULT)
    _check(fields, selection, OF_FILE)
    return _apply_to_object(selection, file)


def select_list(fields: str, page: JsonObject) -> JsonObject:
    """Return what is asked of a page of files."""
    selection = _read(fields or LIST_DEFAULT)
    _check(fields, selection, OF_LIST)
    _check(fields, selection.get("files", {}), OF_FILE)
    return _apply_to_object(selection, page)


def _check(fields: str, selection: Selection, known: set[str]) -> None:
    if not set(selection) <= known | {"*"}:
        raise bad_parameter("fields", fields, "invalidParameter")


def _apply(selection: Selection, value: Any) -> Any:
    if isinstance(value, list):
        return [_apply(selection, item) for item in value]
    return _apply_to_object(selection, value) if isinstance(value, dict) else value


def _apply_to_object(selection: Selection, value: JsonObject) -> JsonObject:
    if not selection or "*" in selection:
        return value
    return {name: _apply(below, value[name]) for name, below in selection.items() if name in value}


def _read(fields: str) -> Selection:
    selection, rest = _read_names(fields.replace(" ", ""), fields)
    if rest:
        raise bad_parameter("fields", fields, "invalidParameter")
    return selection


def _read_names(text: str, whole: str) -> tuple[Selection, str]:
    """Read `a,b/c,d(e,f)`; return it, and the text from the first `)` that is not its own."""
    selection: Selection = {}
    while True:
        match = NAME.match(text)
        if match is None:
            raise bad_parameter("fields", whole, "invalidParameter")
        name, text = match[0], text[match.end() :]
        below: Selection = {}
        if text.startswith("/"):
            below, text = _read_path(text[1:], whole)
        elif text.startswith("("):
            below, text = _read_names(text[1:], whole)
            if not text.startswith(")"):
                raise bad_parameter("fields", whole, "invalidParameter")
            text = text[1:]
        selection.setdefault(name, {}).update(below)
        if not text.startswith(","):
            return selection, text
        text = text[1:]


def _read_path(text: str, whole: str) -> tuple[Selection, str]:
    match = NAME.match(text)
    if match is None:
        raise bad_parameter("fields", whole, "invalidParameter")
    rest = text[match.end() :]
    if not rest.startswith("/"):
        return {match[0]: {}}, rest
    below, rest = _read_path(rest[1:], whole)
    return {match[0]: below}, rest
