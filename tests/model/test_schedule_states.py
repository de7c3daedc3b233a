"""Every state that `react` can get into, breadth first, under laws that none of them may break.

Random histories (tests/unit/test_schedule_laws.py) go far; this goes everywhere. To be finite it forgets how long
something takes: a time is to come or it never is, and whatever is to come may come next. So it sees more orders of
events than there are. It leaves pings, the import and deafness to the random ones.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from listener.events import (
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
    Job,
    Led,
    Listening,
    ListenLost,
    Passed,
    Phase,
    Rang,
    RunUpload,
    SessionLost,
    Source,
    StepReport,
)
from listener.flags import Flags
from listener.schedule import next_due, react
from listener.state import State

NOW, LATER = 0.0, 1.0
ALL = frozenset(WORKFLOWS)
BELL = Rang(Channel.ORDERS)
SLEEPY = Flags(idle_policy="allow_sleep")
SETTINGS = [
    Configured(Flags(), ALL),
    Configured(Flags(notify_enabled=False), ALL),
    Configured(Flags(), frozenset()),
    Configured(SLEEPY, ALL),
]

ENDS: dict[Job, list[Event]] = {
    Job.LEAD: [Led(leading=True), Led(leading=False)],
    Job.PASS: [
        Passed(StepReport()),
        Passed(StepReport(more=True)),
        Passed(StepReport(retry_after=LATER)),
        Passed(StepReport(), rest_for=LATER),
        Failed(UPLOAD),
    ],
    Job.SETTLE: [Asked(None), Asked(7, pending=True), Asked(7), Asked(7, settled=True), Failed(UPLOAD)],
    Job.ASK: [Asked(7, pending=True), Asked(7), Asked(7, settled=True), Asked(7, pending=True, settled=True)],
    Job.BEAT: [Beaten(due=False), Beaten(due=True, fresh=True), Beaten(due=False, muted=True), BeatFailed()],
    Job.SILENCE: [Done()],
    Job.DOZE: [Done(), BeatFailed()],
}


@dataclass(frozen=True, slots=True)
class World:
    """The state, and what is true outside of it.

    asks:   the job under way was told to take the silence lock
    silent: the work session may hold that lock
    marked: its mark was taken since anybody held it, as far as anybody knows
    news:   a bell rang, or LISTEN was lost or renewed, since the last look at the inbox began
    """

    state: State
    asks: bool = False
    silent: bool = False
    marked: bool = False
    news: bool = False

    @property
    def job(self) -> Job | None:
        return self.state.upload.job


def coarse(state: State) -> State:
    """Return the state without what only tells when, why or how often."""

    def when(time: float) -> float:
        return inf if time == inf else LATER

    u = state.upload
    upload = replace(
        u,
        due_at=when(u.due_at),
        retry_at=when(u.retry_at),
        kept_alive_at=inf,
        errors=0,
        settling_since=NOW,
        led_before=True,
        checked=False,
        muted=False,
        source=Source.RECONNECT if u.rethink and u.source is Source.RECONNECT else Source.STARTUP,
    )
    times = {"ping_at": inf, "missed_at": inf, "probe_at": when(state.probe_at), "beat_at": when(state.beat_at)}
    times["worked_at"] = -inf if state.worked_at == -inf else NOW
    return replace(state, upload=upload, imports=State().imports, config_rang=False, **times)


def passing(state: State) -> Iterator[State]:
    """Yield the state at each time that may come next, while no job is under way."""
    u = state.upload
    if u.job is None:
        if state.beat_at < inf:
            yield replace(state, beat_at=NOW)
        if state.flags == SLEEPY:
            yield replace(state, worked_at=-inf)
        for time in ("due_at", "retry_at"):
            if getattr(u, time) < inf:
                yield replace(state, upload=replace(u, **{time: NOW}))


def happenings(state: State) -> Iterator[list[Event]]:
    """Yield what may happen next: one event, or the end of a job and another before the next job begins."""
    ends = [*ENDS[state.upload.job], SessionLost(LATER)] if state.upload.job else []
    others: list[Event] = [BELL]
    others += [Listening(deaf=False)] if state.connecting else []
    others += [ListenLost()] if state.listening else []
    for event in [*SETTINGS, *others, *ends]:
        yield [event]
    for end in ends:
        for event in others:
            yield [end, event]


def ended(world: World, end: Event) -> World:
    """Return what is true outside when the job under way has ended so."""
    if isinstance(end, SessionLost):
        return replace(world, silent=False, marked=False)
    if isinstance(end, Asked) and world.job is Job.SETTLE:
        return replace(world, silent=False, marked=end.x is not None)
    if isinstance(end, Beaten) and end.muted:
        return replace(world, marked=False)
    if isinstance(end, Passed | Done) and world.job in (Job.PASS, Job.SILENCE):
        return replace(world, silent=world.asks)
    return world


def begun(world: World, action: RunUpload) -> World:
    """Return what may be true outside as soon as this job is under way. Asserts what must be true before."""
    assert world.state.leading or action.job in (Job.LEAD, Job.DOZE)
    if action.job is Job.PASS:
        assert world.state.upload_switched_on
    if action.job is Job.ASK:
        assert world.marked, "it asks about a mark that does not count every silenced writer"
        assert not world.silent
    takes = action.job in (Job.PASS, Job.SILENCE) and action.silence
    looks = action.job in (Job.PASS, Job.SETTLE, Job.ASK)
    return replace(
        world,
        asks=action.silence,
        silent=world.silent or takes,
        marked=world.marked and not takes,
        news=world.news and not looks,
    )


def follow(world: World, state: State, events: list[Event]) -> World:
    """Return the world after `events`. Asserts the laws of one step."""
    ends = [event for event in events if world.job and event in [*ENDS[world.job], SessionLost(LATER)]]
    for end in ends:
        world = ended(world, end)
    if any(isinstance(event, Rang | Listening | ListenLost) for event in events):
        world = replace(world, news=True)
    free = world.job is None or bool(ends)
    after, actions = react(state, events, NOW)
    if after.upload.phase is Phase.ASLEEP is not state.upload.phase:
        assert any(isinstance(end, Asked) and end.settled and not end.pending for end in ends), "nobody said it might"
    jobs = [action for action in actions if isinstance(action, RunUpload)]
    assert len(jobs) <= free, "one job at a time"
    world = replace(world, state=coarse(after))
    for job in jobs:
        world = begun(world, job)
    return world


def assert_lawful(world: World) -> None:
    """Assert the laws of one state."""
    state = world.state
    assert world.job or state.connecting or next_due(state) < inf, "it waits for nothing"
    if state.upload.phase is not Phase.ASLEEP:
        return
    assert not world.silent, "it sleeps, and no writer may ring"
    assert world.marked, "it sleeps, and a silent writer may be open"
    suspended = state.dormant and not state.listening  # the server has closed its sessions: a look is to come
    if world.job is None and not suspended:  # else what has changed is thought about when that ends
        assert not state.rests_between_passes, "it sleeps, and no bell may wake it"
        assert not world.news, "it sleeps, and has not looked since it was rung"


def next_worlds(world: World) -> Iterator[World]:
    for events in happenings(world.state):
        yield follow(world, world.state, events)
    for state in passing(world.state):
        yield follow(world, state, [])


def test_no_state_breaks_a_law() -> None:
    start = World(coarse(State()))
    seen, waiting = {start}, deque([start])
    while waiting:
        for world in next_worlds(waiting.popleft()):
            if world not in seen:
                assert_lawful(world)
                seen.add(world)
                waiting.append(world)
    assert {world.state.upload.phase for world in seen} == set(Phase)
    assert {world.job for world in seen} == {None, *ENDS}
