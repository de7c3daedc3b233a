"""The table of an order's states is the ledger's own, and says of each where it may lead."""

import re
from pathlib import Path

import pytest

from listener.order_states import LEADS_TO, NEW
from listener.workflows.admit import FINAL_STATES
from listener.workflows.show_outcomes import FINAL

LEDGER_SQL = Path(__file__).parents[2] / "sql" / "002_ledger.up.sql"


def states_of_the_ledger() -> set[str]:
    """Return the states that the CHECK constraint of `listener.ledger` takes."""
    check = re.search(r"state\s+text not null check \(state in \(([^)]*)\)\)", LEDGER_SQL.read_text())
    assert check is not None
    return set(re.findall(r"'(\w+)'", check[1]))


def reachable() -> set[str]:
    found, further = set(), {NEW}
    while further:
        found |= further
        further = set().union(*(LEADS_TO[state] for state in further)) - found
    return found


def test_every_state_that_the_ledger_takes_is_in_the_table_and_nothing_else() -> None:
    assert len(states_of_the_ledger()) == 8
    assert LEADS_TO.keys() - {NEW} == states_of_the_ledger()


@pytest.mark.parametrize("state", LEADS_TO)
def test_a_state_leads_only_to_states_of_the_ledger(state: str) -> None:
    assert LEADS_TO[state] <= states_of_the_ledger()


def test_every_state_can_come_to_be_and_none_goes_back_to_not_being_in_the_ledger() -> None:
    assert reachable() == set(LEADS_TO)


def test_only_an_order_that_was_claimed_can_be_in_doubt_or_accepted() -> None:
    assert {state for state, then in LEADS_TO.items() if "unknown" in then} == {"sending", "unknown"}
    assert {state for state, then in LEADS_TO.items() if "accepted" in then} == {"sending", "unknown"}


def test_an_order_in_doubt_is_never_sent_before_it_has_been_looked_up() -> None:
    assert "sending" not in LEADS_TO["unknown"]


def test_what_shipstation_has_goes_nowhere_unless_somebody_asks_for_it_again() -> None:
    for state in ("accepted", "adopted"):
        assert LEADS_TO[state] == {"waiting"}


def test_what_the_rows_show_as_final_are_states_of_the_table() -> None:
    assert set(FINAL_STATES) < set(FINAL) < LEADS_TO.keys()
