"""The status page in a real browser, beside a real listener: what a person sees while orders come and things break."""

import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from listener.embedded.shipstation import ShipStationSimulator
from listener.install import rollback
from tests.acceptance.conftest import wait_until_asleep
from tests.support.browser import DESKTOP, PHONE, Window, running_browser
from tests.support.pooler import TransactionPooler
from tests.support.process import ListenerProcess
from tests.support.proxy import TcpProxy
from tests.support.shop import Connection, insert_order, row_of, set_flag
from tests.support.wait import eventually

Start = Callable[..., ListenerProcess]
Open = Callable[..., Window]

expect.set_options(timeout=15_000)

IN_CONTACT = re.compile("All is well|Look tomorrow")
"""A machine that is busy with other tests checks slowly, and that is a reason to look."""

MARKUP = "<img src=x onerror=alert(1)>"

AA = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def window(browser: Browser) -> Iterator[Open]:
    """Open a window on a listener's page; whatever it complained of fails the test."""
    opened = []

    def open_window(process: ListenerProcess, path: str = "/", *, size=DESKTOP, theme: str = "light") -> Window:
        opened.append(Window(browser, size, theme))
        opened[-1].open(process.status_address, path)
        opened[-1].hurry()
        return opened[-1]

    yield open_window
    complaints = [complaint for window in opened for complaint in window.complaints]
    for window in opened:
        window.close()
    assert complaints == []


def row(page: Page, number: str):
    return page.locator("#orders tr").filter(has=page.get_by_role("link", name=number, exact=True))


def headline(page: Page):
    return page.get_by_role("heading", level=1)


def upload(shop: Connection, number: str) -> None:
    insert_order(shop, number)
    eventually(lambda: row_of(shop, number), lambda row: row[0] == "uploaded")


def test_orders_show_as_they_go_without_a_reload_and_lead_to_their_stories(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, window: Open
) -> None:
    seen = window(asleep)
    page = seen.page
    expect(headline(page)).to_have_text(IN_CONTACT)
    expect(page.locator("#no-orders")).to_be_visible()
    page.evaluate("window.name = 'the same page'")
    upload(shop, "WEB-1")
    upload(shop, MARKUP)
    expect(row(page, MARKUP)).to_contain_text("at ShipStation")
    expect(row(page, "WEB-1")).to_contain_text(str(account.order_by_number("WEB-1")[0]["orderId"]))
    expect(page.locator("#today")).to_have_text("2")
    expect(page.locator("#p50")).to_contain_text("ms")
    expect(page.locator("#wakes tr").filter(has_text="notify").locator("td.n")).to_have_text("2")
    assert page.evaluate("window.name") == "the same page"
    set_flag(shop, "sync_interval", "180")
    expect(page.locator("#flags tr").filter(has_text="sync_interval")).to_contain_text("accepted")
    page.get_by_role("link", name=MARKUP).click()
    expect(headline(page)).to_have_text(f"Order {MARKUP}")
    expect(page.get_by_role("listitem").first).to_contain_text("of orders_inbox")
    page.get_by_role("link", name="Status of the listener").click()
    page.get_by_label("Order number").fill("web-1")
    page.keyboard.press("Enter")
    expect(headline(page)).to_have_text("Order WEB-1")


def test_an_outage_of_shipstation_is_told_with_its_reason_and_its_end_too(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, window: Open
) -> None:
    page = window(asleep).page
    account.inject("503")
    insert_order(shop, "OUT-1")
    expect(page.locator("#reasons")).to_contain_text("Upload backs off after error #1: ")
    expect(headline(page)).to_have_text(re.compile("Look tomorrow|Look now"))
    expect(page.locator("#workflows tr").filter(has_text="shipstation-upload")).to_contain_text("backs off, in ")
    expect(page.locator("#errors")).to_contain_text("503")
    expect(row(page, "OUT-1")).to_contain_text(re.compile("in doubt|waits"))
    account.clear_faults()
    set_flag(shop, "sync_interval", "180")  # any change ends a backoff
    insert_order(shop, "OUT-2")
    expect(row(page, "OUT-2")).to_contain_text("at ShipStation")
    expect(page.locator("#reasons")).not_to_contain_text("backs off")


def test_a_rollback_of_the_bell_is_told_with_what_mends_it(
    dsn: str, shop: Connection, asleep: ListenerProcess, window: Open
) -> None:
    page = window(asleep).page
    set_flag(shop, "fast_polling_interval", "1")
    asleep.wait_status(lambda status: status["flags"]["fast_polling_interval"] == 1)
    rollback(dsn, "notify")
    asleep.wait_status(lambda status: status["degraded"], 15)
    expect(page.locator("#reasons")).to_contain_text("Triggers missing, disabled or altered")
    expect(page.locator("#reasons code")).to_have_text("listener install")


