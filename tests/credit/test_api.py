"""The routes of credit, over a command bus in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.credit.api import routes
from services.credit.domain.credit_facts import CreditApproved
from tests.credit.samples import LIMIT, OPENED, C, approved, declined, referred
from tests.memory_commands import MemoryCommands
from tests.support.routes import client_of

STREAM = f"credit-account-{C}"
AT = datetime(2026, 3, 31, 12, tzinfo=UTC)
ADA = {"by": "Ada Byron", "reason": "Bank guarantee"}


@pytest.fixture
def commands() -> MemoryCommands:
    memory = MemoryCommands()
    memory.streams[STREAM] = [OPENED, approved("O-1", 60_000), referred("O-2", 45_000, 5_000)]
    memory.rows = [{"customer_id": C}]
    return memory


@pytest.fixture
async def client(commands: MemoryCommands) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(routes, commands) as client:
        yield client


async def test_an_account_is_shown_as_it_is_now_with_its_version(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/credit-accounts/{C}")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
    body = answer.json()
    assert (body["exposure_minor"], body["available_minor"], body["waiting"]) == (60_000, 40_000, 1)


async def test_an_unknown_account_is_not_found(client: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "/limit", {"limit_minor": 5}),
        ("POST", "/hold", {"reason": "x"}),
        ("POST", "/release", None),
    ):
        assert (await client.request(method, f"/credit-accounts/C-9{path}", json=body)).status_code == 404


async def test_a_higher_limit_lets_the_waiting_order_go_on(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    answer = await client.put(f"/credit-accounts/{C}/limit", json={"limit_minor": LIMIT + 5_000})
    assert (answer.status_code, answer.json()["waiting"], answer.headers["etag"]) == (200, 0, '"5"')
    assert commands.streams[STREAM][-1] == approved("O-2", 45_000, waited=True)


@pytest.mark.parametrize("limit", [-1, 10**15 + 1, "5", 5.0, None, True])
async def test_a_limit_that_is_none_is_refused(client: httpx.AsyncClient, limit: Any) -> None:
    assert (await client.put(f"/credit-accounts/{C}/limit", json={"limit_minor": limit})).status_code == 422


async def test_hold_and_release(client: httpx.AsyncClient) -> None:
    held = await client.post(f"/credit-accounts/{C}/hold", json={"reason": "Insolvency announced"})
    assert (held.json()["held"], held.json()["hold_reason"]) == (True, "Insolvency announced")
    assert (await client.post("/credit-reviews/O-2/approve", json=ADA)).json()["code"] == "account_held"
    released = await client.post(f"/credit-accounts/{C}/release")
    assert released.json()["held"] is False


async def test_a_person_approves_a_referred_order(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await client.post("/credit-reviews/O-2/approve", json=ADA, headers={"traceparent": trace})
    assert (answer.status_code, answer.json()["available_minor"]) == (200, -5_000)
    assert commands.streams[STREAM][-1] == CreditApproved("O-2", C, 45_000, "EUR", "Ada Byron", True, "Bank guarantee")
    assert commands.executed[-1][1:] == ("O-2", trace)
    assert (await client.post("/credit-reviews/O-2/approve", json=ADA)).status_code == 200
    assert (await client.post("/credit-reviews/O-2/decline", json=ADA)).status_code == 409


async def test_a_person_declines_a_referred_order(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    answer = await client.post("/credit-reviews/O-2/decline", json={"by": "Ada"}, headers={"If-Match": '"3"'})
    assert answer.status_code == 200
    assert commands.streams[STREAM][-1].reason == "declined_by_person"


async def test_who_has_seen_an_older_version_is_told_so(client: httpx.AsyncClient) -> None:
    for path in ("approve", "decline"):
        answer = await client.post(f"/credit-reviews/O-2/{path}", json=ADA, headers={"If-Match": '"2"'})
        assert answer.status_code == 412
    answer = await client.put(f"/credit-accounts/{C}/limit", json={"limit_minor": 1}, headers={"If-Match": '"2"'})
    assert answer.status_code == 412


async def test_an_order_that_never_waited_cannot_be_decided_on(
    client: httpx.AsyncClient, commands: MemoryCommands
) -> None:
    commands.rows = []
    assert (await client.post("/credit-reviews/O-9/approve", json=ADA)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"by": ""},
        {"by": "policy"},
        {"by": "Ada\u0000"},
        {"by": "Ada", "reason": "x" * 501},
        {"by": "Ada", "reason": "\x1b[2J"},
        {"by": "Ada", "because": "x"},
        {"by": 5},
    ],
)
async def test_a_decision_needs_a_person_and_a_readable_reason(
    client: httpx.AsyncClient, commands: MemoryCommands, body: dict[str, Any]
) -> None:
    answer = await client.post("/credit-reviews/O-2/approve", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert not commands.executed


async def test_half_a_surrogate_is_refused_not_stored(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/credit-reviews/O-2/approve", content=b'{"by": "\\ud800"}', headers=headers)
    assert answer.status_code == 422


REVIEW = {
    "customer_id": C,
    "status": "referred",
    "reason": "limit_exceeded",
    "amount_minor": 45_000,
    "currency": "EUR",
    "excess_minor": 5_000,
    "available_minor": None,
    "decided_by": None,
    "note": None,
    "requested_at": AT,
    "decided_at": None,
}


async def test_the_queue_is_paged_by_a_cursor(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    commands.rows = [{"order_id": f"O-{n}", **REVIEW} for n in range(3)]
    first = (await client.get("/credit-reviews", params={"limit": 2})).json()
    assert [item["order_id"] for item in first["items"]] == ["O-0", "O-1"]
    sql, args = commands.asked[-1]
    assert "status IN ('referred', 'declined')" in sql
    assert args[1:] == ("", 3)
    query = {"limit": 2, "cursor": first["next"], "status": "approved", "customer_id": C}
    assert (await client.get("/credit-reviews", params=query)).status_code == 200
    sql, args = commands.asked[-1]
    assert "status = $4 AND customer_id = $5" in sql
    assert args == (AT, "O-1", 3, "approved", C)


@pytest.mark.parametrize("cursor", ["x", "WzFd", "WyJ4IiwieSJd", "WyIyMDI2LTAxLTAxIiwieSJd"])
async def test_a_cursor_that_we_never_gave_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/credit-reviews", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "cursor")


async def test_accounts_are_listed_by_customer(client: httpx.AsyncClient, commands: MemoryCommands) -> None:
    zeros = dict.fromkeys(("exposure_minor", "reserved_minor", "invoiced_minor", "credited_minor"), 0)
    more = dict.fromkeys(("received_minor", "written_off_minor", "waiting", "available_minor"), 0)
    row = {"currency": "EUR", "limit_minor": 5, "held": False, "hold_reason": "", **zeros, **more}
    commands.rows = [{"customer_id": f"C-{n}", **row} for n in range(2)]
    page = (await client.get("/credit-accounts", params={"limit": 1})).json()
    assert [item["customer_id"] for item in page["items"]] == ["C-0"]
    await client.get("/credit-accounts", params={"limit": 1, "cursor": page["next"]})
    assert commands.asked[-1][1] == ("C-0", 2)


async def test_declined_and_referred_orders_both_count_as_waiting(commands: MemoryCommands) -> None:
    commands.streams[STREAM].append(declined("O-3", 90_000, 40_000))
    async with client_of(routes, commands) as client:
        assert (await client.get(f"/credit-accounts/{C}")).json()["waiting"] == 2
