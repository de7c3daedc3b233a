"""`listener run` at a terminal: what takes long has a bar there, and the log stands above it as everywhere else."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from listener.embedded.faults import Injected
from listener.embedded.shipstation import ShipStationSimulator
from tests.support.process import ListenerProcess
from tests.support.shop import Connection, insert_order, switch
from tests.support.terminal import CTRL_C, AtTerminal

BAR = re.compile("^mirror of ShipStation +━.* 41 %", re.MULTILINE)
LOG_LINE = re.compile(r"[\d-]{10}T[\d:.]{12}\+00:00 [A-Z]+ listener\.\S+ \S.*")
ORDERS = 1200

SOON = "from listener.cli import bars; bars.LONG_SECONDS = bars.LOOK_EVERY_SECONDS = 0.05"
WITHOUT_BARS = """
import sys
from listener.cli import bars
bars.Bars = sys.modules["rich"] = None
"""

Begin = Callable[..., AtTerminal]


@pytest.fixture
def second_page(account: ShipStationSimulator, shop: Connection) -> Injected:
    """The mirror is to be filled with 1,200 orders, and the second page of them is held."""
    switch(shop, "unified-shipstation-sync", on=False)
    for number in range(ORDERS):
        account.user.create_manual(f"M-{number}")
    return account.hold(path="/orders", method="GET")


@pytest.fixture
def begin(dsn: str, account: ShipStationSimulator, second_page: Injected, tmp_path: Path) -> Iterator[Begin]:
    """Start `listener run` at a terminal, and have it read the first page."""
    started = ExitStack()

    def start(*, first: str = SOON, columns: int = 80, controls: bool = True, **environment: str) -> AtTerminal:
        usual = {
            "DATABASE_URL": dsn,
            "SHIPSTATION_API_KEY": account.api_key,
            "SHIPSTATION_API_SECRET": account.api_secret,
            "SHIPSTATION_BASE_URL": account.url,
            "STATUS_ADDRESS": "off",
        }
        how = {"first": first, "columns": columns, "controls": controls}
        terminal = started.enter_context(AtTerminal(("run",), usual | environment, tmp_path, **how))
        read_the_first_page(account, second_page)
        return terminal

    with started:
        yield start


def read_the_first_page(account: ShipStationSimulator, first: Injected) -> None:
    """Let the page go that is held, and hold the next one."""
    assert first.arrived.wait(15)
    account.hold(path="/orders", method="GET")
    first.release()


def unbroken(shown: str, columns: int) -> Sequence[str]:
    """Return the lines of the log, put together where the terminal has broken them."""
    lines: list[str] = []
    goes_on = False
    for row in shown.split("\n"):
        lines[-1:] = [lines[-1] + row] if goes_on else [*lines[-1:], row]
        goes_on = len(row) == columns
    return lines


def test_the_first_filling_of_the_mirror_has_a_bar_that_leaves_nothing_but_the_log(
    account: ShipStationSimulator, begin: Begin
) -> None:
    terminal = begin(first="", columns=100)
    shown = terminal.wait_until(BAR.search)
    assert "orders/s" not in shown, "of one page nobody can tell how fast it goes"
    assert terminal.colours
    account.clear_faults()
    terminal.wait_until(lambda shown: "it is full" in shown and not BAR.search(shown) and "━" not in shown)
    assert terminal.stop() == 0
    lines = unbroken(terminal.shown, 100)
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    assert [line.partition("Mirror: ")[2] for line in lines if "Mirror: 1200" in line] == [
        "1200 orders of the last 180 days read from ShipStation, it is full"
    ]
    assert terminal.is_tidy
    assert lines[-1].endswith("Stopped")


def test_at_ctrl_c_the_log_goes_on_above_the_bar_until_the_step_is_over(
    account: ShipStationSimulator, begin: Begin
) -> None:
    terminal = begin()
    terminal.wait_until(BAR.search)
    terminal.type(CTRL_C)
    shown = terminal.wait_until(lambda shown: "Stopping" in shown and BAR.search(shown))
    assert shown.index("Stopping:") < shown.rindex("mirror of ShipStation")
    assert shown.count("mirror of ShipStation") == 1
    account.clear_faults()
    assert terminal.wait() == 0
    assert terminal.is_tidy
    assert "━" not in terminal.shown


def test_a_second_ctrl_c_leaves_the_bar_and_a_line_for_the_prompt(begin: Begin) -> None:
    terminal = begin()
    terminal.wait_until(BAR.search)
    terminal.type(CTRL_C)
    terminal.wait_until(lambda shown: "Stopping" in shown and BAR.search(shown))
    terminal.type(CTRL_C)
    assert terminal.wait() == 130
    assert "\x1b[?" not in terminal.raw, "the cursor was never hidden"
    assert BAR.search(terminal.shown)


def test_without_colours_the_bar_has_none(begin: Begin) -> None:
    terminal = begin(NO_COLOR="1")
    terminal.wait_until(BAR.search)
    assert not terminal.colours


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"LOG_FORMAT": "json"}], ids=["dumb", "json"])
def test_a_terminal_that_is_none_for_people_gets_lines_alone(
    begin: Begin, account: ShipStationSimulator, environment: dict[str, str]
) -> None:
    terminal = begin(first=WITHOUT_BARS, columns=400, **environment)
    terminal.wait_until(lambda shown: "Mirror: 500 orders of the last 180 days read" in shown)
    account.clear_faults()
    terminal.wait_until(lambda shown: "it is full" in shown)
    assert terminal.stop() == 0
    assert "\x1b" not in terminal.raw


def test_in_a_pipe_there_are_lines_alone_and_rich_is_not_even_imported(
    dsn: str, account: ShipStationSimulator, second_page: Injected, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": dsn,
        "SHIPSTATION_API_KEY": account.api_key,
        "SHIPSTATION_API_SECRET": account.api_secret,
        "SHIPSTATION_BASE_URL": account.url,
        "STATUS_ADDRESS": "off",
        "TERM": "xterm-256color",
    }
    with ListenerProcess(("run",), environment, tmp_path, WITHOUT_BARS) as process:
        read_the_first_page(account, second_page)
        process.wait_for(r"Mirror: 500 orders of the last 180 days read from ShipStation, 2 pages to go")
        account.clear_faults()
        process.wait_for("it is full")
        assert process.stop() == 0
        assert "\x1b" not in process.log


def test_a_terminal_that_goes_away_costs_the_bars_and_no_order(
    begin: Begin, account: ShipStationSimulator, shop: Connection
) -> None:
    terminal = begin(controls=False)
    terminal.wait_until(BAR.search)
    terminal.hang_up()
    account.clear_faults()
    insert_order(shop, "ON-1")
    assert account.wait_for_orders(ORDERS + 1, 15)
    assert terminal.stop() == 0
