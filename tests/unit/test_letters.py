"""From bytes to letters: whatever a file declares, its letters are the right ones."""

import re

import pytest

from listener.errors import Rejected
from listener.sources.letters import FORBIDDEN, letters


def read(data: bytes, piece: int = 2**16) -> str:
    return "".join(letters(data[start : start + piece] for start in range(0, len(data), piece)))


def declaring(encoding: str | None, text: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>{text}' if encoding else f"<orders>{text}"


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (None, "utf-8"),
        (None, "latin-1"),
        (None, "windows-1252"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "windows-1252"),
        ("iso-8859-15", "iso-8859-15"),
        ("windows-1250", "windows-1250"),
        # and what is not true:
        ("UTF-8", "latin-1"),
        ("US-ASCII", "utf-8"),
        ("ISO-8859-1", "utf-8"),
        ("ISO-8859-1", "windows-1252"),
        ("UTF-16", "utf-8"),
        ("UTF-8", "utf-16"),
    ],
)
def test_letters_are_right_whatever_is_declared(declared: str | None, written: str) -> None:
    text = "Málaga, Zoë" + ("\u2019s" if written in ("windows-1252", "utf-8", "utf-16") else "")
    assert read(declaring(declared, text).encode(written)).removeprefix("\ufeff") == declaring(declared, text)


def test_a_declaration_after_an_empty_line_counts() -> None:
    text = "\r\n\n" + declaring("iso-8859-15", "10 \u20ac")
    assert read(text.encode("iso-8859-15")) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", "\ufeff\n"])
def test_utf_16_shows_itself(encoding: str, before: str) -> None:
    text = before + declaring(None, "Málaga")
    assert read(text.encode(encoding), piece=1) == text


def test_one_wrong_byte_spoils_nothing_around_it() -> None:
    assert read("Zoë ".encode() + b"Jos\xe9 \x81 \xe2\x82 " + "€".encode()) == "Zoë José \x81 â\u201a €"


def test_a_letter_may_stand_on_the_border_of_two_pieces() -> None:
    text = declaring("UTF-8", "Málaga €")
    assert [read(text.encode(), piece) for piece in (1, 2, 3, 5)] == [text] * 4


@pytest.mark.parametrize("encoding", ["klingon", "shift_jis", "zip", "idna", "utf-7", "unicode_escape", "rot13"])
def test_an_encoding_that_is_not_known_is_no_order_files(encoding: str) -> None:
    with pytest.raises(Rejected, match=re.escape(f"its declared encoding '{encoding}' is not known here")):
        read(declaring(encoding, "").encode())


@pytest.mark.parametrize("letter", ["\0", "\x0b", "\x1b", "\ufffe", "\uffff"])
def test_what_xml_forbids_is_marked(letter: str) -> None:
    assert read(f"<a>{letter}</a>".encode()) == f"<a>{FORBIDDEN}</a>"
    reference = f"&#{ord(letter)};&#x{ord(letter):X};&#x000{ord(letter):x};"
    for piece in (1, 3, 5, 100):
        assert read(f"<a>{reference}</a>".encode(), piece) == f"<a>{FORBIDDEN * 3}</a>"


@pytest.mark.parametrize("text", ["&#233;", "&amp;", "&#xD7FF;", "a & b", "&#12", "&#;", "\t\r\n", "&#9;", "\x7f\x85"])
def test_what_xml_allows_stays_as_it_is(text: str) -> None:
    assert [read(f"<a>{text}".encode(), piece) for piece in (1, 4, 100)] == [f"<a>{text}"] * 3


@pytest.mark.parametrize("reference", ["&#xD800;", "&#1114112;", "&#xFFFFFFF;"])
def test_a_reference_to_no_character_is_marked(reference: str) -> None:
    assert read(f"<a>{reference}".encode()) == f"<a>{FORBIDDEN}"
