"""All checks in one pass, repeated while messages are still on their way: also on a system that never rests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from o2c.verify import documents, engine, exposure, goods, ledger, orders
from o2c.verify.stores import Stores, open_stores
from o2c.verify.verdict import Finding, Verdict, check

CHECKS: tuple[Callable[[Stores], Awaitable[Finding]], ...] = (
    engine.streams_have_no_gaps,
    engine.lanes_have_no_gaps,
    engine.everything_is_published,
    engine.every_position_is_reached,
    engine.every_store_is_the_one_that_spoke,
    engine.nothing_is_stuck,
    orders.orders_complete_when_paid,
    orders.orders_table_is_what_was_recorded,
    exposure.exposure_is_what_was_recorded,
    goods.stock_is_what_was_recorded,
    goods.reserved_is_at_most_on_hand,
    goods.no_backorder_waits_beside_stock,
    goods.shipped_is_at_most_ordered,
    goods.issued_is_shipped,
    documents.numbers_are_gapless,
    documents.documents_add_up,
    documents.invoiced_is_at_most_ordered,
    documents.shipped_is_invoiced,
    documents.invoices_sum_to_their_orders,
    documents.credited_is_at_most_invoiced,
    ledger.journal_entries_balance,
    ledger.trial_balance_is_zero,
    ledger.journal_table_is_the_journal,
    ledger.subledger_is_the_control_account,
    ledger.open_items_are_what_was_recorded,
    ledger.received_is_applied_or_unapplied,
    ledger.unapplied_is_the_control_account,
    ledger.write_offs_are_the_loss_account,
    ledger.nothing_is_overpaid,
    ledger.payments_are_booked_once,
    ledger.invoices_are_booked_once,
    orders.analytics_has_every_order,
    orders.analytics_has_the_journal,
)
"""What `o2c verify` checks, in the order it is shown; a check's name is its function's."""

OPEN_LETTERS = engine.nothing_is_stuck.__name__
"""The check that finds open dead letters. An open letter is known: it is an alert of its own, and somebody's queue."""

REPEAT_SECONDS = 0.5


async def verify_all(
    database_of: Callable[[str], str], *, seconds_max: float, tolerated: Collection[str] = ()
) -> Verdict:
    """Every check over the databases of all services.

    Services hear of each other a moment later, so as long as something offends and time is left, all is read again:
    what is on its way arrives or moves on, what is wrong is found again as it was. Only what every look has found
    offends. What the `tolerated` checks find is shown, but neither waited for nor a failure. Raises OSError or
    PostgresError for a database that cannot be reached.
    """
    names = [each.__name__ for each in CHECKS]
    until = time.monotonic() + seconds_max
    found = await _look(database_of)

    def something_offends() -> bool:
        return any(finding.offending for name, finding in zip(names, found, strict=True) if name not in tolerated)

    while something_offends() and time.monotonic() < until:
        await asyncio.sleep(REPEAT_SECONDS)
        found = [known.still(again) for known, again in zip(found, await _look(database_of), strict=True)]
    return Verdict(
        tuple(check(name, finding, tolerated=name in tolerated) for name, finding in zip(names, found, strict=True))
    )


async def _look(database_of: Callable[[str], str]) -> list[Finding]:
    async with open_stores(database_of) as stores:
        return await asyncio.gather(*(each(stores) for each in CHECKS))


async def trial_balance(database_of: Callable[[str], str]) -> int:
    """Σ over currencies of |Σ debits − Σ credits| of the recorded journal, in minor units: 0 when it balances."""
    async with open_stores(database_of) as stores:
        return sum(abs(amount) for amount in (await ledger.imbalances(stores)).values())
