"""Large files: whatever is in them, the listener stays as small as it is, and the next file is imported.

The small files are in tests/integration/test_corpus.py.
"""

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.embedded.orders_xml import orders_xml
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, set_flag, switch, value_of

PIECE = 2**16
LINE = "<order_detail><productid>50001</productid></order_detail>"
GOOD = f"<order><orderid>good</orderid>{LINE}</order>"

# file: what it begins with, what is repeated, for how many MB, and what it ends with
LARGE_FILES = {
    "blanks": ("", "\n", 10, ""),
    "deep": ("", "<a>", 10, ""),
    "many-lines": ("<order><orderid>3</orderid>", LINE, 5, "</order>"),
    "no-end": ("", "<order><orderid>4</orderid></order>", 5, "<order>"),
    "one-attribute": ("<order name='", "x", 10, "'/>"),
    "one-comment": ("<!--", "x", 10, "-->"),
    "one-field": (f"<order><orderid>1</orderid>{LINE}<s_city>", "x", 100, "</s_city></order>"),
    "one-unknown-element": (f"<order><orderid>2</orderid>{LINE}<huh>", "x\n", 10, "</huh></order>"),
    "too-many-orders": ("", "<order/>", 3, ""),
}
# file: how it ends, with how many orders taken and how many refused, and why
OUTCOMES = {
    "blanks": ("imported 1 0", ""),
    "deep": ("failed 0 0", "it has elements within elements, more than 100 deep"),
    "many-lines": ("imported 1 1", "the order has more than 1000 lines"),
    "no-end": ("failed 0 0", "mismatched tag"),
    "one-attribute": ("failed 0 0", "a piece of markup has more than 1048576 characters"),
    "one-comment": ("failed 0 0", "a piece of markup has more than 1048576 characters"),
    "one-field": ("imported 1 1", "s_city has more than 1000 characters"),
    "one-unknown-element": ("imported 2 0", ""),
    "too-many-orders": ("failed 0 0", "it has more than 250000 orders; split it"),
}
ORDERS = 50_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "orders"
    path.mkdir()
    return path


def pieces(before: str, piece: str, megabytes: int, after: str) -> Iterator[str]:
    yield f"<orders>{GOOD}{before}"
    repeated = piece * (PIECE // len(piece))
    for _ in range(megabytes * 2**20 // PIECE):
        yield repeated
    yield f"{after}</orders>"


def peak_megabytes(process: ListenerProcess) -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert match
    return int(match.group(1)) / 1024


def test_no_file_makes_the_listener_large(
    dsn: str, shop: Connection, folder: Path, listener_process: Callable[..., ListenerProcess]
) -> None:
    for name, parts in LARGE_FILES.items():
        with (folder / f"{name}.xml").open("w") as file:
            file.writelines(pieces(*parts))
    (folder / "zz-many-orders.xml").write_bytes(orders_xml(ORDERS, datetime.now(UTC).date()))
    set_flag(shop, "fast_polling_interval", "1")
    switch(shop, "shipstation-upload", on=False)
    process = listener_process(dsn, ORDER_SOURCE=str(folder))
    process.wait_for("Imported zz-many-orders.xml: 50000 orders, 50000 new, 0 known, 0 refused", timeout=120)
    results = shop.execute("""
        select name, status || ' ' || orders_new + orders_known || ' ' || orders_refused, coalesce(error, reason)
        from listener.imports f left join listener.quarantine q on q.import_id = f.id where name not like 'zz%'""")
    found = {name.removesuffix(".xml"): (figures, reason or "") for name, figures, reason in results}
    assert {name: (figures, reason.rpartition(": ")[2]) for name, (figures, reason) in found.items()} == OUTCOMES
    assert value_of(shop, "select count(*) from orders_inbox where order_number = 'good'") == 1
    if sys.platform == "linux":  # elsewhere nobody tells how much memory a process had at most
        assert peak_megabytes(process) < 100
