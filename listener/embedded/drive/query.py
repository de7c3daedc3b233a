"""The search expression `q` of files.list: the part of its grammar that is served, read into a predicate. No I/O.

What is not understood is refused, as the service does with a bad expression: a simulator that ignored a condition would
hide a client's mistake. Source: Drive API guide, "Search query terms and operators".
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from listener.embedded.drive.calls import JsonObject, bad_parameter

Predicate = Callable[[JsonObject], bool]
Compare = Callable[[object, object], bool]

TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<word>\w+)|(?P<sign><=|>=|!=|=|<|>|\(|\)))")

COMPARISONS: Mapping[str, Compare] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,  # type: ignore[dict-item]
    "<=": operator.le,  # type: ignore[dict-item]
    ">": operator.gt,  # type: ignore[dict-item]
    ">=": operator.ge,  # type: ignore[dict-item]
}
TIMES = ("modifiedTime", "createdTime")


def read_query(text: str) -> Predicate:
    """Return what the expression asks of a file's metadata. Raises CallRefused (400) for anything else."""
    if not text.strip():
        return lambda _: True
    return _Reader(text).whole()


class _Reader:
    """Recursive descent: or, and, not, parentheses, a term."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._cut(text)
        self._place = 0

    def whole(self) -> Predicate:
        predicate = self._either()
        if self._place < len(self._tokens):
            raise self._refusal()
        return predicate

    def _cut(self, text: str) -> list[str]:
        tokens, end, text = [], 0, text.rstrip()
        while end < len(text):
            match = TOKEN.match(text, end)
            if match is None:
                raise self._refusal()
            tokens.append(match[match.lastgroup or 0])
            end = match.end()
        return tokens

    def _refusal(self) -> Exception:
        return bad_parameter("q", self._text)

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self, *expected: str) -> str:
        token = self._peek()
        if not token or (expected and token not in expected):
            raise self._refusal()
        self._place += 1
        return token

    def _either(self) -> Predicate:
        parts = [self._all()]
        while self._peek() == "or":
            self._take()
            parts.append(self._all())
        return lambda file: any(part(file) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._peek() == "and":
            self._take()
            parts.append(self._one())
        return lambda file: all(part(file) for part in parts)

    def _one(self) -> Predicate:
        first = self._take()
        if first == "not":
            inner = self._one()
            return lambda file: not inner(file)
        if first == "(":
            inner = self._either()
            self._take(")")
            return inner
        return self._membership(first) if first.startswith("'") else self._term(first)

    def _membership(self, token: str) -> Predicate:
        self._take("in")
        self._take("parents")
        folder = _string(token)
        return lambda file: folder in file["parents"]

    def _term(self, name: str) -> Predicate:
        if name == "trashed":
            compare, wanted = COMPARISONS[self._take("=", "!=")], self._take("true", "false") == "true"
            return lambda file: compare(file["trashed"], wanted)
        if name == "name" and self._peek() == "contains":
            self._take()
            return _begins_a_word(self._string())
        if name in ("name", "mimeType"):
            compare, text = COMPARISONS[self._take("=", "!=")], self._string()
            return lambda file: compare(file[name], text)
        if name in TIMES:
            compare, at = COMPARISONS[self._take(*COMPARISONS)], self._time()
            return lambda file: compare(datetime.fromisoformat(file[name]), at)
        raise self._refusal()

    def _string(self) -> str:
        token = self._take()
        if not token.startswith("'"):
            raise self._refusal()
        return _string(token)

    def _time(self) -> datetime:
        try:
            at = datetime.fromisoformat(self._string())
        except ValueError as error:
            raise self._refusal() from error
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def _string(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1])


def _begins_a_word(text: str) -> Predicate:
    """`contains` finds the beginnings of a name's words, not any part: a client cannot ask for a suffix with it."""
    wanted = text.lower()
    return lambda file: any(word.startswith(wanted) for word in file["name"].lower().split())
