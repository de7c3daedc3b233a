"""The shop's part of a page: from orders of ShipStation to what its rows show, in one transaction with the watermark.

All rows are written together. When the database refuses that, they are written one by one, each in a savepoint of its
own: an order that can't be shown is put aside with its reason and tried again, and costs no other one. The watermark
moves past it, because what was put aside stands in the same transaction.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from listener.database import Connection, sentence
from listener.errors import Rejected
from listener.flags import Flags
from listener.orders import order_key
from listener.shipstation.details import Details, decode_details
from listener.shipstation.watermark import read_watermark, write_watermark
from listener.store import import_orders, ledger, links, manual, mirror, shop_rows, sync
from listener.store.mirror import There
from listener.store.shop_rows import LocalRow
from listener.store.sync import Failure
from listener.workflows.adopt import SEVERAL
from listener.workflows.apply_page import Shown
from listener.workflows.plan_rows import Listed, Plan, plan_manual, plan_part, plan_row
from listener.workflows.route import Step, Terms, is_manual_row, route, word_for
from listener.workflows.show_outcomes import show_outcomes
from listener.workflows.verdicts import verdict_of
from listener.workflows.write_plans import concerns_one, write_plans

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Page:
    """What has been found out of the orders of a page so far.

    rows:     by id, the rows that may show each order; shown: what those were last made to say
    known:    ids of manual orders that are not to have a row
    taken:    rows as an order of this page leaves them, with what they are to say then
    failures: what is put aside, by id
    """

    rows: dict[str, list[LocalRow]]
    shown: dict[str, str | None]
    known: set[str]
    terms: Terms
    plans: list[Plan] = field(default_factory=list)
    taken: dict[int, tuple[LocalRow, str]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)

    def rows_of(self, one: Listed) -> list[LocalRow]:
        """Return the rows that may show an order, as the orders before it on the page leave them."""
        key = order_key(one.order.order_number)
        found = {row.id: row for row in self.rows[one.order.shipstation_order_id]}
        taken = {row.id: row for row, _ in self.taken.values() if row.id in found or row.order_key == key}
        return list((found | taken).values())


class ShowOrders:
    """Shows the orders of one page. `watermark`: where it moves to, if it does."""

    def __init__(
        self,
        connection: Connection,
        epoch: int,
        flags: Flags,
        listed: Sequence[Listed],
        watermark: datetime | None = None,
        stretch: Failure | None = None,
    ) -> None:
        self._connection = connection
        self._epoch = epoch
        self._flags = flags
        self._listed = listed
        self._watermark = watermark
        self._stretch = stretch

    def transaction(self) -> AbstractContextManager[None]:
        """Begin a transaction under the leader's epoch."""
        return sync.sync_transaction(self._connection, self._epoch)

    def show(self) -> Shown:
        """Have the rows show what the orders say. Inside `transaction`."""
        connection = self._connection
        now = mirror.server_now(connection)
        listed = self._newest()
        settle_doubts(connection, self._flags, listed)
        page = self._look_up(listed, now)
        for one in listed:
            self._decide(page, one)
        outcome = write_plans(connection, page.plans)
        page.changed |= outcome.changed
        for plan, reason in outcome.refused:
            page.failures[plan.listed.order.shipstation_order_id] = _aside(plan.listed, reason)
        done = {one.order.shipstation_order_id for one in self._listed} - page.failures.keys()
        sync.forget_failures(connection, "apply", list(done))
        sync.record_failures(connection, list(page.failures.values()))
        self._move_watermark(now)
        return Shown(len(page.changed), len(page.failures))

    def _newest(self) -> list[Listed]:
        """Return the orders of which nothing newer is known, each once, and parts of split orders behind the wholes."""
        newest = {one.order.shipstation_order_id: one for one in sorted(self._listed, key=_modified)}
        known = mirror.versions(self._connection, list(newest))
        listed = [one for key, one in newest.items() if one.order.modified_at >= known.get(key, one.order.modified_at)]
        return sorted(listed, key=lambda one: bool(_parent(one)))

    def _look_up(self, listed: Sequence[Listed], now: datetime) -> _Page:
        orders = [(one.order.shipstation_order_id, one.order.order_number) for one in listed]
        related = [
            (one.order.shipstation_order_id, other)
            for one in listed
            for other in (one.order.shipstation_order_id, *one.order.merged_ids, _parent(one))
            if other
        ]
        rows = shop_rows.rows_for(self._connection, orders, related)
        shown = links.shown_statuses(self._connection, [other for _, other in related])
        terms = Terms(self._flags.manual_order_pattern, import_orders.key_products(self._connection), now)
        unknown = [(key, number) for key, number in orders if not rows[key] and terms.is_manual(number)]
        known = manual.known_elsewhere(self._connection, unknown) if unknown else set()
        return _Page(rows, shown, known, terms)

    def _decide(self, page: _Page, one: Listed) -> None:
        """Decide about one order; whatever is wrong with it is its own affair."""
        try:
            self._route(page, one)
        except Rejected as error:
            page.failures[one.order.shipstation_order_id] = _aside(one, str(error))
        except psycopg.Error:
            raise
        except Exception as error:  # a bug: the order waits, the others do not
            number = one.order.order_number
            logger.exception("Order %s could not be taken over: %s", number, error, extra={"event": "bug"})
            page.failures[one.order.shipstation_order_id] = _aside(one, f"{type(error).__name__}: {error}")

    def _route(self, page: _Page, one: Listed) -> None:
        order, rows = one.order, page.rows_of(one)
        if not rows and not page.terms.is_manual(order.order_number):
            return  # most of what others do there: it need not even be readable
        details = decode_details(one.raw)
        way = route(order, details, rows, page.terms)
        match way.step:
            case Step.SHOW:
                self._plan(page, one, details, way.rows)
            case Step.PART:
                says = {row.id: page.taken[row.id][1] for row in way.rows if row.id in page.taken}
                rows = [row._replace(status=says.get(row.id, row.status)) for row in way.rows]
                page.plans += [plan_part(one, details, row) for row in rows]
            case Step.IMPORT:
                self._import(page, one, details)
            case Step.WAIT:
                page.failures[order.shipstation_order_id] = _aside(one, way.why)
            case Step.CONFLICT:
                self._note_conflict(one, way.rows[0], way.why)
            case Step.SKIP:
                pass

    def _plan(self, page: _Page, one: Listed, details: Details, rows: Sequence[LocalRow]) -> None:
        order_id = one.order.shipstation_order_id
        main = next((row for row in rows if row.shipstation_order_id in ("", order_id)), rows[0])
        for row in rows:
            shown = page.shown.get(row.shipstation_order_id or order_id)
            word = word_for(one.order.status, row, shown, manual=is_manual_row(row, page.terms))
            page.plans.append(plan_row(one, details, row, word, is_main=row is main))
            page.taken[row.id] = row._replace(shipstation_order_id=row.shipstation_order_id or order_id), word.status
            if word.conflict:
                mirror.note_conflict(self._connection, row.order_key, word.conflict, [order_id])

    def _import(self, page: _Page, one: Listed, details: Details) -> None:
        order = one.order
        if order.shipstation_order_id in page.known:
            return
        new = plan_manual(one, details, page.terms.now.date())
        try:
            with self._connection.transaction():
                row_id = manual.insert_manual(self._connection, new)
        except psycopg.Error as error:
            if not concerns_one(self._connection, error):
                raise
            raise Rejected(sentence(error)) from error
        if row_id is None:
            raise Rejected("a row with its number has come to be there just now")
        logger.info("Order %s was entered at ShipStation", order.order_number, extra={"event": "manual_order"})
        row = LocalRow(
            id=row_id,
            order_number=new.order_number.strip(),
            order_key=order_key(order.order_number),
            status=new.status,
            shipstation_order_id=order.shipstation_order_id,
            source_system=manual.SOURCE_SYSTEM,
            created_at=page.terms.now,
            customer_email=new.customer_email,
            total_items=new.total_items,
            line_ids=[],
            is_ledgers=False,
        )
        page.changed.add(row_id)
        self._plan(page, one, details, [row])

    def _note_conflict(self, one: Listed, row: LocalRow, why: str) -> None:
        ids: tuple[str, ...] = (one.order.shipstation_order_id,)
        if why == SEVERAL:
            there = mirror.with_these_numbers(self._connection, [row.order_key])
            alive = [order.shipstation_order_id for order in there if order.status != "cancelled"]
            ids = tuple(dict.fromkeys((*alive, row.shipstation_order_id)))
        mirror.note_conflict(self._connection, row.order_key, why, ids)

    def _move_watermark(self, now: datetime) -> None:
        if self._stretch:
            sync.record_failures(self._connection, [self._stretch], first_try_in=600)
        if self._watermark is None:
            return
        text = sync.lock_watermark(self._connection)
        if text is None or self._watermark > read_watermark(text, now):
            sync.write_watermark_text(self._connection, write_watermark(self._watermark))


