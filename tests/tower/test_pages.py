"""The pages without a browser: what they show, that they escape it, and that they come when services are away."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.analytics.pages.searching import HITS_MAX
from shared.errors import UnavailableError
from tests.tower.given import (
    CREDIT,
    EMPTY,
    EVIL,
    HOST,
    ITEM,
    LETTER,
    LINE,
    NOW,
    ORDER,
    REVIEW,
    GivenRows,
    GivenServices,
    GivenTower,
    on,
)

PATHS = (
    "/tower",
    "/tower/orders/O-1",
    "/tower/customers/C-1",
    "/tower/invoices/O-1-I1",
    "/tower/payments/PAY-1",
    "/tower/queues/credit",
    "/tower/queues/backorders",
    "/tower/queues/cash",
    "/tower/queues/cash/C-1",
    "/tower/queues/dead-letters",
    "/tower/search?q=O-",
)
OWN = ("/tower/invoices/O-1-I1", "/tower/search?q=O-")
"""What is shown from our own tables alone."""
INVOICE = {
    **{name: ITEM[name] for name in ("invoice_id", "number", "order_id", "customer_id", "currency", "total_minor")},
    "net_minor": 16_667,
    "tax_minor": 3_333,
    "issued_on": on("2026-03-01"),
    "due_on": on("2026-03-31"),
    "recorded_at": NOW,
}
MOVEMENT = {"kind": "invoiced", "source_id": None, "amount_minor": 20_000, "effective_on": on("2026-03-01")}
PAID = {**MOVEMENT, "kind": "applied", "source_id": EVIL, "amount_minor": -5_000}
CUSTOMER = {
    "customer_id": "C-1",
    "country": "GB",
    "currency": "GBP",
    "payment_terms_days": 30,
    "registered_at": NOW,
}
ACCOUNT = {
    "customer_id": "C-1",
    "currency": "GBP",
    "limit_minor": 1_000_000,
    "held": False,
    "hold_reason": "",
    "exposure_minor": 250_000,
    "available_minor": 750_000,
    "waiting": 1,
}
PAYMENT = {
    "payment_id": "PAY-1",
    "customer_id": "C-1",
    "order_id": "",
    "currency": "JPY",
    "amount_minor": 1_234_567,
    "value_on": on("2026-03-20"),
    "method": "transfer",
    "reference": EVIL,
    "recorded_at": NOW,
}
PAYS = {"invoice_id": "O-1-I1", "number": "INV-2026-000001", "amount_minor": 1_000_000, "applied_on": "2026-03-20"}
BACKORDER = {"sku": EVIL, "order_id": "O-1", "quantity": 3, "queued_at": "2026-03-31T12:00:00+00:00"}


def hit(kind: str, key: str, of: str = "") -> dict[str, str]:
    """A row of the search."""
    return {"kind": kind, "id": key, "of": of or key}


@pytest.fixture
def tower() -> Iterator[GivenTower]:
    """Something to show on every page, some of it from people who mean harm."""
    rows, services = GivenRows(), GivenServices()
    rows.rows |= {
        "FROM order_story": [LINE],
        "UNION ALL": [],
        "FROM receipts WHERE payment_id = $1": [PAYMENT],
        "SELECT DISTINCT order_id": [{"order_id": "O-1"}],
        "WHERE order_id >= $1": [{"id": f"O-{EVIL}"}],
        "SELECT order_id, customer_id": [ORDER],
        "FROM customers": [CUSTOMER],
        "FROM bills": [INVOICE],
        "FROM receivable_movements": [{**m, "recorded_at": NOW} for m in (MOVEMENT, PAID)],
    }
    services.answers |= {
        "/credit-reviews": {"items": [REVIEW], "next": "abc"},
        "/backorders": {"items": [BACKORDER], "next": None},
        "/unapplied": {"items": [CREDIT], "next": None},
        "/dead-letters": {"items": [LETTER], "next": None},
        "/invoices": {"items": [{**ITEM, "issued_on": "2026-03-01"}], "next": None},
        "/credit-accounts/C-1": ACCOUNT,
        "/payments/PAY-1": {"unapplied_minor": 234_567, "applications": [PAYS]},
        "/accounts/C-1": {
            "customer_id": "C-1",
            "balances": [{"currency": "GBP", "open_minor": 20_000, "unapplied_minor": 12_050}],
            "open_items": [ITEM],
            "unapplied": [CREDIT],
            "more": False,
        },
    }
    given = GivenTower(services, rows)
    with given.client:
        yield given


@pytest.mark.parametrize("path", PATHS)
def test_what_people_wrote_is_escaped_and_no_foreign_script_may_run(tower: GivenTower, path: str) -> None:
    response = tower.get(path)
    assert response.status_code == 200
    assert "<script>alert" not in response.text
    assert '<script src="/tower/assets/' in response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in response.text, "the policy forbids it, and the browser would complain"


@pytest.mark.parametrize("path", PATHS)
def test_a_page_comes_when_every_service_is_away(tower: GivenTower, path: str) -> None:
    tower.services.away = {"order", "credit", "fulfillment", "billing", "receivables", "analytics"}
    response = tower.get(path)
    if path == "/tower/queues/cash/C-1":  # of it nothing is ours
        assert (response.status_code, "receivables does not answer" in response.text) == (503, True)
    else:
        assert response.status_code == 200
        assert "does not answer" in response.text or path in OWN


def test_a_page_comes_when_no_address_is_known() -> None:
    given = GivenTower(GivenServices(), GivenRows(), names=())
    with given.client:
        page = given.get("/tower")
    assert page.status_code == 200
    assert "O2C_SERVICE_URLS" in page.text


def test_figures_that_cannot_be_read_are_said_so(tower: GivenTower) -> None:
    tower.rows.error = UnavailableError("the store does not answer: TimeoutError")
    page = tower.get("/tower")
    assert page.status_code == 200
    assert "the store does not answer" in page.text
    assert "12,345.67 GBP open" in page.text, "what others know is shown all the same"


def test_the_overview_has_units_and_links(tower: GivenTower) -> None:
    page = tower.get("/tower").text
    assert "1,234" in page
    assert "12,345.67 GBP open" in page
    assert "−5.00" in page
    assert "/tower/orders/%22%3E%3Cscript" in page


def test_how_many_are_taken_now_is_said_once_and_of_the_last_minute(tower: GivenTower) -> None:
    page = tower.get("/tower").text
    assert '<dd>5 <span class="unit">orders</span></dd><dd class="note">in the last 60 seconds</dd>' in page
    ((_, (begin, minute_ago)),) = [asked for asked in tower.rows.asked if "GROUP BY bucket" in asked[0]]
    # The ten minutes end with the ten seconds that are not over yet.
    assert timedelta(minutes=8, seconds=50) <= minute_ago - begin < timedelta(minutes=9)
    assert " minute" not in page.split('data-live="flow"')[1].split("</section>")[0]


def test_empty_queues_explain_themselves(tower: GivenTower) -> None:
    for path in ("/credit-reviews", "/backorders", "/unapplied", "/dead-letters"):
        tower.services.answers[path] = EMPTY
    assert "No order waits for a decision" in tower.get("/tower/queues/credit").text
    assert "Nothing is out of stock" in tower.get("/tower/queues/backorders").text
    assert "All money that came is applied" in tower.get("/tower/queues/cash").text
    assert "No dead letters" in tower.get("/tower/queues/dead-letters").text


def test_a_dead_letter_says_what_it_is_in_words_and_keeps_its_names(tower: GivenTower) -> None:
    page = tower.get("/tower/queues/dead-letters").text
    for told in ("Payment<span", "o2c.<wbr>inbound.<wbr>Payment.<wbr>v1", "invalid", "receivables/4"):
        assert told in page


def test_a_review_says_why_in_words(tower: GivenTower) -> None:
    page = tower.get("/tower/queues/credit").text
    assert "Over the credit limit" in page
    assert "limit_exceeded" not in page


def test_money_of_years_ago_waits_since_it_was_heard_of(tower: GivenTower) -> None:
    entry = tower.get("/tower").text.split('id="queue-cash"')[1].split("</a>")[0]
    assert "the oldest waits" in entry
    assert "day" not in entry  # by its day of value it would be thousands
    assert "1 Dec 2010" in tower.get("/tower/queues/cash").text


def test_the_next_page_of_a_queue_is_asked_by_its_cursor(tower: GivenTower) -> None:
    assert "?cursor=abc" in tower.get("/tower/queues/credit").text
    assert tower.get("/tower/queues/lost").status_code == 404


def test_a_customer_is_shown_without_a_name(tower: GivenTower) -> None:
    tower.get("/tower/customers/C-1")
    assert not [sql for sql, _ in tower.rows.asked if "FROM customers" in sql and "name" in sql]


def test_an_invoice_shows_what_is_due_after_each_movement(tower: GivenTower) -> None:
    page = tower.get("/tower/invoices/O-1-I1").text
    assert "200.00 GBP" in page
    assert "150.00 GBP" in page


def test_one_hit_leads_to_its_page_and_a_number_is_asked_of_billing(tower: GivenTower) -> None:
    found = tower.get("/tower/search?q=inv-2026-000001")
    assert (found.status_code, found.headers["location"]) == (303, "/tower/invoices/O-1-I1")
    assert "begin like it" in tower.get("/tower/search?q=O-").text


def test_an_id_is_found_as_it_was_typed_or_else_in_capital_letters(tower: GivenTower) -> None:
    tower.rows.rows["UNION ALL"] = [hit("Order", "O-1"), hit("Order", "o-1")]
    assert tower.get("/tower/search?q=o-1").headers["location"] == "/tower/orders/o-1"
    tower.rows.rows["UNION ALL"] = [hit("Order", "O-1")]
    assert tower.get("/tower/search?q=o-1").headers["location"] == "/tower/orders/O-1"
    asked = [set(args[0]) for sql, args in tower.rows.asked if "UNION ALL" in sql]
    assert asked == [{"o-1", "O-1"}] * 2


@pytest.mark.parametrize(
    ("kind", "of", "address"),
    [
        ("Payment", "X/1", "/tower/payments/X%2F1"),
        ("Shipment", "O-1", "/tower/orders/O-1?mark=X%2F1"),
        ("Credit note", "O-1-I1", "/tower/invoices/O-1-I1?mark=X%2F1"),
    ],
)
def test_a_payment_shipment_or_credit_note_is_found_by_its_id(
    tower: GivenTower, kind: str, of: str, address: str
) -> None:
    tower.rows.rows["UNION ALL"] = [hit(kind, "X/1", of)]
    assert tower.get("/tower/search?q=X/1").headers["location"] == address
    assert tower.get(address).status_code == 200


def test_things_of_one_id_are_told_apart(tower: GivenTower) -> None:
    tower.rows.rows["UNION ALL"] = [hit("Payment", "X-1"), hit("Order", "X-1")]
    page = tower.get("/tower/search?q=X-1").text
    assert page.index('<a href="/tower/orders/X-1">Order X-1</a>') < page.index(
        '<a href="/tower/payments/X-1">Payment X-1</a>'
    )


def test_shipments_of_one_id_are_listed_with_their_orders(tower: GivenTower) -> None:
    tower.rows.rows["UNION ALL"] = [hit("Shipment", "S-1", f"O-{n}") for n in range(10, 10 + HITS_MAX)]
    page = tower.get("/tower/search?q=s-1").text
    assert '<a href="/tower/orders/O-11?mark=S-1">Shipment S-1 of O-11</a>' in page
    assert "More have it" not in page
    tower.rows.rows["UNION ALL"].append(hit("Shipment", "S-1", "O-9"))
    page = tower.get("/tower/search?q=S-1").text
    assert page.count("Shipment S-1 of") == HITS_MAX
    assert "More have it" in page


def test_a_payment_shows_what_it_pays_and_what_is_left(tower: GivenTower) -> None:
    tower.rows.rows["FROM order_story"] = [
        LINE | {"summary": f"1 JPY of {payment} applied"} for payment in ("PAY-12", "PAY-1")
    ]
    page = tower.get("/tower/payments/PAY-1").text
    for told in ("1,234,567 JPY", "1,000,000 JPY", "234,567 JPY of it is not applied yet", "/tower/invoices/O-1-I1"):
        assert told in page
    marked = page.split("data-marked")
    assert len(marked) == 2
    assert "1 JPY of PAY-1 applied" in marked[1]


@pytest.mark.parametrize("path", [*PATHS, "/", "/tower/live"])
def test_a_page_says_its_headers_without_itself(tower: GivenTower, path: str) -> None:
    response = tower.client.head(path)
    assert response.status_code == (307 if path == "/" else 200)
    assert response.content == b""
    if path not in ("/", "/tower/live"):
        assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_what_happens_within_a_second_is_told_apart(tower: GivenTower) -> None:
    begun = datetime(2026, 3, 31, 12, 13, 1, 482_913, UTC)
    tower.rows.rows["FROM order_story"] = [LINE | {"at": begun + timedelta(milliseconds=n)} for n in (0, 40)]
    page = tower.get("/tower/orders/O-1").text
    assert page.index("31 Mar 2026, 12:13:01.482 UTC") < page.index("31 Mar 2026, 12:13:01.522 UTC")


def test_a_queue_says_what_it_counts(tower: GivenTower) -> None:
    tower.services.answers["/backorders"] = {"items": [BACKORDER] * 100, "next": "more"}
    page = tower.get("/tower").text
    assert '<strong>100+ <span class="unit">order lines</span></strong>' in page
    assert "one of the first 100 waits" in page
    assert '<strong>1 <span class="unit">payment or credit</span></strong>' in page


def test_what_is_unknown_or_unreadable_is_a_page_as_well(tower: GivenTower) -> None:
    tower.rows.rows = {**tower.rows.rows, "FROM bills": []}
    unknown = tower.get("/tower/invoices/none")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert tower.get("/tower/orders/%00").status_code == 422
    assert tower.get("/tower/queues/credit?cursor=" + "x" * 500).status_code == 422


def test_the_money_that_was_asked_for_comes_first(tower: GivenTower) -> None:
    account = tower.services.answers["/accounts/C-1"]
    credits = [{**CREDIT, "source_id": f"PAY-{n}"} for n in (1, 2, 3)]
    tower.services.answers["/accounts/C-1"] = {**account, "unapplied": credits}
    page = tower.get("/tower/queues/cash/C-1?source=PAY-2").text
    places = [page.index(f'aria-label="PAY-{n}"') for n in (2, 1, 3)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tower/orders/none", 404),
        ("/tower/queues/lost", 404),
        ("/tower/nowhere/at/all", 404),
        ("/tower/orders/%00", 422),
        ("/tower/queues/cash/C-9", 404),
    ],
)
def test_an_error_is_told_in_the_frame_of_all_pages(tower: GivenTower, path: str, status: int) -> None:
    tower.rows.rows = {**tower.rows.rows, "SELECT order_id, customer_id": [], "FROM order_story": []}
    response = tower.get(path)
    assert response.status_code == status
    links = {f'href="/tower/queues/{name}"' for name in ("credit", "backorders", "cash", "dead-letters")}
    frame, _, content = response.text.partition("<main")
    assert [link for link in links if link not in frame] == []
    assert 'data-live="clock"' in content


@pytest.mark.parametrize("path", ["/tower", "/tower/queues/credit"])
def test_a_slash_too_many_leads_to_the_page(tower: GivenTower, path: str) -> None:
    response = tower.get(f"{path}/")
    assert (response.status_code, response.headers["location"].removeprefix(HOST)) == (307, path)


def test_static_files_are_kept_for_ever_by_their_version(tower: GivenTower) -> None:
    page = tower.get("/tower").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    file = tower.get(address)
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-type"].startswith("text/css")
    assert "://" not in file.text
    assert tower.get("/tower/assets/../app.py").status_code == 404


def test_the_oldest_order_on_its_way_is_named(tower: GivenTower) -> None:
    tower.rows.rows["AS waiting"] = [
        {"stage": "shipped", "orders": 4, "since": NOW - timedelta(minutes=90), "order_id": "O-old"},
        {"stage": "held", "orders": 2, "since": NOW - timedelta(minutes=5), "order_id": "O-new"},
    ]
    page = tower.get("/tower").text
    assert 'id="pulse-oldest" href="/tower/orders/O-old"' in page
    assert '6 <span class="unit">orders' in page


def test_every_replica_has_a_row_and_shared_letters_are_counted_once() -> None:
    given = GivenTower(GivenServices(), GivenRows(), names=("order",), replicas=2)
    given.services.away = {"10.0.0.2"}
    with given.client:
        page = given.get("/tower").text
    assert '<span class="small muted">10.0.0.1</span>' in page
    assert '<span class="small muted">10.0.0.2</span>' in page
    assert re.search(r"Processes well</dt><dd>1 <span class=\"unit\">of 2<", page)
    assert page.count("order does not answer") == 1
    given.services.away = set()
    given = GivenTower(given.services, GivenRows(), names=("order",), replicas=2)
    with given.client:
        page = given.get("/tower").text
    assert "all well" in page
    assert re.search(r'Dead letters <span class="count" data-some>1<', page)
