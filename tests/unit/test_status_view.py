"""What `listener status` prints: texts from outside stay texts."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from listener.cli.status_view import message, view
from listener.headway import Headway
from listener.metrics import Metrics


def shown(body: dict[str, Any], *, colour: bool = False) -> str:
    screen = StringIO()
    Console(file=screen, width=100, highlight=False, force_terminal=colour).print(view(body, "the page"))
    return screen.getvalue()


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.set(role="leader", listening=True)
    return metrics


def test_a_listener_that_has_just_begun_can_be_shown() -> None:
    text = shown(Metrics("1.2.3").snapshot())
    assert "✖ Look now\n  there is no connection to the database yet" in text
    assert "p50 -, p99 -, of 0 orders" in text
    assert "none yet" in text


def test_the_reasons_stand_below_the_headline(metrics: Metrics) -> None:
    metrics.set(degraded=["deaf: set LISTEN_DATABASE_URL"])
    assert "▲ Look tomorrow\n  deaf: set LISTEN_DATABASE_URL\n" in shown(metrics.snapshot())


def test_markup_and_control_characters_from_outside_are_shown_and_not_obeyed(metrics: Metrics) -> None:
    metrics.error("upload", "[bold red]ShipStation[/] said \x1b[2J")
    assert "[bold red]ShipStation[/] said \\x1b[2J" in shown(metrics.snapshot(), colour=True)


def test_what_takes_long_says_how_far_it_is(metrics: Metrics) -> None:
    text = "orders.xml: 200 of 9000 orders written"
    metrics.set_workflow("xml-import", progress=Headway("orders.xml", 200, 9000, "orders", text))
    assert "\n  xml-import: orders.xml: 200 of 9000 orders written\n" in shown(metrics.snapshot())


def test_no_contact_is_red_and_says_why() -> None:
    screen = StringIO()
    Console(file=screen, width=100).print(message("no listener answers"))
    assert screen.getvalue() == "✖ No contact\n  no listener answers\n"
