"""What a clerk does on the pages: whose forms are taken, what is asked of the services, what the clerk is told."""

import json
import re
from collections.abc import Iterator

import pytest

from services.analytics.pages.acting import NOTICE_COOKIE
from services.analytics.pages.queues import ACTIONS, minor
from shared.errors import ContractError
from tests.tower.given import EVIL, HOST, ITEM, REVIEW, GivenRows, GivenServices, GivenTower

APPLY = {
    "id": "C-1",
    "source_id": "PAY-1",
    "invoice_id": "O-1-I1",
    "amount": "1,120.50",
    "currency": "GBP",
    "by": "Ada Byron",
    "etag": '"3"',
}
DECISION = {"id": "O-7", "by": "Ada Byron", "reason": "a good customer", "back": "/tower/queues/credit"}


@pytest.fixture
def tower() -> Iterator[GivenTower]:
    services = GivenServices()
    services.answers |= {
        "/credit-reviews/O-7/approve": {},
        "/credit-reviews/O-7/decline": {},
        "/accounts/C-1/apply": ITEM,
        "/dead-letters/4/retry": {"done": 1, "stopped_by": ""},
        "/dead-letters/4/drop": {"done": 0, "stopped_by": ""},
        "/stock/SKU-1/fill-backorders": {"orders_filled": 2, "quantity_filled": 5},
        "/credit-accounts/C-1/release": {},
        "/credit-accounts/C-1/hold": {},
    }
    given = GivenTower(services, GivenRows())
    with given.client:
        yield given


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://evil.test", "cross-site"),
        ("http://evil.test", "same-origin"),
        ("http://tower.test.evil.test", "same-site"),
        (HOST, "cross-site"),
        ("null", "same-origin"),
        ("", "same-origin"),
    ],
)
def test_a_form_of_another_site_does_nothing(tower: GivenTower, origin: str, site: str) -> None:
    headers = {"origin": origin, "sec-fetch-site": site}
    response = tower.client.post("/tower/actions/approve", data=DECISION, headers=headers)
    assert response.status_code == 403
    assert tower.client.post("/tower/actions/approve", data=DECISION).status_code == 403
    assert tower.services.posted == []


def test_nothing_is_done_by_merely_looking(tower: GivenTower) -> None:
    for name in ACTIONS:
        assert tower.get(f"/tower/actions/{name}").status_code == 404
    assert tower.services.posted == []


def test_a_decision_goes_to_credit_under_the_clerks_name_which_fills_in_the_next_form(tower: GivenTower) -> None:
    page = tower.after("approve", **DECISION)
    (request,) = tower.services.posted
    assert (request.url.host, request.url.path) == ("credit", "/credit-reviews/O-7/approve")
    assert json.loads(request.content) == {"by": "Ada Byron", "reason": "a good customer"}
    assert "Credit for order O-7 is approved." in page
    assert "Credit for order O-7" not in tower.get("/tower/queues/credit").text, "it is said once"


def test_money_is_applied_in_minor_units_on_what_the_clerk_has_seen(tower: GivenTower) -> None:
    page = tower.after("apply", **APPLY)
    (request,) = tower.services.posted
    assert request.headers["if-match"] == '"3"'
    assert json.loads(request.content) == {
        "source_id": "PAY-1",
        "invoice_id": "O-1-I1",
        "amount_minor": 112_050,
        "by": "Ada Byron",
    }
    assert "1,120.50 GBP of PAY-1 applied to invoice INV-2026-000001." in page


@pytest.mark.parametrize(
    ("name", "form", "path"),
    [
        ("retry", {"service": "order", "id": "4"}, "http://order/dead-letters/4/retry"),
        ("drop", {"service": "order", "id": "4"}, "http://order/dead-letters/4/drop"),
        ("fill", {"id": "SKU-1"}, "http://fulfillment/stock/SKU-1/fill-backorders"),
        ("release", {"id": "C-1", "etag": '"3"'}, "http://credit/credit-accounts/C-1/release"),
        ("hold", {"id": "C-1", "etag": '"3"', "reason": "Insolvency"}, "http://credit/credit-accounts/C-1/hold"),
    ],
)
def test_each_action_asks_the_service_that_decides(
    tower: GivenTower, name: str, form: dict[str, str], path: str
) -> None:
    assert "notice good" in tower.after(name, **form)
    assert [str(request.url) for request in tower.services.posted] == [path]


