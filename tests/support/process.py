"""`listener` as users run it: a process of its own, seen only through its log, its status page and its exit code."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from tests.support.wait import eventually

# What a subprocess needs of ours. All the rest stays here: the developer's own PGHOST or API key must not count.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LISTENER_PG_BIN", "LD_LIBRARY_PATH")


MAIN = "from listener.cli import main; main()"


class ListenerProcess:
    """A running `listener`; `lines` is its stderr so far, `output` its stdout.

    first: Python that it runs before; inside: a command that runs it somewhere else, by becoming it
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        first: str = "",
        inside: Sequence[str] = (),
    ) -> None:
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.status_address = environment.get("STATUS_ADDRESS", "off")
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._output: list[str] = []
        self._open_streams = 2
        self._process = subprocess.Popen(
            [*inside, sys.executable, *(["-c", f"{first}\n{MAIN}"] if first else ["-m", "listener.cli"]), *arguments],
            env=inherited | environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stderr, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stdout, self._output), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        with self._news:
            return list(self._lines)

    @property
    def output(self) -> list[str]:
        with self._news:
            return list(self._output)

    def mark(self) -> int:
        """Return a place in the log, for `wait_for(..., after=place)`: what comes from now on."""
        with self._news:
            return len(self._lines)

    def wait_for(self, pattern: str, timeout: float = 10, *, after: int = 0) -> re.Match[str]:
        """Return the first match in the lines from `after` on; fail on the timeout, or when the process has ended."""
        wanted = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next((match for line in self._lines[after:] if (match := wanted.search(line))), None)

        with self._news:
            self._news.wait_for(lambda: found() or not self._open_streams, timeout)
            match, ended = found(), not self._open_streams
        if match is None:
            why = "the process ended" if ended else f"{timeout:g} s passed"
            raise AssertionError(f"no line matched {pattern!r} before {why}:\n{self.log}")
        return match

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def status(self, path: str = "/status.json") -> dict[str, Any]:
        """Return the status page's figures; raise OSError while nobody serves them."""
        host, _, port = self.status_address.rpartition(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=5)) as page:
            page.request("GET", path)
            return json.loads(page.getresponse().read())

    def wait_status(self, accept: Callable[[dict[str, Any]], object], timeout: float = 10) -> dict[str, Any]:
        """Return the first status that `accept` takes."""

        def read() -> dict[str, Any]:
            if self._process.poll() is not None:
                raise AssertionError(f"the process ended with {self._process.returncode}:\n{self.log}")
            try:
                return self.status()
            except OSError:  # not yet, or not any more
                return {}

        return eventually(read, lambda status: status and accept(status), timeout=timeout)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = 15) -> int:
        """Ask it to end, and return its exit code."""
        self._process.send_signal(how)
        return self.wait(timeout)

    def wait(self, timeout: float = 15) -> int:
        """Wait for its end, and return its exit code; fail when it goes on."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still ran after {timeout:g} s:\n{self.log}") from None
        self._close()
        return code

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._open_streams -= 1
            self._news.notify_all()

    def _close(self) -> None:
        for reader, stream in zip(self._readers, (self._process.stderr, self._process.stdout), strict=True):
            reader.join(5)
            stream.close()
