"""Commands that wait for something, at a terminal: they say for what, and leave nothing of it behind."""

import re
import socket
from pathlib import Path

import psycopg

from listener.embedded.postgres import free_port
from tests.support.terminal import AtTerminal

SOON = """
from listener.cli import bars
from listener import watch
bars.LONG_SECONDS = bars.LOOK_EVERY_SECONDS = watch.FIRST_LOOK_SECONDS = 0.05
"""
BUILD = re.compile(r"\nidx_orders_inbox_\w+ +(━|\d+:\d\d)")


def test_an_install_says_which_index_it_builds_and_who_is_in_its_way(production_dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(production_dsn) as writer:
        writer.execute("lock table orders_inbox in row exclusive mode")
        with AtTerminal(("install",), {"DATABASE_URL": production_dsn}, tmp_path, first=SOON) as terminal:
            shown = terminal.wait_until(BUILD.search)
            assert f"waiting for pid {writer.info.backend_pid}" in shown
            writer.rollback()
            assert terminal.wait() == 0
    lines = terminal.shown.split("\n")
    assert lines[-1] == "installed; `listener verify` looks at all of it"
    assert [line for line in lines if line.startswith("idx_") or "applying" in line] == []
    assert terminal.is_tidy


def test_the_demo_moves_each_order_once_and_says_how_many_have_arrived(tmp_path: Path) -> None:
    orders = 2100  # more than go with the calls that a new listener may make at once
    arguments = ("demo", "--orders", str(orders), "--port", str(free_port()))
    with AtTerminal(arguments, {}, tmp_path, first=SOON) as terminal:
        terminal.wait_until(re.compile("^orders at ShipStation +━.* %", re.MULTILINE).search, timeout=30)
        assert terminal.wait(60) == 0
    assert f"{orders} orders in the file, {orders} at ShipStation, each once" in terminal.shown
    assert "sync_interval 120 -> 180 by UPDATE: in force" in terminal.shown
    assert terminal.shown.endswith("listener stopped with exit code 0")
    assert "━" not in terminal.shown


def test_doctor_says_what_it_looks_at(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {"DATABASE_URL": f"postgresql://shop@127.0.0.1:{silent.getsockname()[1]}/shop"}
        with AtTerminal(("doctor", "--offline"), environment, tmp_path, first=SOON) as terminal:
            terminal.wait_until(re.compile(r"^asking for the database ━.* 0 % +0:0\d$", re.MULTILINE).search)
            silent.close()
            assert terminal.wait() == 1
    assert "asking for the database" not in terminal.shown
    assert "error    database: " in terminal.shown


def test_a_question_to_a_database_that_does_not_answer_says_that_it_waits(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {"DATABASE_URL": f"postgresql://shop@127.0.0.1:{silent.getsockname()[1]}/shop"}
        with AtTerminal(("failed",), environment, tmp_path, first=SOON, columns=40) as terminal:
            terminal.wait_until(re.compile(r"^waiting for the database +0:0\d$", re.MULTILINE).search)
            silent.close()
            assert terminal.wait() == 1
    assert terminal.shown.replace("\n", "").startswith("listener: the database of DATABASE_URL does not answer: ")
