"""The files of the status page, read once and served from memory.

They lie under a path that changes with their content, so that a browser may keep them for good, and a page that is open
while the listener is replaced by another version sees that it is no longer the current one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served besides the page itself. Anything else that lies in the folder, a licence, is not."""

BASE = "{base}"
"""Stands in index.html for the path of the files."""


@dataclass(frozen=True, slots=True)
class Assets:
    """`base` is the path of the files; `index` the page; `files` (content, type) by name."""

    base: str
    index: str
    files: dict[str, tuple[bytes, str]]


def read_assets(folder: Path = FOLDER) -> Assets:
    """Return the files of a folder."""
    files = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in folder.iterdir() if path.suffix in TYPES}
    index = (folder / "index.html").read_text("utf-8")
    digest = hashlib.sha256(index.encode())
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name][0])
    base = f"/static/{digest.hexdigest()[:12]}"
    return Assets(base, index.replace(BASE, base), files)
