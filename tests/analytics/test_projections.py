"""Rows of analytics merge to the same tables whatever the order between speakers and the cut into batches."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.analytics.app import service
from services.analytics.policies import HEARS
from services.analytics.projections import PROJECTIONS
from services.analytics.story import SENTENCES, SUMMARY_LENGTH_MAX, summary_of
from shared.contracts import billing, catalogue, fulfillment, orders, receivables
from shared.contracts.messages import contract_of
from shared.eventsourced.projecting import Column, MessageProjection, Row, Table
from shared.settings import Settings
from tests.analytics.messages import BEGIN, DUE, ISSUED, PAID, Said, ends, masters, said, story_of
from tests.support.examples import examples

ALL = [*story_of("O-1"), *story_of("O-3", "C-2"), *ends(), *masters()]

Tables = dict[str, dict[Row, Row]]


def merged(column: Column, old: Any, new: Any) -> Any:
    """The rules of `Column`, said again without SQL."""
    if old is None or new is None:
        return new if old is None else old
    rules = {"set": lambda: new, "first": lambda: old, "add": lambda: old + new}
    return (rules | {"min": lambda: min(old, new), "max": lambda: max(old, new)})[column.merge]()


def write(rows: Iterable[Row], table: Table, known: dict[Row, Row]) -> None:
    width = len(table.key)
    for row in rows:
        assert len(row) == width + len(table.columns), f"a row of {table.name} has another width"
        key, values = row[:width], row[width:]
        assert None not in key
        before = known.get(key, (None,) * len(values))
        known[key] = tuple(merged(c, old, new) for c, old, new in zip(table.columns, before, values, strict=True))


def tables_of(batches: Sequence[Sequence[Said]]) -> Tables:
    """The tables after these batches: as in the engine, rows of one batch merge first, then into the table."""
    tables: Tables = {}
    for batch in batches:
        for projection in PROJECTIONS:
            assert isinstance(projection, MessageProjection)
            heard = [(m, h) for m, h in batch if type(m) in projection.rows]
            fresh: dict[Row, Row] = {}
            write((row for m, h in heard for row in projection.rows[type(m)](m, h)), projection.table, fresh)
            known = tables.setdefault(projection.table.name, {})
            write((key + values for key, values in fresh.items()), projection.table, known)
    return tables


def row(tables: Tables, table: str, *key: Any) -> dict[str, Any]:
    [found] = [p.table for p in PROJECTIONS if p.table.name == table]
    return dict(zip([c.name for c in found.columns], tables[table][key], strict=True))


def lane(item: Said) -> tuple[str, str]:
    """Messages of one speaker about one key are heard in order; nothing else is."""
    contract = contract_of(type(item[0]))
    return contract.speaker, getattr(item[0], contract.key)


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[Said]]:
    lanes: dict[tuple[str, str], list[Said]] = {}
    for item in ALL:
        lanes.setdefault(lane(item), []).append(item)
    turns = draw(st.permutations([key for key, items in lanes.items() for _ in items]))
    queues = {key: iter(items) for key, items in lanes.items()}
    heard = [next(queues[key]) for key in turns]
    cuts = sorted(draw(st.sets(st.integers(1, len(heard) - 1), max_size=8)))
    return [heard[a:b] for a, b in zip([0, *cuts], [*cuts, len(heard)], strict=True)]


@given(arrivals())
@examples(60)
def test_arrival_order_and_batches_do_not_matter(batches: list[list[Said]]) -> None:
    assert tables_of(batches) == EXPECTED


EXPECTED = tables_of([ALL])


def test_the_messages_of_these_tests_are_all_public_messages() -> None:
    ours = {c.message for c in catalogue.contracts().values() if c.speaker in catalogue.SPEAKERS}
    assert {type(message) for message, _ in ALL} == ours


def test_every_public_message_is_heard_and_leads_to_rows() -> None:
    assert set(HEARS) == {type(message) for message, _ in ALL}
    for message, heard in ALL:
        assert HEARS[type(message)](message, heard) == ()
        assert any(type(message) in p.rows for p in PROJECTIONS)


def test_every_message_about_an_order_has_a_sentence() -> None:
    about_orders = {type(m) for m, _ in ALL if hasattr(m, "order_id")}
    assert set(SENTENCES) == about_orders


def test_the_cycle_of_an_order_is_one_row() -> None:
    cycle = row(EXPECTED, "order_cycle", "O-1")

    def at(number: int) -> Any:
        return BEGIN + timedelta(minutes=10 * number)

    assert (cycle["customer_id"], cycle["currency"]) == ("C-1", "EUR")
    assert (cycle["placed_at"], cycle["confirmed_at"], cycle["completed_at"]) == (at(1), at(7), at(30))
    # The first reservation was not complete; of two shipments the first is kept, of two closed invoices the last.
    assert (cycle["reserved_at"], cycle["shipped_at"]) == (at(11), at(12))
    assert (cycle["invoiced_at"], cycle["paid_at"]) == (at(18), at(33))
    names = ("ordered_minor", "invoiced_minor", "credited_minor", "paid_minor", "written_off_minor")
    assert [cycle[name] for name in names] == [120_00, 120_00, 60_00, 60_00, 0]
    assert (cycle["invoices"], cycle["closed_invoices"]) == (2, 2)


def test_an_invoice_whose_cash_is_taken_back_is_closed_no_more_and_once_when_paid_again() -> None:
    one = ("O-9-1", "INV-9", "O-9", "C-9")
    applied = receivables.CashApplied("P-9", *one, 10_00, "EUR", 0, PAID)
    paid = receivables.InvoicePaid(*one, 10_00, "EUR", PAID)
    back = receivables.CashUnapplied("P-9", *one, 4_00, "EUR", 4_00, PAID)
    more = receivables.CashUnapplied("P-9", *one, 6_00, "EUR", 10_00, PAID)
    told = [said(message, number, number) for number, message in enumerate((applied, paid, back, more, applied, paid))]
    closed = [row(tables_of([told[:n]]), "order_cycle", "O-9")["closed_invoices"] for n in range(1, len(told) + 1)]
    assert closed == [None, 1, 0, 0, 0, 1]


def test_a_loss_that_comes_back_opens_the_invoice_until_what_it_came_back_for_closes_it() -> None:
    one = ("O-9-1", "INV-9", "O-9", "C-9")
    off = receivables.WrittenOff(*one, 10_00, "EUR", "insolvent", PAID)
    paid = receivables.InvoicePaid(*one, 10_00, "EUR", PAID)
    again = receivables.WriteOffReversed(*one, 4_00, "EUR", 4_00, "cash_applied", "P-9", PAID)
    applied = receivables.CashApplied("P-9", *one, 4_00, "EUR", 0, PAID)
    back = receivables.CashUnapplied("P-9", *one, 4_00, "EUR", 4_00, PAID)
    more = receivables.WriteOffReversed(*one, 6_00, "EUR", 10_00, "credit_note", "CN-9", PAID)
    steps = (off, paid, again, applied, paid, back, more)
    told = [said(message, number, number) for number, message in enumerate(steps)]
    cycles = [row(tables_of([told[:n]]), "order_cycle", "O-9") for n in range(1, len(told) + 1)]
    assert [cycle["closed_invoices"] for cycle in cycles] == [None, 1, 0, 0, 1, 0, 0]
    assert [cycle["written_off_minor"] for cycle in cycles] == [10_00, 10_00, 6_00, 6_00, 6_00, 6_00, 0]


def test_orders_that_ended_early_have_their_last_stage() -> None:
    cycle = row(EXPECTED, "order_cycle", "O-2")
    assert cycle["rejected_at"] is not None
    assert cycle["cancelled_at"] is not None
    assert cycle["placed_at"] is None


def test_a_story_has_every_message_about_the_order_once() -> None:
    told = [key for key in EXPECTED["order_story"] if key[0] == "O-1"]
    assert len(told) == len(story_of("O-1"))
    first = row(EXPECTED, "order_story", "O-1", "order-O-1@1")
    assert first == {
        "at": BEGIN + timedelta(minutes=10),
        "speaker": "order",
        "type": "OrderPlaced",
        "summary": "Placed: 2 pieces on 1 line for 120.00 EUR",
    }


def test_money_about_no_order_is_in_no_story() -> None:
    [(payment, _)] = [item for item in ALL if type(item[0]).__name__ == "PaymentReceived" and item[0].order_id == "O-1"]
    unnamed = type(payment)(*[getattr(payment, f) for f in payment.__struct_fields__[:-1]])
    assert tables_of([[said(unnamed, 1, 1)]])["order_story"] == {}


@pytest.mark.parametrize(
    ("quantities", "told"), [((1,), "1 piece on 1 line"), ((7,), "7 pieces on 1 line"), ((1, 1), "2 pieces on 2 lines")]
)
def test_things_are_counted_as_people_count_them(quantities: tuple[int, ...], told: str) -> None:
    lines = tuple(fulfillment.LineQuantity(n, f"A-{n}", quantity) for n, quantity in enumerate(quantities, 1))
    assert summary_of(fulfillment.Backordered("O-1", "C-1", lines)) == f"Backordered: {told}"


@pytest.mark.parametrize("length", [1, 500])
def test_a_summary_is_short(length: int) -> None:
    text = summary_of(orders.OrderCancelled("O-1", "C-1", "x" * length))
    assert len(text) == min(len("Cancelled: ") + length, SUMMARY_LENGTH_MAX)
    assert text.endswith("…") == (length == 500)


def test_a_currency_we_do_not_know_yet_stops_no_story() -> None:
    assert summary_of(orders.OrderCompleted("O-1", "C-1", "XXX", 5)) == "Completed: 5 minor units XXX"


def test_documents_have_a_row_each() -> None:
    placed = row(EXPECTED, "placed_orders", "O-1")
    assert (placed["total_minor"], placed["lines"]) == (120_00, '[[1,"SKU-1",2,5000,2000]]')
    shipment = row(EXPECTED, "order_shipments", "O-1", "O-1-S1")
    assert (shipment["final"], shipment["delivered_at"], shipment["lines"]) == (False, BEGIN, '[[1,"SKU-1",1]]')
    invoice = row(EXPECTED, "bills", "O-1-1", "invoice")
    assert (invoice["issued_on"], invoice["due_on"]) == (ISSUED, DUE)
    assert row(EXPECTED, "bills", "O-1-R1", "credit_note")["invoice_id"] == "O-1-2"
    receipt = row(EXPECTED, "receipts", "O-1-P1")
    assert (receipt["amount_minor"], receipt["value_on"]) == (59_00, PAID)


def test_a_shipment_is_one_of_its_order_whatever_others_call_theirs() -> None:
    said_of = [(o, (fulfillment.LineQuantity(1, f"A-{o}", 1),)) for o in ("O-1", "O-2")]
    shipped = [fulfillment.Shipped("S-1", o, "C-1", lines, BEGIN, final=True) for o, lines in said_of]
    delivered = fulfillment.Delivered("S-1", "O-1", "C-1", BEGIN)
    messages = [said(message, number, number) for number, message in enumerate((*shipped, delivered), 1)]
    for batches in ([messages], [[message] for message in messages]):
        tables = tables_of(batches)
        of = {o: row(tables, "order_shipments", o, "S-1") for o, _ in said_of}
        assert {o: (found["lines"], found["delivered_at"]) for o, found in of.items()} == {
            "O-1": ('[[1,"A-O-1",1]]', BEGIN),
            "O-2": ('[[1,"A-O-2",1]]', None),
        }


def test_movements_sum_to_what_is_due() -> None:
    rows = [(key[0], *values) for key, values in EXPECTED["receivable_movements"].items()]
    of = {invoice: [r for r in rows if r[0] == invoice] for invoice in ("O-1-1", "O-1-2")}
    kinds = [r[1] for r in of["O-1-1"]]
    assert kinds == ["invoiced", "applied", "unapplied", "applied", "written_off", "write_off_reversed", "applied"]
    assert [sum(r[6] for r in found) for found in of.values()] == [0, 0]


def test_what_changes_nothing_due_is_no_movement_but_an_invoice_over_nothing_is() -> None:
    one = ("O-9-1", "INV-9", "O-9", "C-9")
    credited = receivables.CreditNoteBooked("O-9-C1", *one, 0, 60_00, "EUR", PAID)
    assert tables_of([[said(credited, 1, 1)]])["receivable_movements"] == {}
    [over_nothing] = [replace(m, total_minor=0) for m, _ in story_of("O-9") if type(m) is billing.Invoiced and m.final]
    [(_, values)] = tables_of([[said(over_nothing, 2, 2)]])["receivable_movements"].items()
    assert (values[0], values[5], values[6]) == ("invoiced", 0, ISSUED)


def test_a_movement_without_a_day_takes_effect_when_it_is_said() -> None:
    old = receivables.CashApplied("P-9", "O-9-1", "INV-9", "O-9", "C-9", 10_00, "EUR", 0)
    message, heard = said(old, 1, 1)
    assert row(tables_of([[(message, heard)]]), "receivable_movements", "O-9-1", heard.id)["effective_on"] == ISSUED


def test_balances_add_up_by_day_and_account() -> None:
    assert row(EXPECTED, "account_balances", PAID, "1000", "EUR") == {"debit_minor": 118_00, "credit_minor": 0}
    sums = [values for key, values in EXPECTED["account_balances"].items() if key[2] == "EUR"]
    assert sum(debit - credit for debit, credit in sums) == 0


def test_revenue_is_net_and_dated_in_the_day_of_issue() -> None:
    assert row(EXPECTED, "daily_revenue", ISSUED, "EUR")["invoiced_net_minor"] == 200_00
    assert row(EXPECTED, "daily_revenue", date(2026, 3, 8), "EUR")["credited_net_minor"] == 100_00


def test_masters_are_as_they_are_now() -> None:
    customer = row(EXPECTED, "customers", "C-1")
    assert (customer["name"], customer["country"], customer["payment_terms_days"]) == ("New name", "AT", 14)
    assert (customer["credit_limit_minor"], customer["held"]) == (2_000_00, False)
    product = row(EXPECTED, "products", "SKU-1")
    assert (product["description"], product["unit_price_minor"]) == ("A thing", 55_00)
    assert (product["received_quantity"], product["adjusted_quantity"]) == (10, -2)


def test_flow_counts_messages_and_amounts_per_day() -> None:
    day = BEGIN.date()
    assert row(EXPECTED, "daily_flow", day, "Shipped", "") == {"count": 4, "amount_minor": 0}
    assert row(EXPECTED, "daily_flow", day, "Invoiced", "EUR") == {"count": 4, "amount_minor": 240_00}


def test_the_service_has_no_aggregates_and_its_tables() -> None:
    wired = service(Settings())
    assert (wired.deciders, dict(wired.says)) == ((), {})
    sql = "".join(path.read_text() for path in sorted(wired.migrations.glob("*.sql")))
    for projection in wired.projections:
        assert f"CREATE TABLE {projection.table.name} (" in sql
