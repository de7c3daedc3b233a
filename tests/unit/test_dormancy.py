"""When `idle_policy = allow_sleep` leaves the database alone, and what ends that. One sentence a test."""

from math import inf

import pytest

from listener.dormancy import dormant_from
from listener.events import (
    IMPORT,
    UPLOAD,
    Action,
    Asked,
    Beaten,
    Channel,
    Configured,
    Done,
    Event,
    Failed,
    Imported,
    Job,
    Led,
    Listening,
    ListenLost,
    Nudged,
    Passed,
    Phase,
    Rang,
    RunImport,
    RunSync,
    RunUpload,
    SessionLost,
    Simple,
    Source,
    StepReport,
    Stirred,
    Synced,
)
from listener.schedule import next_due
from listener.state import DORMANT_SECONDS, Import, State, Sync
from tests.unit.test_schedule import BELL, DRY, Loop

SETTLED = Asked(7, settled=True)
NOTHING = StepReport()


class SleepyLoop(Loop):
    """A leader with import and sync under `allow_sleep`, which answers its own jobs for as long as nothing happens."""

    def __init__(self, *, syncs: bool = True, **flags: object) -> None:
        super().__init__(**{"idle_policy": "allow_sleep", "idle_after": 60} | flags)
        self.state = State(imports=Import(available=True), sync=Sync(available=syncs))
        self.asked: list[Action] = []
        self.leads = True

    def answer(self, *actions: Action) -> None:
        """End each of these well, with nothing found, and what that leads to."""
        ends: list[Event] = []
        for action in actions:
            match action:
                case RunUpload(Job.LEAD):
                    ends.append(Led(leading=self.leads))
                case RunUpload(Job.PASS):
                    ends.append(DRY)
                case RunUpload(Job.SETTLE | Job.ASK):
                    ends.append(SETTLED)
                case RunUpload(Job.BEAT):
                    ends.append(Beaten(due=False))
                case RunUpload():
                    ends.append(Done())
                case RunImport():
                    ends.append(Imported(NOTHING))
                case RunSync():
                    ends.append(Synced(NOTHING))
                case Simple.CONNECT:
                    ends.append(Listening(deaf=False))
                case Simple.READ_CONFIG:
                    ends.append(Configured(self.flags, self.enabled))
        for end in ends:
            self.happen(end)

    def happen(self, *events: Event) -> list[Action]:
        """Let something happen, and all that follows from it."""
        actions = self.on(*events)
        self.asked += actions
        self.answer(*actions)
        return actions

    def spend(self, seconds: float) -> list[Action]:
        """Let time pass; return what was done meanwhile."""
        until, before = self.now + seconds, len(self.asked)
        while (due := next_due(self.state)) <= until:
            self.now = max(self.now, due)
            self.happen()
        self.now = until
        return self.asked[before:]

    def dormant(self) -> "SleepyLoop":
        """Start, and let the listener become dormant."""
        self.happen()
        self.spend(70)
        assert self.state.dormant
        return self


def of_the_database(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not (isinstance(action, RunImport) and action.quiet)]


def jobs(actions: list[Action]) -> list[Job]:
    return [action.job for action in actions if isinstance(action, RunUpload)]


def test_it_begins_when_nothing_was_to_be_done_for_idle_after_and_tells_the_session_so() -> None:
    loop = SleepyLoop()
    loop.happen()
    before = loop.spend(59)
    assert not loop.state.dormant and Job.DOZE not in jobs(before)
    assert jobs(loop.spend(2))[-1] is Job.DOZE
    assert loop.state.dormant and loop.phase is Phase.ASLEEP


def test_nothing_is_asked_of_the_database_for_an_hour() -> None:
    loop = SleepyLoop().dormant()
    assert of_the_database(loop.spend(DORMANT_SECONDS - 70)) == []


def test_the_import_goes_on_looking_at_its_source_quietly() -> None:
    looks = SleepyLoop(fast_polling_interval=15).dormant().spend(150)
    assert looks == [RunImport(Source.HEARTBEAT, quiet=True)] * 10


def test_the_look_of_the_hour_is_a_beat_and_a_cycle_of_the_sync_and_then_it_is_dormant_again() -> None:
    loop = SleepyLoop().dormant()
    done = of_the_database(loop.spend(DORMANT_SECONDS))
    assert jobs(done) == [Job.BEAT, Job.DOZE]
    assert len([action for action in done if isinstance(action, RunSync)]) == 1
    assert loop.state.dormant


def test_a_bell_ends_it_at_once() -> None:
    loop = SleepyLoop().dormant()
    (first, *_) = [action for action in loop.happen(BELL) if isinstance(action, RunUpload)]
    assert (first.job, first.source) == (Job.PASS, Source.NOTIFY)
    assert not loop.state.dormant
    assert Job.BEAT in jobs(loop.spend(16)), "the heartbeat goes on"


