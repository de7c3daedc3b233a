"""Pictures of the status page for README: a real listener with orders that nobody placed, and a day that was made up.

scripts/screenshots
"""

import os
import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts" / "bench")]

from playwright.sync_api import sync_playwright  # noqa: E402
from stage import Connection, open_wide, running_listener, set_flag, shop, wait_until  # noqa: E402

from listener.embedded.postgres import free_port  # noqa: E402
from listener.minutes import Figures, Minute  # noqa: E402
from listener.store.minutes import keep_minutes  # noqa: E402

FOLDER = ROOT / "docs"
WIDE, PHONE = (1280, 900), (390, 844)
ORDERS = 24

ORDER = """
with o as (
    insert into orders_inbox (order_number, order_date, status, ship_name, ship_street1, ship_city, ship_country)
    values (%s, current_date - %s::integer, 'awaiting_shipment', 'Ada Example', '1 Sample Street', 'Springfield', 'CA')
    returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity) select id, '17001', 1 from o
"""
SPREAD = """
update listener.ledger set first_seen_at = first_seen_at - ago, settled_at = settled_at - ago
from (select order_key as key,
             make_interval(mins => (row_number() over (order by order_key desc) ^ 1.6)::integer) as ago
      from listener.ledger) spread where key = order_key
"""


def a_day(dice: random.Random) -> list[Minute]:
    """Return the minutes of a made-up day: quiet at night, and nobody led for half an hour."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    minutes = []
    for ago in range(5, 24 * 60):
        at = now - timedelta(minutes=ago)
        if 700 < ago < 735:
            continue
        orders = max(0, round(dice.gauss(1.6, 1.3) * (1 if 7 <= at.hour < 22 else 0.25)))
        took = [300 if ago == 402 else dice.choice([2, 3, 3, 3, 5, 5, 5, 7, 10, 15, 20]) for _ in range(orders)]
        latencies = {str(bound): float(took.count(bound)) for bound in took}
        figures = Figures(latencies=latencies, latency_ms_max=max(took, default=0), api_calls={"200 x": orders})
        minutes.append(Minute(at, "made up", figures))
    return minutes


def play(url: str, operator: Connection, shipstation) -> None:
    """Have orders go, one fail, one be held back, and a flag be changed twice, once badly."""
    keep_minutes(operator, a_day(random.Random(4)))
    set_flag(operator, "max_upload_attempts", "1")
    set_flag(operator, "fast_polling_interval", "1")
    open_wide(operator)
    shipstation.inject("partial", orders=["WEB-40317"], message="The ship-to country XX is not served")
    with psycopg.connect(url) as writer:
        for number in range(40301, 40301 + ORDERS):
            writer.execute(ORDER, [f"WEB-{number}", 45 if number == 40304 else 0])
            writer.commit()
            settled = "select 1 from listener.ledger where order_key = 'WEB-{}' and state not in ('sending', 'waiting')"
            wait_until(operator, settled.format(number))
    set_flag(operator, "sync_interval", "180")
    set_flag(operator, "api_calls_per_hour", "200")
    set_flag(operator, "upload_batch_size", "-4")
    wait_until(operator, "select 1 from listener.config_log where verdict = 'refused'")
    operator.execute(SPREAD.encode())
    operator.execute("select pg_sleep(8)")  # some heartbeats


def take(address: str) -> None:
    """Take the four pictures."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        for name, (width, height) in {"page": WIDE, "phone": PHONE}.items():
            for theme in ("light", "dark"):
                size = {"width": width, "height": height}
                page = browser.new_page(viewport=size, color_scheme=theme, locale="en-GB", timezone_id="UTC")
                page.goto(f"http://{address}/")
                page.locator(".uplot").nth(1).wait_for()
                page.locator("#orders tr").nth(5).wait_for()
                page.wait_for_timeout(300)  # the drawings come with the next frame
                page.screenshot(path=FOLDER / f"{name}-{theme}.png")
                page.close()
        browser.close()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    with shop({}) as (_, url, operator), running_listener(url, operator, STATUS_ADDRESS=address) as (shipstation, _):
        play(url, operator, shipstation)
        take(address)
    for picture in sorted(FOLDER.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
