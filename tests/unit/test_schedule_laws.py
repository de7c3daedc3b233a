"""Laws of the schedule that hold whatever happens, tried on random histories."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from listener.events import (
    IMPORT,
    UPLOAD,
    WORKFLOWS,
    Asked,
    Beaten,
    BeatFailed,
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
    Passed,
    Phase,
    Rang,
    RunImport,
    RunUpload,
    SessionLost,
    Simple,
    StepReport,
    Stirred,
)
from listener.flags import Flags
from listener.schedule import next_due, react
from listener.state import Import, State


class History:
    """A world that draws what happens next."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def maybe(self, chance: float = 0.5) -> bool:
        return self.dice.random() < chance

    def report(self) -> StepReport:
        return StepReport(more=self.maybe(0.3), retry_after=self.dice.choice([None, 0.0, 0.05, 3.0, 100.0]))

    def passed(self) -> Event:
        return Passed(self.report(), rest_for=self.dice.choice([None, None, 0.05, 30.0]))

    def asked(self) -> Event:
        return Asked(self.dice.choice([None, 7, 7]), pending=self.maybe(0.3), settled=self.maybe())

    def foreign(self) -> str:
        return "the database is copy, it was shop" if self.maybe(0.1) else ""

    def beaten(self) -> Beaten:
        return Beaten(self.maybe(), fresh=self.maybe(), muted=self.maybe(0.1), foreign=self.foreign())

    def end_of(self, job: Job) -> Event:
        if self.maybe(0.05):
            return SessionLost(0.1)
        if job in (Job.PASS, Job.SETTLE, Job.ASK, Job.SILENCE, Job.PING) and self.maybe(0.05):
            return Failed(UPLOAD, "broken")
        ends: dict[Job, Callable[[], Event]] = {
            Job.LEAD: lambda: Led(self.maybe(0.8), foreign=self.foreign()),
            Job.PASS: self.passed,
            Job.SETTLE: self.asked,
            Job.ASK: self.asked,
            Job.BEAT: lambda: BeatFailed() if self.maybe(0.1) else self.beaten(),
            Job.SILENCE: Done,
            Job.LOOK: Done,
            Job.PING: Done,
        }
        return ends[job]()

    def outside(self) -> Event:
        if self.maybe(0.7):
            return Rang(self.dice.choice(list(Channel)))
        flags = Flags(
            fast_polling_enabled=self.maybe(0.8),
            notify_enabled=self.maybe(0.8),
            fast_polling_interval=self.dice.choice([1, 15, 3600]),
        )
        return Configured(flags, frozenset(name for name in WORKFLOWS if self.maybe(0.8)))

    def events(self, state: State) -> list[Event]:
        """What can come next of the outside world and of the jobs under way, in any order."""
        events = [self.outside()] if self.maybe(0.3) else []
        if state.upload.job and self.maybe():
            events.append(self.end_of(state.upload.job))
        if state.imports.running and self.maybe():
            events.append(Failed(IMPORT, "broken") if self.maybe(0.1) else Imported(self.report()))
        if state.connecting and self.maybe():
            events.append(Listening(deaf=self.maybe(0.1)))
        elif state.listening and self.maybe(0.02):
            events.append(ListenLost())
        if not state.upload.job and self.maybe(0.02):
            events.append(Stirred())
        self.dice.shuffle(events)
        return events


def may_sleep(before: State, events: Sequence[Event]) -> bool:
    settled = any(isinstance(event, Asked) and event.settled and not event.pending for event in events)
    return before.upload.phase is Phase.ASLEEP or settled


@pytest.mark.parametrize("seed", range(40))
def test_it_never_spins_never_runs_two_jobs_at_once_and_sleeps_only_through_a_settle(seed: int) -> None:
    history = History(seed)
    state, now = State(imports=Import(available=True)), 0.0
    for _ in range(300):
        events = history.events(state)
        before = state
        state, actions = react(state, events, now)
        assert next_due(state) > now, f"the loop would spin on {state}"
        assert state.upload.phase is not Phase.ASLEEP or may_sleep(before, events)
        uploads = [action for action in actions if isinstance(action, RunUpload)]
        ended = any(not isinstance(event, Rang | Configured | Listening | ListenLost | Imported) for event in events)
        assert len(uploads) <= (1 if before.upload.job is None or ended else 0)
        assert state.upload_switched_on or Job.PASS not in [action.job for action in uploads], "switched off, it sends"
        assert sum(isinstance(action, RunImport) for action in actions) <= 1
        assert Simple.QUIT not in actions
        now += history.dice.choice([0.0, 0.0004, 0.01, 1.0, 15.0, 70.0])


def asleep() -> State:
    state = State(configured=True, listening=True, beat_at=1000.0, ping_at=1000.0)
    upload = replace(state.upload, phase=Phase.ASLEEP, due_at=float("inf"), kept_alive_at=1000.0)
    return replace(state, upload=upload)


@pytest.mark.parametrize("seed", range(20))
def test_while_it_sleeps_a_bell_always_wakes_it(seed: int) -> None:
    history, state = History(seed), asleep()
    busy = history.maybe()
    if busy:
        state, _ = react(replace(state, beat_at=1.0), [], 1.0)
        assert state.upload.job is Job.BEAT
    state, actions = react(state, [Rang(Channel.ORDERS)], 2.0)
    if busy:
        state, actions = react(state, [replace(history.beaten(), foreign="")], 3.0)
    assert [action.job for action in actions if isinstance(action, RunUpload)] == [Job.PASS]
