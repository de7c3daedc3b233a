"""Configuration changes: compared, logged, put in force, and receipted.

What the tables say is read by whoever woke (a bell, the beat, a reconnect) and handed in as text; nothing is cached
for a time. A bad value leaves the last good one in force, is logged once, and stands in `listener.config_log`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from listener.events import WORKFLOWS, Configured
from listener.flags import Change, Flags, Refusal, as_texts, changes, parse_flags
from listener.store.config import decode_config

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line for `listener.config_log`. A refused value is never in force."""

    parameter_name: str
    old: str | None
    new: str
    verdict: str
    reason: str | None
    source: str

    def parameters(self, seen_seconds_ago: float) -> list[str | None]:
        """Return what `store.config.RECORD_RECEIPT_SQL` takes, as libpq wants it: text."""
        ago = f"{seen_seconds_ago:.6f}"
        in_force = "0" if self.verdict == "accepted" else None
        return [self.parameter_name, self.old, self.new, self.verdict, self.reason, self.source, ago, in_force]


class Configuration:
    """The flags in force and the workflows switched on. Belongs to the main thread."""

    def __init__(self) -> None:
        self.flags = Flags()
        self.enabled = frozenset(WORKFLOWS)
        self._refused: dict[str, str] = {}
        self._read_before = False
        self._requeued = 0

    def take(self, text: str, source: str) -> tuple[Configured, list[Receipt]]:
        """Put in force what the tables say; return the event and the receipts to be written."""
        rows, controls, requeued = decode_config(text)
        before = self.flags
        self.flags, refusals = parse_flags(rows, before)
        self.enabled = _enabled(controls)
        receipts = self._refuse(refusals, before, source)
        if self._read_before:
            receipts += [self._accept(change, source) for change in changes(before, self.flags)]
        self._read_before = True
        self._requeued = self._requeued if requeued is None else requeued
        return Configured(self.flags, self.enabled, self._requeued), receipts

    def _refuse(self, refusals: tuple[Refusal, ...], before: Flags, source: str) -> list[Receipt]:
        new = [refusal for refusal in refusals if self._refused.get(refusal.parameter_name) != refusal.value]
        self._refused = {refusal.parameter_name: refusal.value for refusal in refusals}
        for refusal in new:
            logger.warning("Refused: %s; the last good value stays", refusal.reason, extra={"event": "flag_refused"})
        old = as_texts(before)
        return [Receipt(r.parameter_name, old[r.parameter_name], r.value, "refused", r.reason, source) for r in new]

    def _accept(self, change: Change, source: str) -> Receipt:
        name = change.parameter_name
        suffix = f" (interval={change.new}s)" if name.endswith("_interval") else ""
        logger.info("%s %s -> %s%s", name, change.old, change.new, suffix, extra={"event": "flag_changed"})
        return Receipt(name, change.old, change.new, "accepted", None, source)


def _enabled(controls: Mapping[str, bool]) -> frozenset[str]:
    """Return the workflows switched on: without a row a workflow is on, as it was in the scripts before this."""
    return frozenset(name for name in WORKFLOWS if controls.get(name, True))
