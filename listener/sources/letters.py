"""From a file's bytes to letters: in which encoding they are, and which of them no XML may hold. Pure.

Exports are not always in the encoding that they declare, and a wrong byte must not cost all the orders of a file. So
what can be UTF-8 is UTF-8, and each byte that cannot is a letter of windows-1252 (which latin-1 is a part of), whether
the file declares one of these or nothing. Only UTF-16, which shows itself, and other code pages that are declared are
read as such. A character that XML forbids becomes FORBIDDEN: whoever reads on can tell where it stood.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from listener.errors import Rejected

FORBIDDEN = "\ufdd0"
"""A code point that Unicode keeps free of any character. Files that hold it themselves are as wrong."""

ENOUGH_TO_TELL = 1024
"""Bytes: a declaration is shorter, also with blank lines before it."""


def letters(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield a file's text piece by piece; a byte order mark stays in.

    Raises: Rejected for a declared encoding that is not known here.
    """
    pieces, head = iter(pieces), b""
    while len(head) < ENOUGH_TO_TELL and (piece := next(pieces, b"")):
        head += piece
    decoder = _decoder(_encoding(head))
    held = ""
    for piece in chain([head], pieces):
        text, held = _without_half_a_reference(held + decoder.decode(piece))
        yield _readable(text)
    yield _readable(held + decoder.decode(b"", final=True))


# Encodings.

_BLANKS = rb"(?:\xef\xbb\xbf)?[ \t\r\n]*"
_DECLARATION = re.compile(_BLANKS + rb"""<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_LITTLE_ENDIAN = re.compile(rb"\xff\xfe|(?:[ \t\r\n]\x00)*<\x00")
_BIG_ENDIAN = re.compile(rb"\xfe\xff|(?:\x00[ \t\r\n])*\x00<")

_UTF_8_OR_WINDOWS_1252 = ("utf-8", "ascii", "cp1252", "iso8859-1")
_ONE_BYTE_A_LETTER = re.compile(r"iso8859-[0-9]+|cp(?:125[0-9]|437|85[0-9]|86[0-9])|koi8-[ru]|mac-roman")
"""By Python's names. Not every codec may be declared: some of them unpack archives."""


def _encoding(head: bytes) -> str:
    if _LITTLE_ENDIAN.match(head):
        return "utf-16-le"
    if _BIG_ENDIAN.match(head):
        return "utf-16-be"
    declared = _DECLARATION.match(head)
    return _known(declared[1].decode("ascii")) if declared else "utf-8"


def _known(declared: str) -> str:
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        name = ""
    if name in _UTF_8_OR_WINDOWS_1252 or name.startswith("utf-16"):  # in UTF-16 this could not have been read
        return "utf-8"
    if _ONE_BYTE_A_LETTER.fullmatch(name):
        return name
    raise Rejected(f"its declared encoding {declared!r} is not known here; UTF-8 is best")


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace" if encoding.startswith("utf-16") else _BY_ITSELF)


_WINDOWS_1252 = [bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256)]
_BY_ITSELF = "listener.windows-1252"


def _read_as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  it is registered for decoding alone
    return "".join(_WINDOWS_1252[byte] for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_BY_ITSELF, _read_as_windows_1252)


# What XML forbids: XML 1.0, "Characters".

_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile("&#(?:0*([0-9]{1,9})|x0*([0-9a-fA-F]{1,7}));")
_LONGEST_REFERENCE = 16


def _readable(text: str) -> str:
    text = _UNREADABLE.sub(FORBIDDEN, text)
    return _REFERENCE.sub(_readable_reference, text) if "&#" in text else text


def _readable_reference(match: re.Match[str]) -> str:
    code = int(match[1]) if match[1] else int(match[2], 16)
    return match[0] if code <= 0x10FFFF and not _UNREADABLE.match(chr(code)) else FORBIDDEN


def _without_half_a_reference(text: str) -> tuple[str, str]:
    """Split a reference off that the next piece may complete."""
    start = text.rfind("&", -_LONGEST_REFERENCE)
    if start < 0 or ";" in text[start:]:
        return text, ""
    return text[:start], text[start:]