def test_a_deaf_listener_says_so(
    dsn: str, shop: Connection, account: ShipStationSimulator, listener_process: Start, window: Open
) -> None:
    with TransactionPooler(dsn, 3) as pooler:
        process = listener_process(pooler.url(dsn))
        process.wait_status(lambda status: status["deaf"] and status["role"] == "leader", 15)
        page = window(process).page
        expect(page.locator("#reasons")).to_contain_text("set LISTEN_DATABASE_URL to a direct one")
        expect(page.locator("#missed-note")).to_contain_text("deaf")


def test_a_standby_names_the_one_that_leads(
    dsn: str, asleep: ListenerProcess, listener_process: Start, window: Open
) -> None:
    standby = listener_process(dsn)
    standby.wait_status(lambda status: status["leader"])
    page = window(standby).page
    leads = f"process {asleep.pid} on {socket.gethostname()} leads"
    expect(page.locator("#reasons")).to_contain_text(f"This listener stands by: {leads}, for ")
    expect(page.locator("#since")).to_contain_text(f"{leads}, for ")


def test_when_the_database_is_away_for_the_page_alone_it_says_so_and_goes_on(
    dsn: str,
    shop: Connection,
    account: ShipStationSimulator,
    listener_process: Start,
    tcp_proxy: Callable[[int], TcpProxy],
    window: Open,
) -> None:
    proxy = tcp_proxy(int(shop.info.port))
    process = listener_process(proxy.url(dsn), LISTEN_DATABASE_URL=dsn)
    wait_until_asleep(process)
    upload(shop, "WEB-1")
    seen = window(process)
    expect(row(seen.page, "WEB-1")).to_be_visible()
    proxy.refuse()
    proxy.cut()
    expect(seen.page.locator("#away")).to_contain_text("cannot be shown now: the database does not answer")
    expect(row(seen.page, "WEB-1")).to_be_visible()
    expect(headline(seen.page)).to_have_text(IN_CONTACT)
    proxy.accept()
    expect(seen.page.locator("#away")).to_be_hidden()


def test_a_listener_that_is_gone_is_no_contact_and_never_all_is_well(asleep: ListenerProcess, window: Open) -> None:
    seen = window(asleep)
    expect(headline(seen.page)).to_have_text(IN_CONTACT)
    asleep.kill()
    expect(headline(seen.page)).to_have_text("No contact")
    expect(seen.page.locator("#reasons")).to_contain_text("has not answered")
    expect(seen.page).to_have_title("No contact · listener")
    lost = [complaint for complaint in seen.complaints if "net::ERR_" in complaint]  # cut in an answer, then refused
    assert lost == seen.complaints
    seen.complaints.clear()


def test_every_part_is_reached_by_keyboard_and_new_orders_leave_the_focus_where_it_is(
    shop: Connection, asleep: ListenerProcess, window: Open
) -> None:
    upload(shop, "WEB-1")
    seen = window(asleep)
    page = seen.page
    expect(row(page, "WEB-1")).to_be_visible()
    reached = []
    while len(reached) < 40 and "/health/live" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", reached[-1]
    names = ["Skip to the figures", "number", "Find", "The same as a table, hour by hour", "WEB-1", "/status.json"]
    assert [name for name in reached if name in names] == names
    page.get_by_role("link", name="WEB-1").focus()
    upload(shop, "WEB-2")
    expect(row(page, "WEB-2")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "WEB-1"
    page.keyboard.press("Enter")
    expect(headline(page)).to_have_text("Order WEB-1")


def test_a_screen_reader_finds_no_fault_and_a_phone_no_edge_in_either_theme(
    shop: Connection, account: ShipStationSimulator, asleep: ListenerProcess, window: Open
) -> None:
    upload(shop, "WEB-1")
    insert_order(shop, "OLD-1", status="on_hold")
    shop.execute("update orders_inbox set order_date = current_date - 60 where order_number = 'OLD-1'")
    shop.execute("update orders_inbox set status = 'awaiting_shipment' where order_number = 'OLD-1'")
    asleep.wait_for("OLD-1 is not sent: held back")
    page = window(asleep).page
    expect(page.locator("#stuck")).to_contain_text("OLD-1")
    page.get_by_text("The same as a table").click()
    story = window(asleep, "/orders/WEB-1", size=PHONE).page
    for theme, size in (("light", DESKTOP), ("dark", PHONE)):
        for each in (page, story):
            each.emulate_media(color_scheme=theme)
            each.set_viewport_size({"width": size[0], "height": size[1]})
            assert violations(each) == [], theme
            assert each.evaluate("document.documentElement.scrollWidth") <= size[0]


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=AA).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


def test_times_are_the_viewers_and_today_begins_at_their_midnight(
    browser: Browser, shop: Connection, asleep: ListenerProcess
) -> None:
    upload(shop, "WEB-1")
    now = datetime.now(UTC)
    window = Window(browser, timezone_id="Asia/Kathmandu")
    page = window.open(asleep.status_address)
    expect(page.locator("#today")).to_have_text("1" if (now.hour * 60 + now.minute + 345) % 1440 > 5 else "0")
    window.close()
    assert window.complaints == []
