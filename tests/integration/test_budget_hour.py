"""Ten thousand orders within an hour and within the default budget of 200 calls. The hour takes some ten seconds."""

from collections import Counter

import psycopg

from listener.embedded.shipstation import ShipStationSimulator
from listener.flags import Flags
from tests.support.shop import Connection
from tests.support.upload import CREATE, LIST, Leader, leading

ORDERS = 10_000

INSERT_ORDERS = """
with inserted as (
    insert into orders_inbox (order_number, order_date, status, total_items, ship_name, ship_street1, ship_city,
                              ship_state, ship_postal_code, ship_country)
    select 'A-' || n, current_date, 'awaiting_shipment', 1, 'Ada Example', '1 Sample Street', 'Springfield', 'IL',
           '62701', 'US'
    from generate_series(1, %s) n returning id)
insert into order_items_inbox (order_inbox_id, sku, quantity, unit_price_cents) select id, '17001', 1, 100 from inserted
"""


def upload_all(ours: Leader, shop: Connection) -> None:
    """Let passes follow one another as the listener makes them, and no time pass but what it rests.

    A connection is cut in the midst of it, with most of the budget spent: what is in doubt must not use up the rest.
    """
    cut = None
    while True:
        passed = ours.run()
        assert len(ours.account.requests) < 300, f"it goes in circles: {statuses(shop)}"
        if cut is None and len(ours.sent()) == 40:
            cut = ours.account.inject("drop-after-commit", path=CREATE, times=1)
        if passed.rest_for is not None:
            ours.time.advance(passed.rest_for)
        elif not passed.report.more and statuses(shop) == {"uploaded": ORDERS}:
            return


def statuses(shop: Connection) -> dict[str, int]:
    return dict(shop.execute("select status, count(*) from orders_inbox group by 1").fetchall())


def test_ten_thousand_orders_go_once_within_an_hour_and_200_calls(dsn: str, shipstation: ShipStationSimulator) -> None:
    with psycopg.connect(dsn, autocommit=True) as shop, leading(dsn, shipstation) as ours:
        ours.flags = Flags()
        shop.execute(INSERT_ORDERS, [ORDERS])
        shop.execute("vacuum analyze orders_inbox, order_items_inbox")
        began = ours.time.utc()
        upload_all(ours, shop)
        seconds = (ours.time.utc() - began).total_seconds()
    calls = Counter(request.path for request in shipstation.requests)
    print(f"{seconds:.0f} s, {calls[CREATE]} sends, {calls[LIST]} pages")
    made = Counter(order["orderNumber"] for order in shipstation.orders)
    assert (len(made), set(made.values())) == (ORDERS, {1})
    assert [request.status for request in shipstation.requests if request.status != 200] == [None], "but for the cut"
    assert calls.total() <= Flags().api_calls_per_hour
    assert seconds <= 3600
