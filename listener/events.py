"""The words of the loop: what can happen, and what can be done about it. Values only.

An event says what happened, never what to do; an action says what to do, never why. `schedule` turns the one into the
other.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from listener.flags import Flags

UPLOAD = "shipstation-upload"
IMPORT = "xml-import"
SYNC = "unified-shipstation-sync"
WORKFLOWS = (UPLOAD, IMPORT, SYNC)


@dataclass(frozen=True, slots=True)
class StepReport:
    """The end of one bounded step of a workflow.

    done:        orders, or files, that this step finished
    more:        there is work that is due now: the step is due again at once
    retry_after: seconds until something that waits is due (None: nothing waits for a time)
    """

    done: int = 0
    more: bool = False
    retry_after: float | None = None


class Channel(StrEnum):
    """The channels of NOTIFY; `sql/003_notify.up.sql` has the same names."""

    ORDERS = "orders_inbox"
    FLAGS = "configuration_params"
    WORKFLOWS = "workflow_controls"
    LEADER = "listener_leader"


class Source(StrEnum):
    """Why a pass woke; the `source=` of its METRICS line."""

    NOTIFY = "notify"
    HEARTBEAT = "heartbeat"
    STARTUP = "startup"
    RECONNECT = "reconnect"
    RETRY = "retry"
    MANUAL = "manual"


class Phase(StrEnum):
    """Where the upload stands. `schedule` draws the ways between them."""

    STANDBY = "standby"
    AWAKE = "awake"
    SETTLING = "settling"
    ASLEEP = "asleep"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Rang:
    """A notification arrived on a channel. Payloads say nothing that the tables do not say better."""

    channel: str


@dataclass(frozen=True, slots=True)
class Listening:
    """LISTEN is in force on a new session; `deaf` when a probe from elsewhere was not heard on it."""

    deaf: bool


@dataclass(frozen=True, slots=True)
class ListenLost:
    """The LISTEN session is gone, and with it every notification since."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The flags and the switched-on workflows, as the tables have them now. `requeued` grows with each requeue."""

    flags: Flags
    enabled: frozenset[str]
    requeued: int = 0


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads: a process by its id on its host, and since when; `since` is aware."""

    host: str | None
    pid: int | None
    epoch: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Led:
    """The end of a LEAD job: whether this process leads, and in which epoch. `foreign` as in Beaten.

    leader: who leads now, this process or another; None: nobody can be seen to
    """

    leading: bool
    foreign: str = ""
    epoch: int = 0
    leader: Leader | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """The end of a PASS job. `rest_for`: seconds in which a bell would change nothing (no budget)."""

    report: StepReport
    rest_for: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The end of a SETTLE or ASK job: the mark `x`, or refused; pending rows; whether all before `x` have ended."""

    x: int | None
    pending: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Beaten:
    """The end of a BEAT job.

    fresh:   a due order that was never tried
    restless: the next beat may find what no bell announces: an order that waits for its items, a bell that is off
    muted:   a stranger holds the silence lock
    foreign: in what this database differs from the one of the first run; '' for not at all
    """

    due: bool
    fresh: bool = False
    restless: bool = False
    muted: bool = False
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a SILENCE, LOOK or PING job."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step of a workflow ended in an error; `retry_after` when the other side named a time."""

    workflow: str
    reason: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class BeatFailed:
    """A beat or a ping ended in an error: no order was being sent, so nothing is to be held up for it."""


@dataclass(frozen=True, slots=True)
class Stirred:
    """The server has something to say on the work session though nothing was asked: it has ended, most likely."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The work session is gone, with leadership, silence and claims; try to lead again after `retry_in` seconds.

    reason: the fault; '' when another has only taken the lead
    """

    retry_in: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """The end of a step of the import."""

    report: StepReport


@dataclass(frozen=True, slots=True)
class Synced:
    """The end of a step of the sync. `over`: and of its cycle."""

    report: StepReport
    over: bool = True


@dataclass(frozen=True, slots=True)
class Nudged:
    """SIGUSR1: look now, at everything."""


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM or SIGINT: end the steps under way, begin none."""


Event = (
    Rang
    | Listening
    | ListenLost
    | Configured
    | Led
    | Passed
    | Asked
    | Beaten
    | BeatFailed
    | Done
    | Failed
    | Stirred
    | SessionLost
    | Imported
    | Synced
    | Nudged
    | Stop
)


class Job(StrEnum):
    """One bounded piece of work on the work session."""

    LEAD = "lead"
    PASS = "pass"  # noqa: S105  a pass of the upload
    SETTLE = "settle"
    ASK = "ask"
    BEAT = "beat"
    SILENCE = "silence"
    LOOK = "look"  # at the triggers, between beats that are far apart
    PING = "ping"
    DOZE = "doze"  # keep the session without being asked anything


@dataclass(frozen=True, slots=True)
class RunUpload:
    """Run `job` in the upload's thread.

    check:   PASS begins with the EXISTS check; BEAT's answer is a check, with its METRICS line
    x:       the mark that ASK asks about;  patient: ask in the way that a forgotten transaction cannot block
    silence: SILENCE takes the lock (False: gives it back);  PASS works under it
    finish:  BEAT also finds out and shows what became of what was sent, for no pass does that
    """

    job: Job
    source: Source
    check: bool = True
    silence: bool = True
    x: int | None = None
    patient: bool = False
    finish: bool = False


@dataclass(frozen=True, slots=True)
class RunImport:
    """Run one step of the import in its thread. `quiet`: only say whether anything is new, and ask no database."""

    source: Source
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class RunSync:
    """Run one step of the sync in its thread, under the leader's epoch."""

    source: Source
    epoch: int


class Simple(StrEnum):
    """Actions of the main thread itself."""

    CONNECT = "connect"
    READ_CONFIG = "read config"  # because something rang, or LISTEN stands anew
    LOOK_AT_CONFIG = "look at config"  # because it was time, and no beat can do it
    PING_LISTEN = "ping listen"
    NOTE_MISSED = "note missed"
    QUIT = "quit"


Action = RunUpload | RunImport | RunSync | Simple
