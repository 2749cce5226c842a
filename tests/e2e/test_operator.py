"""The operator's command against the running system: looking, repairing, importing, replaying and rebuilding."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.catalogue import SPEAKERS
from tests.e2e.deal import BANK, COMPLETED, REVENUE, TAX, Deal
from tests.e2e.system import System, eventually, eventually_true

pytestmark = pytest.mark.e2e


async def _paid(system: System, deal: Deal) -> None:
    """An order of this customer that went all the way."""
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    await _is_paid(deal)


async def _is_paid(deal: Deal) -> None:
    await deal.ends_as(
        orders={deal.order_id(): COMPLETED},
        stock={deal.sku(): (90, 0, 0)},
        invoices=(12_000,),
        ledger={BANK: 12_000, REVENUE: -10_000, TAX: -2_000},
    )


async def test_status_tells_of_every_service_that_it_is_ready_and_how_far_it_is(system: System, deal: Deal) -> None:
    await _paid(system, deal)
    await system.rests()
    services = (await system.o2c("status", "--json")).json["services"]
    assert services.keys() == system.clients.keys()
    for name, status in services.items():
        assert status["service"] == name
        assert (status["missing"], status["relay"]["backlog"], status["consumer"]["gaps"]) == ({}, 0, 0)
        assert sum(status["lag"].values()) == 0
        assert name == "analytics" or status["events"] > 0
    # Analytics has heard all that anybody has said.
    assert services["analytics"]["positions"] == {name: services[name]["heads"]["said"] for name in SPEAKERS}
    assert "ready" in (await system.o2c("status")).out


async def test_verify_prints_every_check_with_what_it_looked_at(system: System, deal: Deal) -> None:
    await _paid(system, deal)
    verdict = (await system.o2c("verify", "--json")).json
    assert verdict["ok"] is True, [check for check in verdict["checks"] if not check["ok"]]
    for check in verdict["checks"]:
        assert check.keys() == {"name", "ok", "checked", "offending", "tolerated"}


async def test_order_show_tells_the_whole_story_in_the_order_of_time(system: System, deal: Deal) -> None:
    await _paid(system, deal)
    await system.rests()
    story = (await system.o2c("order", "show", deal.order_id(), "--json")).json["story"]
    said = [step["type"] for step in story]
    assert [step["at"] for step in story] == sorted(step["at"] for step in story)
    assert set(said) >= {
        "OrderPlaced",
        "CreditApproved",
        "OrderConfirmed",
        "StockReserved",
        "Shipped",
        "Invoiced",
        "CashApplied",
        "InvoicePaid",
        "OrderCompleted",
    }
    assert said[0] == "OrderPlaced"
    assert {step["speaker"] for step in story} == set(SPEAKERS)
    table = (await system.o2c("order", "show", deal.order_id())).out
    assert "OrderCompleted" in table


@pytest_asyncio.fixture
async def broken_payments(system: System, deal: Deal) -> AsyncIterator[Any]:
    """Receivables' table of payments refuses those of this customer until `await broken_payments()` repairs it."""
    repair = 'ALTER TABLE payments DROP CONSTRAINT IF EXISTS "broken"'
    broken = f"""ALTER TABLE payments ADD CONSTRAINT "broken" CHECK (customer_id <> '{deal.customer_id}')"""
    await system.execute("receivables", broken)

    async def repaired() -> None:
        await system.execute("receivables", repair)

    yield repaired
    await repaired()


async def _open_letters(system: System, message_id: str) -> list[Any]:
    listed = (await system.o2c("dead-letters", "list", "--service", "receivables", "--json")).json["dead_letters"]
    return [letter for letter in listed if letter["message_id"].startswith(message_id)]


async def test_a_dead_letter_is_listed_shown_retried_after_repair_or_dropped(
    system: System, deal: Deal, broken_payments: Any
) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, 1, reference=invoice["number"]), deal.payment(1, 2))

    async def parked() -> bool:
        letters = await system.letters("receivables", status="parked")
        return sum(letter["message_id"].startswith(f"P-{deal.name}") for letter in letters) == 2

    await eventually(parked, True)
    kept, given_up = sorted(await _open_letters(system, f"P-{deal.name}"), key=lambda letter: letter["message_id"])
    assert kept["type"] == "o2c.inbound.Payment.v1"
    shown = (await system.o2c("dead-letters", "show", kept["ref"], "--json")).json
    assert '"amount_minor":12000' in shown["body"]
    assert "broken" in shown["reason"]

    # Nothing is repaired yet: it fails again and stays.
    again = await system.o2c("dead-letters", "retry", kept["ref"], "--json", code=1)
    assert "broken" in again.json["letters"][0]["stopped_by"]
    assert (await system.get("receivables", f"/dead-letters/{kept['id']}"))["attempts"] == 2

    await broken_payments()
    done = await system.o2c("dead-letters", "retry", kept["ref"], "--json")
    assert done.json["letters"] == [{"ref": kept["ref"], "done": 1, "stopped_by": ""}]
    await system.o2c("dead-letters", "drop", given_up["ref"])
    assert await _open_letters(system, f"P-{deal.name}") == []
    twice = await system.o2c("dead-letters", "retry", kept["ref"], given_up["ref"], code=1)
    assert twice.out.count("already") == 2
    await _is_paid(deal)


