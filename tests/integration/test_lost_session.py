"""How a lost work session is told: by its fault, unless another has only taken the lead."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from listener.events import Job, SessionLost
from tests.support.leading import Leading


@pytest.fixture
def leading(dsn: str) -> Iterator[Leading]:
    leading = Leading(dsn, datetime.now(UTC))
    yield leading
    leading.session.close(busy=False)


def test_another_leader_is_no_fault(dsn: str, leading: Leading) -> None:
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("update listener.leader set epoch = epoch + 1")
    lost = leading.run(Job.BEAT)
    assert isinstance(lost, SessionLost)
    assert lost.reason == ""


def test_a_session_that_was_ended_is_a_fault_with_words(dsn: str, leading: Leading) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'listener p work'"
        )
    lost = leading.run(Job.BEAT)
    assert isinstance(lost, SessionLost)
    assert "terminat" in lost.reason
