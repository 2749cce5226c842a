"""The control tower in a real browser: clicks change what the services know, figures move, and everybody can use it."""

import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Request, Route, async_playwright, expect

from o2c.picture import chromium
from tests.e2e.conftest import NewDeal
from tests.e2e.deal import HELD, Deal
from tests.e2e.system import System, eventually, eventually_true
from tests.e2e.test_operator import broken_payments

__all__ = ["broken_payments"]

pytestmark = pytest.mark.e2e

AXE = Path(__file__).parents[1] / "tower" / "vendor" / "axe-core-4.14.1.min.js"
WIDTHS = (1280, 390)
SECONDS_MAX = 30.0
NOWHERE = "/tower/nowhere"
RESERVED = ("confirmed", "reserved")


@dataclass
class Tower:
    """A page of the control tower, and what the browser complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str = "/tower", status: int = 200) -> None:
        """Go to a page, which must come with this status."""
        response = await self.page.goto(self.url + path, wait_until="load")
        assert response is not None
        assert response.status == status, await response.text()

    def entry(self, text: str) -> Locator:
        """The entry of a queue that says this."""
        return self.page.locator(".entry").filter(has_text=text)

    async def told(self, text: str) -> None:
        """What a clerk is told after an action."""
        await expect(self.page.locator(".notice").first).to_contain_text(text, timeout=SECONDS_MAX * 1000)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium that is installed."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium, or name one in O2C_CHROMIUM")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to be sandboxed for root
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def tower(system: System, browser: Browser) -> AsyncIterator[Tower]:
    """A page that may ask nobody but us, and must have nothing to complain about in the end."""
    context = await browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    page = await context.new_page()
    url = system.stack.http_url("analytics")
    tower = Tower(page, url)

    async def only_us(route: Route, request: Request) -> None:
        if urlsplit(request.url).netloc == urlsplit(url).netloc:
            await route.continue_()
        else:
            tower.complaints.append(f"asked {request.url}")
            await route.abort()

    await context.route("**/*", only_us)
    page.on("console", lambda m: tower.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: tower.complaints.append(str(error)))
    yield tower
    await context.close()
    assert tower.complaints == []


async def _waits_for_a_decision(system: System, deal: Deal) -> None:
    await deal.begins(limit=11_500)
    await system.say(deal.order())
    await deal.order_shows(status="held", reason="credit_referred")


async def test_a_clerk_approves_a_referred_order_and_it_goes_on(system: System, deal: Deal, tower: Tower) -> None:
    await _waits_for_a_decision(system, deal)
    await deal.ends_as(orders={deal.order_id(): HELD}, stock={deal.sku(): (100, 0, 0)})
    await tower.open("/tower/queues/credit")
    entry = tower.entry(deal.order_id())
    await expect(entry).to_contain_text("5.00 EUR")
    await entry.locator("summary").press("Enter")
    await entry.get_by_label("Your name").fill("Ada Byron")
    await entry.get_by_label("Reason").fill("<b>a good customer</b>")
    await entry.get_by_role("button", name="Approve").click()
    await tower.told(f"Credit for order {deal.order_id()} is approved.")
    await expect(tower.entry(deal.order_id())).to_have_count(0)
    await deal.ends_as(
        orders={deal.order_id(): RESERVED}, exposure=12_000, reserved=12_000, stock={deal.sku(): (100, 10, 0)}
    )
    (review,) = await system.pages("credit", "/credit-reviews", customer_id=deal.customer_id, status="approved")
    assert (review["decided_by"], review["note"]) == ("Ada Byron", "<b>a good customer</b>")


async def test_a_clerk_applies_cash_once_however_often_the_form_is_sent(
    system: System, deal: Deal, tower: Tower
) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(5_000, reference="whatever <img src=x onerror=alert(1)>"))
    path = f"/accounts/{deal.customer_id}"

    async def both_known() -> bool:
        account = await system.get("receivables", path)
        return bool(account["open_items"]) and bool(account["unapplied"])

    await eventually_true(both_known)
    await tower.open(f"/tower/queues/cash/{deal.customer_id}")
    await tower.page.locator("summary", has_text=invoice["number"]).click()
    form = tower.page.locator("details[open] form")
    await expect(form.get_by_label("Amount in EUR")).to_have_value("50.00")
    await form.get_by_label("Amount in EUR").fill("20")
    await form.get_by_label("Your name").fill("Ada Byron")
    stale = await form.evaluate("form => new URLSearchParams(new FormData(form)).toString()")
    await form.get_by_role("button", name="Apply").click()
    await tower.told(f"20.00 EUR of {deal.payment_id()} applied to invoice {invoice['number']}.")
    await _send(tower, "apply", stale)
    await tower.open("/tower/queues/credit")
    await tower.told("changed since this page was loaded")
    account = await system.get("receivables", path)
    assert [item["open_minor"] for item in account["open_items"]] == [10_000]
    assert [credit["rest_minor"] for credit in account["unapplied"]] == [3_000]


async def _send(tower: Tower, action: str, body: str) -> None:
    """Send a form again, as a second tab would."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    options = {"method": "POST", "headers": headers, "body": body, "redirect": "manual"}
    await tower.page.evaluate("([path, options]) => fetch(path, options)", [f"/tower/actions/{action}", options])


