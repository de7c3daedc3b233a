"""What is to be written for one order and one row: values, made of what ShipStation says and what the row is. Pure."""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple
from zlib import crc32

from listener.shipstation.details import Details, item_rows, service_name, shipped_quantities
from listener.shipstation.listing import RemoteOrder
from listener.shipstation.pacific import is_repeated
from listener.store.links import Link
from listener.store.manual import SOURCE_SYSTEM, ManualOrder
from listener.store.shipped import ShippedOrder
from listener.store.shop_rows import Items, LocalRow, RowChange
from listener.workflows.route import Word, word_of_new

Json = dict[str, Any]


class Listed(NamedTuple):
    """An order as it was listed: what the mirror keeps of it, and all of it."""

    order: RemoteOrder
    raw: Json


class Contents(Enum):
    """Who says what a shipped row held."""

    ORDER = auto()  # the order at ShipStation
    ROW = auto()  # the row: at ShipStation it is one order with others now
    PARTS = auto()  # all parts of a split order that are shipped, together


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written for a row.

    change:      None for a part of a split order, which changes nothing of its row but what has left
    take_back:   it is not shipped any more
    """

    listed: Listed
    row: LocalRow
    links: tuple[Link, ...]
    change: RowChange | None = None
    items: Items | None = None
    shipped: ShippedOrder | None = None
    contents: Contents = Contents.ORDER
    quantities: dict[tuple[str, str], int] | None = None
    take_back: bool = False


def plan_row(listed: Listed, details: Details, row: LocalRow, word: Word, *, is_main: bool) -> Plan:
    """Return what is to be written so that `row` shows an order, with the word that it is to say.

    is_main: of several rows whose orders were merged, the one that stands for the order that they became
    """
    order, whole = listed.order, not (details.is_split or listed.order.merged_ids)
    ours = row.shipstation_order_id in ("", order.shipstation_order_id)
    is_shipped = word.status == "shipped" and order.status == "shipped"
    replace = ours and row.source_system == SOURCE_SYSTEM
    return Plan(
        listed,
        row,
        links=_links(listed, details, row, word, is_main=is_main),
        change=_change(order, details, row, word, whole=whole),
        items=Items(row.id, replace, item_rows(details.lines)) if ours and details.lines else None,
        shipped=_shipped(order, details, row, whole=whole) if is_shipped else None,
        contents=Contents.ROW if order.merged_ids else Contents.PARTS if details.is_split else Contents.ORDER,
        quantities=shipped_quantities(details.lines) if is_shipped else None,
        take_back=row.status == "shipped" and word.status != "shipped",
    )


def plan_part(listed: Listed, details: Details, row: LocalRow) -> Plan:
    """Return what is to be written for a part that was split from the order that `row` shows."""
    order = listed.order
    link = Link(
        order.shipstation_order_id,
        row.id,
        row.shipstation_order_id,
        order.status,
        version_of(listed),
        _parts(details),
        wants_shipments=False,
    )
    return Plan(listed, row, (link,), contents=Contents.PARTS)


def plan_manual(listed: Listed, details: Details, today: date) -> ManualOrder:
    """Return the row of an order that people entered at ShipStation."""
    order = listed.order
    return ManualOrder(
        order_number=order.order_number,
        order_date=details.order_date or today,
        customer_email=details.customer_email,
        status=word_of_new(order.status),
        shipstation_order_id=order.shipstation_order_id,
        total_items=details.pieces,
        total_amount_cents=details.total_cents,
        ship_to=details.ship_to,
        bill_to=details.bill_to,
    )


def version_of(listed: Listed) -> datetime:
    """Return what tells this version of an order from others: when it was changed.

    All of the hour that autumn repeats is one time there. In it, versions are told by what they say.
    """
    changed_at = listed.order.modified_at
    if not is_repeated(changed_at):
        return changed_at
    return changed_at + timedelta(microseconds=crc32(json.dumps(listed.raw, sort_keys=True).encode()) % 1_000_000)


def _change(order: RemoteOrder, details: Details, row: LocalRow, word: Word, *, whole: bool) -> RowChange:
    return RowChange(
        row_id=row.id,
        seen_status=row.status,
        seen_id=row.shipstation_order_id,
        status=word.status,
        shipstation_order_id=row.shipstation_order_id or order.shipstation_order_id,
        carrier_code=details.carrier_code or None,
        carrier_id=details.carrier_id or None,
        service_code=details.service_code or None,
        service_name=service_name(details.service_code) or None,
        total_items=details.pieces or None if whole else None,
        drop_tracking=row.status == "shipped" and word.status != "shipped",
    )


def _shipped(order: RemoteOrder, details: Details, row: LocalRow, *, whole: bool) -> ShippedOrder:
    return ShippedOrder(
        order_number=row.order_number,
        ship_date=details.ship_date,
        ordered_on=details.order_date or order.created_at.date(),
        customer_email=row.customer_email or details.customer_email or None,
        total_items=(details.pieces if whole else 0) or row.total_items or None,
        shipstation_order_id=row.shipstation_order_id or order.shipstation_order_id,
        carrier_code=details.carrier_code or None,
        carrier_id=details.carrier_id or None,
        service_code=details.service_code or None,
        service_name=service_name(details.service_code) or None,
    )


def _links(listed: Listed, details: Details, row: LocalRow, word: Word, *, is_main: bool) -> tuple[Link, ...]:
    """Return the line of the order, and that of the row's own one where it was merged into it."""
    order = listed.order
    own = row.shipstation_order_id or order.shipstation_order_id
    is_shipped = word.status == "shipped" and order.status == "shipped"
    whole, changed_at = order.shipstation_order_id, version_of(listed)
    parts = _parts(details) if details.is_split else None
    lines = []
    if is_main:
        lines.append(Link(whole, row.id, None, word.shown, changed_at, parts, wants_shipments=is_shipped))
    if own != whole:
        lines.append(Link(own, row.id, whole, word.shown, changed_at, None, wants_shipments=False))
    return tuple(lines)


def _parts(details: Details) -> list[list[Any]]:
    return [[sku, lot, pieces] for (sku, lot), pieces in sorted(shipped_quantities(details.lines).items())]
