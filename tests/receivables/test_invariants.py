"""Whatever happens to an account, the books balance and nothing is lost or applied twice (rules 19, 20, 29)."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.receivables.domain.account import account
from services.receivables.domain.account_facts import (
    Account,
    BookInvoice,
    CashApplied,
    CashUnapplied,
    CreditNoteBooked,
    JournalPosted,
    PaymentReceived,
    WriteOffReversed,
    WrittenOff,
)
from services.receivables.domain.accounts import BANK, CUSTOMER_CREDIT, RECEIVABLES, WRITE_OFFS
from services.receivables.projections import PROJECTIONS
from shared.errors import DomainError
from shared.eventsourced.facts import Meta, Recorded
from shared.eventsourced.projecting import FactProjection
from tests.receivables.given import apply, book, credit_note, number_of, pay, unapply, write_off
from tests.support.examples import examples

START = date(2026, 3, 1)
CURRENCIES = ("EUR", "GBP")

days = st.integers(0, 40).map(lambda n: START + timedelta(n))
amounts = st.integers(1, 60)
steps = st.tuples(
    st.sampled_from(["book", "pay", "pay", "credit", "apply", "unapply", "unapply", "write off", "write off"]),
    st.integers(0, 5),
    amounts,
    days,
    st.sampled_from(CURRENCIES),
    st.sampled_from(["", "INV-2026-0", "INV-2026-1 INV-2026-2", "INV-2026-9", "thanks"]),
    st.sampled_from(["", "O-0", "O-1"]),
    st.integers(0, 3),
)


class History:
    """An account with all its facts, driven by random steps of which impossible ones are left out."""

    def __init__(self) -> None:
        self.state: Account = account.initial
        self.facts: list[Any] = []
        self.invoices: dict[str, BookInvoice] = {}
        self.credited: Counter[str] = Counter()

    def take(self, step: tuple[Any, ...]) -> None:
        command = self._command(*step)
        if command is None:
            return
        try:
            facts = account.decide(self.state, command)
        except DomainError:
            return
        self.facts.extend(facts)
        self.state = account.fold(facts, self.state)
        if isinstance(command, BookInvoice):
            self.invoices[command.invoice_id] = command

    def _command(
        self, kind: str, n: int, amount: int, on: date, currency: str, reference: str, order_id: str, tolerance: int
    ) -> Any:
        if kind == "book":
            return self._book(amount, on, currency, n, tolerance)
        if kind == "pay":
            values: dict[str, Any] = {"currency": currency, "value_on": on, "reference": reference}
            values |= {"order_id": order_id, "write_off_max_minor": tolerance}
            return pay(amount, f"P-{len(self.facts)}", **values)
        if not self.invoices:
            return None
        invoice = self.invoices[str(n % len(self.invoices))]
        if kind == "credit":
            return self._credit(invoice, amount, on)
        if kind == "write off":
            return write_off(invoice.invoice_id)
        if kind == "apply":
            sources = sorted(c.source_id for c in self.state.credits.values())
            return apply(sources[n % len(sources)], amount, invoice.invoice_id, on) if sources else None
        return self._unapply(invoice, amount, on)

    def _book(self, amount: int, on: date, currency: str, n: int, tolerance: int) -> BookInvoice:
        new_id = str(len(self.invoices))
        due_on = on + timedelta(n)
        values: dict[str, Any] = {"issued_on": on, "due_on": due_on, "currency": currency}
        return book(new_id, amount, order_id=f"O-{n % 3}", write_off_max_minor=tolerance, **values)

    def _credit(self, invoice: BookInvoice, amount: int, on: date) -> Any:
        total = min(amount, invoice.total_minor - self.credited[invoice.invoice_id])
        if total <= 0:
            return None
        self.credited[invoice.invoice_id] += total
        values = {"credit_note_id": f"CN-{len(self.facts)}", "currency": invoice.currency}
        return credit_note(total, invoice.invoice_id, issued_on=max(on, invoice.issued_on), **values)

    def _unapply(self, invoice: BookInvoice, amount: int, on: date) -> Any:
        sums: Counter[str] = Counter()
        last_on: dict[str, date] = {}
        for fact in self.facts:
            if isinstance(fact, CashApplied | CashUnapplied) and fact.invoice_id == invoice.invoice_id:
                applied = isinstance(fact, CashApplied)
                sums[fact.source_id] += fact.amount_minor if applied else -fact.amount_minor
                day = fact.applied_on if isinstance(fact, CashApplied) else fact.unapplied_on
                last_on[fact.source_id] = max(day, last_on.get(fact.source_id, day))
        if not sums:
            return None
        source_id, applied_minor = sums.most_common(1)[0]
        values = {name: getattr(invoice, name) for name in ("order_id", "currency", "total_minor", "due_on")}
        more = {"source_id": source_id, "applied_on": last_on[source_id], "on": on}
        return unapply(min(amount, applied_minor), applied_minor, invoice.invoice_id, **values, **more)


def history_of(taken: Iterable[tuple[Any, ...]]) -> History:
    history = History()
    for step in taken:
        history.take(step)
    return history


def balance(facts: list[Any], ledger_account: str, currency: str, until: date = date.max) -> int:
    return sum(
        line.debit_minor - line.credit_minor
        for fact in facts
        if isinstance(fact, JournalPosted) and fact.currency == currency and fact.posted_on <= until
        for line in fact.lines
        if line.account == ledger_account
    )


def total(facts: list[Any], kind: type[Any], currency: str, amount: Callable[[Any], int]) -> int:
    return sum(amount(fact) for fact in facts if isinstance(fact, kind) and fact.currency == currency)


histories = st.lists(steps, min_size=5, max_size=30).map(history_of)


@given(histories)
@examples(60)
def test_every_entry_balances_and_has_an_id_of_its_own(history: History) -> None:
    entries = [fact for fact in history.facts if isinstance(fact, JournalPosted)]
    assert len({entry.entry_id for entry in entries}) == len(entries) == history.state.entries
    for entry in entries:
        assert sum(line.debit_minor - line.credit_minor for line in entry.lines) == 0
        assert all((line.debit_minor > 0) != (line.credit_minor > 0) for line in entry.lines)
        assert all(line.debit_minor >= 0 and line.credit_minor >= 0 for line in entry.lines)


@given(histories)
@examples(60)
def test_sub_ledgers_are_their_control_accounts_rule_29(history: History) -> None:
    for currency in CURRENCIES:
        due = sum(i.open_minor for i in history.state.items.values() if i.currency == currency)
        owed = sum(c.rest_minor for c in history.state.credits.values() if c.currency == currency)
        assert balance(history.facts, RECEIVABLES, currency) == due
        assert balance(history.facts, CUSTOMER_CREDIT, currency) == -owed


@given(histories)
@examples(60)
def test_the_loss_is_what_was_written_off_and_not_reversed_rule_26(history: History) -> None:
    for currency in CURRENCIES:
        lost = total(history.facts, WrittenOff, currency, lambda f: f.amount_minor)
        lost -= total(history.facts, WriteOffReversed, currency, lambda f: f.amount_minor)
        known = sum(w.amount_minor for w in history.state.written_off.values() if w.currency == currency)
        assert balance(history.facts, WRITE_OFFS, currency) == lost == known
        assert all(balance(history.facts, WRITE_OFFS, currency, on) >= 0 for on in days_of(history))


@given(histories)
@examples(60)
def test_a_credit_note_is_credit_only_when_nothing_is_due_or_written_off_rule_17(history: History) -> None:
    state: Account = account.initial
    for fact in history.facts:
        state = account.evolve(state, fact)
        if isinstance(fact, CreditNoteBooked) and fact.credited_minor:
            assert fact.invoice_id not in state.items
            assert fact.invoice_id not in state.written_off


@given(histories)
@examples(60)
def test_received_is_applied_and_unapplied_rule_19(history: History) -> None:
    facts = history.facts
    for currency in CURRENCIES:
        received = total(facts, PaymentReceived, currency, lambda f: f.amount_minor)
        credited = total(facts, CreditNoteBooked, currency, lambda f: f.credited_minor)
        applied = total(facts, CashApplied, currency, lambda f: f.amount_minor)
        applied -= total(facts, CashUnapplied, currency, lambda f: f.amount_minor)
        unapplied = sum(c.rest_minor for c in history.state.credits.values() if c.currency == currency)
        assert received + credited == applied + unapplied
        assert balance(facts, BANK, currency) == received


@given(histories)
@examples(60)
def test_no_item_is_ever_negative_or_more_than_its_invoice(history: History) -> None:
    for item in history.state.items.values():
        assert 0 < item.open_minor <= item.total_minor
    assert all(credit.rest_minor > 0 for credit in history.state.credits.values())
    for invoice_id, loss in history.state.written_off.items():
        item = history.state.items.get(invoice_id)
        assert 0 <= loss.small_minor <= loss.amount_minor
        assert 0 < loss.amount_minor <= loss.total_minor - (item.open_minor if item is not None else 0)


@given(histories)
@examples(60)
def test_the_indexes_hold_what_is_open_and_nothing_else(history: History) -> None:
    state = history.state
    keys = [key for chunk in state.item_index.chunks for key in chunk]
    assert keys == sorted(set(keys))
    assert len(keys) == 3 * len(state.items)
    assert dict(state.numbers) == {number_of(i): i for i in (*state.items, *state.written_off)}
    waiting = sorted(name for credit in state.credits.values() for name in credit.waits_for)
    assert [key for chunk in state.credit_index.chunks for key in chunk] == waiting


@given(histories)
def test_movements_as_of_any_day_are_the_control_account_of_that_day_rule_29(history: History) -> None:
    rows = rows_of(history.facts, "item_movements")
    for on in days_of(history):
        per_invoice: Counter[str] = Counter()
        per_currency: Counter[str] = Counter()
        for row in rows:
            if row["effective_on"] <= on:
                per_invoice[row["invoice_id"]] += row["amount_minor"]
                per_currency[row["currency"]] += row["amount_minor"]
        for currency in CURRENCIES:
            assert per_currency[currency] == balance(history.facts, RECEIVABLES, currency, on)
        assert all(0 <= per_invoice[i] <= invoice.total_minor for i, invoice in history.invoices.items())


@given(histories)
@examples(60)
def test_customer_credit_is_a_liability_on_any_day_rule_22(history: History) -> None:
    for on in days_of(history):
        assert all(balance(history.facts, CUSTOMER_CREDIT, currency, on) <= 0 for currency in CURRENCIES)


def days_of(history: History) -> list[date]:
    """Every day on which something was posted."""
    return sorted({fact.posted_on for fact in history.facts if isinstance(fact, JournalPosted)})


@given(histories)
@examples(60)
def test_read_tables_say_what_the_state_says(history: History) -> None:
    due: Counter[str] = Counter()
    for row in rows_of(history.facts, "open_items"):
        due[row["invoice_id"]] += row["open_minor"]
    assert {i: m for i, m in due.items() if m} == {i: item.open_minor for i, item in history.state.items.items()}
    rest: Counter[tuple[str, str]] = Counter()
    for row in rows_of(history.facts, "unapplied"):
        rest[row["source_id"], row["currency"]] += row["rest_minor"]
    credits = {(c.source_id, c.currency): c.rest_minor for c in history.state.credits.values()}
    assert {key: m for key, m in rest.items() if m} == credits


def rows_of(facts: list[Any], table: str) -> list[dict[str, Any]]:
    """The rows that the facts of one account lead to, before they are merged."""
    rows = []
    for projection in PROJECTIONS:
        assert isinstance(projection, FactProjection)
        if projection.table.name != table:
            continue
        names = [column.name for column in (*projection.table.key, *projection.table.columns)]
        for version, fact in enumerate(facts, 1):
            if type(fact) in projection.rows:
                recorded = Recorded("account-C-1", version, fact, Meta(0))
                rows += [dict(zip(names, row, strict=True)) for row in projection.rows[type(fact)](recorded)]
    return rows


def test_the_random_histories_reach_every_kind_of_fact() -> None:
    kinds: set[type[Any]] = set()

    @given(histories)
    @settings(max_examples=100, database=None, derandomize=True)
    def collect(history: History) -> None:
        kinds.update(type(fact) for fact in history.facts)

    collect()
    assert kinds == set(account.facts)
