"""When the sync runs: its cycles, its steps, its backoff, and that it never waits for the others or they for it."""

from math import inf

import pytest

from listener.events import (
    IMPORT,
    SYNC,
    UPLOAD,
    Action,
    Configured,
    Event,
    Failed,
    Imported,
    Led,
    Passed,
    RunSync,
    SessionLost,
    Simple,
    Source,
    StepReport,
    Stop,
    Synced,
)
from listener.schedule import next_due
from listener.state import Import, State, Sync
from tests.unit.test_schedule import Loop

OVER = Synced(StepReport())
MORE = Synced(StepReport(more=True), over=False)


class SyncLoop(Loop):
    """A loop that leads in epoch 3, with a sync."""

    def __init__(self, **flags: object) -> None:
        super().__init__(**flags)
        self.state = State(imports=Import(available=True), sync=Sync(available=True))

    def syncs(self, *events: Event, after: float = 0.0) -> list[RunSync]:
        return only_syncs(self.on(*events, after=after))

    def run(self) -> "SyncLoop":
        """Lead, and run the first cycle."""
        self.lead()
        self.on(Led(leading=True, epoch=3))
        self.on(Configured(self.flags, self.enabled))
        assert self.state.sync.running
        self.on(OVER)
        return self


def only_syncs(actions: list[Action]) -> list[RunSync]:
    return [action for action in actions if isinstance(action, RunSync)]


def test_a_new_leader_syncs_at_once_under_its_epoch() -> None:
    loop = SyncLoop()
    loop.lead()
    assert loop.state.sync.running
    loop = SyncLoop().run()
    assert loop.syncs(after=120) == [RunSync(Source.HEARTBEAT, 3)]


def test_a_cycle_is_due_an_interval_after_the_last_one_began_and_not_after_it_ended() -> None:
    loop = SyncLoop().run()
    assert loop.syncs(after=119) == []
    assert len(loop.syncs(after=1)) == 1
    assert loop.syncs(MORE, after=50) != []
    assert loop.syncs(OVER, after=30) == []
    assert loop.syncs(after=39) == []
    assert len(loop.syncs(after=1)) == 1


def test_a_cycle_that_took_longer_than_the_interval_is_followed_by_the_next_at_once() -> None:
    loop = SyncLoop().run()
    loop.syncs(after=120)
    assert len(loop.syncs(OVER, after=300)) == 1


def test_the_steps_of_a_cycle_follow_each_other_and_wait_for_calls_as_long_as_they_must() -> None:
    loop = SyncLoop().run()
    loop.syncs(after=120)
    assert len(loop.syncs(MORE)) == 1
    assert loop.syncs(Synced(StepReport(retry_after=7.0), over=False)) == []
    assert loop.syncs(after=6.9) == []
    assert len(loop.syncs(after=0.2)) == 1


def test_one_step_is_under_way_at_a_time() -> None:
    loop = SyncLoop().run()
    assert len(loop.syncs(after=120)) == 1
    assert loop.syncs(after=1000) == []


def test_a_shorter_interval_is_in_force_at_once_and_a_longer_one_too() -> None:
    loop = SyncLoop().run()
    loop.on(after=60)
    assert len(only_syncs(loop.configure(sync_interval=30))) == 1
    loop.on(OVER)
    loop.configure(sync_interval=600)
    assert loop.syncs(after=200) == []
    assert loop.syncs(after=399) == []
    assert len(loop.syncs(after=1)) == 1


def test_fast_polling_or_not_it_keeps_its_interval() -> None:
    loop = SyncLoop(fast_polling_enabled=False, sync_interval=50).run()
    assert loop.syncs(after=49) == []
    assert len(loop.syncs(after=1)) == 1


def test_errors_back_off_by_a_minute_more_each_and_a_good_step_ends_that() -> None:
    loop = SyncLoop().run()
    loop.syncs(after=120)
    for wait in (60, 120, 180, 240, 300, 300):
        assert loop.syncs(Failed(SYNC, "out")) == []
        assert loop.state.sync.backing_off
        assert loop.syncs(after=wait - 1) == []
        assert loop.syncs(after=1) == [RunSync(Source.RETRY, 3)]
    loop.on(OVER)
    assert (loop.state.sync.errors, loop.state.sync.backing_off) == (0, False)


def test_a_changed_flag_ends_the_backoff() -> None:
    loop = SyncLoop().run()
    loop.syncs(after=120)
    loop.on(Failed(SYNC, "out"))
    assert len(only_syncs(loop.configure(upload_batch_size=50))) == 1


@pytest.mark.parametrize("workflow", [UPLOAD, IMPORT])
def test_another_ones_failure_does_not_delay_it(workflow: str) -> None:
    loop = SyncLoop().run()
    loop.on(Failed(workflow, "out"))
    assert len(loop.syncs(after=120)) == 1


def test_its_failure_delays_no_upload_and_no_import() -> None:
    loop = SyncLoop().run()
    upload, imports = loop.state.upload, loop.state.imports
    loop.syncs(after=0.1)
    loop.on(Failed(SYNC, "out"))
    assert (loop.state.upload.backing_off, loop.state.imports.backing_off) == (False, False)
    assert (loop.state.upload.due_at, loop.state.imports.due_at) == (upload.due_at, imports.due_at)


def test_switched_off_it_rests_and_switched_on_it_begins_at_once() -> None:
    loop = SyncLoop().run()
    loop.switch(SYNC, on=False)
    assert loop.syncs(after=1000) == []
    loop.on(Passed(StepReport()))
    assert len(only_syncs(loop.switch(SYNC, on=True))) == 1


def test_a_restored_copy_does_not_sync() -> None:
    loop = SyncLoop()
    loop.lead()
    loop.on(OVER, SessionLost(0.1))
    loop.on(after=1)
    assert loop.syncs(Led(leading=True, foreign="the database is copy", epoch=4)) == []
    assert loop.syncs(after=1000) == []


def test_who_does_not_lead_does_not_sync() -> None:
    loop = SyncLoop().run()
    loop.on(SessionLost(0.1))
    loop.on(after=1)
    assert loop.syncs(Led(leading=False), after=1000) == []
    assert len(loop.syncs(Led(leading=True, epoch=5), Configured(loop.flags, loop.enabled))) == 1


def test_without_a_sync_there_is_nothing_to_wait_for() -> None:
    loop = Loop()
    loop.lead()
    loop.on(Led(leading=True))
    assert loop.state.sync.due_at < inf
    assert not loop.state.sync_may_run
    assert next_due(loop.state) > loop.now


def test_a_stop_waits_for_the_step_under_way() -> None:
    loop = SyncLoop().run()
    loop.syncs(after=120)
    assert loop.on(Stop(), Passed(StepReport()), Imported(StepReport())) == []
    assert loop.on(OVER) == [Simple.QUIT]
