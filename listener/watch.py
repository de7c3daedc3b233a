"""Watches a session that installs, and tells who keeps it waiting, and how far it is with an index: a build may take
hours, in silence.

What it tells is a help and not a need: where it gets no connection of its own, it tells nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from listener.headway import Headway, Show, show_nobody
from listener.store.blockers import index_build, who_blocks

FIRST_LOOK_SECONDS = 1.0
"""Most installs are over by then, and never see a second connection."""

LOOK_EVERY_SECONDS = 0.2
"""Shorter than the shortest lock_timeout of the SQL files is long: who blocks is seen before they give up."""


class Watch:
    """Looks from a thread of its own at who blocks, and tells it once; `who` says who did last.

    And shows what is done: the build of an index as far as it is, anything else by the name that `begin` gave it.
    """

    def __init__(self, url: str, pid: int, tell: Callable[[str], None], show: Show) -> None:
        self.who = ""
        self._task = Headway("")
        self._url = url
        self._pid = pid
        self._tell = tell
        self._show = show
        self._told: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener-watch", daemon=True)
        self._thread.start()

    def begin(self, task: str) -> None:
        """Something else is done from now on."""
        self.who, self._task = "", Headway(task)
        self._show(self._task)

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        if self._over.wait(FIRST_LOOK_SECONDS):
            return
        with suppress(psycopg.Error), psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            connection.execute("set search_path = pg_catalog")
            while not self._over.wait(LOOK_EVERY_SECONDS):
                self._look(connection)

    def _look(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        build = index_build(connection, self._pid)
        self._show(Headway(build.name, build.done, build.total, build.unit) if build else self._task)
        pids, who = who_blocks(connection, self._pid)
        if not pids:
            return
        self.who = who
        if pids != self._told:
            self._told = pids
            self._tell(f"waiting for {who}")


@contextmanager
def watching(url: str, pid: int, tell: Callable[[str], None], show: Show = show_nobody) -> Iterator[Watch]:
    """Watch the session `pid` for the length of a block."""
    watch = Watch(url, pid, tell, show)
    try:
        yield watch
    finally:
        watch.end()
