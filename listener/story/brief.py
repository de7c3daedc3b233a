"""An order in a word, for a list of many: what `timeline` tells at length. Pure."""

from enum import StrEnum


class Kind(StrEnum):
    """How a word is meant."""

    DONE = "done"
    MOVING = "moving"
    WAITING = "waiting"
    STUCK = "stuck"  # until somebody does something
    APART = "apart"  # not ours to send


WORDS = {
    "waiting": ("waits", Kind.WAITING),
    "sending": ("is being sent", Kind.MOVING),
    "unknown": ("in doubt", Kind.WAITING),
    "accepted": ("at ShipStation", Kind.DONE),
    "adopted": ("was there already", Kind.DONE),
    "rejected": ("failed", Kind.STUCK),
    "excluded": ("set aside", Kind.APART),
    "held_back": ("held back", Kind.STUCK),
}
"""What the ledger's states are called; the row alone decides where the shop has changed it since."""

ROW_KINDS = {"failed": Kind.STUCK, "uploaded": Kind.DONE, "shipped": Kind.DONE}


def brief(row_status: str, state: str | None, *, pending: bool, row_written: bool) -> tuple[str, Kind]:
    """Return how an order stands, by its row and the ledger's state of it (None: the ledger does not hold it)."""
    if pending and (state is None or (state == "rejected" and row_written)):
        return "due", Kind.MOVING
    if state in ("accepted", "adopted") and row_status not in ("uploaded", "awaiting_shipment"):
        return row_status.replace("_", " "), ROW_KINDS.get(row_status, Kind.APART)
    if state is not None and (pending or state in ("accepted", "adopted", "excluded") or row_status == "failed"):
        return WORDS[state]
    return row_status.replace("_", " "), ROW_KINDS.get(row_status, Kind.APART)
