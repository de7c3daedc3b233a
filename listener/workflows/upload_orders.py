"""One pass of the upload: check, token, claim, send, outcome, rows, in this order.

The ledger is written before the request leaves and after its answer, each in a transaction of its own, so that a crash
at any point leaves either nothing done or a row that says `sending`: an order in doubt, which is looked up before it is
sent again. What was answered but could not be recorded is kept in memory and recorded first thing in the next pass.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from listener.budget import Budget, NoBudget
from listener.database import Connection
from listener.events import Passed, Source, StepReport
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import Answer, NoAnswer, NotSent, ShipStation
from listener.shipstation.payload import encode, order_payload
from listener.store import inbox, ledger
from listener.store.ledger import Candidate, Settled
from listener.store.progress import move_polling_state
from listener.workflows.claim_orders import Claim, claim_orders
from listener.workflows.outcomes import Reading, all_unknown, all_waiting, read_answer
from listener.workflows.resolve_doubt import resolve_doubt

logger = logging.getLogger(__name__)

STALE_CLAIM_SECONDS = 5.0
"""A process that was frozen between claim and request must not send: another may lead by now."""

LOCKED_ROW_SECONDS = 1.0
LARGEST_BATCH = 100
"""ShipStation API V1, "Create/Update Multiple Orders": at most 100 orders a request."""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Outcomes that ShipStation has told us and the ledger does not have yet."""

    settled: list[Settled]
    epoch: int
    http_status: int | None


