"""What the loop knows: the state that `schedule` decides on. Frozen values; times are monotonic seconds.

The upload's phases are a circle with one door to sleep::

    STANDBY ──led──▶ AWAKE ──dry──▶ SETTLING ──nobody silent is left──▶ ASLEEP
       ▲               ▲ ▲              │ somebody wrote                   │ bell, beat, retry
       └─session lost  │ └──────────────┘                                  │
                       ├───────────────────────────────────────────────────┘
                    RESTING   a bell would change nothing: backing off, no budget, switched off, a copy, heartbeat only

ASLEEP is entered from SETTLING alone. Every start, reconnect, takeover and error leads back to AWAKE or RESTING, where
the silence lock is held again, and so through another settle: `bell` says why an order would be lost otherwise.
"""

from dataclasses import dataclass, field
from math import inf

from listener.events import IMPORT, SYNC, UPLOAD, WORKFLOWS, Job, Phase, Source
from listener.flags import Flags

KEEPALIVE_SECONDS = 15.0
"""The server ends a session that is silent for 35 s (`database`): two of these may fail before that."""

LOOK_EVERY_SECONDS = 30.0
"""Triggers that are gone, or a bell that is not heard, are noticed within a minute: a request may take half of it. The
look stands in for a ping, so that it costs no statement more."""

DORMANT_SECONDS = 3600.0
"""Between two looks of a listener that lets the database sleep (`dormancy`)."""

OLD_BEHAVIOUR_SECONDS = 300.0
"""Upload and import with fast_polling_enabled = false: the cycle of the scripts that came before."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The upload's part of the state. Times are monotonic seconds; inf means never."""

    phase: Phase = Phase.STANDBY
    job: Job | None = None
    source: Source = Source.STARTUP
    due_at: float = 0.0
    retry_at: float = inf
    kept_alive_at: float = inf
    errors: int = 0
    fault: str = ""
    backing_off: bool = False
    lost: str = ""  # why there is no work session
    led_before: bool = False
    checked: bool = False  # the beat's look was this pass's check
    rethink: bool = False  # something changed while a job was under way
    rung: bool = False  # a bell came while a job was under way
    silence_due: bool = False
    muted: bool = False
    x: int | None = None
    settling_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Import:
    """The import's part of the state."""

    available: bool = False
    running: bool = False
    source: Source = Source.STARTUP
    due_at: float = inf
    errors: int = 0
    fault: str = ""
    backing_off: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    """The sync's part of the state. A cycle that has begun is due again for its next step."""

    available: bool = False
    running: bool = False
    source: Source = Source.STARTUP
    due_at: float = inf
    began_at: float = -inf  # of the cycle under way, or of the last one
    under_way: bool = False
    errors: int = 0
    fault: str = ""
    backing_off: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that the decision rests on."""

    flags: Flags = field(default_factory=Flags)
    enabled: frozenset[str] = frozenset(WORKFLOWS)
    upload: Upload = field(default_factory=Upload)
    imports: Import = field(default_factory=Import)
    sync: Sync = field(default_factory=Sync)
    listening: bool = False
    connecting: bool = False
    deaf: bool = False
    probe_at: float = inf
    ping_at: float = inf
    beat_at: float = inf
    look_at: float = inf  # at the triggers, unless a beat comes before
    beat_owed: bool = False  # it fell on a job under way, and follows when that ends
    missed_at: float = inf
    config_rang: bool = False
    dormant: bool = False  # nothing is asked of the database
    worked_at: float = inf  # when it last was used for something; inf: before the first turn
    requeued: int = 0  # the newest order that somebody asked another try for
    configured: bool = False  # flags and switches have been read: nothing is done that the tables may deny
    epoch: int = 0  # in which this process leads, or has led
    foreign: str = ""  # in what this differs from the database of the first run: a copy must not ship
    stopping: bool = False

    @property
    def hearing(self) -> bool:
        """A bell would be heard."""
        return self.listening and not self.deaf

    @property
    def leading(self) -> bool:
        """This process leads: it alone uploads, imports and syncs."""
        return self.upload.phase is not Phase.STANDBY

    @property
    def may_work(self) -> bool:
        """The upload may run a job: it leads, or it may try to, with LISTEN standing and the flags known."""
        return self.leading or (self.listening and self.configured)

    @property
    def upload_switched_on(self) -> bool:
        """Orders may be sent: nobody has switched the workflow off, and this is no restored copy."""
        return UPLOAD in self.enabled and not self.foreign

    @property
    def upload_paused(self) -> bool:
        """Somebody has switched the workflow off; what it has sent already is still its own."""
        return self.configured and UPLOAD not in self.enabled and not self.foreign

    @property
    def import_may_run(self) -> bool:
        """The import has a source, is switched on as far as is known, and no step of it is under way."""
        idle = self.imports.available and not self.imports.running
        return self.leading and self.configured and idle and IMPORT in self.enabled

    @property
    def sync_may_run(self) -> bool:
        """The sync is switched on, this is no restored copy, and no step of it is under way."""
        ready = self.sync.available and not self.sync.running and self.configured and not self.foreign
        return self.leading and ready and SYNC in self.enabled and not self.dormant

    @property
    def heartbeat_seconds(self) -> float:
        """How often the inbox is looked at unasked. A stranger on our lock mutes every bell: look each second."""
        if self.dormant:
            return DORMANT_SECONDS
        return 1.0 if self.upload.muted else float(self.flags.fast_polling_interval)

    @property
    def import_seconds(self) -> float:
        """How often the import looks at its source."""
        return float(self.flags.fast_polling_interval) if self.flags.fast_polling_enabled else OLD_BEHAVIOUR_SECONDS

    @property
    def rests_between_passes(self) -> bool:
        """No bell may wake the upload now, so that it rests under the silence lock instead of going to sleep."""
        flags = self.flags
        rings = flags.fast_polling_enabled and flags.notify_enabled and self.hearing
        return not (self.upload_switched_on and rings)

    @property
    def beat_is_check(self) -> bool:
        """The beat's look at the inbox decides whether a pass follows."""
        if not (self.configured and self.upload_switched_on and self.flags.fast_polling_enabled):
            return False
        at_rest = self.upload.phase is Phase.RESTING and self.upload.due_at == inf
        return self.upload.phase is Phase.ASLEEP or at_rest
