"""`listener imports`: which files were read, and what was refused in them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from listener.cli.imports import imports
from listener.errors import Fatal
from listener.log import UNPRINTABLE
from tests.support.importing import Shop, orders_xml

BAD = b"<orders>\n<order><orderid>%s</orderid></order></orders>"


@pytest.fixture
def shop(dsn: str, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(dsn, tmp_path)
    yield shop
    shop.close()


def answer(dsn: str, *arguments: str) -> list[str]:
    """Return the lines of an answer, which fits on 80 columns and moves no cursor."""
    result = CliRunner().invoke(imports, arguments, env={"DATABASE_URL": dsn})
    assert (result.exit_code, result.exception, result.stderr) == (0, None, "")
    lines = result.stdout.split("\n")
    assert not [line for line in lines if UNPRINTABLE.search(line)]
    assert "--json" in arguments or max(map(len, lines)) <= 80
    return lines[:-1]


def as_json(dsn: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads("\n".join(answer(dsn, "--json", *arguments)))
    return found


def test_where_nothing_was_read_it_says_so(dsn: str) -> None:
    assert answer(dsn) == ["no file has been read yet"]
    assert answer(dsn, "--quarantine") == ["no order was refused"]
    assert as_json(dsn) == as_json(dsn, "--quarantine") == []


def test_files_are_listed_with_what_became_of_their_orders_the_newest_first(shop: Shop, dsn: str) -> None:
    shop.put("orders.xml", orders_xml("1", "2"))
    shop.run()
    shop.put("orders.xml", orders_xml("1", "2", "3", "3"))
    shop.put("a-bad-one.xml", b"<orders>\n<or")
    shop.run()
    heading, *lines = answer(dsn)
    assert heading.split() == ["when", "revision", "orders", "new", "known", "refused", "state"]
    revisions = [
        revision for (revision,) in shop.rows("select left(revision, 8) from listener.imports order by id desc")
    ]
    assert [line.split()[1:] for line in lines if not line.startswith(" ")] == [
        [revisions[0], "4", "1", "2", "1", "imported"],
        [revisions[1], "0", "0", "0", "0", "failed"],
        [revisions[2], "2", "2", "0", "0", "imported"],
    ]
    text = "".join("".join(lines).split())  # a long path is broken anywhere
    assert f"a-bad-one.xmlinfolder:{shop.path}" in text
    assert "line2,column1:unclosedtoken" in text
    body = as_json(dsn)
    assert [(entry["name"], entry["status"], entry["new"]) for entry in body] == [
        ("orders.xml", "imported", 1),
        ("a-bad-one.xml", "failed", 0),
        ("orders.xml", "imported", 2),
    ]
    assert body[1]["error"].endswith("unclosed token")
    assert body[0].keys() == {
        *("at", "source", "name", "file_id", "revision", "status", "orders", "new", "known", "refused", "error")
    }


def test_what_was_refused_has_its_file_line_number_and_reason(shop: Shop, dsn: str) -> None:
    shop.put("a.xml", orders_xml("1", "1", "2", "2"))
    shop.run()
    shop.put("b.xml", BAD % b"9")
    shop.run()
    heading, *lines = answer(dsn, "--quarantine")
    assert heading.split() == ["when", "line", "order"]
    assert [line.split()[1:] for line in lines[::2]] == [["2", "9"], ["1", "1"], ["1", "2"]]
    assert lines[1::2] == [
        "    b.xml: the order has no line with a product id",
        "    a.xml: the order in line 1 has the same number",
        "    a.xml: the order in line 1 has the same number",
    ]
    first = as_json(dsn, "--quarantine")[0]
    assert first.keys() == {"at", "source", "name", "revision", "line", "order_number", "reason"}
    assert (first["name"], first["line"], first["order_number"]) == ("b.xml", 2, "9")


def test_the_list_can_be_cut_and_says_what_it_left_out(shop: Shop, dsn: str) -> None:
    for number in range(3):
        shop.put(f"{number}.xml", BAD % b"9")
        shop.run()
    assert answer(dsn, "--limit", "2")[-1] == "the newest 2 of 3; --limit shows more"
    assert answer(dsn, "--limit", "2", "--quarantine")[-1] == "the newest 2 of 3; --limit shows more"
    assert [entry["name"] for entry in as_json(dsn, "--limit", "2")] == ["2.xml", "1.xml"]
    assert "--limit" not in answer(dsn, "--limit", "3")[-1]


def test_what_a_file_says_cannot_move_a_terminals_cursor_or_break_a_line(shop: Shop, dsn: str) -> None:
    name, number = "x" * 200 + "\u202e`.xml", "\x9b2J\u202e" + "7" * 200
    line = f"<order_detail><productid>`{'5' * 60}\x9b31m</productid></order_detail>"
    orders = [f"<order><orderid>{number}</orderid></order>", f"<order><orderid>1</orderid>{line}</order>", "<order/>"]
    shop.put("orders.xml", f"<orders>{''.join(orders)}</orders>".encode())
    shop.run()
    shop.db.execute("update listener.imports set name = %s, error = %s, status = null", [name, "\x1b[2J`" + "e" * 300])
    shop.db.execute("update listener.quarantine set at = null, line = null")
    assert "\\u202e" in " ".join(answer(dsn))
    assert "\\u202e" in " ".join(answer(dsn, "--quarantine"))
    assert as_json(dsn, "--quarantine")[0]["order_number"] == number
    assert as_json(dsn)[0]["name"] == name


def test_what_a_file_says_between_backquotes_is_no_command(shop: Shop, dsn: str) -> None:
    line = f"<order_detail><productid>`{'5 ' * 45}`</productid><amount>none</amount></order_detail>"
    shop.put("orders.xml", f"<orders><order><orderid>1</orderid>{line}</order></orders>".encode())
    shop.run()
    assert len(answer(dsn, "--quarantine")) == 5


def test_a_revision_is_told_from_others_without_the_kind_of_its_checksum(shop: Shop, dsn: str) -> None:
    shop.put("orders.xml", orders_xml("1"))
    shop.run()
    shop.db.execute("update listener.imports set revision = 'sha256:0123456789abcdef'")
    assert answer(dsn)[1].split()[1] == "01234567"


def test_it_writes_nothing_and_waits_for_no_row(shop: Shop, dsn: str) -> None:
    shop.put("orders.xml", BAD % b"9")
    shop.run()
    with shop.db.transaction():
        shop.db.execute("select from listener.imports for update")
        assert answer(dsn)
        assert answer(dsn, "--quarantine")


@pytest.mark.parametrize("argument", ["--json", "--quarantine"])
def test_a_database_without_our_tables_is_a_sentence_that_names_install(production_dsn: str, argument: str) -> None:
    result = CliRunner().invoke(imports, [argument], env={"DATABASE_URL": production_dsn})
    assert isinstance(result.exception, Fatal)
    assert "listener install" in str(result.exception)


def test_its_help_has_examples() -> None:
    command: click.Command = imports
    result = CliRunner().invoke(command, ["--help"])
    assert (result.exit_code, "Example: listener imports " in result.output) == (0, True)
    assert max(map(len, result.output.splitlines())) <= 80
