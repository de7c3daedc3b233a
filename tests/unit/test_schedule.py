"""The loop's decisions, one sentence a test. No clock, no thread: `now` is a number."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest

from listener.events import (
    UPLOAD,
    WORKFLOWS,
    Action,
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
    Source,
    StepReport,
    Stirred,
    Stop,
)
from listener.flags import Flags
from listener.schedule import next_due, react
from listener.state import Import, State

DRY = Passed(StepReport())
BELL = Rang(Channel.ORDERS)


class Loop:
    """Drives `react` and remembers what it asked for."""

    def __init__(self, **flags: object) -> None:
        self.now = 1000.0
        self.state = State(imports=Import(available=True))
        self.flags = replace(Flags(), **flags)
        self.enabled = frozenset(WORKFLOWS)

    def on(self, *events: Event, after: float = 0.0) -> list[Action]:
        self.now += after
        self.state, actions = react(self.state, events, self.now)
        assert next_due(self.state) > self.now, "the loop would spin"
        return list(actions)

    def jobs(self, *events: Event, after: float = 0.0) -> list[Job]:
        return [action.job for action in self.on(*events, after=after) if isinstance(action, RunUpload)]

    def configure(self, **flags: object) -> list[Action]:
        self.flags = replace(self.flags, **flags)
        return self.on(Configured(self.flags, self.enabled))

    def switch(self, workflow: str, *, on: bool) -> list[Action]:
        self.enabled = self.enabled | {workflow} if on else self.enabled - {workflow}
        return self.on(Configured(self.flags, self.enabled))

    def lead(self, *, deaf: bool = False) -> "Loop":
        """Connect, read the flags and win the lead; the first job of a leader is under way or due then."""
        self.on()
        self.on(Listening(deaf=deaf))
        self.on(Configured(self.flags, self.enabled))
        self.on(Led(leading=True))
        self.on(Imported(StepReport()))
        return self

    def fall_asleep(self) -> "Loop":
        self.lead()
        self.on(DRY)
        self.on(Asked(7, settled=True))
        assert self.jobs(after=1) == [Job.BEAT]
        self.on(Beaten(due=False))
        assert self.phase is Phase.ASLEEP
        return self

    def passes_within(self, seconds: float, *, foreign: str = "") -> list[float]:
        """Let time pass, with beats that see due orders; return when a pass began."""
        until, began = self.now + seconds, []
        while self.now < until:
            self.on(after=1)
            while job := self.state.upload.job:
                began += [self.now] if job is Job.PASS else []
                self.on({Job.PASS: DRY, Job.BEAT: Beaten(due=True, fresh=True, foreign=foreign)}.get(job, Done()))
        return began

    @property
    def phase(self) -> Phase:
        return self.state.upload.phase


def test_nobody_leads_before_listen_stands_and_the_flags_are_known() -> None:
    loop = Loop()
    assert loop.on() == [Simple.CONNECT]
    assert loop.jobs(after=60) == []
    assert loop.on(Listening(deaf=False)) == [Simple.READ_CONFIG]
    assert loop.jobs(Configured(Flags(), frozenset(WORKFLOWS))) == [Job.LEAD]


def test_a_start_looks_first_and_only_a_settle_leads_to_sleep() -> None:
    loop = Loop()
    loop.on()
    loop.on(Listening(deaf=False), Configured(Flags(), frozenset(WORKFLOWS)))
    assert loop.jobs(Led(leading=True)) == [Job.PASS]
    assert loop.jobs(DRY) == [Job.SETTLE]
    assert loop.phase is Phase.SETTLING
    assert loop.jobs(Asked(7)) == []
    assert loop.jobs(after=0.01) == [Job.ASK]
    assert loop.jobs(Asked(7, settled=True)) == []
    assert loop.phase is Phase.ASLEEP


def test_a_bell_wakes_the_sleeper_at_once_with_its_source() -> None:
    loop = Loop().fall_asleep()
    (action,) = loop.on(BELL)
    assert isinstance(action, RunUpload)
    assert (action.job, action.source, action.check, action.silence) == (Job.PASS, Source.NOTIFY, True, True)


def test_a_bell_during_the_settles_question_is_not_slept_over() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    assert loop.jobs(BELL) == []
    assert loop.jobs(Asked(7, settled=True)) == [Job.PASS]


def test_a_bell_that_comes_with_the_answer_that_ends_the_settle_wakes() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    assert loop.jobs(Asked(7, settled=True), BELL) == [Job.PASS]


def test_a_bell_ends_the_pause_between_two_questions() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    loop.on(Asked(7), after=0.5)
    assert loop.jobs(BELL) == [Job.PASS]


def test_a_row_that_the_settle_finds_is_worked_on_and_settled_again() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    assert loop.jobs(Asked(7, pending=True, settled=True)) == [Job.PASS]
    assert loop.jobs(DRY) == [Job.SETTLE]


def test_a_refused_settle_stays_awake_and_looks_again_after_a_pause() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    assert loop.jobs(Asked(None)) == []
    assert loop.phase is Phase.AWAKE
    assert loop.jobs(after=1) == [Job.BEAT]
    assert loop.jobs(Beaten(due=False)) == [Job.PASS]


def test_the_settles_questions_slow_down_and_become_patient() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    asked = []
    for _ in range(400):
        loop.on(Asked(7))
        due = next_due(loop.state)
        for action in loop.on(after=due - loop.now):
            if isinstance(action, RunUpload) and action.job is Job.ASK:
                asked.append((loop.now - loop.state.upload.settling_since, action.patient))
            elif isinstance(action, RunUpload):
                loop.on(Done())
    within_two_seconds = [at for at, _ in asked if at < 2]
    assert 190 <= len(within_two_seconds) <= 215
    assert not any(patient for at, patient in asked if at < 10)
    assert any(patient for at, patient in asked if at > 10.5)


def test_any_error_leads_back_to_the_lock_and_never_to_sleep() -> None:
    loop = Loop().fall_asleep()
    assert loop.jobs(BELL) == [Job.PASS]
    assert loop.jobs(Failed(UPLOAD, "broken")) == [Job.SILENCE]
    assert loop.phase is Phase.RESTING
    loop.on(Done())
    assert Job.PASS not in loop.jobs(BELL), "a backoff holds against the bell"
    assert Job.PASS in loop.jobs(after=60) or Job.PASS in loop.jobs(Beaten(due=False), after=1)


def test_errors_in_a_row_back_off_60_120_180_240_300_300() -> None:
    loop, pauses = Loop().lead(), []
    for _ in range(6):
        loop.on(Failed(UPLOAD))
        loop.on(Done())
        pauses.append(loop.state.upload.due_at - loop.now)
        loop.on(after=pauses[-1])
        if loop.state.upload.job is not Job.PASS:
            loop.on(Beaten(due=False))
        assert loop.state.upload.job is Job.PASS
    assert pauses == [60, 120, 180, 240, 300, 300]


def test_a_requeue_ends_a_backoff_and_wakes_nobody_else() -> None:
    loop = Loop().lead()
    loop.on(Failed(UPLOAD, "no answer"))
    loop.on(Done())
    assert loop.jobs(Configured(loop.flags, loop.enabled, requeued=7)) == [Job.PASS]
    loop.on(Failed(UPLOAD, "no answer"))
    loop.on(Done())
    assert loop.jobs(Configured(loop.flags, loop.enabled, requeued=7)) == [], "that one is known"
    assert Loop().fall_asleep().jobs(Configured(Flags(), frozenset(WORKFLOWS), requeued=7)) == []


def test_a_flag_change_ends_a_backoff() -> None:
    loop = Loop().lead()
    loop.on(Failed(UPLOAD))
    loop.on(Done())
    loop.configure(sync_interval=180)
    assert loop.state.upload.job is Job.PASS


def test_an_idle_beat_is_one_job_per_heartbeat_and_a_ping() -> None:
    loop, seen = Loop().fall_asleep(), []
    for _ in range(240):
        seen += loop.on(after=15)
        loop.on(Beaten(due=False), Imported(StepReport()))
    assert [a.job for a in seen if isinstance(a, RunUpload)].count(Job.BEAT) == 240
    assert seen.count(Simple.PING_LISTEN) == 240
    assert not [a for a in seen if isinstance(a, RunUpload) and a.job is not Job.BEAT]


def test_between_long_heartbeats_pings_and_looks_at_the_triggers_keep_the_sessions() -> None:
    loop = Loop(fast_polling_interval=3600).fall_asleep()
    seen = []
    for _ in range(8):
        seen += loop.jobs(after=15)
        loop.on(Done())
    assert seen == [Job.PING, Job.LOOK] * 4


@pytest.mark.parametrize("flags", [{}, {"fast_polling_enabled": False}, {"notify_enabled": False}])
@pytest.mark.parametrize("interval", [1, 15, 45, 100, 3600])
def test_triggers_are_looked_at_once_a_minute_at_least_and_for_no_statement_more(
    interval: int, flags: dict[str, bool]
) -> None:
    loop, looks, jobs = Loop(fast_polling_interval=interval, **flags).lead(), [], 0
    for _ in range(3600):
        loop.on(after=1)
        while job := loop.state.upload.job:
            looks += [loop.now] if job in (Job.BEAT, Job.LOOK) else []
            jobs += job is not Job.SILENCE
            ends: dict[Job, Event] = {Job.PASS: DRY, Job.BEAT: Beaten(due=False), Job.SETTLE: Asked(7, settled=True)}
            loop.on(ends.get(job, Done()))
    assert max(later - sooner for sooner, later in pairwise(looks)) <= 31
    assert jobs <= 3600 / min(interval, 15) + 30, "but for passes every 300 s"


def test_triggers_are_looked_at_between_the_steps_of_a_long_drain() -> None:
    loop, looks = Loop(fast_polling_interval=3600).lead(), []
    for _ in range(20):
        loop.on(Passed(StepReport(done=100, more=True)), after=29)  # as long as a request may take
        while loop.state.upload.job in (Job.BEAT, Job.LOOK):
            looks.append(loop.now)
            loop.on(Beaten(due=True) if loop.state.upload.job is Job.BEAT else Done())
        assert loop.state.upload.job is Job.PASS
    assert max(later - sooner for sooner, later in pairwise(looks)) < 60


def test_a_work_session_that_stirs_unasked_is_asked_at_once_whether_it_is_still_there() -> None:
    loop = Loop(fast_polling_interval=3600).fall_asleep()
    assert loop.jobs(Stirred()) == [Job.PING]
    assert loop.jobs(SessionLost(0.1)) == []
    assert loop.jobs(after=0.1) == [Job.LEAD]


def test_a_database_that_lets_listen_in_again_is_led_without_the_rest_of_the_pause() -> None:
    loop = Loop().fall_asleep()
    loop.on(BELL)
    assert loop.jobs(SessionLost(60), ListenLost()) == []
    assert loop.jobs(Listening(deaf=False)) == [Job.LEAD]


def test_work_that_a_beat_finds_is_not_checked_twice_and_counts_as_missed() -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    (action,) = [a for a in loop.on(Beaten(due=True, fresh=True)) if isinstance(a, RunUpload)]
    assert (action.job, action.source, action.check) == (Job.PASS, Source.HEARTBEAT, False)
    loop.on(DRY)
    assert Simple.NOTE_MISSED in loop.on(after=1)


@pytest.mark.parametrize("why_not", ["a bell came after all", "only retries were due"])
def test_nothing_is_missed_when(why_not: str) -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    loop.on(Beaten(due=True, fresh=why_not != "only retries were due"))
    if why_not == "a bell came after all":
        loop.on(BELL)
    loop.on(DRY)
    assert Simple.NOTE_MISSED not in loop.on(after=2)


def test_a_retry_wakes_on_time_and_says_so() -> None:
    loop = Loop().lead()
    loop.on(Passed(StepReport(retry_after=4)))
    loop.on(Asked(7, settled=True))
    loop.on(after=1)
    loop.on(Beaten(due=False))
    assert next_due(loop.state) == pytest.approx(loop.now + 3)
    (action,) = loop.on(after=3)
    assert isinstance(action, RunUpload)
    assert (action.job, action.source) == (Job.PASS, Source.RETRY)


def test_a_retry_is_not_kept_waiting_by_a_settle_that_waits_for_an_open_writer() -> None:
    loop = Loop().lead()
    loop.on(Passed(StepReport(retry_after=0.8)))
    loop.on(Asked(7))
    loop.on(Asked(7), after=0.4)
    (action,) = [a for a in loop.on(after=0.4) if isinstance(a, RunUpload)]
    assert (action.job, action.source) == (Job.PASS, Source.RETRY)


def test_while_there_is_no_budget_bells_are_not_acted_upon_and_the_lock_stays() -> None:
    loop = Loop().lead()
    assert loop.jobs(Passed(StepReport(), rest_for=0.5)) == [Job.SILENCE]
    loop.on(Done())
    assert loop.jobs(BELL) == []
    assert loop.jobs(after=0.5) == [Job.PASS]


def test_a_bigger_budget_ends_the_wait_for_it() -> None:
    loop = Loop().lead()
    loop.on(Passed(StepReport(), rest_for=300))
    loop.on(Done())
    assert RunUpload(Job.PASS, Source.MANUAL) in loop.configure(api_calls_per_hour=1000)


def test_more_work_is_due_at_once() -> None:
    loop = Loop().lead()
    assert loop.jobs(Passed(StepReport(done=100, more=True))) == [Job.PASS]


def test_fast_polling_off_means_no_bell_no_check_and_a_pass_every_300_seconds() -> None:
    loop = Loop().fall_asleep()
    actions = loop.configure(fast_polling_enabled=False)
    assert [a.job for a in actions if isinstance(a, RunUpload)] == [Job.SILENCE]
    loop.on(Done())
    assert loop.jobs(BELL) == []
    answers = {Job.PASS: DRY, Job.BEAT: Beaten(due=True, fresh=True)}
    passes = []
    for _ in range(7000):
        actions = loop.on(after=0.1)
        if job := loop.state.upload.job:
            passes += [(loop.now, a.check) for a in actions if isinstance(a, RunUpload) and a.job is Job.PASS]
            loop.state, _ = react(loop.state, [answers.get(job, Done())], loop.now)
    assert [check for _, check in passes] == [False, False]
    assert passes[1][0] - passes[0][0] == pytest.approx(300, abs=2)


def test_fast_polling_on_again_looks_at_once() -> None:
    loop = Loop(fast_polling_enabled=False).lead()
    loop.on(DRY)
    loop.on(Done())
    loop.configure(fast_polling_enabled=True)
    assert loop.state.upload.job is Job.PASS


def test_notify_off_leaves_the_heartbeat_and_keeps_the_lock() -> None:
    loop = Loop().fall_asleep()
    actions = loop.configure(notify_enabled=False)
    assert RunUpload(Job.SILENCE, Source.STARTUP) in actions
    loop.on(Done())
    assert loop.jobs(BELL) == []
    assert loop.jobs(after=15) == [Job.BEAT]
    assert loop.jobs(Beaten(due=True)) == [Job.PASS]
    loop.on(DRY)
    assert loop.phase is Phase.RESTING


def test_a_deaf_listener_polls_and_never_holds_the_silence_lock() -> None:
    loop = Loop()
    loop.on()
    loop.on(Listening(deaf=True), Configured(Flags(), frozenset(WORKFLOWS)))
    actions = [*loop.on(Led(leading=True)), *loop.on(DRY), *loop.on(Done())]
    uploads = [a for a in actions if isinstance(a, RunUpload)]
    assert {a.job for a in uploads} == {Job.PASS, Job.SILENCE}
    assert not any(a.silence for a in uploads)
    assert loop.phase is Phase.RESTING
    assert Job.BEAT in loop.jobs(after=15)


def test_a_deaf_listener_probes_again_each_minute() -> None:
    loop = Loop().lead(deaf=True)
    assert Simple.CONNECT not in loop.on(after=59)
    assert Simple.CONNECT in loop.on(after=1)


def test_a_reconnect_is_a_wake() -> None:
    loop = Loop().fall_asleep()
    loop.on(ListenLost())
    loop.on(DRY)
    loop.on(Listening(deaf=False))
    assert loop.state.upload.source is Source.RECONNECT
    assert loop.state.upload.job in (Job.PASS, Job.SILENCE)


def test_a_lost_work_session_loses_the_lead_and_is_opened_again() -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    loop.on(SessionLost(retry_in=0.1))
    assert not loop.state.leading
    assert loop.jobs(after=0.1) == [Job.LEAD]
    loop.on(Led(leading=True))
    loop.on(Done())  # the silence lock
    (action, *_) = loop.on(Configured(loop.flags, loop.enabled))
    assert isinstance(action, RunUpload)
    assert (action.job, action.source) == (Job.PASS, Source.RECONNECT)


def test_a_leader_that_comes_back_reads_flags_and_switches_before_it_does_anything() -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    loop.on(SessionLost(retry_in=0.1))
    assert loop.jobs(after=0.1) == [Job.LEAD]
    began = loop.on(Led(leading=True))
    assert Simple.READ_CONFIG in began
    assert not [action for action in began if isinstance(action, RunImport)]
    loop.on(Done())  # the silence lock
    loop.on(ListenLost())
    loop.on(Listening(deaf=False))
    assert loop.jobs(after=5) == [Job.BEAT]
    assert loop.jobs(Beaten(due=True)) == []
    assert loop.jobs(Configured(loop.flags, loop.enabled - {UPLOAD})) == [Job.SILENCE]
    assert loop.jobs(Done()) == []
    assert loop.jobs(Configured(loop.flags, loop.enabled)) == [Job.PASS]


def test_a_leader_that_steps_down_during_a_try_is_tried_for_again_at_once() -> None:
    loop = Loop()
    loop.on()
    assert loop.jobs(Listening(deaf=False), Configured(Flags(), frozenset(WORKFLOWS))) == [Job.LEAD]
    assert loop.jobs(Rang(Channel.LEADER)) == []
    assert loop.jobs(Led(leading=False)) == [Job.LEAD]
    assert loop.jobs(Led(leading=False)) == [], "once"
    assert loop.jobs(after=1) == [Job.LEAD]


def test_a_standby_tries_each_second_and_when_the_leader_steps_down() -> None:
    loop = Loop()
    loop.on()
    loop.on(Listening(deaf=False), Configured(Flags(), frozenset(WORKFLOWS)))
    assert loop.jobs(Led(leading=False)) == []
    assert loop.jobs(after=1) == [Job.LEAD]
    loop.on(Led(leading=False))
    assert loop.jobs(Rang(Channel.LEADER)) == [Job.LEAD]
    assert not [a for a in loop.on() if isinstance(a, RunImport)]


def test_a_switched_off_upload_neither_checks_nor_passes_but_keeps_its_figures() -> None:
    loop = Loop().fall_asleep()
    loop.switch(UPLOAD, on=False)
    loop.on(Done())
    (beat,) = [a for a in loop.on(BELL, after=15) if isinstance(a, RunUpload)]
    assert (beat.job, beat.check, beat.finish) == (Job.BEAT, False, True)
    assert loop.jobs(Beaten(due=True, fresh=True)) == []
    loop.switch(UPLOAD, on=True)
    assert loop.state.upload.job is Job.PASS


def test_a_change_during_a_job_is_thought_about_when_it_ends() -> None:
    loop = Loop().lead()
    assert loop.state.upload.job is Job.PASS
    loop.switch(UPLOAD, on=False)
    assert loop.jobs(Passed(StepReport(done=100, more=True))) == [Job.SILENCE]
    assert loop.phase is Phase.RESTING


@pytest.mark.parametrize("fault", [Failed(UPLOAD, "no answer"), BeatFailed()], ids=["a pass", "a beat"])
def test_a_switched_off_upload_does_not_begin_again_after_what_failed_meanwhile(fault: Event) -> None:
    loop = Loop().fall_asleep()
    loop.on(BELL) if isinstance(fault, Failed) else loop.on(after=15)
    loop.switch(UPLOAD, on=False)
    loop.on(fault)
    assert loop.phase is Phase.RESTING
    assert not loop.state.upload.backing_off
    assert loop.passes_within(400) == []


COPY = "the database is copy, it was shop"


def test_a_restored_copy_sends_nothing_under_the_lock_and_goes_on_importing() -> None:
    loop = Loop()
    loop.on()
    loop.on(Listening(deaf=False), Configured(Flags(), frozenset(WORKFLOWS)))
    actions = loop.on(Led(leading=True, foreign=COPY))
    assert [type(action) for action in actions] == [RunUpload, RunImport]
    assert isinstance(actions[0], RunUpload)
    assert (actions[0].job, actions[0].silence) == (Job.SILENCE, True)
    loop.on(Done(), Imported(StepReport()))
    assert loop.jobs(BELL) == []
    loop.configure(sync_interval=180)
    loop.on(Configured(loop.flags, loop.enabled, requeued=7))
    assert loop.passes_within(400, foreign=COPY) == [], "no bell, beat, retry, flag or requeue sends anything"
    assert loop.phase is Phase.RESTING


def test_a_copy_that_is_declared_production_goes_on_with_the_next_beat() -> None:
    loop = Loop()
    loop.on()
    loop.on(Listening(deaf=False), Configured(Flags(), frozenset(WORKFLOWS)))
    loop.on(Led(leading=True, foreign=COPY))
    loop.on(Done())
    assert loop.jobs(after=1) == [Job.BEAT]
    assert loop.jobs(Beaten(due=True, fresh=True)) == [Job.PASS]
    assert loop.state.upload.source is Source.MANUAL


def test_a_bell_during_the_beat_that_finds_a_copy_is_not_acted_upon() -> None:
    loop = Loop().fall_asleep()
    assert loop.jobs(after=15) == [Job.BEAT]
    loop.on(BELL)
    assert loop.jobs(Beaten(due=True, fresh=True, foreign=COPY)) == [Job.SILENCE]
    assert loop.phase is Phase.RESTING
    loop.on(Done())
    assert loop.passes_within(400, foreign=COPY) == []


def test_a_copy_found_while_the_upload_backs_off_ends_that() -> None:
    loop = Loop().lead()
    loop.on(Failed(UPLOAD, "no answer"))
    loop.on(Done())
    assert loop.jobs(after=15) == [Job.BEAT]
    loop.on(Beaten(due=True, foreign=COPY))
    assert not loop.state.upload.backing_off
    loop.on(Done())
    assert loop.passes_within(400, foreign=COPY) == []


def test_a_shorter_interval_takes_effect_now_and_not_after_the_sleep_under_way() -> None:
    loop = Loop(fast_polling_interval=3600).fall_asleep()
    loop.configure(fast_polling_interval=5)
    assert next_due(loop.state) <= loop.now + 5


def test_during_a_long_job_the_beat_reads_the_flags_over_the_listen_session() -> None:
    loop = Loop().lead()
    assert loop.state.upload.job is Job.PASS
    assert Simple.LOOK_AT_CONFIG in loop.on(after=15)


def test_a_muted_bell_is_not_trusted_until_another_settle_says_that_nobody_silent_is_left() -> None:
    loop = Loop(fast_polling_interval=3600).fall_asleep()
    assert loop.jobs(after=3600) == [Job.BEAT]
    assert loop.jobs(Beaten(due=False, muted=True)) == [Job.PASS]
    for _ in range(3):
        assert loop.jobs(DRY) == [Job.SETTLE]
        assert loop.jobs(Asked(None)) == []
        assert loop.jobs(after=1) == [Job.BEAT]
        assert loop.jobs(Beaten(due=False, muted=True)) == [Job.PASS]
    assert loop.jobs(DRY) == [Job.SETTLE]
    loop.on(Asked(7, settled=True))
    assert loop.phase is Phase.ASLEEP


def test_who_is_muted_while_it_settles_begins_anew() -> None:
    loop = Loop().lead()
    loop.on(DRY)
    loop.on(Asked(7, settled=False))
    assert loop.phase is Phase.SETTLING
    assert loop.jobs(after=1) == [Job.BEAT]
    assert loop.jobs(Beaten(due=False, muted=True)) == [Job.PASS]


def test_a_beat_that_falls_on_a_job_follows_when_that_ends() -> None:
    loop = Loop().lead()
    loop.on(after=15)
    assert loop.state.upload.job is Job.PASS
    assert loop.jobs(DRY) == [Job.BEAT]


def test_a_long_drain_does_not_starve_the_beat() -> None:
    loop, beats = Loop().lead(), 0
    for _ in range(40):
        beats += loop.jobs(Passed(StepReport(done=100, more=True)), after=1) == [Job.BEAT]
        if loop.state.upload.job is Job.BEAT:
            assert loop.jobs(Beaten(due=True)) == [Job.PASS]
    assert beats >= 2


def test_a_failed_beat_goes_back_to_the_lock_and_holds_no_order_up() -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    loop.on(BeatFailed())
    assert loop.phase is Phase.AWAKE
    assert loop.jobs(after=1) == [Job.PASS]


def test_stop_waits_for_the_step_under_way_and_starts_nothing() -> None:
    loop = Loop().lead()
    assert loop.on(Stop()) == []
    assert loop.on(Passed(StepReport(more=True))) == [Simple.QUIT]
    assert next_due(loop.state) == inf


def test_the_import_is_due_each_heartbeat_and_at_once_when_more_files_wait() -> None:
    loop = Loop().lead()
    assert RunImport(Source.HEARTBEAT) in loop.on(after=15)
    assert RunImport(Source.HEARTBEAT) in loop.on(Imported(StepReport(done=1, more=True)))
    assert not [a for a in loop.on(Imported(StepReport())) if isinstance(a, RunImport)]


def test_one_workflows_failure_does_not_delay_another() -> None:
    loop = Loop().fall_asleep()
    loop.on(after=15)
    loop.on(Failed("xml-import"), Beaten(due=False))
    assert loop.state.imports.due_at == loop.now + 60
    assert loop.jobs(BELL) == [Job.PASS]
