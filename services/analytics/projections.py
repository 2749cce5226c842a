"""The read models of the whole cycle, from every public message; any order of arrival leads to the same rows.

Stages are dated by `heard.at`, the instant a message was said: the business instants inside messages may be far in the
past (imported orders) and would not measure the cycle. Amounts add up because every message is heard exactly once.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from services.analytics.documents import DOCUMENTS
from services.analytics.story import SENTENCES, summary_of
from shared.contracts import billing, catalogue, credit, fulfillment, orders, receivables
from shared.contracts.messages import contract_of
from shared.eventsourced.policy import Heard
from shared.eventsourced.projecting import Column, MessageProjection, Projection, Row, Table

MESSAGES = tuple(c.message for c in catalogue.contracts().values() if c.speaker in catalogue.SPEAKERS)
"""Every public message of our services, in the order of the catalogue."""

Rows = Callable[[Any, Heard], Iterable[Row]]


def _row(table: Table, key: tuple[Any, ...], **values: Any) -> Row:
    """A row with these values and nothing else."""
    row: list[Any] = [None] * len(table.columns)
    for name, value in values.items():
        row[_PLACES[table.name][name]] = value
    return (*key, *row)


# ---- order_cycle: one row per order

_FIRST_AT: Mapping[type[Any], str] = {
    orders.OrderPlaced: "placed_at",
    orders.OrderHeld: "held_at",
    orders.OrderRejected: "rejected_at",
    orders.OrderConfirmed: "confirmed_at",
    orders.OrderCancelled: "cancelled_at",
    orders.OrderCompleted: "completed_at",
    credit.CreditApproved: "credit_approved_at",
    fulfillment.StockReserved: "reserved_at",
    fulfillment.Backordered: "backordered_at",
    fulfillment.Shipped: "shipped_at",
    billing.Invoiced: "invoiced_at",
}
"""Message → the column that keeps when it was first said about the order."""

_SUMS = ("invoiced_minor", "credited_minor", "paid_minor", "written_off_minor")

ORDER_CYCLE = Table(
    "order_cycle",
    (Column("order_id", "text"),),
    (
        Column("customer_id", "text"),
        Column("currency", "text"),
        *[Column(name, "timestamptz", "min") for name in _FIRST_AT.values()],
        Column("paid_at", "timestamptz", "max"),
        Column("ordered_minor", "bigint"),
        *[Column(name, "numeric", "add") for name in _SUMS],
        Column("invoices", "bigint", "add"),
        Column("closed_invoices", "bigint", "add"),
    ),
)
"""What changes in the life of an order, and no more: it is written some seven times per order.

