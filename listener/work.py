"""The work session: the one connection that leads, keeps writers silent, checks, claims and records.

One session for all of it, so that losing it loses all of it together: no claim can be made by a session that no longer
leads. Each job is one bounded piece of work in the upload's thread, and ends in exactly one event.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

import psycopg

from listener import bell, leader, retry
from listener.bookkeeping import Bookkeeping
from listener.database import UNINSTALLED, Connection, connect_step, connect_work, fault_of, is_lost, limit_idling
from listener.errors import Transient
from listener.events import (
    UPLOAD,
    Asked,
    Beaten,
    BeatFailed,
    Done,
    Event,
    Failed,
    Job,
    Led,
    RunUpload,
    SessionLost,
)
from listener.flags import Flags
from listener.metrics import Metrics
from listener.store import ledger
from listener.store.progress import BeatRow, beat, look
from listener.store.rows import revive_completed
from listener.whereabouts import Whereabouts
from listener.workflows.claim_orders import rehearse
from listener.workflows.upload_orders import UploadOrders

logger = logging.getLogger(__name__)

COUNTED = (Job.PASS, Job.BEAT)
"""The jobs that count as steps of the workflow; the others are what leads from one to the next."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, and what its beat saw, if it was one.

    triggers:   those that a look found missing; None: it was none
    rang:       the channel that was rung for the LISTEN session to hear; '' for none
    began_at:   of the statement of the beat, or the look; monotonic seconds
    muffled_by: who has kept the silence lock from us for a minute
    found:      whether a pass had orders to look into; None: it was none
    """

    event: Event
    beat: BeatRow | None = None
    triggers: list[str] | None = None
    rang: str = ""
    began_at: float = 0.0
    muffled_by: int | None = None
    found: bool | None = None


class WorkSession:
    """Runs the upload's jobs, one at a time, on a session that it opens when it must lead."""

    def __init__(
        self,
        url: str,
        name: str,
        upload: UploadOrders,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        dry_run: bool = False,
    ) -> None:
        self._url = url
        self._name = name
        self._upload = upload
        self._metrics = metrics
        self._clock = clock
        self._dry_run = dry_run  # nothing is sent, so that pending orders stay, and are no fault
        self._connection: Connection | None = None
        self._epoch = 0
        self._by_lease = False
        self._silence = bell.Silence(clock)
        self._dozing = False
        self._seen_due = 0
        self._failed_tries = 0
        self._last_fault = self._last_error = ""
        self._whereabouts = Whereabouts(dry_run=dry_run)
        self._books = Bookkeeping(metrics, clock, dry_run=dry_run)

    def run(self, action: RunUpload, flags: Flags, probe: str = "") -> Ended:
        """Run one job. Never raises: whatever goes wrong is the event. `probe`: what a beat or a look rings."""
        if action.job in COUNTED:
            self._metrics.step(UPLOAD)
        try:
            ended = self._run(action, flags, probe)
        except (Transient, psycopg.Error) as error:
            return Ended(self._gone_wrong(action, error))
        except Exception as error:
            logger.exception("Upload error: %s", error, extra={"event": "bug"})
            return Ended(self._gone_wrong(action, error))
        self._failed_tries, self._last_fault = 0, ""
        if action.job in COUNTED:
            self._last_error = ""
        return ended

    @property
    def socket(self) -> int | None:
        """The number of the session's socket; None without a session. To be asked for between two jobs."""
        return None if self._connection is None or self._connection.closed else self._connection.fileno()

    def close(self, *, busy: bool) -> None:
        """Step down, so that a standby takes over at once, and close the session.

        busy: a job is under way, and its thread has the session: the end of the process closes it.
        """
        connection = self._connection
        if busy or connection is None or connection.closed:
            return
        try:
            if self._epoch:
                leader.step_down(connection, self._epoch)
                self._books.write(connection, at_end=True)
        except psycopg.Error as error:
            logger.info("The work session failed while stepping down: %s", error, extra={"event": "step_down"})
        connection.close()

    def _run(self, action: RunUpload, flags: Flags, probe: str) -> Ended:
        self._doze(dozing=action.job is Job.DOZE)
        if action.job is Job.DOZE:
            return Ended(Done())
        if action.job is Job.LEAD:
            return Ended(self._lead(flags, by_lease=not action.silence))
        connection = self._standing()
        if self._by_lease:
            leader.renew_lease(connection, self._epoch, hearing=action.silence)
        match action.job:
            case Job.PASS:
                return self._pass(connection, action, flags)
            case Job.SETTLE:
                return Ended(self._settle(connection))
            case Job.ASK:
                return Ended(bell.ask(connection, action.x or 0, self._upload.locked, patient=action.patient))
            case Job.BEAT:
                return self._beat(connection, action, flags, probe)
            case Job.LOOK:
                return self._look(connection, probe)
            case Job.SILENCE:
                self._silence.keep(connection, wanted=action.silence)
            case Job.PING:
                self._ping(connection)
            case _ as never:
                assert_never(never)
        return Ended(Done())

    def _doze(self, *, dozing: bool) -> None:
        """Let the session stand for as long as nobody speaks to it, or no longer."""
        if dozing is not self._dozing and self._connection is not None and not self._connection.closed:
            limit_idling(self._connection, limited=not dozing)
        self._dozing = dozing

    def _ping(self, connection: Connection) -> None:
        """Keep the session alive; between beats that are far apart, with the minutes that are over."""
        if not self._books.write(connection):
            connection.execute("select 1")

    def _standing(self) -> Connection:
        if self._connection is None or self._connection.closed:
            raise Transient("the work session is closed")
        return self._connection

    def _lead(self, flags: Flags, *, by_lease: bool) -> Led:
        if self._by_lease is not by_lease:
            self._drop()  # a session for the one lacks the settings of the other, or has too many
        if self._connection is None or self._connection.closed:
            connect = connect_step if by_lease else connect_work
            self._connection = connect(self._url, self._name)
            self._silence.held, self._epoch, self._by_lease = False, 0, by_lease
            leader.end_former_sessions(self._connection, self._name)
        epoch = leader.lead(self._connection, self._name, by_lease=by_lease)
        if epoch is None:
            return Led(leading=False, leader=leader.who_leads(self._connection))
        self._epoch = epoch
        self._whereabouts.look_around(self._connection)
        self._upload.begin(self._connection, epoch, flags)
        doubtful = ledger.doubt_what_was_sent(self._connection, epoch)
        rehearse(self._connection, epoch)
        logger.info("Leading (epoch %d, %d orders in doubt)", epoch, doubtful, extra={"event": "leading"})
        return Led(True, self._whereabouts.difference, epoch, leader.who_leads(self._connection))

    def _pass(self, connection: Connection, action: RunUpload, flags: Flags) -> Ended:
        if not self._upload.continuing:
            self._metrics.wake(action.source.value)
            self._metrics.set_workflow(UPLOAD, last_run_at=datetime.now(UTC))
        counted = self._upload.left if self._upload.continuing else None
        if action.check and not counted:
            silence = self._silence.kept(connection, wanted=action.silence)
            due: int | None = self._upload.check(connection, flags, action.source, silence)
        else:
            self._silence.keep(connection, wanted=action.silence)
            # A pass is one check and its steps: the count still holds.
            due = counted or (self._seen_due if flags.fast_polling_enabled else None)
        return Ended(self._upload.run(connection, self._epoch, flags, due), found=due != 0)

    def _settle(self, connection: Connection) -> Event:
        self._silence.keep(connection, wanted=False)
        x = bell.mark(connection)
        return bell.ask(connection, x, self._upload.locked, patient=False) if x is not None else Asked(None)

    def _look(self, connection: Connection, probe: str) -> Ended:
        began_at, seen = self._clock(), look(connection, probe)
        leader.must_be(self._epoch, seen.epoch)
        return Ended(Done(), triggers=seen.missing_triggers, rang=probe if seen.rang else "", began_at=began_at)

    def _beat(self, connection: Connection, action: RunUpload, flags: Flags, probe: str) -> Ended:
        started = self._clock()
        minutes = self._books.unwritten()
        seen = beat(connection, minutes, probe)
        self._metrics.minutes_written(minutes)
        if seen.moved:
            self._metrics.moved_polling_state()
        leader.must_be(self._epoch, seen.epoch)
        self._books.prune(connection)
        if action.check:
            self._upload.note_beat(seen.due, started)
            self._seen_due = seen.due
        revived = revive_completed(connection) if seen.incomplete and action.check and not self._dry_run else 0
        self._seen_due += revived
        fresh, restless = seen.fresh > 0 and not self._dry_run, seen.incomplete or bool(seen.missing_triggers)
        muted, foreign = seen.muted_by is not None, self._whereabouts.compare(seen.home)
        if action.finish and not self._dry_run:
            self._upload.finish(connection, self._epoch, flags)
        event = Beaten(seen.due + revived > 0, fresh=fresh, restless=restless, muted=muted, foreign=foreign)
        muffled_by = self._silence.kept_from_us_by(connection)
        return Ended(event, seen, rang=probe if seen.rang else "", began_at=started, muffled_by=muffled_by)

    def _gone_wrong(self, action: RunUpload, error: Exception) -> Event:
        """Tell a lost session from a failed step; log each state once.

        Where our tables are gone, nobody can lead: then the session goes too, and whoever waits tries until they are
        there again.
        """
        uninstalled = leader.nobody_can_lead(self._connection, error)
        lost = self._connection is None or isinstance(error, leader.LeadLost) or is_lost(self._connection, error)
        if not (lost or uninstalled) and action.job is not Job.LEAD:
            fault = fault_of(error)
            self._metrics.error("upload", fault)
            if fault != self._last_error:
                logger.warning("Upload error: %s", fault, extra={"event": "upload_error"})
                self._last_error = fault
            if action.job in (Job.BEAT, Job.LOOK, Job.PING, Job.DOZE):
                return BeatFailed()
            return Failed(UPLOAD, fault, getattr(error, "retry_after", None))
        expected = self._dozing  # a database that has slept meanwhile has closed it
        self._drop()
        self._failed_tries += 1
        retry_in = retry.seconds_before(retry.RECONNECT, self._failed_tries)
        if uninstalled or expected:
            return SessionLost(retry_in, UNINSTALLED if uninstalled else "")
        fault = fault_of(error)
        if fault != self._last_fault:
            logger.warning("The work session was lost: %s", fault, extra={"event": "session_lost"})
            self._last_fault = fault
        return SessionLost(retry_in, "" if isinstance(error, leader.LeadLost) else fault)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._silence.held, self._epoch, self._dozing = None, False, 0, False