def _aside(one: Listed, error: str) -> Failure:
    return Failure("apply", one.order.shipstation_order_id, one.order.order_number, one.raw, error)


def _modified(one: Listed) -> datetime:
    return one.order.modified_at


def _parent(one: Listed) -> str:
    options = one.raw.get("advancedOptions")
    parent = options.get("parentId") if isinstance(options, dict) else None
    return str(parent) if type(parent) in (int, str) and parent != 0 else ""


def settle_doubts(connection: Connection, flags: Flags, listed: Sequence[Listed]) -> None:
    """Settle the orders in doubt that ShipStation has just shown under our key: they have arrived."""
    there = {one.order.shipstation_key: _there(one) for one in listed if one.order.shipstation_key}
    doubtful = ledger.doubtful_with(connection, list(there)) if there else []
    verdicts = [verdict_of(order, [there[order.shipstation_key]]) for order in doubtful]
    arrived = [verdict for verdict in verdicts if verdict.state == "accepted"]
    if not arrived:
        return
    recorded = ledger.resolve(connection, arrived, max_attempts=flags.max_upload_attempts)
    show_outcomes(connection, [order.order_key for order in recorded])
    for order in recorded:
        logger.info("Order %s was in doubt: %s", order.order_key, order.state, extra={"event": "doubt_resolved"})


def _there(one: Listed) -> There:
    order = one.order
    return There(
        order_key(order.order_number),
        order.shipstation_order_id,
        order.shipstation_key,
        order.status,
        order.created_at,
        order.modified_at,
    )
