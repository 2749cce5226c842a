"""What must hold in receivables: a balanced journal, a sub-ledger equal to its control account, no cash unaccounted."""

from o2c.verify.stores import Stores, facts
from o2c.verify.verdict import Finding, at_most, same, together

_ENTRIES = facts("receivables.JournalPosted")
_LINES = f"""
(SELECT f.id, f.d->>'entry_id' AS entry_id, f.d->>'customer_id' AS customer_id, f.d->>'currency' AS currency,
        (f.d->>'posted_on')::date AS posted_on, line->>'account' AS account,
        (line->>'debit_minor')::numeric AS debit, (line->>'credit_minor')::numeric AS credit
 FROM {_ENTRIES} f, jsonb_array_elements(f.d->'lines') line)
"""
_MOVEMENTS = f"""
(SELECT d->>'invoice_id' AS invoice_id, d->>'customer_id' AS customer_id, d->>'currency' AS currency,
        CASE topic WHEN 'receivables.InvoiceBooked' THEN (d->>'total_minor')::numeric
                   WHEN 'receivables.CashUnapplied' THEN (d->>'amount_minor')::numeric
                   WHEN 'receivables.WriteOffReversed' THEN (d->>'amount_minor')::numeric
                   WHEN 'receivables.CreditNoteBooked' THEN -(d->>'applied_minor')::numeric
                   ELSE -(d->>'amount_minor')::numeric END AS amount
 FROM {
    facts(
        "receivables.InvoiceBooked",
        "receivables.CashApplied",
        "receivables.CashUnapplied",
        "receivables.WrittenOff",
        "receivables.WriteOffReversed",
        "receivables.CreditNoteBooked",
    )
} f)
"""
_LOSSES = f"""
(SELECT d->>'invoice_id' AS invoice_id, d->>'customer_id' AS customer_id, d->>'currency' AS currency,
        CASE topic WHEN 'receivables.WrittenOff' THEN 1 ELSE -1 END * (d->>'amount_minor')::numeric AS amount
 FROM {facts("receivables.WrittenOff", "receivables.WriteOffReversed")} f)
"""
_MONEY = f"""
(SELECT coalesce(d->>'source_id', d->>'payment_id', d->>'credit_note_id') AS source_id,
        d->>'customer_id' AS customer_id, d->>'currency' AS currency,
        CASE topic WHEN 'receivables.CashApplied' THEN -(d->>'amount_minor')::numeric
                   WHEN 'receivables.CreditNoteBooked' THEN (d->>'credited_minor')::numeric
                   ELSE (d->>'amount_minor')::numeric END AS amount
 FROM {
    facts(
        "receivables.PaymentReceived",
        "receivables.CreditNoteBooked",
        "receivables.CashApplied",
        "receivables.CashUnapplied",
    )
} f)
"""
RECEIVABLES, CUSTOMER_CREDIT, WRITE_OFFS = "1200", "2100", "6100"


async def journal_entries_balance(stores: Stores) -> Finding:
    """Σ debits = Σ credits in every entry, and every line has exactly one positive side."""
    rows = await stores.rows(
        "receivables",
        f"SELECT id, sum(debit) = sum(credit) AND bool_and((debit > 0) <> (credit > 0) AND debit >= 0 AND credit >= 0) "
        f"FROM {_LINES} l GROUP BY id",
    )
    return Finding(len(rows), tuple(sorted(id_ for id_, fine in rows if not fine)))


async def trial_balance_is_zero(stores: Stores) -> Finding:
    """Σ debits = Σ credits over the whole journal, per currency."""
    rows = await imbalances(stores)
    return Finding(len(rows), tuple(f"{currency}: {amount}" for currency, amount in rows.items() if amount))


async def imbalances(stores: Stores) -> dict[str, int]:
    """Currency → Σ debits − Σ credits of all recorded entries, in minor units."""
    rows = await stores.table(
        "receivables", f"SELECT currency, sum(debit) - sum(credit) FROM {_LINES} l GROUP BY currency"
    )
    return {currency: int(amount) for currency, amount in rows.items()}  # which no 64 bits need hold


async def journal_table_is_the_journal(stores: Stores) -> Finding:
    """The read table of the journal says what was recorded, entry by entry and account by account."""
    told = "SELECT entry_id, account, (sum(debit_minor) - sum(credit_minor))::numeric FROM journal_lines GROUP BY 1, 2"
    recorded = f"SELECT entry_id, account, sum(debit) - sum(credit) FROM {_LINES} l GROUP BY 1, 2"
    return same(await stores.table("receivables", told), await stores.table("receivables", recorded))


async def subledger_is_the_control_account(stores: Stores) -> Finding:
    """Per customer and currency: what is open on invoices = balance of trade receivables, on every day."""
    items = f"SELECT customer_id, currency, sum(amount) FROM {_MOVEMENTS} m GROUP BY 1, 2"
    control = (
        f"SELECT customer_id, currency, sum(debit) - sum(credit) FROM {_LINES} l "
        f"WHERE account = '{RECEIVABLES}' GROUP BY 1, 2"
    )
    by_day = "SELECT effective_on, currency, sum(amount_minor)::numeric FROM item_movements GROUP BY 1, 2"
    control_by_day = (
        f"SELECT posted_on, currency, sum(debit) - sum(credit) FROM {_LINES} l "
        f"WHERE account = '{RECEIVABLES}' GROUP BY 1, 2"
    )
    return together(
        [
            same(await stores.table("receivables", items), await stores.table("receivables", control)),
            same(await stores.table("receivables", by_day), await stores.table("receivables", control_by_day)),
        ]
    )


