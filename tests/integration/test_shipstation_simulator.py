"""The ShipStation simulator over real HTTP: keys and limits, each call, each fault, and that it vanishes at once.

The rule: every request here goes through urllib3 and a socket, as the listener's do.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import ProtocolError

from listener.embedded.shipstation import LOCKED_MESSAGE, ShipStationSimulator

BATCH = "/orders/createorders"
SOON = 5.0  # what is certain to come comes within milliseconds; a wait that ends by this has failed


class Api:
    """A client with a right key; `future` calls from another thread, for calls that are made to wait."""

    def __init__(self, simulator: ShipStationSimulator) -> None:
        self._simulator = simulator
        self._pool = urllib3.PoolManager(retries=False, timeout=SOON)
        self._threads = ThreadPoolExecutor(4)
        self.headers = urllib3.make_headers(basic_auth=f"{simulator.api_key}:{simulator.api_secret}")

    def __call__(self, method: str, path: str, body: Any = None, **fields: str) -> urllib3.BaseHTTPResponse:
        headers = dict(self.headers)
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if fields:
            return self._pool.request(method, self._simulator.url + path, headers=headers, fields=fields)
        return self._pool.request(method, self._simulator.url + path, body=body, headers=headers)

    def future(self, *arguments: Any) -> "Future[urllib3.BaseHTTPResponse]":
        return self._threads.submit(self, *arguments)

    def send(self, *numbers: str) -> dict[str, Any]:
        """Send orders in one batch, each with a key of its own, and return the answer's body."""
        answer = self("POST", BATCH, [order(number) for number in numbers])
        assert answer.status == 200, answer.data
        body: dict[str, Any] = answer.json()
        return body

    def close(self) -> None:
        self._threads.shutdown()
        self._pool.clear()


@pytest.fixture
def simulator() -> Iterator[ShipStationSimulator]:
    with ShipStationSimulator() as simulator:
        yield simulator


@pytest.fixture
def api(simulator: ShipStationSimulator) -> Iterator[Api]:
    api = Api(simulator)
    yield api
    simulator.stop()  # first, so that a call still held ends and the client's threads with it
    api.close()


def order(number: str = "1001", **fields: Any) -> dict[str, Any]:
    return {
        "orderNumber": number,
        "orderKey": f"key-{number}",
        "orderDate": "2026-01-15T10:00:00",
        "orderStatus": "awaiting_shipment",
        "billTo": {"name": "Sample Buyer"},
        "shipTo": {"name": "Sample Buyer", "street1": "1 Sample Street", "city": "Sampletown", "country": "US"},
        "items": [{"sku": "SKU-1", "quantity": 2, "unitPrice": 4.5}],
        **fields,
    }


def numbers(results: list[dict[str, Any]]) -> list[str]:
    return [result["orderNumber"] for result in results]