CSV = """\
order_id,customer_id,country,currency,sku,quantity,unit_price,tax_rate_percent,placed_at
{name}-1,{customer},DE,EUR,{sku},4,7.95,19,2026-03-31T09:30:00+02:00
{name}-1,{customer},DE,EUR,{sku},1,12.50,7,2026-03-31T09:30:00+02:00
{name}-2,{customer},DE,EUR,{sku},-1,5.00,19,2026-03-31T09:31:00+02:00
{name}-2,{customer},DE,EUR,{sku},2,5.00,19,2026-03-31T09:31:00+02:00
{name}-3,{customer},DE,XXX,{sku},2,5.00,19,2026-03-31T09:31:00+02:00
"""


async def test_a_file_imported_twice_changes_nothing_the_second_time(
    system: System, deal: Deal, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(CSV.format(name=f"O-{deal.name}", customer=deal.customer_id, sku=deal.sku()))
    await deal.stocked(deal.receipt(100))
    first = (await system.o2c("import", "orders", str(file), "--json")).json
    assert (first["rows"], first["taken"], first["orders"], first["customers"]) == (5, 3, 2, 1)
    assert first["refused"] == {"non_positive_quantity": 1, "unknown_currency": 1}
    assert first["balanced"] is True
    # 31.80 at 19 % and 12.50 at 7 %; 10.00 at 19 %.
    total = 3_180 + 604 + 1_250 + 88 + 1_000 + 190
    end = {
        "orders": {deal.order_id(number): ("confirmed", "reserved") for number in (1, 2)},
        "exposure": total,
        "reserved": total,
        "stock": {deal.sku(): (100, 7, 0)},
    }
    await deal.ends_as(**end)
    await system.rests()
    events, heard = await system.event_counts(), await _records(system)
    second = (await system.o2c("import", "orders", str(file), "--json")).json
    assert second == first

    async def heard_again() -> bool:
        return await _records(system) >= heard + 3  # one customer, two orders

    await eventually_true(heard_again)
    await system.rests()
    assert await system.event_counts() == events
    await deal.ends_as(**end)


async def _records(system: System) -> int:
    return int((await system.get("order", "/status"))["consumer"]["records"])


async def test_a_replay_says_everything_again_and_nothing_doubles(system: System, deal: Deal) -> None:
    await _paid(system, deal)
    await system.rests()
    before, events = await system.statuses(), await system.event_counts()
    rows = {name: await system.read_tables(name) for name in system.clients}
    assert (await system.o2c("replay", "--json")).json["services"].keys() == SPEAKERS.keys()

    async def said_again() -> bool:
        now = await system.statuses()
        return all(
            now[name]["relay"]["sent_again"] - before[name]["relay"]["sent_again"] >= before[name]["heads"]["said"] > 0
            for name in SPEAKERS
        )

    await eventually_true(said_again)
    heads = sum(before[name]["heads"]["said"] for name in SPEAKERS)

    async def dropped() -> bool:
        now = (await system.get("analytics", "/status"))["consumer"]["duplicates"]
        return now - before["analytics"]["consumer"]["duplicates"] >= heads

    await eventually_true(dropped)
    await system.rests()
    assert await system.event_counts() == events
    assert {name: await system.read_tables(name) for name in system.clients} == rows
    await _is_paid(deal)


async def test_a_rebuild_makes_the_same_rows_anew_whatever_was_in_the_tables(system: System, deal: Deal) -> None:
    await _paid(system, deal)
    await system.rests()
    before = {name: await system.read_tables(name) for name in system.clients}
    events = await system.event_counts()
    await system.execute("order", "UPDATE orders SET total_minor = total_minor + 1")
    await system.execute("credit", "DELETE FROM credit_accounts")
    await system.execute("fulfillment", "UPDATE stock_levels SET on_hand = on_hand + 1")
    await system.execute("billing", "DELETE FROM invoices")
    await system.execute("receivables", "UPDATE open_items SET open_minor = open_minor + 1")
    await system.execute("analytics", "DELETE FROM order_cycle")
    spoiled = {name: await system.read_tables(name) for name in system.clients}
    assert all(spoiled[name] != before[name] for name in system.clients)

    answers = (await system.o2c("rebuild", "--json")).json["services"]
    assert {name for name, answer in answers.items() if answer["facts"]} == set(SPEAKERS)
    for name in SPEAKERS:
        assert await system.read_tables(name) == before[name], name
    # Analytics hears everything again from the others.
    await eventually(lambda: system.read_tables("analytics"), before["analytics"])
    assert await system.event_counts() == events
    await _is_paid(deal)
