"""Waiting for what announces itself to nobody: a row in a database, a field of a status page.

The rule: this is the only place that polls. What can be waited for by itself (a socket, an event, a line of a log)
is waited for there.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(read: Callable[[], T], accept: Callable[[T], object] = bool, *, timeout: float = 5.0) -> T:
    """Return the first value of `read()` that `accept` takes; fail with the last one after `timeout` seconds.

    `eventually(count_rows, lambda n: n == 3)` says more when it fails than `eventually(lambda: count_rows() == 3)`.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = read()
        if accept(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s it still was {value!r}")
        pause.wait(0.01)
