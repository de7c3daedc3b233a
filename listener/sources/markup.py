"""An export's markup: text in, the raw fields of one order after the other out. Pure, and bounded.

The layout, as read here: any root; its children `order`; in it a field each, and an `order_detail` per line with
`productid` and `amount`. Whatever else is in a file is passed over. Of a field that stands twice the first counts. Text
in markup inside a field is the field's.

Nothing grows with a file: what is not wanted is not kept, and what XML lets grow without end has a limit each. A file
without a DTD or entities, whose markup is well formed and within them, is read to its end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from listener.errors import Rejected
from listener.orders import LONGEST_TEXT, MOST_LINES
from listener.sources.letters import FORBIDDEN, letters

ADDRESS_PARTS = ("firstname", "lastname", "company", "address", "city", "state", "zipcode", "country", "phone")
FIELDS = frozenset({"orderid", "date2", "email", *(f"{kind}_{part}" for kind in "sb" for part in ADDRESS_PARTS)})

DEEPEST = 100
MOST_NAMES = 1000
LONGEST_MARKUP = 2**20
"""Elements within elements; different names of them, and characters of a tag, a comment or the like.
The parser keeps every name, and a tag until it is whole."""


class TooLong(str):
    """The beginning of a field's text that is longer than LONGEST_TEXT."""

    __slots__ = ()


@dataclass(slots=True)
class RawOrder:
    """An `order` as it stands in the file.

    line:           where it begins
    fields:         text by name, of FIELDS
    lines:          (productid, amount) of each line, at most MOST_LINES + 1 of them
    forbidden_line: where in it the first character is that XML forbids
    """

    line: int
    fields: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    forbidden_line: int | None = None


def raw_orders(pieces: Iterable[bytes]) -> Iterator[RawOrder]:
    """Yield the orders of one file, given in pieces of some 64 kB.

    Raises: Rejected, naming line and column, for what is not well-formed XML, declares a DTD or entities, or is beyond
    a limit. Only the end of the file says that there was nothing of the kind.
    """
    parser: Any = DefusedXMLParser(target=_NoTree(), encoding="utf-8", forbid_dtd=True)
    reader = _OrderReader(parser.parser)
    try:
        for text in letters(pieces):
            parser.feed(reader.prepare(text))
            yield from reader.take()
        parser.close()
    except ParseError as error:
        raise Rejected(f"{reader.place(*error.position)}: {str(error).partition(':')[0]}") from error
    except DefusedXmlException as error:
        what = "it declares a document type or entities, which an order file has no use for"
        raise Rejected(f"{reader.place()}: {what}") from error
    except Rejected as error:
        raise Rejected(f"{reader.place()}: {error}") from error


class _NoTree:
    """The parser's target. The reader listens to expat itself: that takes half the time, and nothing is kept."""

    def close(self) -> None:
        """Have nothing to finish."""


class _OrderReader:
    """Turns expat's events into orders. Depth 2 is an order, 3 its fields and lines, 4 the fields of a line."""

    def __init__(self, expat: Any) -> None:
        self._expat = expat
        self._begun = False
        self._lines_before = self._columns_before = 0
        self._fed = self._parsed = 0
        self._prefixes = 0
        self._done: list[RawOrder] = []
        self._order = RawOrder(0)
        self._detail: dict[str, str] = {}
        self._depth = 0
        self._field_depth = 3
        self._text: list[str] = []
        self._too_long = False
        expat.StartElementHandler = self._start
        expat.EndElementHandler = self._end
        expat.CharacterDataHandler = self._text.append
        expat.StartNamespaceDeclHandler = self._count_prefix

    def prepare(self, text: str) -> bytes:
        """Return a piece of the file as the parser takes it."""
        text = text if self._begun else self._without_blanks(text)
        if FORBIDDEN in text:  # seldom: else no text need be looked at, line by line
            self._expat.buffer_text = False
            self._expat.CharacterDataHandler = self._append_and_look
        data = text.encode()
        self._fed += len(data)
        return data

    def _without_blanks(self, text: str) -> str:
        """An empty line before the root is usual in exports. Before a declaration XML does not allow it."""
        rest = text.lstrip("\ufeff \t\r\n")
        skipped = text[: len(text) - len(rest)].replace("\ufeff", "")
        self._lines_before += skipped.count("\n")
        before = 0 if "\n" in skipped else self._columns_before
        self._columns_before = before + len(skipped.rpartition("\n")[2])
        self._begun = bool(rest)
        return rest

    def take(self) -> list[RawOrder]:
        """Return the orders that came to their end since the last call, and look after the limits."""
        self._shorten_text()
        # The parser stands before the markup that it has no end of; it says -1 when it does not know.
        self._parsed = max(self._parsed, self._expat.CurrentByteIndex)
        if self._fed - self._parsed > LONGEST_MARKUP:
            raise Rejected(f"a piece of markup has more than {LONGEST_MARKUP} characters")
        if len(self._expat.intern) + self._prefixes > MOST_NAMES:
            raise Rejected(f"its elements and attributes have more than {MOST_NAMES} different names")
        done, self._done = self._done, []
        return done

    def place(self, line: int | None = None, column: int | None = None) -> str:
        """Return a place in the file in words, counted as an editor does; by default where the parser is."""
        line = self._expat.CurrentLineNumber if line is None else line
        column = self._expat.CurrentColumnNumber if column is None else column
        before = self._columns_before if line == 1 else 0
        return f"line {line + self._lines_before}, column {column + before + 1}"

    def _line(self) -> int:
        return int(self._expat.CurrentLineNumber) + self._lines_before

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._order = RawOrder(self._line())
        elif self._depth == 3 and name == "order_detail":
            self._detail, self._field_depth = {}, 4
        elif self._depth == self._field_depth:
            self._text.clear()
            self._too_long = False
        elif self._depth > DEEPEST:
            raise Rejected(f"it has elements within elements, more than {DEEPEST} deep")

    def _end(self, name: str) -> None:
        if self._depth == self._field_depth:
            self._end_field(name)
        elif self._depth == 3:
            if len(self._order.lines) <= MOST_LINES:
                self._order.lines.append((self._detail.get("productid", ""), self._detail.get("amount", "")))
            self._field_depth = 3
        elif self._depth == 2 and name == "order":
            self._done.append(self._order)
        self._depth -= 1

    def _end_field(self, name: str) -> None:
        fields, wanted = (self._order.fields, FIELDS) if self._depth == 3 else (self._detail, _LINE_FIELDS)
        if name not in wanted or name in fields:
            return
        text = "".join(self._text)
        if len(text) > LONGEST_TEXT:
            self._shorten_text()
            (text,) = self._text
        fields[name] = TooLong(text.strip()) if self._too_long else text.strip()

    def _shorten_text(self) -> None:
        """Keep so much of the text that is being gathered as can be taken, blanks around it aside."""
        if sum(map(len, self._text)) <= LONGEST_TEXT:
            return
        text = "".join(self._text).lstrip()
        self._too_long = self._too_long or bool(text[LONGEST_TEXT:].strip())
        self._text[:] = [text[:LONGEST_TEXT]]

    def _append_and_look(self, text: str) -> None:
        self._text.append(text)
        if FORBIDDEN not in text:
            return
        if self._depth < 2:
            raise Rejected("a character that XML forbids")
        self._order.forbidden_line = self._order.forbidden_line or self._line()

    def _count_prefix(self, _prefix: str | None, _uri: str) -> None:
        self._prefixes += 1


_LINE_FIELDS = frozenset({"productid", "amount"})