`closed_invoices`: on how many of its invoices nothing is due. `paid_at`: when one was last closed; it counts while all
are closed (see `PAID_AT` in queries.py).
"""


def _due_again(m: receivables.CashUnapplied | receivables.WriteOffReversed, changed: str) -> dict[str, Any]:
    # What is open now is just what came back: before, nothing was, so the invoice is closed no more.
    opened = int(m.open_minor == m.amount_minor)
    return {changed: -m.amount_minor, "closed_invoices": -opened}


_MEASURES: Mapping[type[Any], Callable[[Any, Heard], dict[str, Any]]] = {
    orders.OrderPlaced: lambda m, _: {"currency": m.currency, "ordered_minor": m.total_minor},
    billing.Invoiced: lambda m, _: {"invoiced_minor": m.total_minor, "invoices": 1},
    billing.CreditNoteIssued: lambda m, _: {"credited_minor": m.total_minor},
    receivables.CashApplied: lambda m, _: {"paid_minor": m.amount_minor},
    receivables.CashUnapplied: lambda m, _: _due_again(m, "paid_minor"),
    receivables.InvoicePaid: lambda _, h: {"paid_at": h.at, "closed_invoices": 1},
    receivables.WrittenOff: lambda m, _: {"written_off_minor": m.amount_minor},
    receivables.WriteOffReversed: lambda m, _: _due_again(m, "written_off_minor"),
}
"""What a message adds to its order beside its first instant."""


def _cycle(message: Any, heard: Heard) -> Iterable[Row]:
    kind = type(message)
    values: dict[str, Any] = {"customer_id": message.customer_id}
    if kind in _FIRST_AT and not (kind is fulfillment.StockReserved and not message.complete):
        values[_FIRST_AT[kind]] = heard.at
    if kind in _MEASURES:
        values |= _MEASURES[kind](message, heard)
    return (_row(ORDER_CYCLE, (message.order_id,), **values),)


# ---- order_story: one row per message about an order

ORDER_STORY = Table(
    "order_story",
    (Column("order_id", "text"), Column("message_id", "text")),
    (Column("at", "timestamptz"), Column("speaker", "text"), Column("type", "text"), Column("summary", "text")),
    appended=True,
)


def _told(message: Any, heard: Heard) -> Iterable[Row]:
    if not message.order_id:
        return ()  # Money or an entry that is about no single order.
    kind = type(message)
    return ((message.order_id, heard.id, heard.at, contract_of(kind).speaker, kind.__name__, summary_of(message)),)


# ---- account_balances and daily_revenue: the ledger by day

ACCOUNT_BALANCES = Table(
    "account_balances",
    (Column("posted_on", "date"), Column("account", "text"), Column("currency", "text")),
    (Column("debit_minor", "numeric", "add"), Column("credit_minor", "numeric", "add")),
)


def _balances(m: receivables.JournalPosted, _: Heard) -> Iterable[Row]:
    return [(m.posted_on, line.account, m.currency, line.debit_minor, line.credit_minor) for line in m.lines]


DAILY_REVENUE = Table(
    "daily_revenue",
    (Column("day", "date"), Column("currency", "text")),
    (
        Column("invoiced_net_minor", "numeric", "add"),
        Column("credited_net_minor", "numeric", "add"),
        Column("invoices", "bigint", "add"),
        Column("credit_notes", "bigint", "add"),
    ),
)


def _revenue(m: billing.Invoiced, _: Heard) -> Iterable[Row]:
    return (_row(DAILY_REVENUE, (m.issued_on, m.currency), invoiced_net_minor=m.net_minor, invoices=1),)


def _revenue_back(m: billing.CreditNoteIssued, _: Heard) -> Iterable[Row]:
    return (_row(DAILY_REVENUE, (m.issued_on, m.currency), credited_net_minor=m.net_minor, credit_notes=1),)


# ---- customers and products: masters as they are now. One speaker says each column, so its order is kept

CUSTOMERS = Table(
    "customers",
    (Column("customer_id", "text"),),
    (
        Column("name", "text"),
        Column("country", "text"),
        Column("currency", "text"),
        Column("payment_terms_days", "bigint"),
        Column("registered_at", "timestamptz", "min"),
        Column("credit_limit_minor", "bigint"),
        Column("credit_currency", "text"),
        Column("held", "boolean"),
    ),
)
_CUSTOMER_FIELDS = ("name", "country", "currency", "payment_terms_days")


def _customer(message: Any, heard: Heard) -> Iterable[Row]:
    values: dict[str, Any] = {name: getattr(message, name) for name in _CUSTOMER_FIELDS}
    if type(message) is orders.CustomerRegistered:
        values["registered_at"] = heard.at
    return (_row(CUSTOMERS, (message.customer_id,), **values),)


def _limit(message: Any, _: Heard) -> Iterable[Row]:
    values = {"credit_limit_minor": message.limit_minor, "credit_currency": message.currency}
    return (_row(CUSTOMERS, (message.customer_id,), **values),)


def _hold(held: bool, message: Any, _: Heard) -> Iterable[Row]:
    return (_row(CUSTOMERS, (message.customer_id,), held=held),)


PRODUCTS = Table(
    "products",
    (Column("sku", "text"),),
    (
        Column("description", "text"),
        Column("unit_price_minor", "bigint"),
        Column("currency", "text"),
        Column("tax_rate_bp", "bigint"),
        Column("received_quantity", "bigint", "add"),
        Column("adjusted_quantity", "bigint", "add"),
    ),
)


def _product(columns: Mapping[str, str], message: Any, _: Heard) -> Iterable[Row]:
    """Column → the field of the message that it takes."""
    return (_row(PRODUCTS, (message.sku,), **{column: getattr(message, field) for column, field in columns.items()}),)


_LISTED = ("description", "unit_price_minor", "currency", "tax_rate_bp")
_PRICED = ("unit_price_minor", "currency")

# ---- daily_flow: how many messages of each type were said on a day, and about how much

DAILY_FLOW = Table(
    "daily_flow",
    (Column("day", "date"), Column("stage", "text"), Column("currency", "text")),
    (Column("count", "bigint", "add"), Column("amount_minor", "numeric", "add")),
)


def _flow_of(kind: type[Any]) -> Rows:
    fields = kind.__struct_fields__
    amount = next((name for name in ("total_minor", "amount_minor") if name in fields), None)
    has_currency = amount is not None and "currency" in fields

    def rows(message: Any, heard: Heard) -> Iterable[Row]:
        currency = message.currency if has_currency else ""
        amount_minor = getattr(message, amount) if amount is not None else 0
        return ((heard.at.date(), kind.__name__, currency, 1, amount_minor),)

    return rows


_TABLES = (
    ORDER_CYCLE,
    ORDER_STORY,
    ACCOUNT_BALANCES,
    DAILY_REVENUE,
    CUSTOMERS,
    PRODUCTS,
    DAILY_FLOW,
)
_PLACES = {table.name: {column.name: at for at, column in enumerate(table.columns)} for table in _TABLES}
_IN_CYCLE: dict[type[Any], Rows] = {kind: _cycle for kind in {*_FIRST_AT, *_MEASURES}}

PROJECTIONS: tuple[Projection, ...] = (
    MessageProjection(ORDER_CYCLE, _IN_CYCLE),
    MessageProjection(ORDER_STORY, {kind: _told for kind in SENTENCES}),
    MessageProjection(ACCOUNT_BALANCES, {receivables.JournalPosted: _balances}),
    MessageProjection(DAILY_REVENUE, {billing.Invoiced: _revenue, billing.CreditNoteIssued: _revenue_back}),
    MessageProjection(
        CUSTOMERS,
        {
            orders.CustomerRegistered: _customer,
            orders.CustomerChanged: _customer,
            credit.CreditAccountOpened: _limit,
            credit.CreditLimitSet: _limit,
            credit.AccountHeld: partial(_hold, True),
            credit.AccountReleased: partial(_hold, False),
        },
    ),
    MessageProjection(
        PRODUCTS,
        {
            orders.ProductListed: partial(_product, {name: name for name in _LISTED}),
            orders.PriceChanged: partial(_product, {name: name for name in _PRICED}),
            fulfillment.StockReceived: partial(_product, {"received_quantity": "quantity"}),
            fulfillment.StockAdjusted: partial(_product, {"adjusted_quantity": "quantity_delta"}),
        },
    ),
    MessageProjection(DAILY_FLOW, {kind: _flow_of(kind) for kind in MESSAGES}),
    *DOCUMENTS,
)
