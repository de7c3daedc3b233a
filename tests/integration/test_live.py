"""A terminal with lines at its bottom that are redrawn in place; on a real pseudo-terminal."""

import fcntl
import logging
import os
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from listener.cli import bars
from listener.cli.bars import Bars, has_bars
from listener.cli.live import STOPPED_SECONDS, Line, LiveStream
from listener.headway import Headway
from tests.support.terminal import Screen

END = "\a"
BAR = Line("bar ━━━", 7)
HEADWAY = Headway("orders.xml, read", 1, 2, "bytes", "")


class Terminal:
    """A pseudo-terminal of 40 columns; `live` writes to it."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self.resize(40)
        self.now = 0.0
        self.live = LiveStream(self.stream, lambda: self.now)
        self.screen = Screen(40)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))

    def read(self) -> str:
        """Return what was written since. What is written now arrives behind it."""
        self.stream.write(END)
        self.stream.flush()
        text = ""
        while not text.endswith(END):
            text += os.read(self._master, 65536).decode()
        return text.removesuffix(END)

    @property
    def shown(self) -> str:
        self.screen.feed(self.read())
        return self.screen.text

    def hang_up(self) -> None:
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        self.stream.close()
        if self._master != -1:
            os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def test_lines_go_above_what_is_drawn_and_are_not_broken(terminal: Terminal) -> None:
    long = f"{40 * 'x'}{40 * 'y'}z"  # the terminal breaks it, and not we
    broken = f"{40 * 'x'} {40 * 'y'} z"
    terminal.live.write("first\n")
    terminal.live.draw([BAR, BAR])
    terminal.live.write(f"{long}\n")
    terminal.live.above(lambda: terminal.stream.write("an answer\n"))
    assert terminal.shown.split() == [*f"first {broken} an answer".split(), *2 * BAR.text.split()]
    terminal.live.draw([])
    assert terminal.shown.endswith("an answer")
    assert terminal.screen.at_the_beginning_of_the_last_line


def test_what_is_drawn_takes_the_place_of_what_was(terminal: Terminal) -> None:
    terminal.live.draw([BAR, BAR, BAR])
    terminal.live.draw([Line("another", 7)])
    assert terminal.shown == "another"


def test_it_writes_nothing_to_say_that_there_is_still_nothing(terminal: Terminal) -> None:
    terminal.live.draw([])
    terminal.live.leave()
    assert terminal.read() == ""


def test_a_terminal_that_became_narrower_has_broken_the_lines_and_is_cleared_of_all_of_them(terminal: Terminal) -> None:
    terminal.live.draw([Line("x" * 39, 39), Line("x" * 39, 39)])
    terminal.resize(20)
    terminal.read()
    terminal.live.draw([])
    assert terminal.read() == "\r\x1b[4A\x1b[J"


def test_never_more_is_cleared_than_the_terminal_is_high(terminal: Terminal) -> None:
    terminal.live.draw([Line("x" * 39, 39)])
    terminal.resize(2)
    terminal.read()
    terminal.live.draw([])
    assert terminal.read() == "\r\x1b[9A\x1b[J"


def test_after_a_stop_nothing_of_what_others_have_written_is_cleared(terminal: Terminal) -> None:
    terminal.live.draw([BAR])
    terminal.read()
    terminal.now += STOPPED_SECONDS + 1
    terminal.live.draw([BAR])
    assert terminal.read() == f"{BAR.text}\r\n"


def test_a_terminal_that_takes_nothing_is_not_drawn_to(terminal: Terminal) -> None:
    assert terminal.live.is_ready()
    termios.tcflow(terminal.stream.fileno(), termios.TCOOFF)  # as Ctrl-S does
    assert not terminal.live.is_ready()
    termios.tcflow(terminal.stream.fileno(), termios.TCOON)
    assert terminal.live.is_ready()


def test_a_terminal_that_is_gone_is_left_in_peace(terminal: Terminal) -> None:
    terminal.live.draw([BAR])
    terminal.hang_up()
    with pytest.raises(OSError, match="Input/output error"):
        terminal.live.write("line\n")
    terminal.live.leave()


@pytest.mark.parametrize(
    ("term", "has"), [("xterm-256color", True), ("linux", True), ("dumb", False), ("unknown", False), ("", False)]
)
def test_a_terminal_has_bars_unless_it_is_dumb(terminal: Terminal, term: str, has: bool) -> None:
    assert has_bars(terminal.stream, {"TERM": term}) == has
    assert not has_bars(terminal.stream, {})


def test_what_is_no_terminal_has_none() -> None:
    with open(os.devnull, "w") as stream:  # noqa: PTH123
        assert not has_bars(stream, {"TERM": "xterm-256color"})


def test_a_bar_that_cannot_be_drawn_is_given_up_and_said(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bars, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(bars, "LOOK_EVERY_SECONDS", 0.0)

    def ask() -> list[Headway]:
        raise RuntimeError("no figures")

    with Bars(terminal.live, ask) as shown:
        shown._thread.join(5)
        assert not shown._thread.is_alive()
    (record,) = [record for record in caplog.records if record.name == bars.__name__]
    assert (record.levelno, vars(record)["event"]) == (logging.WARNING, "no_bars")


def test_bars_at_a_terminal_that_is_gone_end_in_silence(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bars, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(bars, "LOOK_EVERY_SECONDS", 0.0)
    terminal.hang_up()
    with Bars(terminal.live, lambda: [HEADWAY]) as shown:
        shown._thread.join(5)
        assert not shown._thread.is_alive()
    assert caplog.records == []
