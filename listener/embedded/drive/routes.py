"""Which path does what; read `answer` as the list of Drive v3 calls that are simulated: files.list and files.get."""

import re
from collections.abc import Mapping

from listener.embedded.drive.calls import LIST_PATH, Answer, Call, CallRefused, bad_parameter, error, not_found
from listener.embedded.drive.fields import select_file
from listener.embedded.drive.listing import Lister
from listener.embedded.drive.store import File, Store

ONE_FILE = re.compile(re.escape(LIST_PATH) + r"/([A-Za-z0-9_-]+)")
GET_PARAMETERS = frozenset({"alt", "fields", "supportsAllDrives", "acknowledgeAbuse"})
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def answer(store: Store, lister: Lister, call: Call) -> Answer:
    """Carry out one authorised call and return its answer."""
    try:
        if call.path == LIST_PATH:
            return Answer(200, lister.page(call.query))
        if (match := ONE_FILE.fullmatch(call.path)) is not None:
            return _get(store, call, match[1])
    except CallRefused as refused:
        return refused.answer
    return error(404, "notFound", "Not Found")


def _get(store: Store, call: Call, file_id: str) -> Answer:
    if unknown := call.query.keys() - GET_PARAMETERS:
        raise bad_parameter(min(unknown), call.query[min(unknown)], "invalidParameter")
    file = store.find(file_id, all_drives=call.query.get("supportsAllDrives") == "true")
    if file is None:
        raise not_found(file_id)
    if call.downloads:
        return _download(file, call.headers)
    shown = store.shown(file)
    if not shown:
        raise not_found(file_id)
    return Answer(200, select_file(call.query.get("fields", ""), shown))


def _download(file: File, headers: Mapping[str, str]) -> Answer:
    content = file.content
    if content is None:
        message = "Only files with binary content can be downloaded."
        return error(403, "fileNotDownloadable", message, locationType="parameter", location="alt")
    asked = RANGE.fullmatch(headers.get("range", ""))
    if asked is None:
        return Answer(200, content, file.mime_type)
    first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if first > last:
        return Answer(416, b"", file.mime_type, {"Content-Range": f"bytes */{len(content)}"})
    where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Answer(206, content[first : last + 1], file.mime_type, where)
