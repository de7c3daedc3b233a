"""`listener` at a terminal: a process on a pseudo-terminal, and what a person would read on its screen.

The screen knows what the listener sends and nothing else: any other escape sequence fails the test.
"""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.process import MAIN, PASSED_ON

PART = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b|[\r\n]|[^\x1b\r\n]+")
CTRL_C = b"\x03"

TAKE_CONTROL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"


class Screen:
    """Lines of `columns`, without end. A cell holds a character; colours are noted, and not shown."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[str] = [""]
        self.colours: set[str] = set()
        self._row = self._column = 0

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows).rstrip("\n")

    @property
    def at_the_beginning_of_the_last_line(self) -> bool:
        return (self._row, self._column) == (len(self.rows) - 1, 0)

    def feed(self, text: str) -> None:
        for part in PART.finditer(text):
            if part[2]:
                self._obey(part[1], part[2])
            elif part[0] == "\n":
                self._down()
            elif part[0] == "\r":
                self._column = 0
            elif part[0] == "\x1b":
                raise AssertionError(f"a lonely escape in {text!r}")
            else:
                self._print(part[0])

    def _obey(self, figures: str, command: str) -> None:
        if command == "m":
            self.colours |= {code for code in figures.split(";") if code[:1] in "34" and len(code) > 1}
        elif command == "A":
            self._row = max(0, self._row - int(figures or 1))
        elif command == "J":
            self.rows[self._row :] = [self.rows[self._row][: self._column]]
        else:
            raise AssertionError(f"no such sequence is expected: ESC [ {figures} {command}")

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.rows):
            self.rows.append("")

    def _print(self, text: str) -> None:
        for character in text:
            if self._column == self.columns:
                self._column = 0
                self._down()
            row = self.rows[self._row].ljust(self._column)
            self.rows[self._row] = row[: self._column] + character + row[self._column + 1 :]
            self._column += 1


class AtTerminal:
    """A running `listener` whose streams are a terminal.

    controls: Ctrl-C and a hang-up reach it as signals; first: Python that it runs before
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        columns: int = 80,
        controls: bool = True,
        first: str = "",
    ) -> None:
        self._master, slave = os.openpty()
        self.resize(columns)
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{TAKE_CONTROL if controls else ''}\n{first}\n{MAIN}", *arguments],
            env={"TERM": "xterm-256color"} | inherited | environment,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._news = threading.Condition()
        self._screen = Screen(columns)
        self.raw = ""
        self._ended = False
        self._end, self._hang_up = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.hang_up()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def shown(self) -> str:
        with self._news:
            return self._screen.text

    @property
    def colours(self) -> set[str]:
        """The codes of all colours that were set."""
        with self._news:
            return set(self._screen.colours)

    @property
    def is_tidy(self) -> bool:
        """The cursor stands at the beginning of an empty line, below everything."""
        with self._news:
            return self._screen.at_the_beginning_of_the_last_line

    def wait_until(self, accept: Callable[[str], object], timeout: float = 15) -> str:
        """Return the first text of the screen that `accept` takes."""
        with self._news:
            self._news.wait_for(lambda: self._ended or accept(self._screen.text), timeout)
            if not accept(self._screen.text):
                why = "it ended" if self._ended else f"{timeout:g} s passed"
                raise AssertionError(f"{why}, and the screen was\n{self._screen.text}")
            return self._screen.text

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def stop(self, timeout: float = 15) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 15) -> int:
        code = self._process.wait(timeout)
        self._reader.join(5)
        return code

    def hang_up(self) -> None:
        """Take the terminal away."""
        if self._master == -1:
            return
        os.close(self._hang_up)
        self._reader.join(5)
        os.close(self._master)
        os.close(self._end)
        self._master = -1

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            ready = select.select((self._master, self._end), (), ())[0]
            try:
                piece = b"" if self._end in ready else os.read(self._master, 65536)
            except OSError:  # the process has ended
                piece = b""
            with self._news:
                text = decoder.decode(piece)
                self.raw += text
                self._screen.feed(text)
                self._ended = not piece
                self._news.notify_all()
            if not piece:
                return
