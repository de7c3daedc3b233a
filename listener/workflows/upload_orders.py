"""One pass of the upload: check, tokens, mirror, claim, send, outcome, rows, in this order.

Each step is another module's: `prepare_batch`, `claim_orders`, `send_batch`, `show_outcomes`; `resolve_doubt` goes
before all of them. This one holds them together, and remembers from pass to pass what is to be looked at when.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

import psycopg

from listener.budget import Budget, NoBudget, SharedWindow
from listener.database import Connection
from listener.errors import Transient
from listener.events import Passed, Source, StepReport
from listener.flags import Flags
from listener.leader import LeadLost
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.store import inbox, ledger, rows
from listener.store.progress import move_polling_state
from listener.workflows.claim_orders import Claim, claim_orders, show_set_aside
from listener.workflows.keep_mirror import KeepMirror
from listener.workflows.prepare_batch import PrepareBatch
from listener.workflows.resolve_doubt import put_off, resolve_doubt
from listener.workflows.send_batch import SendBatch, Sent
from listener.workflows.show_outcomes import show_outcomes

logger = logging.getLogger(__name__)

LOCKED_ROW_SECONDS = 1.0
LARGEST_BATCH = 100
"""ShipStation API V1, "Create/Update Multiple Orders": at most 100 orders a request."""


class UploadOrders:
    """The upload's pass, and what it remembers between two passes. Used by one thread."""

    def __init__(
        self,
        shipstation: ShipStation,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        window: SharedWindow | None = None,
    ) -> None:
        self._shipstation = shipstation
        self._metrics = metrics
        self._clock = clock
        self._budget = Budget(metrics, clock, window)
        self._mirror = KeepMirror(shipstation, self._budget, metrics, clock)
        self._prepare = PrepareBatch(self._mirror, self._budget, clock)
        self._send = SendBatch(shipstation, self._budget, metrics, clock)
        self._suspects = True  # there may be orders whose whole request was refused
        self._suspects_next = False
        self._probing: Transient | None = None  # a request without an answer, until a look-up is answered
        self.continuing = False  # the last step left work that is due now
        self.left: int | None = None  # of what the pass's check has counted; None: nothing was counted
        self._locked_pause = LOCKED_ROW_SECONDS
        self._last_count = 0
        self._in_vain = False  # the last claim found nothing, although a check had
        self._waiting = False
        self._state_moved_at = float("-inf")
        self._doubt_at = 0.0  # when to look up what is in doubt; the ledger is asked at the first pass
        self._stuck: set[int] = set()  # rows that the shop's database refuses to change
        self._named: set[int] = set()  # those that were, each named once
        self.locked: tuple[int, ...] = ()

    def begin(self, connection: Connection, epoch: int, flags: Flags) -> None:
        """Record what this process still knows, then learn what another leader may have done meanwhile."""
        self._send.record(connection, epoch, flags)
        self._mirror.load(connection)
        self._doubt_at, self._suspects = 0.0, True

    def run(self, connection: Connection, epoch: int, flags: Flags, due: int | None) -> Passed:
        """Run one pass of at most one batch. `due`: what a check has counted; None: claim without a check.

        Raises Transient when ShipStation or the database failed; what was learned before stands in the ledger.
        """
        if self._send.record(connection, epoch, flags):
            self._doubt_at = 0.0
        if not self.continuing:
            self.locked = ()
        self.continuing = False
        self.left = due
        done, rest_for = 0, None
        try:
            self._resolve(connection, epoch, flags)
            if due != 0:
                done = self._upload_batch(connection, epoch, flags, due)
            self.continuing |= self._prepare.fill(connection, flags)
        except NoBudget as none_left:
            rest_for = none_left.seconds
        self._prepare.give_back(connection, flags)
        self._note_waiting(rest_for)
        return self._end(connection, flags, due, done, rest_for)

    def finish(self, connection: Connection, epoch: int, flags: Flags) -> None:
        """Find out, and show in the rows, what became of what was sent; nothing new goes. For a paused upload."""
        self._probing = None
        if self._send.record(connection, epoch, flags):
            self._doubt_at = 0.0
        with suppress(NoBudget):  # the next beat has another try
            self._resolve(connection, epoch, flags)
        show_outcomes(connection, rows.to_be_shown(connection))
        _, doubt_in = ledger.seconds_until_due(connection)
        self._doubt_at = float("inf") if doubt_in is None else self._clock() + doubt_in

    def check(
        self,
        connection: Connection,
        flags: Flags,
        source: Source,
        before: AbstractContextManager[object] | None = None,
    ) -> int:
        """Look whether an order is due, with its METRICS line; return how many are, counted up to 10,000.

        before: a pipeline with what goes ahead of the check
        """
        started = self._clock()
        try:
            with before or nullcontext():
                due = self._prepare.look(connection, flags, sends_first=self._clock() < self._doubt_at)
            count = due()
        except psycopg.Error:
            self._note_check(False, 0, started, "error", source)
            raise
        self._note_check(count > 0, count, started, "process" if count else "skip", source)
        self.note_count(count)
        return count

    def note_beat(self, due: int, started: float) -> None:
        """Take a heartbeat's look, begun at `started`, for the check that it is."""
        self._note_check(due > 0, due, started, "process" if due else "skip", Source.HEARTBEAT)
        self.note_count(due)

    def note_count(self, due: int) -> None:
        """Log the number of due orders when it changed."""
        if due and due != self._last_count:
            logger.info("Processing %d pending orders", due, extra={"event": "processing"})
        self._last_count = due

    def _note_check(self, exists: bool, count: int, started: float, action: str, source: Source) -> None:
        duration_ms = (self._clock() - started) * 1000
        self._metrics.check(
            "upload", exists=exists, count=count, duration_ms=duration_ms, action=action, source=source.value
        )

    def _resolve(self, connection: Connection, epoch: int, flags: Flags) -> None:
        """Look up what is in doubt. A failure puts it off, and new orders do not wait for it.

        But after a request without an answer the look-up also tells whether ShipStation is there at all.
        """
        if self._clock() < self._doubt_at:
            return
        probing, self._probing = self._probing, None
        try:
            resolve_doubt(connection, epoch, self._mirror, self._budget, flags)
        except LeadLost:
            raise
        except Transient as error:
            put_off(connection, error)
            if probing:
                raise probing from error

    def _upload_batch(self, connection: Connection, epoch: int, flags: Flags, due: int | None) -> int:
        limit = min(flags.upload_batch_size, LARGEST_BATCH)
        asks = not self._mirror.is_fresh_by_now(connection, flags)
        if asks and not inbox.due_rows(connection, 1, (*self.locked, *self._stuck)):
            self._claim(connection, epoch, flags, limit, lambda _: False)  # nothing to ask ShipStation about
            return 0
        prepared = self._prepare.prepare(connection, flags, limit, due, self.locked)
        if prepared is None:
            self.continuing = True
            return 0
        claimed_at = self._clock()
        before = len(self.locked)
        self._send.expect()
        claim = self._claim(connection, epoch, flags, prepared.limit, lambda key: self._mirror.knows(key, flags))
        self._note_vain(connection, in_vain=bool(due) and not claim.rows)
        self.left = left = None if due is None else max(0, due - claim.rows + len(self.locked) - before)
        self.continuing = claim.rows > 0 and (claim.rows == prepared.limit if left is None else left > len(self.locked))
        if not claim.to_send:
            self._send.expect_nothing()
            self._budget.give_back(connection, prepared.call_id, flags)
        else:
            sent = self._send.send(connection, epoch, flags, claim.to_send, prepared.call_id, claimed_at)
            self._heed(sent)
        return len(claim.to_send)

    def _heed(self, sent: Sent) -> None:
        """Draw the conclusions from a send. Raises its error, but not that of the first request without an answer.

        A kept connection may have been closed just as the request left. The look-up that follows at once tells this
        from an outage: when it is answered, new orders go on.
        """
        if sent.doubtful:
            self._doubt_at = self._clock()
        self._suspects |= sent.suspects
        self.continuing |= sent.due_again
        if sent.first_silence:
            self._probing, self.continuing = sent.error, True
            logger.warning("%s: asking what has arrived", sent.error, extra={"event": "no_answer"})
        elif sent.error:
            raise sent.error

    def _claim(
        self, connection: Connection, epoch: int, flags: Flags, limit: int, knows: Callable[[str], bool]
    ) -> Claim:
        claim = Claim()
        for together in self._groups(connection):
            claim = claim_orders(
                connection,
                epoch,
                flags,
                min(limit, together or limit),
                self.locked,
                together=together,
                knows=knows,
            )
            if claim.rows:
                self._suspects_next = together == 0
                break
        stuck = show_set_aside(connection, claim)
        for row_id in stuck.keys() - self._named:
            logger.warning("Row %d can't be changed: %s", row_id, stuck[row_id], extra={"event": "row_refused"})
        self._named |= stuck.keys()
        self._stuck = self._stuck - set(claim.settled.values()) | stuck.keys()
        self.locked += claim.locked + tuple(stuck)
        return claim

    def _note_vain(self, connection: Connection, *, in_vain: bool) -> None:
        """Take what is due and can't be claimed, twice in a row, for locked: there is no reason for it, and no spin."""
        if in_vain and self._in_vain:
            unclaimed = inbox.due_rows(connection, LARGEST_BATCH, self.locked)
            self.locked += tuple(unclaimed)
            numbers = ", ".join(unclaimed.values())
            logger.warning("Orders are due and can't be claimed: %s", numbers, extra={"event": "unclaimed"})
        self._in_vain = in_vain

    def _groups(self, connection: Connection) -> list[int]:
        """Return what to claim first, and what else: orders in good standing (0), or suspects, so many together.

        They take turns, so that neither waits for ever.
        """
        if not self._suspects:
            return [0]
        together, count = ledger.suspects(connection)
        self._suspects = count > 0
        if together is None:
            return [0]
        return [together, 0] if self._suspects_next else [0, together]

    def _note_waiting(self, rest_for: float | None) -> None:
        """Say once that orders gather because no call may be made, and once that it is over."""
        if rest_for is not None and not self._waiting:
            logger.info("Waiting %.0fs for the API budget", rest_for, extra={"event": "no_budget"})
        self._waiting = rest_for is not None
        self._metrics.set(api_waiting_seconds=round(rest_for or 0.0, 1))

    def _end(self, connection: Connection, flags: Flags, due: int | None, done: int, rest_for: float | None) -> Passed:
        now = self._clock()
        if now - self._state_moved_at >= 1:
            if move_polling_state(connection, due or 0):
                self._metrics.moved_polling_state()
            self._state_moved_at = now
        retry_in, doubt_in = ledger.seconds_until_due(connection)
        self._doubt_at = float("inf") if doubt_in is None else now + doubt_in
        times = (retry_in, doubt_in, self._locked_wait(flags), self._prepare.fill_in())
        waits = [wait for wait in times if wait is not None]
        if self._last_count and not self.continuing and rest_for is None and not self.locked:
            logger.info("Upload queue empty", extra={"event": "queue_empty"})
            self._last_count = 0
        return Passed(StepReport(done, more=self.continuing, retry_after=min(waits, default=None)), rest_for)

    def _locked_wait(self, flags: Flags) -> float | None:
        """Return when to look again at rows that others hold locked: after 1 s, doubling to the heartbeat."""
        if self._stuck >= set(self.locked):
            self._locked_pause = LOCKED_ROW_SECONDS
            return None
        pause, self._locked_pause = self._locked_pause, self._locked_pause * 2
        return min(pause, flags.fast_polling_interval)