async def test_a_clerk_retries_a_dead_letter_after_repair_and_drops_another(
    system: System, deal: Deal, tower: Tower, broken_payments: Any
) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, 1, reference=invoice["number"]), deal.payment(1, 2))

    async def parked() -> int:
        letters = await system.letters("receivables", status="parked")
        return sum(deal.name in letter["message_id"] for letter in letters)

    await eventually(parked, 2)
    kept, given_up = [e for e in await system.letters("receivables", status="parked") if deal.name in e["message_id"]]
    if not kept["message_id"].startswith(deal.payment_id(1)):
        kept, given_up = given_up, kept

    async def press(letter: Any, button: str) -> None:
        await tower.open("/tower/queues/dead-letters")
        entry = tower.page.locator(".entry").filter(has=tower.page.locator(f"input[name=id][value='{letter['id']}']"))
        entry = entry.filter(has=tower.page.locator("input[name=service][value=receivables]"))
        if button.startswith("Drop"):
            await entry.locator("summary").click()
        await entry.get_by_role("button", name=button).click()

    await press(kept, "Retry")
    await tower.told("It failed again")
    await broken_payments()
    await press(kept, "Retry")
    await tower.told("was tried again: 1 done")
    await press(given_up, "Drop for good")
    await tower.told("is dropped")
    assert await parked() == 0
    payment = await system.get("receivables", f"/payments/{deal.payment_id(1)}")
    assert payment["unapplied_minor"] == 0


async def _about_to_be_refused(system: System, deal: Deal, tower: Tower) -> Locator:
    """The entry of an order, with a reason typed and a name that credit refuses."""
    await _waits_for_a_decision(system, deal)
    await tower.open("/tower/queues/credit")
    entry = tower.entry(deal.order_id())
    await entry.locator("summary").click()
    await entry.get_by_label("Your name").fill("policy")
    await entry.get_by_label("Reason").fill("They have always paid")
    return entry


async def _approves_with_the_reason_typed_before(entry: Locator, tower: Tower) -> None:
    await expect(entry.get_by_label("Reason")).to_have_value("They have always paid")
    await entry.get_by_label("Your name").fill("Ada")
    await entry.get_by_role("button", name="Approve").click()
    await tower.told("is approved")


async def test_a_refusal_is_shown_as_the_service_said_it_and_nothing_need_be_typed_again(
    system: System, deal: Deal, tower: Tower
) -> None:
    entry = await _about_to_be_refused(system, deal, tower)
    await entry.get_by_role("button", name="Approve").click()
    await tower.told("is what decisions without a person are signed with")
    await expect(tower.entry(deal.order_id())).to_have_count(1)
    await _approves_with_the_reason_typed_before(entry, tower)


async def test_what_a_service_may_still_do_is_not_called_refused_and_what_was_typed_waits_for_it(
    system: System, deal: Deal, tower: Tower
) -> None:
    entry = await _about_to_be_refused(system, deal, tower)
    credit = system.stack.services["credit"].identity
    assert credit is not None
    os.kill(credit.pid, signal.SIGSTOP)
    try:
        await entry.get_by_role("button", name="Approve").click(timeout=SECONDS_MAX * 1000)
        await tower.told("Perhaps done. credit: credit does not answer in time")
        await expect(tower.page.get_by_text("The queue cannot be shown")).to_have_count(1)
    finally:
        os.kill(credit.pid, signal.SIGCONT)

    async def back() -> bool:
        await tower.open("/tower/queues/credit")
        return bool(await entry.count())

    await eventually_true(back)
    await _approves_with_the_reason_typed_before(entry, tower)


async def test_an_account_is_held_and_released(system: System, deal: Deal, tower: Tower) -> None:
    await deal.begins()

    async def known() -> bool:
        return (await system.clients["analytics"].get(f"/tower/customers/{deal.customer_id}")).status_code == 200

    await eventually_true(known)
    await tower.open(f"/tower/customers/{deal.customer_id}")
    await tower.page.get_by_label("Why nothing more is approved").fill("Insolvency announced")
    await tower.page.get_by_role("button", name="Hold the account").click()
    await tower.told("is held")
    account = f"/credit-accounts/{deal.customer_id}"
    assert (await system.get("credit", account))["hold_reason"] == "Insolvency announced"
    await tower.page.get_by_role("button", name="Release the account").click()
    await tower.told("is released")
    assert (await system.get("credit", account))["held"] is False


