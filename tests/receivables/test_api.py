"""The HTTP face of receivables over commands that are decided in memory."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from services.receivables.api import routes
from services.receivables.domain.account import account
from services.receivables.policies import ReceivablesPolicy, reactions
from shared.errors import ConflictError
from shared.eventsourced.commands import Commands, Outcome
from shared.eventsourced.decider import Decider, To
from shared.eventsourced.facts import Meta, Recorded
from tests.receivables.given import CUSTOMER, DUE, ISSUED, PAID, book
from tests.support.routes import plain_client_of

TODAY = date(2026, 3, 25)
BODY = {
    "payment_id": "P-1",
    "customer_id": CUSTOMER,
    "amount_minor": 100_00,
    "currency": "EUR",
    "value_on": "2026-03-10",
    "reference": "X-1",
}
ITEM = {
    "invoice_id": "1",
    "number": "INV-2026-1",
    "order_id": "O-1",
    "customer_id": CUSTOMER,
    "currency": "EUR",
    "issued_on": ISSUED,
    "due_on": DUE,
    "total_minor": 120_00,
    "open_minor": 120_00,
    "status": "open",
}
APPLICATION = ITEM | {"applied_minor": 100_00, "applied_on": PAID}


class MemoryCommands:
    """Decides against streams in memory; answers every query on read tables with `rows`."""

    def __init__(self) -> None:
        self.streams: dict[str, list[Any]] = {}
        self.react = reactions(ReceivablesPolicy(0))
        self.rows: list[dict[str, Any]] = []
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def execute(self, to: To[Any], *, corr: str = "", trace: str = "") -> Outcome:
        history = self.streams.get(to.stream, [])
        if to.expected_version not in (None, len(history)):
            raise ConflictError("it has changed", code="version")
        state = to.decider.fold(history)
        facts = list(to.decider.decide(state, to.command))
        recorded = tuple(Recorded(to.stream, len(history) + n, fact, Meta(0)) for n, fact in enumerate(facts, 1))
        self.streams[to.stream] = history + facts
        for reaction in self.react(recorded):
            await self.execute(reaction)
        return Outcome(to.stream, len(history) + len(facts), to.decider.fold(facts, state), recorded)

    async def state(self, decider: Decider[Any, Any, Any], key: str) -> tuple[Any, int]:
        history = self.streams.get(decider.stream(key), [])
        return decider.fold(history), len(history)

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        self.asked.append((sql, args))
        return self.rows


@pytest.fixture
def commands() -> MemoryCommands:
    return MemoryCommands()


def routes_of_today(commands: Commands) -> APIRouter:
    return routes(commands, lambda: TODAY)


@pytest.fixture
def client(commands: MemoryCommands) -> TestClient:
    return plain_client_of(routes_of_today, commands)


def given_booked(commands: MemoryCommands) -> str:
    """An open invoice; the ETag of its account."""
    facts = account.decide(account.initial, book())
    commands.streams[f"account-{CUSTOMER}"] = list(facts)
    commands.rows = [ITEM]
    return f'"{len(facts)}"'


def test_a_new_payment_is_201_and_reaches_the_account(client: TestClient, commands: MemoryCommands) -> None:
    response = client.post("/payments", json=BODY)
    assert (response.status_code, response.json()["value_on"]) == (201, "2026-03-10")
    assert response.json() == BODY | {"method": "transfer", "order_id": ""}
    assert len(commands.streams[f"account-{CUSTOMER}"]) == 2


def test_an_exact_repeat_is_200_and_stores_nothing(client: TestClient, commands: MemoryCommands) -> None:
    first = client.post("/payments", json=BODY)
    stored = {stream: list(facts) for stream, facts in commands.streams.items()}
    again = client.post("/payments", json=BODY)
    assert (again.status_code, again.json()) == (200, first.json())
    assert commands.streams == stored


def test_the_same_id_with_other_content_is_409(client: TestClient) -> None:
    client.post("/payments", json=BODY)
    response = client.post("/payments", json=BODY | {"amount_minor": 1})
    assert (response.status_code, response.json()["code"]) == (409, "payment_id_reused")


def test_all_problems_of_a_payment_are_told_at_once(client: TestClient, commands: MemoryCommands) -> None:
    response = client.post("/payments", json=BODY | {"amount_minor": 0, "currency": "X", "payment_id": "\x00"})
    assert response.status_code == 422
    assert {e["field"] for e in response.json()["errors"]} == {"amount_minor", "currency", "payment_id"}
    assert not commands.streams


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 1.5},
        {"amount_minor": "1"},
        {"amount_minor": True},
        {"value_on": 1_700_000_000},
        {"value_on": "1700000000"},
        {"value_on": "2026-02-30"},
        {"payment_id": 7},
        {"amount": 1},
    ],
)
def test_a_payment_of_the_wrong_shape_is_422(client: TestClient, changes: dict[str, Any]) -> None:
    assert client.post("/payments", json=BODY | changes).status_code == 422


def test_a_payment_is_found_by_an_id_with_slashes(client: TestClient) -> None:
    assert "BANK/2026/1" in client.get("/payments/BANK%2F2026%2F1").json()["detail"]


def test_an_unknown_account_is_404(client: TestClient) -> None:
    assert client.get("/accounts/C-9").status_code == 404


def test_a_person_applies_money_on_the_version_they_saw(client: TestClient, commands: MemoryCommands) -> None:
    given_booked(commands)
    client.post("/payments", json=BODY)
    body = {"source_id": "P-1", "invoice_id": "1", "amount_minor": 40_00, "by": "Ada"}
    url = f"/accounts/{CUSTOMER}/apply"
    response = client.post(url, json=body, headers={"If-Match": '"4"'})
    assert (response.status_code, response.headers["ETag"]) == (200, '"6"')
    assert client.post(url, json=body, headers={"If-Match": '"4"'}).status_code == 412


@pytest.mark.parametrize("action", ["apply", "unapply"])
def test_applying_and_unapplying_want_the_version_that_was_seen(client: TestClient, action: str) -> None:
    body = {"source_id": "P-1", "invoice_id": "1", "amount_minor": 1, "by": " "}
    response = client.post(f"/accounts/{CUSTOMER}/{action}", json=body)
    assert response.status_code == 422
    assert {e["field"] for e in response.json()["errors"]} == {"by", "If-Match"}


def test_a_person_takes_an_application_back(client: TestClient, commands: MemoryCommands) -> None:
    given_booked(commands)
    client.post("/payments", json=BODY | {"reference": "INV-2026-1"})
    commands.rows = [APPLICATION]
    body = {"source_id": "P-1", "invoice_id": "1", "amount_minor": 100_00, "by": "Ada"}
    response = client.post(f"/accounts/{CUSTOMER}/unapply", json=body, headers={"If-Match": '"5"'})
    assert response.status_code == 200
    state = account.fold(commands.streams[f"account-{CUSTOMER}"])
    assert state.items["1"].open_minor == 120_00
    assert [c.rest_minor for c in state.credits.values()] == [100_00]


def test_taking_back_what_was_never_applied_is_404(client: TestClient, commands: MemoryCommands) -> None:
    tag = given_booked(commands)
    commands.rows = []
    body = {"source_id": "P-1", "invoice_id": "1", "amount_minor": 1, "by": "Ada"}
    response = client.post(f"/accounts/{CUSTOMER}/unapply", json=body, headers={"If-Match": tag})
    assert response.status_code == 404


def test_a_person_writes_off_for_a_reason(client: TestClient, commands: MemoryCommands) -> None:
    seen = {"If-Match": given_booked(commands)}
    url = "/open-items/1/write-off"
    assert client.post(url, json={"by": "Ada", "reason": ""}, headers=seen).status_code == 422
    written_off = client.post(url, json={"by": "Ada", "reason": "insolvent"}, headers=seen)
    assert written_off.status_code == 200
    assert not account.fold(commands.streams[f"account-{CUSTOMER}"]).items
    seen = {"If-Match": written_off.headers["ETag"]}
    assert client.post(url, json={"by": "Ada", "reason": "insolvent"}, headers=seen).status_code == 404


def test_writing_off_wants_the_version_that_was_seen(client: TestClient, commands: MemoryCommands) -> None:
    """Money that came meanwhile is not given up."""
    seen = {"If-Match": given_booked(commands)}
    url, body = "/open-items/1/write-off", {"by": "Ada", "reason": "insolvent"}
    response = client.post(url, json=body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "If-Match")
    assert client.post(url, json=body, headers={"If-Match": "*"}).status_code == 422
    client.post("/payments", json=BODY | {"reference": "INV-2026-1"})
    assert client.post(url, json=body, headers=seen).status_code == 412


def test_open_items_come_in_pages(client: TestClient, commands: MemoryCommands) -> None:
    commands.rows = [ITEM, ITEM | {"invoice_id": "2"}]
    page = client.get("/open-items?limit=1&customer_id=C-1&overdue_on=2026-05-01").json()
    assert [item["invoice_id"] for item in page["items"]] == ["1"]
    assert commands.asked[-1][1] == ("C-1", date(2026, 5, 1))
    client.get(f"/open-items?cursor={page['next']}")
    assert commands.asked[-1][1] == (DUE, "1")


@pytest.mark.parametrize(
    "path",
    [
        "/open-items?cursor=x",
        "/open-items?cursor=WyJ4IiwieSJd",
        "/open-items?overdue_on=20260301",
        "/open-items?limit=0",
        "/open-items?customer_id=%00",
        "/unapplied?cursor=WzFd",
        "/journal?account=x",
        "/journal?cursor=WyIyMDI2LTAxLTAxIiwiSiIsOTk5OTk5OTk5OTldCg",
        "/trial-balance",
        "/aging?on=1",
        "/payments/%00",
    ],
)
def test_what_cannot_be_read_is_422_and_never_a_query(client: TestClient, commands: MemoryCommands, path: str) -> None:
    assert client.get(path).status_code == 422
    assert not commands.asked


def test_a_trial_balance_names_its_accounts(client: TestClient, commands: MemoryCommands) -> None:
    commands.rows = [{"currency": "EUR", "account": "1200", "debit_minor": 10, "credit_minor": 4}]
    [row] = client.get("/trial-balance?on=2026-03-31").json()["accounts"]
    assert (row["name"], row["balance_minor"]) == ("Trade receivables", 6)