def test_a_bell_that_comes_while_it_lies_down_is_heard() -> None:
    loop = SleepyLoop(idle_after=67)
    loop.happen()
    loop.spend(66)
    loop.now = dormant_from(loop.state)
    assert jobs(loop.on()) == [Job.DOZE]
    assert jobs(loop.on(BELL)) == []
    assert jobs(loop.on(Done())) == [Job.PASS]


def test_what_ends_it_while_it_lies_down_waits_for_the_job_under_way() -> None:
    loop = SleepyLoop(idle_after=67)
    loop.happen()
    loop.spend(66)
    loop.now = dormant_from(loop.state)
    loop.on()
    assert of_the_database(loop.on(ListenLost(), Nudged())) == []
    assert Simple.CONNECT in loop.on(Done())


def test_a_work_session_that_the_database_closes_is_left_until_the_next_look() -> None:
    loop = SleepyLoop().dormant()
    assert of_the_database([*loop.on(Stirred()), *loop.spend(100)]) == []


def test_sessions_that_the_database_closes_are_not_opened_before_the_next_look() -> None:
    loop = SleepyLoop().dormant()
    loop.happen(ListenLost())
    assert of_the_database(loop.spend(DORMANT_SECONDS - 70)) == []
    assert loop.state.dormant and not loop.state.listening
    done = of_the_database(loop.spend(70))
    assert Simple.CONNECT in done
    assert jobs(done) == [Job.LEAD, Job.SILENCE, Job.PASS, Job.SETTLE, Job.BEAT, Job.DOZE]
    assert loop.state.dormant and loop.state.listening


def test_a_session_that_was_closed_without_a_word_is_opened_at_the_next_look() -> None:
    loop = SleepyLoop().dormant()
    loop.now = loop.state.beat_at
    assert Job.BEAT in jobs(loop.on())
    loop.on(SessionLost(0.1))
    assert jobs(loop.spend(1))[:4] == [Job.LEAD, Job.SILENCE, Job.PASS, Job.SETTLE]


@pytest.mark.parametrize("closed", [False, True])
def test_a_nudge_looks_at_everything_at_once(closed: bool) -> None:
    loop = SleepyLoop().dormant()
    if closed:
        loop.happen(ListenLost())
    before = len(loop.asked)
    loop.happen(Nudged())
    done = loop.asked[before:]
    assert Job.PASS in jobs(done)
    assert (Simple.CONNECT in done, Job.LEAD in jobs(done)) == (closed, closed)
    assert any(isinstance(action, RunImport) and not action.quiet for action in done)
    assert any(isinstance(action, RunSync) for action in done)
    assert not loop.state.dormant


def test_a_nudge_wakes_a_listener_that_is_not_dormant_too() -> None:
    loop = Loop().fall_asleep()
    (action, *_) = [action for action in loop.on(Nudged()) if isinstance(action, RunUpload)]
    assert (action.job, action.source) == (Job.PASS, Source.MANUAL)


def test_a_nudge_sends_nothing_that_is_switched_off() -> None:
    loop = Loop().fall_asleep()
    loop.switch(UPLOAD, on=False)
    loop.on(Done())
    assert Job.PASS not in jobs(loop.on(Nudged()))


def test_a_nudge_during_a_job_looks_when_that_has_ended() -> None:
    loop = Loop().lead()
    assert jobs(loop.on(Nudged())) == []
    assert jobs(loop.on(DRY)) == [Job.PASS]


def test_a_new_file_ends_it_and_is_then_imported() -> None:
    loop = SleepyLoop().dormant()
    loop.now = loop.state.imports.due_at
    assert loop.on() == [RunImport(Source.HEARTBEAT, quiet=True)]
    assert RunImport(Source.HEARTBEAT) in loop.on(Imported(StepReport(more=True)))
    assert not loop.state.dormant


def a_retry_in(seconds: float) -> SleepyLoop:
    """Return a loop in which an order waits to be tried again, and that is dormant until then."""
    loop = SleepyLoop()
    loop.lead()
    loop.on(Synced(NOTHING))
    loop.on(Passed(StepReport(retry_after=seconds)))
    loop.happen(SETTLED)
    loop.spend(100)
    assert loop.state.dormant
    return loop


def test_an_order_that_is_due_again_ends_it() -> None:
    done = a_retry_in(1800).spend(1750)
    passes = [action for action in done if isinstance(action, RunUpload) and action.job is Job.PASS]
    assert [action.source for action in passes] == [Source.RETRY]


def test_for_an_order_that_is_due_again_closed_sessions_are_opened() -> None:
    loop = a_retry_in(1800)
    loop.happen(ListenLost())
    done = loop.spend(1750)
    assert Simple.CONNECT in done
    assert jobs(done)[:3] == [Job.LEAD, Job.SILENCE, Job.PASS]