class UploadOrders:
    """The upload's pass, and what it remembers between two passes. Used by one thread."""

    def __init__(self, shipstation: ShipStation, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._shipstation = shipstation
        self._metrics = metrics
        self._clock = clock
        self._budget = Budget(clock)
        self._batch_limit = LARGEST_BATCH
        self._unrecorded: Unrecorded | None = None
        self._sending = False  # a claim stands, and what became of it is not known yet
        self.continuing = False  # the last pass left work that is due now
        self._locked_pause = LOCKED_ROW_SECONDS
        self._last_count = 0
        self._state_moved_at = float("-inf")
        self._doubt_at = 0.0  # when to look up what is in doubt; the ledger is asked at the first pass
        self.locked: tuple[int, ...] = ()

    def run(self, connection: Connection, epoch: int, flags: Flags, due: int | None) -> Passed:
        """Run one pass of at most one batch. `due`: what a check has counted; None: claim without a check.

        Raises Transient when ShipStation or the database failed; what was learned before stands in the ledger.
        """
        self.record_unrecorded(connection, flags)
        if self._sending:  # a fault between claim and answer: only ShipStation knows
            ledger.doubt_what_was_sent(connection, epoch)
            self._sending, self._doubt_at = False, 0.0
        if not self.continuing:
            self.locked = ()
        self.continuing = False
        done, rest_for = 0, None
        try:
            if self._clock() >= self._doubt_at:
                resolve_doubt(connection, epoch, self._shipstation, self._budget, flags)
            if due != 0:
                done = self._upload_batch(connection, epoch, flags, due)
        except NoBudget as none_left:
            rest_for = none_left.seconds
        return self._end(connection, flags, due, done, rest_for)

    def check(self, connection: Connection, source: Source) -> int:
        """Look whether an order is due, with its METRICS line; return how many are, counted up to 10,000."""
        started = self._clock()
        try:
            exists, count = inbox.inbox_has_due(connection)
        except psycopg.Error:
            self._note_check(False, 0, started, "error", source)
            raise
        self._note_check(exists, count, started, "process" if exists else "skip", source)
        self.note_count(count)
        return count

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

    def _upload_batch(self, connection: Connection, epoch: int, flags: Flags, due: int | None) -> int:
        limit = min(flags.upload_batch_size, self._batch_limit, LARGEST_BATCH)
        call_id = self._budget.take(connection, flags, "POST /orders/createorders")
        claimed_at = self._clock()
        claim = claim_orders(connection, epoch, flags, limit, self.locked)
        self.locked += claim.locked
        handled = claim.rows if due is None else claim.rows + len(self.locked) - len(claim.locked)
        self.continuing = claim.rows > 0 and (claim.rows == limit if due is None else due > handled)
        if not claim.to_send:
            self._budget.give_back(connection, call_id, flags)
        else:
            self._send(connection, epoch, flags, claim, call_id, claimed_at)
        return len(claim.to_send)

    def _send(
        self, connection: Connection, epoch: int, flags: Flags, claim: Claim, call_id: int, claimed_at: float
    ) -> None:
        batch = [candidate for candidate, _ in claim.to_send]
        self._sending = True
        body = encode([order_payload(order, candidate.shipstation_key) for candidate, order in claim.to_send])
        if self._clock() - claimed_at > STALE_CLAIM_SECONDS:
            reading, answer = Reading(all_waiting(batch, "the process stood still before it could send")), None
        else:
            reading, answer = self._request(body, batch)
        self._unrecorded = Unrecorded(reading.settled, epoch, answer.status if answer else None)
        self._sending = False
        if any(settled.state == "unknown" for settled in reading.settled):
            self._doubt_at = self._clock()
        self.record_unrecorded(connection, flags)
        self._budget.note(connection, call_id, answer, len(batch), reading.error)
        self._batch_limit = max(1, len(batch) // 2) if reading.halve else min(LARGEST_BATCH, self._batch_limit * 2)
        if reading.error:
            raise reading.error

    def _request(self, body: bytes, batch: list[Candidate]) -> tuple[Reading, Answer | None]:
        try:
            answer = self._shipstation.create_orders(body)
        except NotSent as error:
            return Reading(all_waiting(batch, str(error)), error), None
        except NoAnswer as error:
            return Reading(all_unknown(batch, str(error)), error), None
        reading = read_answer(answer, batch)
        self._budget.answered(answer)
        if reading.throttled:
            self._budget.throttled(answer.headers)
        return reading, answer

    def record_unrecorded(self, connection: Connection, flags: Flags) -> None:
        """Write outcomes into the ledger by key, then into the rows; kept in memory until the ledger has them."""
        if (pending := self._unrecorded) is None:
            return
        with connection.transaction():
            recorded = ledger.record(
                connection,
                pending.settled,
                epoch=pending.epoch,
                http_status=pending.http_status,
                max_attempts=flags.max_upload_attempts,
            )
        self._unrecorded = None
        final = [order for order in recorded if order.state in ("accepted", "rejected")]
        for order in final:
            if order.state == "accepted":
                self._metrics.order_latency(order.seconds_since_seen * 1000)
        if final:
            inbox.write_rows(connection, [order.order_key for order in final])
        self._metrics.processed("upload", sum(order.state == "accepted" for order in final))

    def _end(self, connection: Connection, flags: Flags, due: int | None, done: int, rest_for: float | None) -> Passed:
        now = self._clock()
        if now - self._state_moved_at >= 1:
            move_polling_state(connection, due or 0)
            self._state_moved_at = now
        retry_in, doubt_in = ledger.seconds_until_due(connection)
        self._doubt_at = float("inf") if doubt_in is None else now + doubt_in
        waits = [wait for wait in (retry_in, doubt_in, self._locked_wait(flags)) if wait is not None]
        if self._last_count and not self.continuing and rest_for is None and not self.locked:
            logger.info("Upload queue empty", extra={"event": "queue_empty"})
            self._last_count = 0
        return Passed(StepReport(done, more=self.continuing, retry_after=min(waits, default=None)), rest_for)

    def _locked_wait(self, flags: Flags) -> float | None:
        """Return when to look again at rows that others hold locked: after 1 s, doubling to the heartbeat."""
        if not self.locked:
            self._locked_pause = LOCKED_ROW_SECONDS
            return None
        pause, self._locked_pause = self._locked_pause, self._locked_pause * 2
        return min(pause, flags.fast_polling_interval)
