"""An export's markup has limits: nothing that XML lets grow without end grows here."""

from collections.abc import Iterator
from itertools import repeat

import pytest

from listener.errors import Rejected
from listener.sources.markup import DEEPEST, MOST_NAMES, raw_orders

ENDLESS = 20_000  # pieces of 64 kB: more than a machine has memory, if one of them were kept


def file(before: str, piece: str, after: str = "") -> Iterator[bytes]:
    yield before.encode()
    yield from repeat((piece * (2**16 // len(piece))).encode(), ENDLESS)
    yield after.encode()


@pytest.mark.parametrize(
    ("before", "piece", "reason"),
    [
        ("<orders><order name='", "x", "a piece of markup has more than 1048576 characters"),
        ("<orders><!--", "x", "a piece of markup has more than"),
        ("<orders><?", "x", "a piece of markup has more than"),
        ("<orders><", "x", "a piece of markup has more than"),
        ("<orders>", "<a>", "elements within elements, more than 100 deep"),
        ("<orders><order><s_city>", "<a>", "elements within elements, more than 100 deep"),
        ("<orders>", "<a xmlns:p='u'/>", "more than 1000 different names"),
        ("<orders>", "\0", "a character that XML forbids"),
    ],
)
def test_what_never_ends_is_ended(before: str, piece: str, reason: str) -> None:
    with pytest.raises(Rejected, match=rf"^line 1, column \d+: .*{reason}"):
        list(raw_orders(file(before, piece)))


@pytest.mark.parametrize("names", ["<a{}/>", "<a a{}=''/>"])
def test_names_are_not_collected_for_ever(names: str) -> None:
    pieces = (names.replace("{}", str(number)).encode() for number in range(10 * MOST_NAMES))
    with pytest.raises(Rejected, match="more than 1000 different names"):
        list(raw_orders([b"<orders>", *pieces]))


def test_what_is_within_the_limits_is_read() -> None:
    deep = "<a>" * (DEEPEST - 2) + "</a>" * (DEEPEST - 2)
    names = "".join(f"<a{number}/>" for number in range(MOST_NAMES - 10))
    long = f"<!--{'x' * 1_000_000}--><a x='{'x' * 1_000_000}'/>"
    pieces = f"<orders><order>{deep}<orderid>1</orderid></order>{names}{long}</orders>".encode()
    orders = list(raw_orders(pieces[start : start + 2**16] for start in range(0, len(pieces), 2**16)))
    assert [order.fields for order in orders] == [{"orderid": "1"}]