async def test_figures_move_by_themselves_until_they_are_paused(system: System, deal: Deal, tower: Tower) -> None:
    await system.rests()
    await tower.open()
    state = tower.page.locator("#live-state")
    await expect(state).to_have_text("Live", timeout=SECONDS_MAX * 1000)
    taken = tower.page.locator(".tile dd").first
    await expect(taken).to_have_text(re.compile(r"^[\d,]+$"), timeout=SECONDS_MAX * 1000)
    before = int((await taken.inner_text()).replace(",", ""))
    await deal.begins()
    await system.say(deal.order())
    await expect(taken).to_have_text(f"{before + 1:,}", timeout=SECONDS_MAX * 1000)
    await tower.page.get_by_role("button", name="Pause").click()
    await expect(state).to_have_text("Paused")
    await tower.page.get_by_role("button", name="Resume").click()
    await expect(state).to_have_text("Live", timeout=SECONDS_MAX * 1000)


async def test_search_leads_to_the_story_of_whatever_has_an_id(system: System, deal: Deal, tower: Tower) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    await deal.order_shows(status="completed")
    await system.rests()
    found = {
        deal.order_id(): f"Order {deal.order_id()}",
        deal.customer_id: f"Customer {deal.customer_id}",
        invoice["invoice_id"]: f"Invoice {invoice['number']}",
        invoice["number"]: f"Invoice {invoice['number']}",
        deal.payment_id(): f"Payment {deal.payment_id()}",
        invoice["shipment_id"]: f"Order {deal.order_id()}",
    }
    await tower.open()
    for wanted, heading in found.items():
        box = tower.page.get_by_label("Order, customer, invoice, payment or shipment")
        await box.fill(wanted)
        await box.press("Enter")
        await expect(tower.page.locator("h1")).to_contain_text(heading, timeout=SECONDS_MAX * 1000)
        story = tower.page.locator("ol.story")
        for speaker in ("Order", "Credit", "Fulfillment", "Billing", "Receivables"):
            await expect(story.locator(".who", has_text=speaker).first).to_be_visible()
    await expect(story.locator("li[data-marked]").first).to_contain_text(f"Shipped {invoice['shipment_id']}")


@pytest.mark.parametrize("width", WIDTHS)
async def test_everybody_can_use_every_page_at_every_width(
    system: System, deals: NewDeal, tower: Tower, width: int
) -> None:
    waiting, paying = deals(), deals()
    await _waits_for_a_decision(system, waiting)
    await paying.begins(stock=10)
    invoice = await paying.ships()
    await system.say(paying.order(2), paying.payment(1_000, reference="not one that we know"))
    await system.rests()
    pages = (
        "/tower",
        f"/tower/orders/{paying.order_id()}",
        f"/tower/customers/{paying.customer_id}",
        f"/tower/invoices/{invoice['invoice_id']}",
        f"/tower/payments/{paying.payment_id()}",
        "/tower/search?q=O-",
        "/tower/queues/credit",
        "/tower/queues/backorders",
        "/tower/queues/cash",
        f"/tower/queues/cash/{paying.customer_id}",
        "/tower/queues/dead-letters",
        NOWHERE,
    )
    await tower.page.set_viewport_size({"width": width, "height": 844})
    for path in pages:
        await tower.open(path, 404 if path == NOWHERE else 200)
        await tower.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        wider = await tower.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{path} scrolls sideways by {wider} px"
        await tower.page.evaluate(AXE.read_text())  # a script element would be against the policy of the page
        judged = await tower.page.evaluate("axe.run()")
        wrong = {violation["id"]: violation["nodes"][0]["html"] for violation in judged["violations"]}
        assert wrong == {}, path
    # The browser calls it an error that a page is not there, as it was asked for here.
    tower.complaints[:] = [text for text in tower.complaints if "status of 404" not in text]
    await _jumps_little(tower)


async def _jumps_little(tower: Tower) -> None:
    """What is shown stays where it is while figures come in."""
    await tower.open()
    moved = await tower.page.evaluate(
        """() => new Promise(done => {
            let sum = 0;
            new PerformanceObserver(list => list.getEntries().forEach(e => { if (!e.hadRecentInput) sum += e.value; }))
                .observe({type: 'layout-shift', buffered: true});
            setTimeout(() => done(sum), 3000);
        })"""
    )
    assert moved < 0.1, f"cumulative layout shift of {moved}"
