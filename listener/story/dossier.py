"""What the database holds of one order: values, as `store.story` reads them and `timeline` and `requeue` judge them.

Pure. Instants are aware. Texts stand as they came from outside: whoever shows them escapes them.
"""

from dataclasses import dataclass
from datetime import datetime

from listener.flags import Flags


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A row of `orders_inbox`. `items` counts its lines; a text that is NULL there is empty here.

    order_date: in PostgreSQL's words, since it may be one that no calendar of ours has
    """

    id: int
    order_number: str
    status: str
    shipstation_order_id: str
    failure_reason: str
    order_date: str
    age_days: int
    source_system: str
    created_at: datetime | None
    items: int

    @property
    def is_pending(self) -> bool:
        """In the words of `store.inbox.PENDING`."""
        return self.status == "awaiting_shipment" and not self.shipstation_order_id


@dataclass(frozen=True, slots=True)
class Ledger:
    """The order's row of `listener.ledger`; sql/002_ledger.up.sql says what the columns mean."""

    order_inbox_id: int
    order_number: str
    state: str
    shipstation_key: str
    shipstation_order_id: str | None
    attempts: int
    looks: int
    not_before: datetime | None
    doubt: str | None
    batch_limit: int | None
    again: int
    epoch: int | None
    first_seen_at: datetime
    started_at: datetime | None
    settled_at: datetime | None
    requeued_at: datetime | None
    http_status: int | None
    error: str | None
    row_status: str | None
    row_written: bool


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One change of the ledger's row."""

    at: datetime
    state: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Remote:
    """An order that ShipStation is known to have; one that was merged has the status of what it was merged into."""

    shipstation_order_id: str
    status: str
    created_at: datetime
    modified_at: datetime
    merged_into: str | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """What a person should look at."""

    kind: str
    shipstation_order_ids: list[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class PutAside:
    """What ShipStation says of it could not be shown by its row yet, and when the sync tries again."""

    error: str
    next_try: datetime


@dataclass(frozen=True, slots=True)
class Shipped:
    """A row of `shipped_orders`, whose date is text."""

    ship_date: str
    shipstation_order_id: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The first file that held the number. `file` is None when its record is gone."""

    at: datetime
    file: str | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The order as a file held it, and why it was not taken."""

    at: datetime
    file: str
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Requeued:
    """Somebody asked for another try."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Locker:
    """A session that holds a row of ours locked at this moment; pid None is a prepared transaction."""

    row_id: int
    pid: int | None
    application: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, by the lock or by a lease; epoch is theirs."""

    holder: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every order waits for.

    paused_by: who switched the upload off; None: it is on
    call_in:   seconds until a call to ShipStation may be made, 0 for now
    mirror_at: when ShipStation's orders were last read to the end; None: never yet
    """

    flags: Flags
    leader: Leader | None
    paused_by: str | None
    call_in: float
    mirror_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dossier:
    """All of it, as of `now`.

    asked:      the number as somebody typed it; order_key is its normal form
    renamed_to: the number that the ledger's row bears now, when the shop has changed it
    """

    asked: str
    order_key: str
    now: datetime
    surroundings: Surroundings
    rows: tuple[InboxRow, ...] = ()
    lockers: tuple[Locker, ...] = ()
    ledger: Ledger | None = None
    renamed_to: str | None = None
    history: tuple[HistoryLine, ...] = ()
    remote: tuple[Remote, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    put_aside: tuple[PutAside, ...] = ()
    shipped: tuple[Shipped, ...] = ()
    imported: Imported | None = None
    quarantined: tuple[Quarantined, ...] = ()
    requeues: tuple[Requeued, ...] = ()

    @property
    def is_known(self) -> bool:
        """Anything at all bears this number."""
        held = (self.rows, self.ledger, self.history, self.remote, self.shipped, self.imported, self.quarantined)
        return any(held)

    @property
    def row(self) -> InboxRow | None:
        """The row that stands for the order."""
        return main_row(self.rows, self.ledger)

    @property
    def number(self) -> str:
        """The number as the inbox or the ledger writes it, else as it was asked for."""
        known = self.row or self.ledger
        return (known.order_number if known else self.asked).strip(" ")


def main_row(rows: tuple[InboxRow, ...], ledger: Ledger | None) -> InboxRow | None:
    """Return the row that stands for the order: the ledger's, else a pending one, else the first.

    Rows whose numbers differ in case or blanks only are one order, and the others of them are doubles.
    """
    ours = [row for row in rows if ledger and row.id == ledger.order_inbox_id]
    pending = [row for row in rows if row.is_pending]
    return next(iter([*ours, *pending, *rows]), None)
