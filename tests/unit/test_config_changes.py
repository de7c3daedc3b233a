"""A change of the configuration: compared, said, put in force and receipted; a bad value said once."""

import json
import logging

import pytest

from listener.config import Configuration, Receipt
from listener.events import IMPORT, SYNC, UPLOAD, Configured
from listener.flags import Flags

ALL = frozenset({UPLOAD, IMPORT, SYNC})


def tables(*flags: tuple[str, str], **workflows: bool) -> str:
    named = {name.replace("_", "-"): enabled for name, enabled in workflows.items()}
    return json.dumps({"flags": flags, "workflows": named})


@pytest.fixture
def configuration(caplog: pytest.LogCaptureFixture) -> Configuration:
    """One that has read empty tables before."""
    caplog.set_level(logging.INFO)
    read = Configuration()
    read.take(tables(), "startup")
    return read


def test_the_first_reading_is_no_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    configured, receipts = Configuration().take(tables(("sync_interval", "180")), "startup")
    assert configured == Configured(Flags(sync_interval=180), ALL)
    assert receipts == []
    assert caplog.messages == []


def test_a_bad_value_of_the_first_reading_is_refused_and_receipted() -> None:
    configured, (receipt,) = Configuration().take(tables(("sync_interval", "soon")), "startup")
    assert configured.flags == Flags()
    assert (receipt.verdict, receipt.old, receipt.new, receipt.source) == ("refused", "120", "soon", "startup")


def test_a_change_is_in_force_and_has_one_receipt_with_old_and_new(configuration: Configuration) -> None:
    configured, receipts = configuration.take(tables(("fast_polling_enabled", "FALSE"), ("idle_after", "60")), "notify")
    assert configured.flags == configuration.flags == Flags(fast_polling_enabled=False, idle_after=60)
    assert receipts == [
        Receipt("fast_polling_enabled", "true", "false", "accepted", None, "notify"),
        Receipt("idle_after", "300", "60", "accepted", None, "notify"),
    ]


def test_the_same_again_is_no_change(configuration: Configuration, caplog: pytest.LogCaptureFixture) -> None:
    configuration.take(tables(("sync_interval", "180")), "notify")
    caplog.clear()
    _, receipts = configuration.take(tables(("sync_interval", " 180 ")), "heartbeat")
    assert (receipts, caplog.messages) == ([], [])


def test_a_row_that_is_gone_is_a_change_back_to_the_default(configuration: Configuration) -> None:
    configuration.take(tables(("sync_interval", "180")), "notify")
    configured, (receipt,) = configuration.take(tables(), "heartbeat")
    assert configured.flags.sync_interval == 120
    assert (receipt.old, receipt.new, receipt.verdict) == ("180", "120", "accepted")


def test_the_log_says_a_change_and_an_intervals_unit(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    configuration.take(tables(("sync_interval", "180"), ("notify_enabled", "false")), "notify")
    assert caplog.messages == ["sync_interval 120 -> 180 (interval=180s)", "notify_enabled true -> false"]


def test_a_bad_value_leaves_the_last_good_one_not_the_default(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    configuration.take(tables(("sync_interval", "180")), "notify")
    caplog.clear()
    configured, (receipt,) = configuration.take(tables(("sync_interval", "9")), "notify")
    assert configured.flags.sync_interval == 180
    assert (receipt.verdict, receipt.old, receipt.new) == ("refused", "180", "9")
    assert "from 10 to 86400" in str(receipt.reason)
    assert "sync_interval" in caplog.messages[0]
    assert "from 10 to 86400" in caplog.messages[0]


def test_a_refusal_is_said_once_for_as_long_as_the_value_stands(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tables(("sync_interval", "soon"), ("idle_after", "0"))
    assert len(configuration.take(bad, "notify")[1]) == len(caplog.messages) == 2
    for _ in range(3):
        assert configuration.take(bad, "heartbeat")[1] == []
    assert len(caplog.messages) == 2


def test_another_bad_value_is_said_and_so_is_the_same_after_a_good_one(configuration: Configuration) -> None:
    assert configuration.take(tables(("sync_interval", "soon")), "notify")[1]
    assert configuration.take(tables(("sync_interval", "later")), "notify")[1]
    assert configuration.take(tables(("sync_interval", "120")), "notify")[1] == []
    assert configuration.take(tables(("sync_interval", "later")), "notify")[1]


def test_a_bad_row_does_not_keep_its_neighbours_change_out(configuration: Configuration) -> None:
    configured, receipts = configuration.take(tables(("sync_interval", "soon"), ("idle_after", "60")), "notify")
    assert configured.flags == Flags(idle_after=60)
    assert [(r.parameter_name, r.verdict) for r in receipts] == [
        ("sync_interval", "refused"),
        ("idle_after", "accepted"),
    ]


def test_a_workflow_without_a_row_is_on_and_a_stranger_is_none(configuration: Configuration) -> None:
    configured, receipts = configuration.take(tables(xml_import=False, something_else=True), "notify")
    assert configured.enabled == configuration.enabled == ALL - {IMPORT}
    assert receipts == []
    assert configuration.take(tables(xml_import=True), "notify")[0].enabled == ALL


def test_a_receipt_becomes_the_texts_of_its_statement_and_a_refused_value_is_never_in_force() -> None:
    accepted = Receipt("idle_after", "300", "60", "accepted", None, "notify")
    assert accepted.parameters(0.25) == ["idle_after", "300", "60", "accepted", None, "notify", "0.250000", "0"]
    refused = Receipt("idle_after", "300", "0", "refused", "too small", "notify")
    assert refused.parameters(1)[-2:] == ["1.000000", None]
