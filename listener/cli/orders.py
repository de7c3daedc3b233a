"""`explain`, `failed`, `requeue`: what became of an order, and another try for it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import click
import psycopg

from listener.cli.answer import asking, connected, in_json, json_option, left_out, limit_option, shortened
from listener.cli.steer import by_option, user_name
from listener.database import Connection, sentence
from listener.errors import Fatal
from listener.lines import wrapped
from listener.log import escape
from listener.orders import order_key
from listener.store.config import limit_transaction
from listener.store.requeues import GaveUp, gave_up
from listener.store.requeues import requeue as requeue_order
from listener.store.story import read_order
from listener.story.dossier import Dossier
from listener.story.prospects import remedy_of
from listener.story.requeue import Plan, Step
from listener.story.timeline import Story, tell
from listener.story.wording import instant


class UnknownOrder(Fatal):
    """`explain` ends with 4, so that a script can tell it from a fault."""

    exit_code = 4


@click.command()
@click.argument("order_number")
@json_option
def explain(order_number: str, as_json: bool) -> None:
    """Tell the story of one order: how it stands, what happened to it, and what happens next.

    The number may be written in upper or lower case. Ends with 4 when nobody has ever seen it.

    \b
    Example: listener explain 1001
             listener explain 1001 --json
    """
    with asking("listener explain") as connection:
        order = read_order(connection, order_number)
    if not order.is_known:
        if as_json:
            click.echo(in_json({"order_number": order_number, "known": False}))
        raise UnknownOrder(
            f"order {escape(order_number)} is unknown: it is not in orders_inbox, shipped_orders, the ledger, "
            "any file that was read, or what ShipStation is known to have; look at how it is written"
        )
    click.echo(in_json(_as_dict(order, tell(order))) if as_json else "\n".join(_lines(tell(order))))


@click.command()
@limit_option
@json_option
def failed(limit: int, as_json: bool) -> None:
    """List the orders that failed or are held back, the newest first, and what to do about each.

    \b
    Example: listener failed --limit 10
             listener failed --json
    """
    with asking("listener failed") as connection:
        orders = gave_up(connection, limit)
    if as_json:
        click.echo(in_json([_as_entry(order) for order in orders]))
    else:
        click.echo("\n".join(_table(orders)) or "no order has failed or is held back")


@click.command()
@click.argument("order_numbers", metavar="ORDER_NUMBER...", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Also when ShipStation has it, cancelled: make a new order there.")
@by_option
@json_option
@click.pass_context
def requeue(context: click.Context, order_numbers: Sequence[str], again: bool, by: str | None, as_json: bool) -> None:
    """Give orders another try, at once: those that failed, wait for their next try, or are held back for their age.

    Ends with 1 when one of them is unknown or cannot be tried again; the others are tried all the same.

    \b
    Example: listener requeue 1001 1002 --by alex
             listener requeue 1001 --again
    """
    who = by or user_name()
    outcomes: list[Outcome] = []
    with connected("listener requeue", reads=False) as connection:
        try:
            for number in {order_key(number): number for number in order_numbers}.values():
                outcomes.append(_requeue(connection, number, who, again))
                _show(outcomes[-1], as_json)
        finally:  # what was done stands, also when the database has gone away since
            if as_json:
                click.echo(in_json([asdict(outcome) for outcome in outcomes]))
    context.exit(0 if all(outcome.done for outcome in outcomes) else 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. `done`: there is nothing left for the person to do."""

    order_number: str
    done: bool
    step: str
    message: str


def _requeue(connection: Connection, number: str, who: str, again: bool) -> Outcome:
    """Requeue one order in a transaction of its own."""
    try:
        with connection.transaction():
            limit_transaction(connection)
            order, plan = requeue_order(connection, number, by=who, again=again)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise  # the same for every order
    except psycopg.errors.LockNotAvailable:
        return _refused(number, "is locked by another session for more than 5 s; try again when that has ended")
    except psycopg.Error as error:
        if connection.closed:
            raise
        return _refused(number, f"could not be requeued, the database refused: {sentence(error)}")
    return Outcome(order.number, plan.step is not Step.REFUSE, plan.step.name.lower(), _said(order, plan))


def _said(order: Dossier, plan: Plan) -> str:
    return f"order {order.number} {plan.sentence}"


def _refused(number: str, why: str) -> Outcome:
    return Outcome(number, False, Step.REFUSE.name.lower(), f"order {number} {why}")


def _show(outcome: Outcome, as_json: bool) -> None:
    if not outcome.done:
        click.echo(f"listener: {escape(outcome.message)}", err=True)
    elif not as_json:
        click.echo(wrapped(outcome.message, "    "))


def _lines(story: Story) -> Iterator[str]:
    yield wrapped(story.sentence)
    for remark in story.remarks:
        yield wrapped(remark)
    if story.timeline:
        yield ""
    for event in story.timeline:
        yield wrapped(f"{instant(event.at)}  {event.what}", " " * 22)
    yield ""
    yield wrapped(f"Next: {story.next}.", "      ")


def _table(orders: Sequence[GaveUp]) -> Iterator[str]:
    if not orders:
        return
    width = max(6, *(len(shortened(order.order_number)) for order in orders))
    yield f"{'number':{width}}  {'since':20}  {'tries':>5}  state"
    for order in orders:
        since = instant(order.since) if order.since else "-"
        yield f"{shortened(order.order_number):{width}}  {since:20}  {order.attempts:>5}  {order.state}"
        for text in (_reason(order), _todo(order)):
            yield wrapped(f"    {text}", "    ")
    if orders[0].total > len(orders):
        yield left_out(len(orders), orders[0].total)


def _reason(order: GaveUp) -> str:
    return order.reason.removeprefix("held back: ")


def _todo(order: GaveUp) -> str:
    return remedy_of(order.state, order.order_number, order.reason)


def _as_dict(order: Dossier, story: Story) -> dict[str, object]:
    return {
        "order_number": story.number,
        "known": True,
        "state": story.state,
        "sentence": story.sentence,
        "remarks": story.remarks,
        "timeline": [asdict(event) for event in story.timeline],
        "next": story.next,
        "rows": [asdict(row) for row in order.rows],
        "ledger": asdict(order.ledger) if order.ledger else None,
        "shipstation": [asdict(remote) for remote in order.remote],
    }


def _as_entry(order: GaveUp) -> dict[str, object]:
    entry = asdict(order) | {"reason": _reason(order), "todo": _todo(order)}
    del entry["total"]
    return entry
