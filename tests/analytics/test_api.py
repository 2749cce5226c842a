"""The HTTP face of analytics over canned rows: what is asked, and how it is shown."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.analytics.api import routes
from services.analytics.queries import CYCLE_PAIRS, FUNNEL
from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from tests.support.routes import plain_client_of

MARCH = "from=2026-03-01&to=2026-04-01"
MARCH_1, APRIL_1 = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
LINE = {"message_id": "order-O-1@1", "at": MARCH_1, "speaker": "order", "type": "OrderPlaced", "summary": "Placed"}


class CannedRows:
    """Answers every query with the same rows and refuses commands."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        self.asked.append((sql, args))
        return self.rows

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        raise AssertionError("analytics decides nothing")

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        raise AssertionError("analytics has no aggregates")


@pytest.fixture
def canned() -> CannedRows:
    return CannedRows()


@pytest.fixture
def client(canned: CannedRows) -> TestClient:
    return plain_client_of(routes, canned)


def test_a_story_comes_in_pages(client: TestClient, canned: CannedRows) -> None:
    canned.rows = [LINE, LINE | {"message_id": "order-O-1@2"}]
    page = client.get("/orders/O-1/story?limit=1").json()
    assert [line["message_id"] for line in page["items"]] == ["order-O-1@1"]
    client.get(f"/orders/O-1/story?cursor={page['next']}")
    assert canned.asked[-1][1] == ("O-1", MARCH_1, "order-O-1@1")


def test_an_order_that_nobody_spoke_of_is_404(client: TestClient) -> None:
    assert client.get("/orders/O-9/story").status_code == 404


def test_a_funnel_has_its_stages_in_order(client: TestClient, canned: CannedRows) -> None:
    canned.rows = [{stage: 10 - n for n, stage in enumerate(FUNNEL)}]
    funnel = client.get(f"/funnel?{MARCH}").json()
    assert (funnel["from"], funnel["to"]) == ("2026-03-01", "2026-04-01")
    assert [(s["stage"], s["orders"]) for s in funnel["stages"]][:2] == [("placed", 10), ("credit_approved", 9)]
    assert canned.asked[-1][1] == (MARCH_1, APRIL_1)


def test_cycle_times_are_milliseconds_or_null(client: TestClient, canned: CannedRows) -> None:
    row: dict[str, Any] = {}
    for at in range(len(CYCLE_PAIRS)):
        row |= {f"orders_{at}": at, f"p50_{at}": 1.5 if at else None, f"p95_{at}": 2.0004 if at else None}
    canned.rows = [row]
    pairs = client.get(f"/cycle-times?{MARCH}").json()["pairs"]
    assert pairs[0] == {"begun": "placed", "done": "credit_approved", "orders": 0, "p50_ms": None, "p95_ms": None}
    assert (pairs[1]["p50_ms"], pairs[1]["p95_ms"]) == (1500, 2000)


def test_orders_are_filtered_by_how_far_they_have_come(client: TestClient, canned: CannedRows) -> None:
    assert client.get("/order-cycle?stage=shipped&customer_id=C-1").json() == {"items": [], "next": None}
    assert canned.asked[-1][1] == ("shipped", "C-1")
    assert client.get("/order-cycle?stage=lost").status_code == 422


def test_revenue_is_asked_by_days(client: TestClient, canned: CannedRows) -> None:
    assert client.get(f"/revenue?{MARCH}").json()["days"] == []
    assert canned.asked[-1][1] == (date(2026, 3, 1), date(2026, 4, 1))


def test_a_trial_balance_shows_debits_less_credits(client: TestClient, canned: CannedRows) -> None:
    canned.rows = [{"currency": "EUR", "account": "1200", "debit_minor": 10, "credit_minor": 4}]
    assert client.get("/trial-balance?on=2026-03-31").json()["accounts"][0]["balance_minor"] == 6


@pytest.mark.parametrize(
    "path",
    [
        "/funnel",
        "/funnel?from=2026-03-01&to=2026-03-01",
        "/revenue?from=2026-03-02&to=2026-03-01",
        "/orders/O-1/story?cursor=WyJ4IiwieSJd",
        "/orders/O-1/story?cursor=WyIyMDI2LTAzLTAxIiwieSJd",
        "/orders/%00/story",
        "/order-cycle?cursor=x",
        "/trial-balance?on=x",
    ],
)
def test_what_cannot_be_read_is_422_and_never_a_query(client: TestClient, canned: CannedRows, path: str) -> None:
    assert client.get(path).status_code == 422
    assert not canned.asked


@pytest.mark.parametrize("day", ["0", "1767225600", "2026-03-01T00:00:00Z", "20260301"])
def test_a_day_is_written_as_one(client: TestClient, day: str) -> None:
    for path in (f"/trial-balance?on={day}", f"/revenue?from={day}&to=2099-01-01"):
        assert client.get(path).status_code == 422
