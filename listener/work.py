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
from listener.database import UNINSTALLED, Connection, connect_step, connect_work, is_lost, is_uninstalled
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
    Source,
)
from listener.flags import Flags
from listener.metrics import Metrics
from listener.minutes import Minute
from listener.store import home, ledger
from listener.store.minutes import keep_minutes
from listener.store.progress import BeatRow, beat
from listener.store.prune import prune
from listener.store.rows import revive_completed
from listener.workflows.claim_orders import rehearse
from listener.workflows.upload_orders import UploadOrders

logger = logging.getLogger(__name__)

PRUNE_EVERY_SECONDS = 3600.0

COUNTED = (Job.PASS, Job.BEAT)
"""The jobs that count as steps of the workflow; the others are what leads from one to the next."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, and what its beat saw, if it was one.

    began_at:   when the beat's statement was sent; monotonic seconds
    muffled_by: who has kept the silence lock from us for a minute
    """

    event: Event
    beat: BeatRow | None = None
    began_at: float = 0.0
    muffled_by: int | None = None


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
        self._seen_due = 0
        self._failed_tries = 0
        self._last_fault = self._last_error = ""
        self._here = home.Home("", "", "")
        self._pruned_at = float("-inf")

    def run(self, action: RunUpload, flags: Flags) -> Ended:
        """Run one job. Never raises: whatever goes wrong is the event."""
        if action.job in COUNTED:
            self._metrics.step(UPLOAD)
        try:
            ended = self._run(action, flags)
        except (Transient, psycopg.Error) as error:
            return Ended(self._gone_wrong(action, error))
        except Exception as error:
            logger.exception("Upload error: %s", error, extra={"event": "bug"})
            return Ended(self._gone_wrong(action, error))
        self._failed_tries, self._last_fault = 0, ""
        if action.job in COUNTED:
            self._last_error = ""
        return ended

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
                self._keep_minutes(connection, at_end=True)
        except psycopg.Error as error:
            logger.info("The work session failed while stepping down: %s", error, extra={"event": "step_down"})
        connection.close()

    def _run(self, action: RunUpload, flags: Flags) -> Ended:
        if action.job is Job.LEAD:
            leading = self._lead(flags, by_lease=not action.silence)
            foreign = self._foreign(home.read_home(self._standing())) if leading else ""
            return Ended(Led(leading, foreign=foreign, epoch=self._epoch))
        connection = self._standing()
        if self._by_lease:
            self._renew_lease(connection, hearing=action.silence)
        match action.job:
            case Job.PASS:
                return Ended(self._pass(connection, action, flags))
            case Job.SETTLE:
                return Ended(self._settle(connection))
            case Job.ASK:
                return Ended(bell.ask(connection, action.x or 0, self._upload.locked, patient=action.patient))
            case Job.BEAT:
                return self._beat(connection, action)
            case Job.SILENCE:
                self._silence.keep(connection, wanted=action.silence)
            case Job.PING:
                self._ping(connection)
            case _ as never:
                assert_never(never)
        return Ended(Done())

    def _ping(self, connection: Connection) -> None:
        """Keep the session alive; between beats that are far apart, with the minutes that are over."""
        if not self._keep_minutes(connection):
            connection.execute("select 1")

    def _keep_minutes(self, connection: Connection, *, at_end: bool = False) -> bool:
        """Write the figures of the minutes that are over; return whether there were any."""
        minutes = self._minutes(at_end=at_end)
        if minutes:
            keep_minutes(connection, minutes)
            self._metrics.minutes_written(minutes)
        return bool(minutes)

    def _minutes(self, *, at_end: bool = False) -> list[Minute]:
        """A dry run finds orders and leaves them: its figures would say nothing of how the listener runs."""
        return [] if self._dry_run else self._metrics.unwritten_minutes(at_end=at_end)

    def _renew_lease(self, connection: Connection, *, hearing: bool) -> None:
        """Keep leading by the lease. Who hears must lead by the lock: to the trigger, who has no lock is nobody."""
        if hearing:
            raise leader.LeadLost("LISTEN is heard now: leading on by the lock, on a new session")
        if not leader.renew_lease(connection, self._epoch):
            raise leader.LeadLost("the lease has run out: another listener may lead")

    def _standing(self) -> Connection:
        if self._connection is None or self._connection.closed:
            raise Transient("the work session is closed")
        return self._connection

    def _lead(self, flags: Flags, *, by_lease: bool) -> bool:
        if self._by_lease is not by_lease:
            self._drop()  # a session for the one lacks the settings of the other, or has too many
        if self._connection is None or self._connection.closed:
            connect = connect_step if by_lease else connect_work
            self._connection = connect(self._url, self._name)
            self._silence.held, self._epoch, self._by_lease = False, 0, by_lease
            leader.end_former_sessions(self._connection, self._name)
        epoch = leader.lead(self._connection, self._name, by_lease=by_lease)
        if epoch is None:
            return False
        self._epoch = epoch
        self._look_around(self._connection)
        self._upload.begin(self._connection, epoch, flags)
        doubtful = ledger.doubt_what_was_sent(self._connection, epoch)
        rehearse(self._connection, epoch)
        logger.info("Leading (epoch %d, %d orders in doubt)", epoch, doubtful, extra={"event": "leading"})
        return True

    def _look_around(self, connection: Connection) -> None:
        """See which database this is. The first run remembers it; a dry run sends nothing, and need not hold back."""
        self._here = home.where_it_is(connection)
        if not self._dry_run:
            home.note_first_run(connection, self._here)
        elif foreign := home.differences(self._here, home.read_home(connection)):
            logger.warning("A run would hold all orders here: %s", foreign, extra={"event": "foreign"})

    def _foreign(self, remembered: list[str] | None) -> str:
        return "" if self._dry_run else home.differences(self._here, remembered)

    def _pass(self, connection: Connection, action: RunUpload, flags: Flags) -> Event:
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
        return self._upload.run(connection, self._epoch, flags, due)

    def _settle(self, connection: Connection) -> Event:
        self._silence.keep(connection, wanted=False)
        x = bell.mark(connection)
        return bell.ask(connection, x, self._upload.locked, patient=False) if x is not None else Asked(None)

    def _beat(self, connection: Connection, action: RunUpload) -> Ended:
        started = self._clock()
        minutes = self._minutes()
        seen = beat(connection, minutes)
        self._metrics.minutes_written(minutes)
        if seen.moved:
            self._metrics.moved_polling_state()
        if seen.epoch != self._epoch:
            raise leader.LeadLost("another listener leads now: this one stands by")
        if started - self._pruned_at > PRUNE_EVERY_SECONDS:
            self._pruned_at = started
            prune(connection)
        if action.check:
            self._note_beat(seen, (self._clock() - started) * 1000)
        revived = revive_completed(connection) if seen.incomplete and action.check and not self._dry_run else 0
        self._seen_due += revived
        fresh = seen.fresh > 0 and not self._dry_run
        muted, foreign = seen.muted_by is not None, self._foreign(seen.home)
        event = Beaten(seen.due + revived > 0, fresh=fresh, muted=muted, foreign=foreign)
        return Ended(event, seen, started, self._silence.kept_from_us_by(connection))

    def _note_beat(self, seen: BeatRow, duration_ms: float) -> None:
        action, source = "process" if seen.due else "skip", Source.HEARTBEAT.value
        self._metrics.check(
            "upload", exists=seen.due > 0, count=seen.due, duration_ms=duration_ms, action=action, source=source
        )
        self._seen_due = seen.due
        self._upload.note_count(seen.due)

    def _gone_wrong(self, action: RunUpload, error: Exception) -> Event:
        """Tell a lost session from a failed step; log each state once.

        Where our tables are gone, nobody can lead: then the session goes too, and whoever waits tries until they are
        there again.
        """
        uninstalled = leader.nobody_can_lead(self._connection, error)
        lost = self._connection is None or isinstance(error, leader.LeadLost) or is_lost(self._connection, error)
        if not (lost or uninstalled) and action.job is not Job.LEAD:
            fault = _fault(error)
            self._metrics.error("upload", fault)
            if fault != self._last_error:
                logger.warning("Upload error: %s", fault, extra={"event": "upload_error"})
                self._last_error = fault
            if action.job in (Job.BEAT, Job.PING):
                return BeatFailed()
            return Failed(UPLOAD, fault, getattr(error, "retry_after", None))
        self._drop()
        self._failed_tries += 1
        retry_in = retry.seconds_before(retry.RECONNECT, self._failed_tries)
        if uninstalled:
            return SessionLost(retry_in, UNINSTALLED)
        fault = _fault(error)
        if fault != self._last_fault:
            logger.warning("The work session was lost: %s", fault, extra={"event": "session_lost"})
            self._last_fault = fault
        return SessionLost(retry_in, "" if isinstance(error, leader.LeadLost) else fault)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._silence.held, self._epoch = None, False, 0


def _fault(error: Exception) -> str:
    """Return an error in one line that says what to do."""
    return UNINSTALLED if is_uninstalled(error) else str(error).strip().split("\n", 1)[0]
