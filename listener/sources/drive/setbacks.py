"""Files that could not be read just now: when they are tried again, and that they hold up no other. No I/O.

One that has just changed is right a second later. One that is wrong for longer (Drive's lists are late by minutes at
times, downloads are forbidden, a single file is broken) is named, and tried once a minute. Another content is another
file: it starts without a past.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from listener.sources.source import SETTLED_AFTER_SECONDS, Listing, SourceFile

QUICK_TRIES = 3
SLOWLY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Setback:
    revision: str
    reason: str
    tries: int
    until: float

    @property
    def lasting(self) -> bool:
        return self.tries > QUICK_TRIES


class Setbacks:
    """What went wrong with which file. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._by_id: dict[str, _Setback] = {}

    def note(self, file: SourceFile, reason: str, now: float, *, lasting: bool = False) -> None:
        """Remember that it could not be read; `lasting`: and that a second will not mend it."""
        tries = max(self._tries(file) + 1, QUICK_TRIES + 1 if lasting else 0)
        wait = SLOWLY_SECONDS if tries > QUICK_TRIES else SETTLED_AFTER_SECONDS
        self._by_id[file.file_id] = _Setback(file.revision, reason, tries, now + wait)

    def forget(self, file: SourceFile) -> None:
        """It was read."""
        self._by_id.pop(file.file_id, None)

    def arrange(self, files: Iterable[SourceFile], now: float) -> Listing:
        """Return what is to be read now, those with setbacks last; what to look at in a second; what is to be named."""
        found = sorted(files, key=lambda file: (file.name, file.file_id))
        self._by_id = {file.file_id: setback for file in found if (setback := self._of(file))}
        ready, unsettled, named = [], [], []
        for file in found:
            setback = self._of(file)
            if setback and setback.lasting:  # named also while it is tried: it is no news when it fails again
                named.append((file.name, setback.reason))
            elif setback and now < setback.until:
                unsettled.append(file.name)
            if setback is None or now >= setback.until:
                ready.append(file)
        ready.sort(key=self._tries)
        return Listing(tuple(ready), tuple(unsettled), tuple(named))

    def _tries(self, file: SourceFile) -> int:
        setback = self._of(file)
        return setback.tries if setback else 0

    def _of(self, file: SourceFile) -> _Setback | None:
        setback = self._by_id.get(file.file_id)
        return setback if setback and setback.revision == file.revision else None
