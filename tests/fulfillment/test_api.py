"""The warehouse's HTTP routes: 201 for what is new, 200 for a repeat, 409 for other content, 422 with every problem."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.fulfillment.api import routes
from tests.fulfillment.test_flow import cancel, confirmed, warehouse
from tests.in_memory import InMemory
from tests.support.routes import plain_client_of

AT = "2026-03-31T14:30:00+00:00"


@pytest.fixture
def house() -> InMemory:
    return warehouse()


@pytest.fixture
def client(house: InMemory) -> TestClient:
    return plain_client_of(routes, house)


def post(client: TestClient, path: str, **body: Any) -> tuple[int, Any]:
    answer = client.post(path, json=body)
    return answer.status_code, answer.json()


def stocked_and_ordered(client: TestClient, house: InMemory) -> None:
    post(client, "/receipts", receipt_id="R-1", sku="A", quantity=5)
    house.hear(confirmed(("A", 3)))


def test_a_receipt(client: TestClient) -> None:
    body = {"receipt_id": "R-1", "sku": "A", "quantity": 5}
    assert post(client, "/receipts", **body) == (201, body)
    assert post(client, "/receipts", **body) == (200, body)
    status, problem = post(client, "/receipts", **{**body, "quantity": 6})
    assert (status, problem["code"]) == (409, "conflict")


def test_every_problem_of_a_body_is_in_the_answer(client: TestClient) -> None:
    status, problem = post(client, "/receipts", receipt_id="", sku=" A", quantity=0)
    assert status == 422
    assert {reason["field"] for reason in problem["errors"]} == {"receipt_id", "sku", "quantity"}


@pytest.mark.parametrize("wrong", [{"quantity": "5"}, {"quantity": 5.5}, {"quantity": True}, {"unknown": 1}])
def test_a_body_of_another_shape_is_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    status, _ = post(client, "/receipts", **{"receipt_id": "R-1", "sku": "A", "quantity": 5, **wrong})
    assert status == 422


def test_an_adjustment(client: TestClient) -> None:
    body = {"adjustment_id": "A-1", "quantity_delta": 5, "reason": "found"}
    assert post(client, "/stock/A/adjust", **body) == (201, {**body, "sku": "A"})
    assert post(client, "/stock/A/adjust", **body) == (200, {**body, "sku": "A"})
    assert post(client, "/stock/B/adjust", **body)[0] == 409
    status, problem = post(client, "/stock/A/adjust", adjustment_id="A-2", quantity_delta=-6)
    assert (status, problem["code"]) == (409, "below_zero")


def test_a_shipment(client: TestClient, house: InMemory) -> None:
    stocked_and_ordered(client, house)
    body = {"shipment_id": "S-1", "order_id": "O-1", "shipped_at": AT, "lines": [{"line_no": 1, "quantity": 2}]}
    status, shown = post(client, "/shipments", **body)
    assert (status, shown["status"], shown["lines"]) == (201, "shipped", [{"line_no": 1, "sku": "A", "quantity": 2}])
    assert post(client, "/shipments", **{**body, "shipped_at": "2026-03-31T16:30:00+02:00"}) == (200, shown)
    assert post(client, "/shipments", **{**body, "carrier": "DHL"})[0] == 409
    assert post(client, "/shipments", **{**body, "shipped_at": "2026-03-31T16:30:00"})[0] == 422


def test_a_shipment_of_an_unknown_order_waits(client: TestClient) -> None:
    status, shown = post(client, "/shipments", shipment_id="S-1", order_id="O-9", shipped_at=AT)
    assert (status, shown["status"], shown["lines"]) == (201, "waiting", [])


def test_a_delivery(client: TestClient, house: InMemory) -> None:
    stocked_and_ordered(client, house)
    assert post(client, "/shipments/S-1/delivered", order_id="O-1", delivered_at=AT)[0] == 404
    post(client, "/shipments", shipment_id="S-1", order_id="O-1", shipped_at=AT)
    status, shown = post(client, "/shipments/S-1/delivered", order_id="O-1", delivered_at=AT)
    assert (status, shown["status"]) == (201, "delivered")
    assert post(client, "/shipments/S-1/delivered", order_id="O-1", delivered_at=AT) == (200, shown)


def test_a_return(client: TestClient, house: InMemory) -> None:
    stocked_and_ordered(client, house)
    post(client, "/shipments", shipment_id="S-1", order_id="O-1", shipped_at=AT)
    body = {"return_id": "RT-1", "order_id": "O-1", "lines": [{"line_no": 1, "quantity": 2}], "reason": "too small"}
    status, shown = post(client, "/returns", **body)
    assert (status, shown["received_at"]) == (201, None)
    assert post(client, "/returns", **body) == (200, shown)
    received = {"order_id": "O-1", "received_at": AT, "restocked": True}
    status, shown = post(client, "/returns/RT-1/received", **received)
    assert (status, shown["received"]) == (201, [{"line_no": 1, "sku": "A", "quantity": 2}])
    assert post(client, "/returns/RT-1/received", **received) == (200, shown)
    assert post(client, "/returns/RT-1/received", **{**received, "restocked": False})[0] == 409


def test_an_order_is_shown_with_its_etag_and_if_match_is_heeded(client: TestClient, house: InMemory) -> None:
    assert client.get("/fulfillments/O-1").status_code == 404
    stocked_and_ordered(client, house)
    answer = client.get("/fulfillments/O-1")
    assert answer.json()["status"] == "reserved"
    assert answer.json()["lines"][0] == {
        "line_no": 1,
        "sku": "A",
        "ordered": 3,
        "reserved": 3,
        "shipped": 0,
        "returned": 0,
    }
    body = {"shipment_id": "S-1", "order_id": "O-1", "shipped_at": AT}
    assert client.post("/shipments", json=body, headers={"If-Match": '"1"'}).status_code == 412
    seen = {"If-Match": answer.headers["ETag"]}
    assert client.post("/shipments", json=body, headers=seen).status_code == 201


def test_a_shipment_of_a_cancelled_order_is_refused(client: TestClient, house: InMemory) -> None:
    stocked_and_ordered(client, house)
    house.hear(cancel())
    status, problem = post(client, "/shipments", shipment_id="S-1", order_id="O-1", shipped_at=AT)
    assert (status, problem["code"]) == (409, "order_cancelled")


def test_waiting_orders_are_filled_on_request(client: TestClient, house: InMemory) -> None:
    stocked_and_ordered(client, house)
    answer = client.post("/stock/A/fill-backorders")
    assert (answer.status_code, answer.json()) == (200, {"orders_filled": 0, "quantity_filled": 0})


@pytest.mark.parametrize("path", ["/stock?limit=0", "/stock?cursor=x", "/fulfillments?status=lost", "/stock/%00"])
def test_parameters_we_never_gave_are_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 422


def test_the_api_describes_itself(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == {
        ("/receipts", "post"),
        ("/stock/{sku}/adjust", "post"),
        ("/stock/{sku}/fill-backorders", "post"),
        ("/stock", "get"),
        ("/stock/{sku}", "get"),
        ("/fulfillments", "get"),
        ("/fulfillments/{order_id}", "get"),
        ("/backorders", "get"),
        ("/shipments", "post"),
        ("/rejected-shipments", "get"),
        ("/shipments/{shipment_id}/delivered", "post"),
        ("/returns", "post"),
        ("/returns/{return_id}/received", "post"),
    }
