"""What must hold in billing: gapless numbers, documents that add up, never more than was ordered or shipped."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from o2c.verify.stores import Stores, facts
from o2c.verify.verdict import Finding, at_most, same, together

_INVOICES = facts("billing.Invoiced")


def quantities(source: str) -> str:
    """Σ quantity per order and line number over the lines of these facts."""
    return (
        "SELECT d->>'order_id', (line->>'line_no')::int, sum((line->>'quantity')::bigint)::bigint "
        f"FROM {source} f, jsonb_array_elements(f.d->'lines') line GROUP BY 1, 2"
    )


async def numbers_are_gapless(stores: Stores) -> Finding:
    """Every series of documents is numbered 1 to its last number, each number once."""
    rows = await stores.rows(
        "billing",
        f"SELECT d->>'series', d->>'number' FROM {facts('billing.Invoiced', 'billing.CreditNoteIssued')} f",
    )
    # A number that was forgotten with an older backup is explained by the fact that says so.
    rows += await stores.rows(
        "billing",
        "SELECT regexp_replace(d->>'number', '-[0-9]+$', ''), d->>'number' "
        f"FROM {facts('engine.Lost')} f WHERE d->>'number' <> ''",
    )
    last = await stores.table("billing", "SELECT series, last FROM number_series")
    return gapless(((series, number) for series, number in rows), last)


def gapless(documents: Iterable[tuple[str, str]], last: Mapping[str, int]) -> Finding:
    """(series, number) of all documents against the last number that each series gave out."""
    by_series: defaultdict[str, list[int]] = defaultdict(list)
    wrong = []
    checked = 0
    for series, number in documents:
        checked += 1
        text = number.removeprefix(f"{series}-")
        if text == number or not text.isdecimal():
            wrong.append(f"{number!r} in {series}")
        else:
            by_series[series].append(int(text))
    for series in sorted(by_series.keys() | last.keys()):
        wrong += _gaps(series, sorted(by_series[series]), last.get(series, 0))
    return Finding(checked, tuple(wrong))


def _gaps(series: str, numbers: list[int], last: int) -> list[str]:
    missing = sorted(set(range(1, last + 1)) - set(numbers))
    twice = sorted({a for a, b in pairwise(numbers) if a == b})
    beyond = [number for number in numbers if not 1 <= number <= last]
    return (
        [f"{series}-{number:06d} missing" for number in missing]
        + [f"{series}-{number:06d} twice" for number in twice]
        + [f"{series}-{number:06d} beyond {last}" for number in beyond]
    )


async def documents_add_up(stores: Stores) -> Finding:
    """Net = Σ lines = Σ tax bases, tax = Σ taxes, total = net + tax, in every invoice and credit note."""
    rows = await stores.rows(
        "billing",
        f"""
        SELECT d->>'number', (d->>'total_minor')::numeric = (d->>'net_minor')::numeric + (d->>'tax_minor')::numeric
            AND (SELECT sum((l->>'net_minor')::numeric) = (d->>'net_minor')::numeric
                    AND bool_and((l->>'net_minor')::numeric
                                 = (l->>'quantity')::numeric * (l->>'unit_price_minor')::numeric)
                 FROM jsonb_array_elements(d->'lines') l)
            AND (SELECT coalesce(sum((t->>'base_minor')::numeric), 0) = (d->>'net_minor')::numeric
                    AND coalesce(sum((t->>'tax_minor')::numeric), 0) = (d->>'tax_minor')::numeric
                 FROM jsonb_array_elements(d->'taxes') t)
        FROM {facts("billing.Invoiced", "billing.CreditNoteIssued")} f""",
    )
    return Finding(len(rows), tuple(sorted(str(number) for number, fine in rows if not fine)))


async def invoiced_is_at_most_ordered(stores: Stores) -> Finding:
    """Line by line, no more is invoiced than was ordered."""
    ordered = await stores.table("order", quantities(facts("order.OrderPlaced")))
    return at_most(await stores.table("billing", quantities(_INVOICES)), ordered)


async def shipped_is_invoiced(stores: Stores) -> Finding:
    """Of orders that are invoiced on shipment: what was shipped is invoiced, line by line, no more and no less."""
    on_confirmation = await stores.rows(
        "order",
        f"SELECT d->>'order_id' FROM {facts('order.OrderPlaced')} f WHERE d->>'invoice_on' = 'confirmation'",
    )
    others = {row[0] for row in on_confirmation}

    def on_shipment(lines: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        return {key: quantity for key, quantity in lines.items() if key[0] not in others}

    shipped = await stores.table("fulfillment", quantities(facts("fulfillment.Shipped")))
    return same(on_shipment(shipped), on_shipment(await stores.table("billing", quantities(_INVOICES))))


async def invoices_sum_to_their_orders(stores: Stores) -> Finding:
    """The invoices of every order that is invoiced to the end sum to the order's total, to the cent."""
    ordered = await stores.table(
        "order", f"SELECT d->>'order_id', (d->>'total_minor')::numeric FROM {facts('order.OrderPlaced')} f"
    )
    ordered_lines = await stores.table("order", quantities(facts("order.OrderPlaced")))
    invoiced_lines = await stores.table("billing", quantities(_INVOICES))
    incomplete = {key[0] for key, quantity in ordered_lines.items() if invoiced_lines.get(key, 0) != quantity}
    invoiced = await stores.table(
        "billing", f"SELECT d->>'order_id', sum((d->>'total_minor')::numeric) FROM {_INVOICES} f GROUP BY 1"
    )
    whole = {order_id: total for order_id, total in invoiced.items() if order_id not in incomplete}
    return same(whole, {order_id: ordered.get(order_id, 0) for order_id in whole})


async def credited_is_at_most_invoiced(stores: Stores) -> Finding:
    """Invoice by invoice, no more is credited than was invoiced, in quantities and in money."""
    lines = (
        "SELECT d->>'invoice_id', (l->>'line_no')::int, sum((l->>'quantity')::bigint)::bigint "
        "FROM {} f, jsonb_array_elements(f.d->'lines') l GROUP BY 1, 2"
    )
    totals = "SELECT d->>'invoice_id', sum((d->>'total_minor')::numeric) FROM {} f GROUP BY 1"
    notes = facts("billing.CreditNoteIssued")
    return together(
        [
            at_most(
                await stores.table("billing", each.format(notes)), await stores.table("billing", each.format(_INVOICES))
            )
            for each in (lines, totals)
        ]
    )
