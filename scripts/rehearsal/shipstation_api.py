"""ShipStation as the old scripts call it: orders go without a key, so that sending one twice makes two."""

from datetime import UTC, datetime
from typing import Any

import urllib3

from listener.embedded.shipstation import ShipStationSimulator

ADDRESS = {"name": "Ada Example", "street1": "1 Sample Street", "city": "Springfield", "country": "US"}
AT_ONCE = 100


def create_orders(account: ShipStationSimulator, numbers: list[str]) -> dict[str, str]:
    """Create an order for each number; return their ids."""
    ids: dict[str, str] = {}
    for start in range(0, len(numbers), AT_ONCE):
        answer = _call(account, "POST", "/orders/createorders", [_order(n) for n in numbers[start : start + AT_ONCE]])
        ids |= {result["orderNumber"]: str(result["orderId"]) for result in answer["results"] if result["success"]}
    return ids


def orders_of_last_page(account: ShipStationSimulator) -> list[dict[str, Any]]:
    """Return the orders that changed last."""
    query = "/orders?sortBy=ModifyDate&sortDir=DESC&pageSize=500"
    return list(_call(account, "GET", query, None)["orders"])


def _order(number: str) -> dict[str, Any]:
    today = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000")
    items = [{"sku": "17001", "name": "Field notebook", "quantity": 1, "unitPrice": 19.99}]
    common = {"orderNumber": number, "orderDate": today, "orderStatus": "awaiting_shipment", "items": items}
    return {**common, "billTo": ADDRESS, "shipTo": ADDRESS}


def _call(account: ShipStationSimulator, method: str, path: str, body: Any) -> Any:
    headers = urllib3.make_headers(basic_auth=f"{account.api_key}:{account.api_secret}")
    answer = urllib3.request(method, f"{account.url}{path}", json=body, headers=headers, timeout=10, retries=False)
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:200]!r}")
    return answer.json()
