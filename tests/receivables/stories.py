"""Stories of commands to one customer's account, and what is there at their end."""

from collections import Counter
from datetime import date
from typing import Any

from services.receivables.domain.account import account
from services.receivables.domain.account_facts import JournalPosted
from shared.eventsourced.testing import Scenario
from tests.receivables.given import book, pay, write_off

BANK, AR, CREDIT, TAX, REVENUE, WRITE_OFFS = "1000", "1200", "2100", "2200", "4000", "6100"

new = Scenario(account)


def after(*commands: Any) -> Scenario:
    """A story that began with these commands."""
    story = new
    for command in commands:
        story = story.when(command)
    return story


def of(story: Scenario, *kinds: type[Any]) -> list[Any]:
    """The facts of some kinds that the last command of a story led to."""
    return [fact for fact in story.facts() if isinstance(fact, kinds)]


def due(story: Scenario) -> dict[str, int]:
    return {item.invoice_id: item.open_minor for item in story.state().items.values()}


def unapplied(story: Scenario) -> dict[str, int]:
    return {credit.source_id: credit.rest_minor for credit in story.state().credits.values()}


def losses(story: Scenario) -> dict[str, int]:
    return {loss.invoice_id: loss.amount_minor for loss in story.state().written_off.values()}


def balances(story: Scenario) -> dict[str, int]:
    """Debits − credits of every account after a story, zeros left out."""
    sums: Counter[str] = Counter()
    for fact in (*story.history, *story.facts()):
        for line in fact.lines if isinstance(fact, JournalPosted) else ():
            sums[line.account] += line.debit_minor - line.credit_minor
    return {ledger_account: minor for ledger_account, minor in sums.items() if minor}


# ---- Where stories about write-offs begin

WRITTEN_ON = date(2026, 3, 25)
WRITTEN_OFF = after(book(), write_off())
PAID_SHORT = after(book(), pay(119_50, reference="INV-2026-1", write_off_max_minor=50))
NAMED = {"reference": "INV-2026-1", "value_on": date(2026, 4, 2)}
