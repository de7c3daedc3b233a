"""An order's states, and where each may lead: the ledger as a table. Pure.

A row of `listener.ledger` is in one of these states; `listener.history` gets a line at each change. What is not in the
table does not happen: the tests that kill the listener at every point read each order's history against it.
"""

NEW = ""
"""Not in the ledger yet."""

LEADS_TO: dict[str, frozenset[str]] = {
    NEW: frozenset({"sending", "waiting", "adopted", "excluded", "held_back", "rejected"}),
    # to be sent again when `not_before` has come
    "waiting": frozenset({"sending", "waiting", "adopted", "excluded", "held_back", "rejected"}),
    # the request may have left; `epoch` and `owner` say whose
    "sending": frozenset({"accepted", "waiting", "rejected", "unknown"}),
    # no answer, or one that must be checked: looked up before anything else
    "unknown": frozenset({"unknown", "accepted", "adopted", "waiting", "rejected"}),
    # refused for good; the shop, or requeue, may ask for another try
    "rejected": frozenset({"sending", "waiting", "adopted", "excluded", "held_back", "rejected"}),
    # too old; only requeue lets it go
    "held_back": frozenset({"waiting"}),
    # ShipStation has it, made by us or by others; requeue --again, when it was cancelled there
    "accepted": frozenset({"waiting"}),
    "adopted": frozenset({"waiting"}),
    # a manual order: never sent
    "excluded": frozenset(),
}
