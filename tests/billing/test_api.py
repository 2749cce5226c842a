"""Billing's HTTP routes ask only for what the caller asked for, and show documents as they were issued."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.billing.api import routes
from services.billing.projections import INVOICES, PROJECTIONS
from shared.eventsourced.projecting import FactProjection
from shared.eventsourced.unit_of_work import fact_rows
from tests.billing.test_flow import confirmed, office, shipped
from tests.in_memory import InMemory
from tests.support.routes import plain_client_of


class Rows(InMemory):
    """Answers every query with the same rows and remembers what was asked."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        super().__init__(office().service)
        self.rows, self.asked = rows, list[tuple[str, tuple[Any, ...]]]()

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        self.asked.append((" ".join(sql.split()), args))
        return self.rows


def client_with(rows: Rows) -> TestClient:
    return plain_client_of(routes, rows)


def invoice_rows(count: int) -> list[dict[str, Any]]:
    office_ = office()
    office_.hear(confirmed((count, 100, 2000)))
    for i in range(count):
        office_.hear(shipped((1, 1), shipment_id=f"S-{i}"))
    projections = [projection for projection in PROJECTIONS if isinstance(projection, FactProjection)]
    names = [column.name for column in (*INVOICES.key, *INVOICES.columns)]
    rows = fact_rows(projections, office_.recorded)[INVOICES]
    return [{**dict(zip(names, row, strict=True)), "credited_minor": 0} for row in rows]


def test_a_page_ends_where_the_next_begins() -> None:
    rows = Rows(invoice_rows(3))
    client = client_with(rows)
    page = client.get("/invoices?limit=2").json()
    assert [invoice["number"] for invoice in page["items"]] == ["INV-2026-000001", "INV-2026-000002"]
    client.get("/invoices", params={"limit": 2, "cursor": page["next"]})
    (first, no_arguments), (second, arguments) = rows.asked
    assert "WHERE" not in first.partition("FROM invoices")[2]
    assert first.endswith("ORDER BY d.number LIMIT 3")
    assert no_arguments == ()
    assert "WHERE d.number > $1 ORDER BY" in second
    assert arguments == ("INV-2026-000002",)


def test_only_given_filters_are_asked_for() -> None:
    rows = Rows([])
    client = client_with(rows)
    client.get("/invoices?order_id=O-1")
    client.get("/credit-notes?customer_id=C-1&order_id=O-1")
    (invoices, of_order), (notes, of_both) = rows.asked
    assert "WHERE d.order_id = $1 ORDER BY" in invoices
    assert of_order == ("O-1",)
    assert "WHERE d.customer_id = $1 AND d.order_id = $2 ORDER BY" in notes
    assert of_both == ("C-1", "O-1")


def test_an_invoice_is_shown_with_its_lines_and_taxes() -> None:
    shown = client_with(Rows(invoice_rows(1))).get("/invoices/O-1-I1").json()
    assert shown["number"] == "INV-2026-000001"
    assert shown["taxes"] == [{"tax_rate_bp": 2000, "base_minor": 100, "tax_minor": 20}]
    assert [line["quantity"] for line in shown["lines"]] == [1]


def test_an_unknown_invoice_is_not_found() -> None:
    answer = client_with(Rows([])).get("/invoices/O-1-I1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_every_number_series_is_shown() -> None:
    rows = Rows([{"series": "CRN-2026", "last": 1}, {"series": "INV-2026", "last": 7}])
    assert client_with(rows).get("/number-series").json() == rows.rows


@pytest.mark.parametrize(
    "path", ["/invoices?cursor=x", "/invoices?limit=501", "/invoices/%00", "/credit-notes?order_id=%00"]
)
def test_parameters_we_never_gave_are_refused(path: str) -> None:
    assert client_with(Rows([])).get(path).status_code == 422