def test_a_refusal_is_shown_with_every_reason_and_escaped(tower: GivenTower) -> None:
    reasons = [{"field": "by", "code": "x", "message": EVIL}]
    problem = {"title": "Unprocessable Content", "detail": f"1 problem found {EVIL}", "errors": reasons}
    tower.services.problems["/credit-reviews/O-7/approve"] = (422, problem)
    page = tower.after("approve", **DECISION)
    assert "<strong>Refused.</strong> credit: 1 problem found &#34;&gt;&lt;script" in page
    assert "by: &#34;&gt;&lt;script" in page
    assert "<script>alert" not in page


def test_what_changed_meanwhile_is_not_decided_on(tower: GivenTower) -> None:
    tower.services.problems["/accounts/C-1/apply"] = (412, {"detail": "account-C-1 is at version 4"})
    assert "changed since this page was loaded" in tower.after("apply", **APPLY)


def test_a_letter_that_fails_again_is_said_to(tower: GivenTower) -> None:
    tower.services.answers["/dead-letters/4/retry"] = {"done": 0, "stopped_by": "broken"}
    assert "It failed again: broken" in tower.after("retry", service="order", id="4")


def test_a_service_that_is_away_is_said_to_be(tower: GivenTower) -> None:
    tower.services.away = {"credit"}
    page = tower.after("approve", **DECISION)
    assert "credit does not answer" in page
    assert "Refused." in page


@pytest.mark.parametrize("status", [0, 500, 503])
def test_what_may_be_done_all_the_same_is_not_said_to_be_refused(tower: GivenTower, status: int) -> None:
    if status:
        tower.services.problems["/credit-reviews/O-7/approve"] = (status, {"detail": "no answer from the store"})
    else:
        tower.services.silent = {"credit"}
    page = tower.after("approve", **DECISION)
    assert "<strong>Perhaps done.</strong> credit: " in page
    assert "look before you repeat it" in page
    assert "Refused." not in page


@pytest.mark.parametrize("name", ["approve", "decline"])
@pytest.mark.parametrize("by", [{}, {"by": ""}, {"by": " "}])
def test_nobody_decides_without_a_name(tower: GivenTower, name: str, by: dict[str, str]) -> None:
    form = {field: value for field, value in DECISION.items() if field != "by"} | by
    assert "your name must be filled in, so that everybody can see who did this" in tower.after(name, **form)
    assert tower.services.posted == []


def test_the_form_asks_for_a_name(tower: GivenTower) -> None:
    tower.services.answers["/credit-reviews"] = {"items": [REVIEW], "next": None}
    (field,) = re.findall(r'<input [^>]*name="by"[^>]*>', tower.get("/tower/queues/credit").text)
    assert " required " in field


@pytest.mark.parametrize("missing", ["etag", "amount", "source_id"])
def test_a_form_that_is_not_filled_in_asks_for_nothing(tower: GivenTower, missing: str) -> None:
    page = tower.after("apply", **{**APPLY, missing: " "})
    assert f"{missing}: must be filled in" in page
    assert tower.services.posted == []


@pytest.mark.parametrize("text", ["", "0", "-1", "1.234", "x", "1e400", "NaN", "Infinity", "10000000000000000"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        minor(text, "GBP")


def test_amounts_are_read_as_people_write_them() -> None:
    assert [minor("1,234.5", "GBP"), minor("12", "JPY"), minor("0.001", "KWD")] == [123_450, 12, 1]


@pytest.mark.parametrize("back", ["http://evil.test/tower", "//evil.test/tower", "/\\evil.test", "/docs", ""])
def test_a_form_leads_back_to_our_own_pages_only(tower: GivenTower, back: str) -> None:
    assert tower.act("approve", **{**DECISION, "back": back}).headers["location"] == "/tower"


def test_a_form_that_is_none_or_too_large_is_refused(tower: GivenTower) -> None:
    headers = {"origin": HOST}
    assert tower.client.post("/tower/actions/fill", json={"id": "SKU-1"}, headers=headers).status_code == 422
    assert tower.act("fill", id="x" * 20_000).status_code == 422
    assert tower.act("lose", id="x").status_code == 404
    assert tower.services.posted == []


def test_a_forged_notice_is_only_text(tower: GivenTower) -> None:
    tower.client.cookies.set(NOTICE_COOKIE, "!!!")
    assert tower.get("/tower").status_code == 200


def test_a_long_refusal_in_any_script_fits_a_cookie(tower: GivenTower) -> None:
    reasons = [{"field": "名" * 200, "code": "x", "message": "値" * 500}] * 20
    tower.services.problems["/credit-reviews/O-7/approve"] = (422, {"detail": "断" * 3_000, "errors": reasons})
    response = tower.act("approve", **DECISION)
    assert max(len(cookie) for cookie in response.headers.get_list("set-cookie")) < 4_000
    assert "断断" in tower.get("/tower/queues/credit").text