@pytest.mark.parametrize(
    "flags",
    [
        {"idle_policy": "always_on"},
        {"fast_polling_enabled": False},
        {"notify_enabled": False},
    ],
    ids=["always_on", "old behaviour", "no bell"],
)
def test_without_a_bell_or_without_the_flag_there_is_none(flags: dict[str, object]) -> None:
    loop = SleepyLoop(**flags)
    loop.happen()
    loop.spend(2000)
    assert not loop.state.dormant


@pytest.mark.parametrize("off", [frozenset(), frozenset({UPLOAD})])
def test_a_deaf_listener_is_never_dormant(off: frozenset[str]) -> None:
    loop = SleepyLoop()
    loop.enabled -= off
    loop.on()
    loop.happen(Listening(deaf=True))
    while loop.now < 2000:
        loop.now += 7
        actions = loop.on()
        loop.answer(*[action for action in actions if action is not Simple.CONNECT])
        loop.on(*[Listening(deaf=True)] if Simple.CONNECT in actions else [])
    assert loop.state.leading and not loop.state.dormant


@pytest.mark.parametrize(
    "seen", [Beaten(due=False, restless=True), Beaten(due=False, muted=True)], ids=["restless", "muted"]
)
def test_what_only_a_heartbeat_finds_keeps_it_awake(seen: Beaten) -> None:
    loop = SleepyLoop()
    loop.happen()
    while loop.now < 3000:
        loop.now = max(loop.now, next_due(loop.state))
        actions = loop.on()
        if Job.BEAT in jobs(actions):
            loop.happen(seen)
        loop.answer(*[action for action in actions if not (isinstance(action, RunUpload) and action.job is Job.BEAT)])
        assert not loop.state.dormant


def test_what_shipstation_reports_keeps_it_awake_as_an_order_does() -> None:
    loop = SleepyLoop()
    loop.happen()
    loop.spend(50)
    loop.on(Synced(StepReport(done=3)))
    assert not loop.state.dormant
    loop.spend(59)
    assert not loop.state.dormant
    loop.spend(20)
    assert loop.state.dormant


def test_a_cycle_of_the_sync_is_brought_to_its_end_before() -> None:
    loop = SleepyLoop()
    loop.lead()
    loop.on(DRY)
    loop.on(Synced(StepReport(retry_after=500), over=False))
    loop.happen(SETTLED)
    loop.spend(400)
    assert loop.state.sync.under_way and not loop.state.dormant


def test_a_changed_flag_ends_it() -> None:
    loop = SleepyLoop().dormant()
    assert Simple.READ_CONFIG in loop.on(Rang(Channel.FLAGS))
    loop.configure(idle_policy="always_on")
    loop.spend(5000)
    assert not loop.state.dormant


def test_a_standby_tries_no_more_and_tries_again_with_a_bell_or_in_an_hour() -> None:
    loop = SleepyLoop()
    loop.leads = False
    loop.happen()
    assert jobs(loop.spend(50)) == [Job.LEAD] * 50
    loop.spend(20)
    assert loop.state.dormant and not loop.state.leading
    assert loop.spend(DORMANT_SECONDS - 100) == []
    assert jobs(loop.spend(100)) == [Job.LEAD, Job.DOZE]
    assert loop.state.dormant
    assert Job.LEAD in jobs(loop.on(Rang(Channel.LEADER)))
    assert not loop.state.dormant


def test_a_paused_upload_lets_the_database_sleep_and_goes_on_when_it_is_resumed() -> None:
    loop = SleepyLoop()
    loop.enabled -= {UPLOAD}
    loop.dormant()
    assert loop.phase is Phase.RESTING
    loop.on(Rang(Channel.WORKFLOWS))
    assert Job.PASS in jobs(loop.switch(UPLOAD, on=True))


def test_an_upload_that_backs_off_keeps_the_pace() -> None:
    loop = SleepyLoop()
    loop.happen()
    loop.on(BELL)
    loop.happen(Failed(UPLOAD, "ShipStation is away"))
    loop.spend(59)
    assert not loop.state.dormant and loop.state.upload.backing_off


def test_an_import_that_backs_off_does_not_keep_the_database_awake() -> None:
    loop = SleepyLoop(syncs=False).dormant()
    loop.now = loop.state.imports.due_at
    loop.on()
    loop.on(Failed(IMPORT, "Drive is away"))
    assert loop.state.dormant and loop.state.imports.backing_off


def test_pings_stop_and_begin_again() -> None:
    loop = SleepyLoop().dormant()
    assert loop.state.ping_at == loop.state.upload.kept_alive_at == inf
    loop.happen(BELL)
    assert loop.state.ping_at < inf and loop.state.upload.kept_alive_at < inf
