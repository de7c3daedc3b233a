"""What the loop's state looks like from outside: the words for what is degraded."""

from dataclasses import replace
from typing import Any

import pytest

from listener.events import UPLOAD, Led, Phase, SessionLost
from listener.headway import Headway
from listener.health import Colour, colour_of
from listener.metrics import Metrics
from listener.publish import Publisher
from listener.schedule import react
from listener.state import State, Upload
from listener.store.progress import BeatRow

WELL: dict[str, Any] = {
    **dict.fromkeys(("pending", "due", "fresh", "held_back", "connections", "api_calls"), 0),
    **dict.fromkeys(("oldest_id", "newest_id", "home", "muted_by")),
    **{"moved": True, "epoch": 1, "config": "", "incomplete": False, "missing_triggers": []},
}
LEADING = State(listening=True, upload=Upload(phase=Phase.ASLEEP))


class Page:
    """What is served of the states and beats that are shown."""

    def __init__(self) -> None:
        self.metrics = Metrics("1")
        self.publisher = Publisher(self.metrics)

    def degraded(self, state: State) -> list[str]:
        self.publisher.publish(state, 0.0)
        reasons: list[str] = self.metrics.snapshot()["degraded"]
        return reasons

    def upload_state(self) -> str | None:
        state: str | None = self.metrics.snapshot()["workflows"]["shipstation-upload"]["state"]
        return state


def test_a_listener_that_is_kept_from_the_silence_lock_is_muffled_and_names_who_does_it() -> None:
    page = Page()
    assert page.degraded(LEADING) == []
    page.publisher.beat(BeatRow(**WELL), 0.0, 4711)
    (reason,) = page.degraded(LEADING)
    assert reason.startswith("muffled: pid 4711 ")
    page.publisher.beat(BeatRow(**WELL), 0.0, None)
    assert page.degraded(LEADING) == []


def test_who_mutes_the_writers_does_not_muffle_besides() -> None:
    page = Page()
    page.publisher.beat(BeatRow(**WELL | {"muted_by": 4711}), 0.0, 4711)
    assert [reason.partition(":")[0] for reason in page.degraded(LEADING)] == ["muted by pid 4711"]


def test_who_does_not_lead_any_more_reads_no_mirror() -> None:
    page = Page()
    page.publisher.publish(LEADING, 0.0)
    page.metrics.set_workflow(UPLOAD, progress=Headway("mirror of ShipStation", 1, 2, "orders", "1 of 2"))
    page.publisher.publish(replace(LEADING, deaf=True), 1.0)
    assert len(page.metrics.progress()) == 1
    page.publisher.publish(State(), 2.0)
    assert page.metrics.progress() == []


def test_a_lost_work_session_is_told_until_there_is_another() -> None:
    page = Page()
    lost, _ = react(LEADING, [SessionLost(1.0, "the server is gone")], 0.0)
    assert page.degraded(lost) == ["no work session, trying on: the server is gone"]
    assert page.upload_state() == "lost"
    for leading in (True, False):
        back, _ = react(lost, [Led(leading=leading)], 1.0)
        assert page.degraded(back) == []
        assert page.upload_state() != "lost"


def test_a_leader_whom_another_has_followed_has_lost_nothing() -> None:
    page = Page()
    followed, _ = react(LEADING, [SessionLost(1.0)], 0.0)
    assert page.degraded(replace(followed)) == []
    assert page.upload_state() == "standby"


def test_what_a_leader_saw_is_not_shown_when_it_leads_no_more() -> None:
    page = Page()
    page.publisher.publish(LEADING, 0.0)
    for now in (0.0, 99.0):
        page.publisher.beat(BeatRow(**WELL | {"pending": 3, "oldest_id": 1, "newest_id": 1, "connections": 7}), now)
    assert page.metrics.snapshot()["oldest_pending_seconds"] == 99
    followed, _ = react(LEADING, [SessionLost(1.0)], 100.0)
    page.publisher.publish(followed, 100.0)
    seen = page.metrics.snapshot()
    assert (seen["pending"], seen["oldest_pending_seconds"], seen["db_connections"]) == (0, 0, 0)
    assert colour_of(seen) == (Colour.GREEN, ())


@pytest.mark.parametrize("phase", [Phase.ASLEEP, Phase.STANDBY])
def test_a_dormant_listener_whose_sessions_the_database_has_closed_is_well(phase: Phase) -> None:
    page = Page()
    dormant = State(listening=False, dormant=True, upload=Upload(phase=phase))
    assert page.degraded(dormant) == []
    assert page.upload_state() == "dormant"
    assert colour_of(page.metrics.snapshot())[0] is Colour.GREEN
    assert page.degraded(replace(dormant, dormant=False)) != []
