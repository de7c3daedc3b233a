"""An order in a word: what the ledger says, read together with its row."""

import pytest

from listener.order_states import LEADS_TO
from listener.story.brief import WORDS, Kind, brief


@pytest.mark.parametrize(
    ("row_status", "state", "pending", "row_written", "word", "kind"),
    [
        ("awaiting_shipment", None, True, False, "due", Kind.MOVING),
        ("awaiting_shipment", "sending", True, False, "is being sent", Kind.MOVING),
        ("awaiting_shipment", "unknown", True, False, "in doubt", Kind.WAITING),
        ("awaiting_shipment", "waiting", True, False, "waits", Kind.WAITING),
        ("awaiting_shipment", "held_back", True, False, "held back", Kind.STUCK),
        ("awaiting_shipment", "rejected", True, False, "failed", Kind.STUCK),
        ("awaiting_shipment", "rejected", True, True, "due", Kind.MOVING),
        ("failed", "rejected", False, True, "failed", Kind.STUCK),
        ("failed", None, False, False, "failed", Kind.STUCK),
        ("uploaded", "accepted", False, True, "at ShipStation", Kind.DONE),
        ("awaiting_shipment", "accepted", True, False, "at ShipStation", Kind.DONE),
        ("awaiting_shipment", "accepted", False, True, "at ShipStation", Kind.DONE),
        ("uploaded", "adopted", False, True, "was there already", Kind.DONE),
        ("shipped", "accepted", False, True, "shipped", Kind.DONE),
        ("cancelled", "accepted", False, True, "cancelled", Kind.APART),
        ("cancelled", "waiting", False, False, "cancelled", Kind.APART),
        ("synced_manual", "excluded", False, True, "set aside", Kind.APART),
        ("on_hold", None, False, False, "on hold", Kind.APART),
        ("shipped", None, False, False, "shipped", Kind.DONE),
    ],
)
def test_an_order_is_called(
    row_status: str, state: str | None, pending: bool, row_written: bool, word: str, kind: Kind
) -> None:
    assert brief(row_status, state, pending=pending, row_written=row_written) == (word, kind)


def test_every_state_of_the_ledger_has_a_word() -> None:
    assert WORDS.keys() == {state for ways in LEADS_TO.values() for state in ways}