class TestCalls:
    def test_a_batch_is_answered_order_by_order_and_can_be_read_back(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        answer = api.send("1001", "1002")
        assert answer["hasErrors"] is False and numbers(answer["results"]) == ["1001", "1002"]
        first = answer["results"][0]
        assert set(first) == {"orderId", "orderNumber", "orderKey", "success", "errorMessage"}
        shown = api("GET", f"/orders/{first['orderId']}").json()
        assert shown == simulator.orders[0]
        assert (shown["orderKey"], shown["orderTotal"], shown["items"][0]["quantity"]) == ("key-1001", 9.0, 2)

    def test_createorder_answers_with_the_whole_order(self, api: Api) -> None:
        answer = api("POST", "/orders/createorder", order())
        assert answer.status == 200
        assert answer.json() == api("GET", f"/orders/{answer.json()['orderId']}").json()

    def test_createorder_for_a_shipped_order_or_an_unknown_id_is_refused(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001")
        simulator.user.ship("1001")
        locked = api("POST", "/orders/createorder", order())
        assert locked.status == 400 and LOCKED_MESSAGE in locked.data.decode()
        assert api("POST", "/orders/createorder", order("1002", orderId=7)).status == 404

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (BATCH, order()),
            (BATCH, [order()] * 101),
            (BATCH, [order(orderDate=None)]),
            (BATCH, ["1001"]),
            ("/orders/createorder", [order()]),
            ("/orders/createorder", order(amountPaid="1")),
            ("/orders/markasshipped", {"orderId": 5}),
        ],
    )
    def test_a_body_of_the_wrong_shape_is_a_400_that_names_the_parameter(
        self, simulator: ShipStationSimulator, api: Api, path: str, body: Any
    ) -> None:
        answer = api("POST", path, body)
        assert answer.status == 400
        assert answer.json()["Message"] == "The request is invalid." and answer.json()["ModelState"]
        assert simulator.orders == []

    def test_a_body_that_is_not_json_or_does_not_say_so_is_a_400(self, simulator: ShipStationSimulator) -> None:
        with urllib3.PoolManager(retries=False, timeout=SOON) as pool:
            right = urllib3.make_headers(basic_auth="demo-key:demo-secret")
            no_number = json.dumps([order(amountPaid=float("nan"))])
            for body, kind in (("[", "application/json"), (no_number, "application/json"), ("[]", "text/plain")):
                headers = {**right, "Content-Type": kind}
                assert pool.request("POST", simulator.url + BATCH, body=body, headers=headers).status == 400

    def test_unknown_paths_orders_and_methods_have_their_own_status(self, api: Api) -> None:
        assert api("GET", "/orders/12").status == 404
        assert api("GET", "/nothing").status == 404
        assert api("DELETE", "/orders/createorders").status == 405

    def test_a_search_is_by_the_beginning_of_the_number_and_an_empty_one_has_no_pages(self, api: Api) -> None:
        api.send("1001", "10010", "2001")
        assert numbers(api("GET", "/orders", orderNumber="1001").json()["orders"]) == ["1001", "10010"]
        empty = api("GET", "/orders", orderNumber="3").json()
        assert empty == {"orders": [], "total": 0, "page": 1, "pages": 0}

    def test_changes_are_found_by_modify_date_with_an_encoded_blank(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        start = datetime(2026, 3, 8, 9, 59, tzinfo=UTC)
        simulator.clock = lambda: start
        api.send("1001", "1002")
        simulator.clock = lambda: start + timedelta(minutes=2)
        simulator.user.cancel("1001")
        found = api("GET", "/orders", modifyDateStart="2026-03-08 03:00:00", sortBy="ModifyDate").json()["orders"]
        assert [(one["orderNumber"], one["orderStatus"]) for one in found] == [("1001", "cancelled")]
        assert (found[0]["createDate"], found[0]["modifyDate"]) == (
            "2026-03-08T01:59:00.0000000",
            "2026-03-08T03:01:00.0000000",
        )

    def test_shipping_voiding_and_shipping_again_show_in_order_and_shipments(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001")
        first = simulator.user.ship("1001", "TRACK-1")
        assert simulator.order_by_number("1001")[0]["orderStatus"] == "shipped"
        simulator.user.ship("1001", isReturnLabel=True)
        assert simulator.user.void("1001", first["shipmentId"])["voided"]
        assert simulator.order_by_number("1001")[0]["orderStatus"] == "awaiting_shipment"
        simulator.user.ship("1001", "TRACK-2")
        shipments = api("GET", "/shipments", orderNumber="1001").json()
        assert [one["voided"] for one in shipments["shipments"]] == [True, False, False]
        assert [one["isReturnLabel"] for one in shipments["shipments"]] == [False, True, False]
        assert shipments["shipments"][0]["shipmentItems"] is None
        with_items = api("GET", "/shipments", trackingNumber="TRACK-2", includeShipmentItems="True").json()
        assert with_items["shipments"][0]["shipmentItems"][0]["sku"] == "SKU-1"
        assert api("GET", "/fulfillments").json()["pages"] == 0

    def test_an_order_in_two_boxes_stays_shipped_until_the_last_label_is_void(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001")
        simulator.user.ship("1001", isReturnLabel=True)
        seen = [simulator.orders[0]["orderStatus"]]
        for act in (simulator.user.ship, simulator.user.ship, simulator.user.void, simulator.user.void):
            act("1001")
            seen.append(simulator.orders[0]["orderStatus"])
        assert seen == ["awaiting_shipment", "shipped", "shipped", "shipped", "awaiting_shipment"]

    def test_marked_as_shipped_is_a_fulfillment_and_no_shipment(self, api: Api) -> None:
        order_id = api.send("1001")["results"][0]["orderId"]
        body = {"orderId": order_id, "carrierCode": "other", "trackingNumber": "T-9", "shipDate": "2026-01-20"}
        assert api("POST", "/orders/markasshipped", body).json() == {"orderId": order_id, "orderNumber": "1001"}
        shown = api("GET", f"/orders/{order_id}").json()
        assert (shown["orderStatus"], shown["shipDate"], shown["externallyFulfilled"]) == (
            "shipped",
            "2026-01-20",
            True,
        )
        found = api("GET", "/fulfillments", orderId=str(order_id)).json()["fulfillments"]
        assert [one["trackingNumber"] for one in found] == ["T-9"]
        assert api("GET", "/shipments").json()["total"] == 0

    def test_an_order_is_held_and_restored(self, api: Api) -> None:
        order_id = api.send("1001")["results"][0]["orderId"]
        held = api("POST", "/orders/holduntil", {"orderId": order_id, "holdUntilDate": "2026-02-01"}).json()
        shown = api("GET", f"/orders/{order_id}").json()
        assert held["success"] and (shown["orderStatus"], shown["holdUntilDate"]) == ("on_hold", "2026-02-01")
        assert api("POST", "/orders/restorefromhold", {"orderId": order_id}).json()["success"]
        assert not api("POST", "/orders/restorefromhold", {"orderId": order_id}).json()["success"]
        assert api("GET", f"/orders/{order_id}").json()["orderStatus"] == "awaiting_shipment"

    def test_a_deleted_order_is_nowhere(self, simulator: ShipStationSimulator, api: Api) -> None:
        order_id = api.send("1001")["results"][0]["orderId"]
        assert api("DELETE", f"/orders/{order_id}").json()["success"]
        assert api("GET", f"/orders/{order_id}").status == 404
        assert api("GET", "/orders").json()["total"] == 0 and simulator.orders == []

    def test_stores_are_a_cheap_way_to_try_a_key(self, api: Api) -> None:
        assert api("GET", "/stores").json()[0]["active"] is True

    def test_the_user_types_in_edits_and_holds_orders(self, simulator: ShipStationSimulator, api: Api) -> None:
        typed = simulator.user.create_manual("M-1")
        assert typed["orderKey"].startswith("manual-") and len(typed["orderKey"]) == 39 and typed["items"] == []
        simulator.user.edit(typed["orderId"], items=[{"sku": "X"}], orderNumber="M-2")
        simulator.user.hold("M-2", "2026-05-01")
        shown = api("GET", "/orders", orderNumber="M-2").json()["orders"][0]
        assert (shown["items"][0]["sku"], shown["orderStatus"]) == ("X", "on_hold")
        simulator.user.create_manual("M-2")
        with pytest.raises(LookupError, match="2 orders"):
            simulator.user.delete("M-2")


class TestKeyAndLimit:
    def test_a_wrong_or_missing_key_is_a_401_that_still_shows_the_limit(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        for headers in ({}, urllib3.make_headers(basic_auth="demo-key:wrong")):
            api.headers = headers
            answer = api("POST", BATCH, [order()])
            assert answer.status == 401
            assert {"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"} <= set(answer.headers)
        assert simulator.orders == []

    def test_every_answer_counts_down_and_the_one_too_many_is_a_429_until_the_window_opens(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        start = datetime(2026, 1, 15, 20, tzinfo=UTC)
        simulator.clock = lambda: start
        simulator.limit_per_minute = 3
        paths = ("/stores", "/nothing", "/orders/7", "/stores")
        answers = [api("GET", path) for path in paths]
        assert [answer.status for answer in answers] == [200, 404, 404, 429]
        assert [answer.headers["X-Rate-Limit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert answers[-1].json() == {"message": "Too Many Requests"}
        assert (answers[-1].headers["X-Rate-Limit-Limit"], answers[-1].headers["X-Rate-Limit-Reset"]) == ("3", "60")
        simulator.clock = lambda: start + timedelta(seconds=60)
        assert api("GET", "/stores").status == 200


class TestLog:
    def test_a_request_is_logged_with_what_it_carried_and_got(self, simulator: ShipStationSimulator, api: Api) -> None:
        api.send("1001", "1002")
        api("GET", "/orders", orderNumber="1001")
        sent, asked = simulator.requests
        assert (sent.method, sent.path, sent.orders, sent.status) == ("POST", BATCH, 2, 200)
        assert sent.body[0]["orderNumber"] == "1001" and sent.received_at > 1_600_000_000
        assert (asked.query, asked.orders, asked.body) == ({"ordernumber": "1001"}, 0, None)
        assert asked.received_monotonic > sent.received_monotonic

    def test_waiting_ends_when_the_orders_and_requests_are_there(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        assert not simulator.wait_for_orders(1, 0.01)
        sending = api.future("POST", BATCH, [order("1001"), order("1002")])
        assert simulator.wait_for_orders(2, SOON) and simulator.wait_for_requests(1, SOON, path=BATCH)
        assert not simulator.wait_for_requests(1, 0.01, path="/stores")
        sending.result(SOON)

    def test_the_log_and_the_account_are_kept_over_an_outage_and_so_is_the_port(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001")
        url = simulator.url
        simulator.stop()
        with pytest.raises(urllib3.exceptions.HTTPError):
            api("GET", "/stores")
        simulator.start()
        assert simulator.url == url and numbers(simulator.orders) == ["1001"]
        assert api("GET", "/stores").status == 200 and len(simulator.requests) == 2


class TestFaults:
    def test_dropped_before_commit_leaves_nothing(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("drop-before-commit", times=1)
        with pytest.raises(ProtocolError):
            api.send("1001")
        assert simulator.orders == [] and simulator.requests[0].status is None and simulator.requests[0].dropped
        api.send("1001")

    def test_dropped_after_commit_leaves_the_order_there(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("drop-after-commit", path=BATCH, times=1)
        with pytest.raises(ProtocolError):
            api.send("1001")
        first = simulator.orders[0]["orderId"]
        assert api.send("1001")["results"][0]["orderId"] == first

    def test_a_cut_answer_ends_before_its_length(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("cut", times=1)
        with pytest.raises(ProtocolError, match="IncompleteRead"):
            api.send("1001")
        assert numbers(simulator.orders) == ["1001"]

    @pytest.mark.parametrize(("when", "there"), [("before", 0), ("after", 1)])
    def test_a_held_request_waits_before_or_after_its_work_until_released(
        self, simulator: ShipStationSimulator, api: Api, when: str, there: int
    ) -> None:
        hold = simulator.hold(when=when, path=BATCH)
        sending = api.future("POST", BATCH, [order()])
        assert hold.arrived.wait(SOON)
        assert simulator.order_count == there and simulator.requests[0].status is None
        assert api("GET", "/stores").status == 200  # others are not held up
        hold.release()
        assert sending.result(SOON).status == 200 and simulator.order_count == 1
        api.send("1002")

    def test_a_hold_for_one_order_lets_the_others_pass(self, simulator: ShipStationSimulator, api: Api) -> None:
        hold = simulator.hold(orders=("1002",))
        api.send("1001")
        sending = api.future("POST", BATCH, [order("1002"), order("1003")])
        assert hold.arrived.wait(SOON) and hold.hits == 1
        simulator.clear_faults()
        assert sending.result(SOON).status == 200

    def test_a_held_request_is_carried_out_though_its_client_has_gone(self, simulator: ShipStationSimulator) -> None:
        hold = simulator.hold()
        body = json.dumps([order()]).encode()
        head = (
            f"POST {BATCH} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ZGVtby1rZXk6ZGVtby1zZWNyZXQ=\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
            connection.sendall(head.encode() + body)
            assert hold.arrived.wait(SOON)
        hold.release()
        assert simulator.wait_for_orders(1, SOON)

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_delay_outlasts_a_client_that_waits_less(
        self, simulator: ShipStationSimulator, api: Api, when: str
    ) -> None:
        delay = simulator.inject(f"delay:seconds=30,times=1,when={when}")
        sending = api.future("POST", BATCH, [order()])
        assert delay.arrived.wait(SOON) and simulator.order_count == (when == "after")
        simulator.stop()  # ends it
        with pytest.raises(urllib3.exceptions.HTTPError):
            sending.result(SOON)

    def test_a_short_delay_answers_in_the_end(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("delay:seconds=0.02")
        api.send("1001")
        assert simulator.wait_for_orders(1, 0)

    def test_a_429_comes_with_its_headers_or_without(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("429:reset=17,times=1")
        simulator.inject("429:headers=false,times=1")
        with_headers, without = api("POST", BATCH, [order()]), api("POST", BATCH, [order()])
        assert (with_headers.status, without.status) == (429, 429)
        assert with_headers.headers["X-Rate-Limit-Reset"] == "17"
        assert with_headers.headers["X-Rate-Limit-Remaining"] == "0"
        assert not any(name.startswith("X-Rate") for name in without.headers)
        assert simulator.orders == []

    @pytest.mark.parametrize(
        ("fault", "status", "words"),
        [
            ("throttle-in-body", 200, '"message":"Too Many Requests"'),
            ("500", 500, '"Message":"An error has occurred."'),
            ("503", 503, "<html>"),
            ("answer:status=403,body=no", 403, "no"),
        ],
    )
    def test_an_answer_of_its_own_replaces_the_work_or_only_the_answer(
        self, simulator: ShipStationSimulator, api: Api, fault: str, status: int, words: str
    ) -> None:
        simulator.inject(f"{fault}{',' if ':' in fault else ':'}times=1")
        before = api("POST", BATCH, [order("1001")])
        assert before.status == status and words in before.data.decode() and simulator.orders == []
        assert "X-Rate-Limit-Remaining" in before.headers
        simulator.inject(f"{fault}{',' if ':' in fault else ':'}when=after")
        assert api("POST", BATCH, [order("1001")]).status == status and numbers(simulator.orders) == ["1001"]

    def test_named_orders_fail_with_their_message_and_the_others_are_made(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        simulator.inject("partial:order=1002,message=No such state,times=1")
        simulator.partial_failure_status = 202
        answer = api("POST", BATCH, [order("1001"), order("1002")])
        assert answer.status == 202 and answer.json()["hasErrors"]
        assert [result["errorMessage"] for result in answer.json()["results"]] == [None, "No such state"]
        assert numbers(simulator.orders) == ["1001"]
        assert not api.send("1002")["hasErrors"]

    def test_a_locked_order_is_refused_as_a_shipped_one(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("locked", orders=("1001",))
        assert api.send("1001")["results"][0]["errorMessage"] == LOCKED_MESSAGE
        assert simulator.orders == []

    def test_results_come_in_another_order(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("permute:seed=1")
        sent = [str(number) for number in range(1001, 1007)]
        got = numbers(api.send(*sent)["results"])
        assert got != sent and sorted(got) == sent

    def test_a_missing_result_belongs_to_an_order_that_was_made(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        simulator.inject("missing:order=1002")
        assert numbers(api.send("1001", "1002")["results"]) == ["1001"]
        assert numbers(simulator.orders) == ["1001", "1002"]

    def test_a_poisoned_order_fails_its_batch_and_every_page_that_shows_it(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001", "1002")
        simulator.inject("poison:order=1002,status=400,path=/orders/createorders")
        simulator.inject("poison:order=1002,path=/orders")
        assert api("POST", BATCH, [order("1002"), order("1003")]).status == 400
        assert api("GET", "/orders", pageSize="2").status == 500
        assert api("GET", "/orders", pageSize="1", page="1").status == 200
        assert api("GET", "/orders", pageSize="1", page="2").json()["ExceptionMessage"]
        assert not api.send("1003")["hasErrors"]

    def test_a_fault_is_for_its_path_and_method_only(self, simulator: ShipStationSimulator, api: Api) -> None:
        simulator.inject("500:path=/orders*,method=GET")
        api.send("1001")
        assert [api("GET", path).status for path in ("/orders", "/orders/1", "/stores")] == [500, 500, 200]


class TestFromOutside:
    def test_orders_and_requests_are_shown_without_a_key_and_without_being_counted(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001", "1002")
        api.headers = {}
        simulator.inject("500")
        assert numbers(api("GET", "/_simulator/orders").json()["orders"]) == ["1001", "1002"]
        assert api("GET", "/_simulator/orders", orderNumber="1001").json()["count"] == 1
        requests = api("GET", "/_simulator/requests").json()["requests"]
        assert [(one["path"], one["orders"], one["status"]) for one in requests] == [(BATCH, 2, 200)]
        assert len(simulator.requests) == 1
        assert api("GET", "/_simulator/other").status == 404

    def test_faults_and_limit_are_set_and_cleared(self, simulator: ShipStationSimulator, api: Api) -> None:
        added = api("POST", "/_simulator/faults", [{"kind": "503", "times": 2}, "delay:seconds=0"])
        assert [fault["kind"] for fault in added.json()["faults"]] == ["503", "delay"]
        assert api("GET", "/stores").status == 503
        assert api("DELETE", "/_simulator/faults").json() == {"faults": []}
        assert api("GET", "/stores").status == 200
        assert api("POST", "/_simulator/limit", {"limit_per_minute": 1}).status == 200
        assert api("GET", "/stores").status == 429
        assert api("POST", "/_simulator/limit", {"limit_per_minute": None}).status == 200
        assert api("GET", "/stores").status == 200

    def test_a_bad_control_call_says_what_is_wrong(self, api: Api) -> None:
        assert "fire" in api("POST", "/_simulator/faults", {"kind": "fire"}).json()["error"]
        assert api("POST", "/_simulator/limit", {"limit_per_minute": "40"}).status == 400


class TestConnections:
    def test_many_requests_share_one_connection(self, simulator: ShipStationSimulator) -> None:
        with urllib3.HTTPConnectionPool("127.0.0.1", simulator.port, maxsize=1, block=True, retries=False) as pool:
            for _ in range(20):
                assert pool.request("GET", "/_simulator/orders").status == 200
            assert pool.num_connections == 1

    def test_stop_ends_held_requests_and_kept_connections_and_leaves_no_thread(
        self, simulator: ShipStationSimulator, api: Api
    ) -> None:
        api.send("1001")  # leaves a connection open
        hold = simulator.hold()
        sending = api.future("POST", BATCH, [order("1002")])
        assert hold.arrived.wait(SOON)
        stopping = threading.Thread(target=simulator.stop)
        stopping.start()
        stopping.join(SOON)
        assert not stopping.is_alive()
        with pytest.raises(urllib3.exceptions.HTTPError):
            sending.result(SOON)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("simulator")]
        assert numbers(simulator.orders) == ["1001"]  # what was held before its work was never done

    @pytest.mark.parametrize("bytes_sent", [b"", b"GET", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n12"])
    def test_a_client_that_leaves_early_is_no_error(self, simulator: ShipStationSimulator, bytes_sent: bytes) -> None:
        with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
            connection.sendall(bytes_sent)
        simulator.stop()
        assert simulator.requests == []

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"hello\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        ],
    )
    def test_what_is_not_understood_is_refused_and_the_line_closed(
        self, simulator: ShipStationSimulator, head: bytes, status: bytes
    ) -> None:
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=SOON) as connection:
            connection.sendall(head)
            with connection.makefile("rb") as answer:
                assert answer.read().split()[1] == status

    def test_a_client_that_asks_first_is_told_to_continue(self, simulator: ShipStationSimulator) -> None:
        head = b"POST /_simulator/faults HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=SOON) as connection:
            connection.sendall(head)
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            connection.sendall(b'"503"')
            assert connection.recv(100).startswith(b"HTTP/1.1 200")


class TestCommand:
    def run(self, *arguments: str) -> "subprocess.Popen[str]":
        program = "from listener.cli.simulate import simulate; simulate()"
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
    def test_it_prints_what_to_export_and_ends_well_on_a_signal(self, ending: signal.Signals) -> None:
        with self.run("--fault", "503:times=1") as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                assert "http://127.0.0.1:" in process.stdout.readline()
                exports = dict(process.stdout.readline().removeprefix("export ").strip().split("=") for _ in range(3))
                pair = f"{exports['SHIPSTATION_API_KEY']}:{exports['SHIPSTATION_API_SECRET']}"
                with urllib3.PoolManager(retries=False, timeout=SOON) as pool:
                    headers = urllib3.make_headers(basic_auth=pair)
                    url = exports["SHIPSTATION_BASE_URL"] + "/stores"
                    assert [pool.request("GET", url, headers=headers).status for _ in range(2)] == [503, 200]
                process.send_signal(ending)
                assert process.wait(SOON) == 0 and process.stderr.read() == ""
            finally:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

    def test_a_taken_port_and_a_bad_fault_are_one_line_each(self, simulator: ShipStationSimulator) -> None:
        taken = str(simulator.port)
        for arguments, words in (
            (["--shipstation-port", taken], "--shipstation-port"),
            (["--drive-port", taken], "--drive-port"),
            (["--fault", "fire"], "fire"),
        ):
            with self.run(*arguments) as process:
                out, error = process.communicate(timeout=30)
            assert process.returncode == 1 and out == ""
            assert words in error and error.count("\n") == 1
