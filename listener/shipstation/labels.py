"""Labels: how an order went out. Pages of GET /shipments and GET /fulfillments, and what they say together. Pure.

A shipment is a label that was bought at ShipStation; an order that was marked as shipped elsewhere has a fulfillment
instead. An order may have several: a box each, return labels, voided ones and those printed anew.
Source: ShipStation API V1, "List Shipments", "List Fulfillments".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from listener.errors import Transient
from listener.shipstation.details import split_lot


@dataclass(frozen=True, slots=True)
class Label:
    """One parcel. `made_at` is ShipStation's own text, which sorts by time; `skus` are in it, if that is said."""

    shipstation_order_id: str
    tracking_number: str
    carrier_code: str
    service_code: str
    made_at: str
    is_void: bool
    skus: frozenset[str]


@dataclass(frozen=True, slots=True)
class LabelPage:
    """One answer. `count` is how many rows it has; return labels are left out of `labels`: they go the other way."""

    labels: tuple[Label, ...]
    count: int
    pages: int


def decode_shipments(body: Any) -> LabelPage:
    """Return a page of shipments. Raises Transient when this is no whole page."""
    return _page(body, "shipments")


def decode_fulfillments(body: Any) -> LabelPage:
    """Return a page of fulfillments. Raises Transient when this is no whole page."""
    return _page(body, "fulfillments")


@dataclass(frozen=True, slots=True)
class Tracking:
    """What is shown of an order's labels: of several parcels the first one's number, and each SKU's own."""

    number: str
    carrier_code: str
    service_code: str
    by_sku: dict[str, str]


def tracking_of(labels: Sequence[Label], shown: str) -> Tracking | None:
    """Return what to show of an order with these labels; None when none of them is in force.

    shown: the tracking number that is shown now; it stays as long as it is one of those. Labels that nobody asked for
           may be good as well: what is returned is one that is known to be.
    """
    in_force = sorted((label for label in labels if not label.is_void), key=lambda label: label.made_at)
    if not in_force:
        return None
    ours = [label for label in in_force if shown and label.tracking_number == shown]
    first = (ours or [label for label in in_force if label.tracking_number] or in_force)[0]
    by_sku = {sku: label.tracking_number for label in reversed(in_force) for sku in label.skus if label.tracking_number}
    return Tracking(first.tracking_number, first.carrier_code, first.service_code, by_sku)


def voided_orders(labels: Iterable[Label]) -> set[str]:
    """Return the orders that have a voided label."""
    return {label.shipstation_order_id for label in labels if label.is_void}


def _page(body: Any, name: str) -> LabelPage:
    elements = body.get(name) if isinstance(body, dict) else None
    if not isinstance(elements, list):
        raise Transient(f"ShipStation's answer has no list of {name}")
    pages = body.get("pages", 1)
    if type(pages) is not int:
        raise Transient(f"ShipStation's list of {name} does not say how long it is")
    objects = [element for element in elements if isinstance(element, dict)]
    outward = [element for element in objects if element.get("isReturnLabel") is not True]
    return LabelPage(tuple(_label(element) for element in outward), len(elements), pages)


def _label(element: dict[str, Any]) -> Label:
    items = element.get("shipmentItems")
    skus = [_text(item, "sku") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return Label(
        shipstation_order_id=_text(element, "orderId"),
        tracking_number=_text(element, "trackingNumber"),
        carrier_code=_text(element, "carrierCode"),
        service_code=_text(element, "serviceCode") or _text(element, "fulfillmentServiceCode"),
        made_at=_text(element, "createDate"),
        is_void=element.get("voided") is True,
        skus=frozenset(split_lot(sku)[0] for sku in skus if sku),
    )


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return str(value).strip() if type(value) in (int, str) else ""