async def open_items_are_what_was_recorded(stores: Stores) -> Finding:
    """What the read table says is due on an invoice = invoiced − applied − credited − written off (less what of
    it was reversed), never below zero.
    """
    table = await stores.table("receivables", "SELECT invoice_id, open_minor::numeric FROM open_items")
    recorded = await stores.table("receivables", f"SELECT invoice_id, sum(amount) FROM {_MOVEMENTS} m GROUP BY 1")
    below = tuple(f"{invoice_id}: {amount} open" for invoice_id, amount in recorded.items() if amount < 0)
    return together([same(table, recorded), Finding(0, below)])


async def received_is_applied_or_unapplied(stores: Stores) -> Finding:
    """Of every payment and credit note: received = applied + unapplied, and no more is applied than there was."""
    table = await stores.table("receivables", "SELECT source_id, currency, rest_minor::numeric FROM unapplied")
    recorded = await stores.table(
        "receivables", f"SELECT source_id, currency, sum(amount) FROM {_MONEY} m GROUP BY 1, 2"
    )
    # A credit note that only lowered its invoice left no money behind: it need not have a row.
    recorded = {key: rest for key, rest in recorded.items() if rest or key in table}
    below = tuple(f"{key[0]}: {rest} left" for key, rest in recorded.items() if rest < 0)
    return together([same(table, recorded), Finding(0, below)])


async def unapplied_is_the_control_account(stores: Stores) -> Finding:
    """Per customer and currency: unapplied money = balance of the customer credit account."""
    money = f"SELECT customer_id, currency, sum(amount) FROM {_MONEY} m GROUP BY 1, 2"
    control = (
        f"SELECT customer_id, currency, sum(credit) - sum(debit) FROM {_LINES} l "
        f"WHERE account = '{CUSTOMER_CREDIT}' GROUP BY 1, 2"
    )
    return same(await stores.table("receivables", money), await stores.table("receivables", control))


async def write_offs_are_the_loss_account(stores: Stores) -> Finding:
    """Per customer and currency: written off − reversed = balance of write-offs; on no invoice is it below zero."""
    losses = f"SELECT customer_id, currency, sum(amount) FROM {_LOSSES} l GROUP BY 1, 2"
    control = (
        f"SELECT customer_id, currency, sum(debit) - sum(credit) FROM {_LINES} l "
        f"WHERE account = '{WRITE_OFFS}' GROUP BY 1, 2"
    )
    by_invoice = await stores.table("receivables", f"SELECT invoice_id, sum(amount) FROM {_LOSSES} l GROUP BY 1")
    below = tuple(f"{invoice_id}: {amount} written off" for invoice_id, amount in by_invoice.items() if amount < 0)
    known = same(await stores.table("receivables", losses), await stores.table("receivables", control))
    return together([known, Finding(0, below)])


async def payments_are_booked_once(stores: Stores) -> Finding:
    """Every registered payment was received on its customer's account exactly once, with its amount."""
    registered = (
        f"SELECT d->>'payment_id', (d->>'amount_minor')::numeric FROM {facts('receivables.PaymentRegistered')} f"
    )
    received = (
        f"SELECT d->>'payment_id', sum((d->>'amount_minor')::numeric) "
        f"FROM {facts('receivables.PaymentReceived')} f GROUP BY 1"
    )
    return same(await stores.table("receivables", registered), await stores.table("receivables", received))


async def invoices_are_booked_once(stores: Stores) -> Finding:
    """Every invoice and credit note of billing is in the ledger exactly once, with its total."""
    findings = []
    for said, booked, id_ in (
        ("billing.Invoiced", "receivables.InvoiceBooked", "invoice_id"),
        ("billing.CreditNoteIssued", "receivables.CreditNoteBooked", "credit_note_id"),
    ):
        sums = "SELECT d->>'{}', sum((d->>'total_minor')::numeric) FROM {} f GROUP BY 1"
        findings.append(
            same(
                await stores.table("billing", sums.format(id_, facts(said))),
                await stores.table("receivables", sums.format(id_, facts(booked))),
            )
        )
    return together(findings)


async def nothing_is_overpaid(stores: Stores) -> Finding:
    """What was applied to an invoice is at most its total."""
    applied = f"""
        SELECT d->>'invoice_id', sum(CASE topic WHEN 'receivables.CashApplied' THEN 1 ELSE -1 END
                                     * (d->>'amount_minor')::numeric)
        FROM {facts("receivables.CashApplied", "receivables.CashUnapplied")} f GROUP BY 1"""
    totals = f"SELECT d->>'invoice_id', (d->>'total_minor')::numeric FROM {facts('receivables.InvoiceBooked')} f"
    return at_most(await stores.table("receivables", applied), await stores.table("receivables", totals))
