"""A control tower over given rows and given answers of the other services."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from services.analytics.pages.peers import Peers
from services.analytics.pages.routes import Tower
from services.analytics.queries import CYCLE_PAIRS, FUNNEL
from shared.eventsourced.commands import Outcome
from shared.eventsourced.decider import Decider, To
from shared.http import install_problems

NAMES = ("order", "credit", "fulfillment", "billing", "receivables", "analytics")
HOST = "http://tower.test"
EVIL = '"><script>alert(1)</script>'
NOW = datetime.now(UTC)
STATUS = {
    "missing": {},
    "events": 12,
    "positions": {"order": 7, "credit": 5},
    "lag": {"o2c.order.events": 3},
    "relay": {"backlog": 2},
    "dead_letters": {"parked": 1, "done": 4},
    "uptime_seconds": 12.5,
}
EMPTY: dict[str, Any] = {"items": [], "next": None}
AGING = {
    "currency": "GBP",
    "total_minor": 1_234_567,
    "current_minor": 1_000_000,
    "due_1_30_minor": 234_567,
    "due_31_60_minor": 0,
    "due_61_90_minor": 0,
    "due_over_90_minor": 0,
}
BALANCE = {"currency": "GBP", "debit_minor": 500, "credit_minor": 0, "balance_minor": 500}
ANSWERS: dict[str, Any] = {
    "/aging": {"on": "2026-03-31", "currencies": [AGING]},
    "/trial-balance": {
        "on": "2026-03-31",
        "accounts": [
            {**BALANCE, "account": "1000", "name": "Bank"},
            {
                **BALANCE,
                "account": "4000",
                "name": "Revenue",
                "debit_minor": 0,
                "credit_minor": 500,
                "balance_minor": -500,
            },
        ],
    },
    "/status": STATUS,
    "/credit-reviews": EMPTY,
    "/backorders": EMPTY,
    "/unapplied": EMPTY,
    "/dead-letters": EMPTY,
    "/invoices": EMPTY,
}
ORDER = {
    "order_id": "O-1",
    "customer_id": "C-1",
    "currency": "GBP",
    "status": "confirmed",
    "held_at": None,
    "backordered_at": None,
    "rejected_at": None,
    "cancelled_at": None,
    "ordered_minor": 123_456,
    "invoiced_minor": 0,
    "credited_minor": 0,
    "paid_minor": 0,
    "written_off_minor": 0,
    **dict.fromkeys(FUNNEL),
    "placed": NOW - timedelta(hours=3),
}
LINE = {"order_id": "O-1", "at": NOW, "speaker": "order", "type": "OrderPlaced", "summary": f"Placed {EVIL}"}
REVIEW = {
    "order_id": "O-7",
    "customer_id": "C-7",
    "status": "referred",
    "reason": "limit_exceeded",
    "amount_minor": 40_000,
    "currency": "GBP",
    "excess_minor": 500,
    "available_minor": None,
    "requested_at": "2026-03-31T12:00:00+00:00",
}
CREDIT = {
    "source_id": f"PAY-{EVIL}",
    "kind": "payment",
    "customer_id": "C-1",
    "currency": "GBP",
    "rest_minor": 12_050,
    "since_on": "2010-12-01",
    "recorded_at": NOW.isoformat(),
    "reference": EVIL,
    "order_id": "",
}
ITEM = {
    "invoice_id": "O-1-I1",
    "number": "INV-2026-000001",
    "order_id": "O-1",
    "customer_id": "C-1",
    "currency": "GBP",
    "issued_on": "2026-03-01",
    "due_on": "2026-03-31",
    "total_minor": 20_000,
    "open_minor": 20_000,
    "status": "open",
}
LETTER = {
    "id": 4,
    "status": "parked",
    "message_id": "x",
    "type": "o2c.inbound.Payment.v1",
    "stream": "",
    "topic": "o2c.inbound.payments",
    "code": "invalid",
    "reason": EVIL,
    "attempts": 1,
    "parked_at": "2026-03-31T12:00:00+00:00",
    "resolved_at": None,
}
_CYCLE = {f"orders_{at}": at for at in range(len(CYCLE_PAIRS))} | {
    f"seconds_{at}": [0.5 * at, 100.0 * at] if at else None for at in range(len(CYCLE_PAIRS))
}


class GivenRows:
    """Answers a query with the rows that were given for a piece of its text; with none for any other."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.error: Exception | None = None
        self.rows: dict[str, list[dict[str, Any]]] = {
            "FROM daily_flow": [{"stage": "OrderPlaced", "messages": 1_234}],
            "GROUP BY bucket": [{"bucket": int(NOW.timestamp()) // 10, "orders": 7, "lately": 5}],
            "AS waiting": [{"stage": "held", "orders": 2, "since": NOW - timedelta(hours=5), "order_id": EVIL}],
            "AS placed, count": [dict.fromkeys(FUNNEL, 3)],
            "reltuples": [{"orders": 0}],
            "percentile_cont": [_CYCLE],
        }

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        self.asked.append((sql, args))
        if self.error is not None:
            raise self.error
        return next((rows for piece, rows in self.rows.items() if piece in sql), [])

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        raise AssertionError("analytics decides nothing")

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        raise AssertionError("analytics has no aggregates")


class GivenServices(httpx.AsyncBaseTransport):
    """The other services: answers by path, refusals by (method, path), who is away, and who hears and does not answer.

    Keeps what was posted.
    """

    def __init__(self) -> None:
        self.answers = dict(ANSWERS)
        self.problems: dict[str, tuple[int, dict[str, Any]]] = {}
        self.away: set[str] = set()
        self.silent: set[str] = set()
        self.posted: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if {request.url.host, request.headers["Host"]} & self.away:
            raise httpx.ConnectError("refused", request=request)
        if request.method == "POST":
            await request.aread()
            self.posted.append(request)
        if request.url.host in self.silent:
            raise httpx.ReadTimeout("no answer", request=request)
        if path in self.problems:
            status, problem = self.problems[path]
            return httpx.Response(status, json=problem)
        if path not in self.answers:
            return httpx.Response(404, json={"detail": "there is no such thing"})
        return httpx.Response(200, json=self.answers[path], headers={"ETag": '"3"'})


class GivenTower:
    """A client of the pages, with what they are made of."""

    def __init__(
        self, services: GivenServices, rows: GivenRows, names: Sequence[str] = NAMES, replicas: int = 1
    ) -> None:
        self.services, self.rows = services, rows

        async def resolve(_: str) -> list[str]:
            return [f"10.0.0.{number}" for number in range(1, replicas + 1)]

        urls = {name: f"http://{name}" for name in names}
        self.tower = Tower(Peers(urls, transport=services, resolve=resolve))
        app = FastAPI()
        install_problems(app)
        app.include_router(self.tower.routes(rows))
        self.client = TestClient(app, base_url=HOST, follow_redirects=False)
        self.get: Callable[..., httpx.Response] = self.client.get

    def act(self, name: str, origin: str | None = HOST, **form: str) -> httpx.Response:
        """Send a form as a browser does."""
        headers = {"origin": origin, "sec-fetch-site": "same-origin"} if origin else {}
        return self.client.post(f"/tower/actions/{name}", data=form, headers=headers)

    def after(self, name: str, **form: str) -> str:
        """The page that a form leads to."""
        response = self.act(name, **form)
        assert response.status_code == 303, response.text
        return str(self.get(response.headers["location"]).text)


def on(text: str) -> date:
    """A day."""
    return date.fromisoformat(text)
