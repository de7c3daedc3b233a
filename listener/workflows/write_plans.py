"""Writing what was planned for the rows of a page: all together, and one by one when the database refuses that."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.errors import InsufficientPrivilege, InvalidSchemaName, UndefinedColumn, UndefinedTable

from listener.database import Connection, is_lost, sentence
from listener.store import links, shipped, shop_rows
from listener.store.shop_rows import Written
from listener.workflows.plan_rows import Contents, Plan

BUSY = "its row is locked, or was changed just now, by somebody else"


@dataclass(slots=True)
class Outcome:
    """The rows that changed, and what was not written and why."""

    changed: set[int] = field(default_factory=set)
    refused: list[tuple[Plan, str]] = field(default_factory=list)


def write_plans(connection: Connection, plans: Sequence[Plan]) -> Outcome:
    """Write them, inside a transaction. Raises psycopg.Error for what concerns more than one row."""
    if not plans:
        return Outcome()
    try:
        with connection.transaction():
            return _write(connection, plans)
    except psycopg.Error as error:
        if not concerns_one(connection, error):
            raise
        if len(plans) == 1:
            return Outcome(refused=[(plans[0], sentence(error))])
    whole = Outcome()
    for plan in plans:
        outcome = write_plans(connection, [plan])
        whole.changed |= outcome.changed
        whole.refused += outcome.refused
    return whole


def concerns_one(connection: Connection, error: psycopg.Error) -> bool:
    """Tell what one row is refused for from a lost link, a schema that has gone, or rights that we do not have."""
    ours = (UndefinedTable, UndefinedColumn, InvalidSchemaName, InsufficientPrivilege)
    return not is_lost(connection, error) and not isinstance(error, (*ours, psycopg.InterfaceError))


def _write(connection: Connection, plans: Sequence[Plan]) -> Outcome:
    changes = {plan.row.id: plan.change for plan in plans if plan.change}
    became = shop_rows.change_rows(connection, list(changes.values()))
    good = [plan for plan in plans if became.get(plan.row.id) is not Written.BUSY]
    changed = {row_id for row_id, written in became.items() if written is Written.DONE}
    changed |= shop_rows.put_items(connection, [plan.items for plan in good if plan.items])
    links.put_links(connection, [link for plan in good for link in plan.links])
    back = [plan.row for plan in good if plan.take_back]
    shipped.take_back_shipped(connection, [(row.order_number, row.shipstation_order_id) for row in back])
    numbers = _write_shipped(connection, good)
    changed |= {plan.row.id for plan in good if plan.row.order_number in numbers}
    return Outcome(changed, [(plan, BUSY) for plan in plans if became.get(plan.row.id) is Written.BUSY])


def _write_shipped(connection: Connection, plans: Sequence[Plan]) -> set[str]:
    """Write what has left the house; return the numbers of the orders for which something changed."""
    orders = {plan.shipped.order_number: plan.shipped for plan in plans if plan.shipped}
    numbers = shipped.put_shipped_orders(connection, list(orders.values())) if orders else set()
    items = {
        plan.row.order_number: plan.quantities
        for plan in plans
        if plan.shipped and plan.contents is Contents.ORDER and plan.quantities
    }
    merged = [plan.row.id for plan in plans if plan.shipped and plan.contents is Contents.ROW]
    split = {
        plan.row.id: plan.row.order_number for plan in plans if plan.contents is Contents.PARTS and _has_left(plan)
    }
    if merged:
        items |= shipped.local_items(connection, merged)
    if split:
        items |= {split[row_id]: parts for row_id, parts in links.shipped_parts(connection, list(split)).items()}
    return numbers | shipped.put_shipped_items(connection, items)


def _has_left(plan: Plan) -> bool:
    return plan.shipped is not None or (plan.change is None and plan.row.status == "shipped")
