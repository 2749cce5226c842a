"""Double entry: how the amounts of one command become the lines of a balanced journal entry."""

from collections.abc import Iterable

from shared.values import Value


class JournalLine(Value, frozen=True, gc=False):
    """One side of an entry, in minor units; exactly one of debit and credit is positive."""

    account: str
    debit_minor: int
    credit_minor: int


def journal_lines(postings: Iterable[tuple[str, int]]) -> tuple[JournalLine, ...]:
    """(account, amount) → one line per account and side, in order of first use.

    Amounts are in minor units of one currency: debits positive, credits negative, zeros are left out. Sides of one
    account are not netted, so that the movements of a control account stay visible.
    """
    sums: dict[tuple[str, bool], int] = {}
    for account, amount_minor in postings:
        if amount_minor:
            side = (account, amount_minor > 0)
            sums[side] = sums.get(side, 0) + amount_minor
    assert sum(sums.values()) == 0, "debits and credits differ"
    return tuple([JournalLine(a, m, 0) if m > 0 else JournalLine(a, 0, -m) for (a, _), m in sums.items()])
