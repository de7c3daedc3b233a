"""One request, and what became of it.

The ledger says `sending` before the request leaves, and its outcome after the answer, each in a transaction of its
own, so that a crash at any point leaves either nothing done or an order in doubt, which is looked up before it is sent
again. What was answered but could not be recorded is kept in memory, and recorded first thing in the next pass.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg.errors import InvalidSchemaName, UndefinedTable

from listener.budget import Budget
from listener.database import Connection, has_ended
from listener.errors import Transient
from listener.flags import Flags
from listener.metrics import Metrics
from listener.orders import Order
from listener.shipstation.client import DEADLINE_SECONDS, Answer, Held, NoAnswer, NotSent, ShipStation
from listener.shipstation.payload import encode, order_payload
from listener.store import ledger, rows
from listener.store.ledger import Candidate, Settled
from listener.workflows.outcomes import Reading, all_unknown, all_waiting, read_answer
from listener.workflows.show_outcomes import FINAL, show_outcomes

logger = logging.getLogger(__name__)

STALE_CLAIM_SECONDS = 5.0
"""A process that was frozen between claim and request must not send: another may lead by now."""

LAST_PIECE_SECONDS = STALE_CLAIM_SECONDS + DEADLINE_SECONDS
"""Nor may the rest of a request leave later than this after its claim, when it would arrive after it was looked for."""

TAKEN_LATELY_SECONDS = 600.0
"""ShipStation is well when it has taken an order within this time: what fails alone then is an order's own fault."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a send leaves to be done.

    doubtful:      orders are to be looked up
    due_again:     orders of the batch are due again at once
    suspects:      they go in smaller batches
    first_silence: no answer came, for the first time in a row
    """

    error: Transient | None
    doubtful: bool
    due_again: bool
    suspects: bool
    first_silence: bool


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Outcomes that ShipStation has told us and the ledger does not have yet."""

    settled: list[Settled]
    batch: list[Candidate]
    epoch: int
    http_status: int | None


class SendBatch:
    """Sends claimed orders. Used by one thread."""

    def __init__(
        self, shipstation: ShipStation, budget: Budget, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shipstation = shipstation
        self._budget = budget
        self._metrics = metrics
        self._clock = clock
        self._unrecorded: Unrecorded | None = None
        self._interrupted = False  # a claim stands, and what became of it is not known
        self._silences = 0
        self._taken_at = float("-inf")

    def expect(self) -> None:
        """A claim begins: until its send has ended, an error leaves orders of which nobody knows."""
        self._interrupted = True

    def expect_nothing(self) -> None:
        """The claim took nothing."""
        self._interrupted = False

    def send(
        self,
        connection: Connection,
        epoch: int,
        flags: Flags,
        orders: Sequence[tuple[Candidate, Order]],
        call_id: int,
        claimed_at: float,
    ) -> Sent:
        """Send the orders in one request, and record what became of each."""
        batch = [candidate for candidate, _ in orders]
        body = encode([order_payload(order, candidate.shipstation_key) for candidate, order in orders])

        def may_leave() -> bool:
            """The claim is fresh, and the session stands that leads: with it goes the epoch."""
            return self._clock() - claimed_at <= LAST_PIECE_SECONDS and not has_ended(connection)

        if self._clock() - claimed_at > STALE_CLAIM_SECONDS:
            reading, answer = Reading(all_waiting(batch, "the process stood still before it could send")), None
        else:
            reading, answer = self._request(body, batch, may_leave)
        self._unrecorded = Unrecorded(reading.settled, batch, epoch, answer.status if answer else None)
        self._interrupted = False
        sent = self._learn(reading)
        self.record(connection, epoch, flags)
        self._budget.note(connection, call_id, answer, len(batch), reading.error)
        return sent

    def record(self, connection: Connection, epoch: int, flags: Flags) -> bool:
        """Record what is not recorded yet; return whether orders are in doubt because a send was interrupted."""
        if self._unrecorded:
            self._record(connection, flags, self._unrecorded)
        interrupted, self._interrupted = self._interrupted, False
        if interrupted:  # a fault between claim and answer: only ShipStation knows
            ledger.doubt_what_was_sent(connection, epoch)
        return interrupted

    def _request(
        self, body: bytes, batch: list[Candidate], may_leave: Callable[[], bool]
    ) -> tuple[Reading, Answer | None]:
        try:
            answer = self._shipstation.create_orders(body, may_leave)
        except Held as error:
            return Reading(all_waiting(batch, str(error))), None
        except NotSent as error:
            return Reading(all_waiting(batch, str(error)), error), None
        except NoAnswer as error:
            return Reading(all_unknown(batch, str(error)), error), None
        taken_lately = self._clock() - self._taken_at < TAKEN_LATELY_SECONDS
        reading = read_answer(answer, batch, others_are_taken=taken_lately)
        self._budget.answered(answer)
        if reading.throttled:
            self._budget.throttled(answer.headers)
        return reading, answer

    def _learn(self, reading: Reading) -> Sent:
        states = {settled.state for settled in reading.settled}
        if "accepted" in states:
            self._taken_at, self._silences = self._clock(), 0
        silent = isinstance(reading.error, NoAnswer)
        self._silences += silent
        due_again = any(settled.state == "waiting" and not settled.refused for settled in reading.settled)
        return Sent(
            error=reading.error,
            doubtful="unknown" in states,
            due_again=due_again and not reading.throttled and reading.error is None,
            suspects=any(settled.batch_limit for settled in reading.settled),
            first_silence=silent and self._silences == 1,
        )

    def _record(self, connection: Connection, flags: Flags, pending: Unrecorded) -> None:
        """Write outcomes into the ledger by key, then into the rows: each a statement, and so a transaction."""
        try:
            recorded = ledger.record(
                connection,
                pending.settled,
                epoch=pending.epoch,
                http_status=pending.http_status,
                max_attempts=flags.max_upload_attempts,
            )
        except (UndefinedTable, InvalidSchemaName):  # rolled back meanwhile: what ShipStation has must be seen anyhow
            _write_without_ledger(connection, pending)
            self._unrecorded = None
            raise
        self._unrecorded = None
        final = [order for order in recorded if order.state in FINAL]
        for order in final:
            if order.state == "accepted":
                self._metrics.order_latency(order.seconds_since_seen * 1000)
        show_outcomes(connection, [order.order_key for order in final])
        self._metrics.processed("upload", sum(order.state == "accepted" for order in final))


def _write_without_ledger(connection: Connection, pending: Unrecorded) -> None:
    ids = {candidate.order_key: candidate.order_inbox_id for candidate in pending.batch}
    there = [settled for settled in pending.settled if settled.state == "accepted"]
    rows.write_ids(connection, [(ids[s.order_key], s.shipstation_order_id or "") for s in there])
    text = "The ledger is gone: what ShipStation has taken stands in orders_inbox alone (%d orders)"
    logger.warning(text, len(there), extra={"event": "no_ledger"})
