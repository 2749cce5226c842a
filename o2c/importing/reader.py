"""Streams an order file row by row into customers and orders; holds one order at a time."""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TextIO

from o2c.importing.online_retail import ONLINE_RETAIL
from o2c.importing.plain import PLAIN
from o2c.importing.report import ImportReport
from o2c.importing.rows import NO_AMOUNT, ORDER_LINES_MAX, Amount, Format, OrderHead, Record, Refused, Taken
from shared.contracts.inbound import Customer, Order, RequestedLine
from shared.errors import ContractError, Problem

FORMATS = (ONLINE_RETAIL, PLAIN)

Imported = Customer | Order


@contextmanager
def open_text(file: Path | Traversable) -> Iterator[TextIO]:
    """The text of a file, unpacked if its name ends in `.gz`. Bytes that are not UTF-8 become U+FFFD.

    They mostly sit in descriptions, which nobody reads; where they matter, the row is refused as unreadable.
    """
    with file.open("rb") as raw:
        plain = gzip.GzipFile(fileobj=raw) if file.name.endswith(".gz") else raw
        with io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="") as text:
            yield text


def recognise(header: Sequence[str]) -> tuple[Format, list[str]]:
    """The format that has these columns, and the columns under its own names. ContractError if there is none."""
    names = [name.strip() for name in header]
    for known in FORMATS:
        columns = [known.aliases.get(name, name) for name in names]
        if known.columns <= set(columns) and len(set(columns)) == len(columns):
            return known, columns
    wanted = "; or ".join(f"{known.name}: {', '.join(sorted(known.columns))}" for known in FORMATS)
    raise ContractError([Problem("header", "unknown_format", f"the columns are none of a known format ({wanted})")])


def _records(rows: Iterator[list[str]], columns: Sequence[str]) -> Iterator[Record | None]:
    """Rows by column name; None for a row that is no row of this table. Blank lines are not rows."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:
            yield dict(zip(columns, row, strict=True)) if len(row) == len(columns) else None


class _OpenOrder:
    """The order whose rows are coming in just now."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        self.head: OrderHead | None = None
        self.lines: list[RequestedLine] = []

    def add(self, row: Taken) -> Refused | None:
        """Take the row, or say why it does not belong to this order."""
        if self.head is None:
            self.head = row.head
        if (row.head.customer_id, row.head.currency) != (self.head.customer_id, self.head.currency):
            return Refused(row.order_id, "contradicts_order")
        if len(self.lines) == ORDER_LINES_MAX:
            return Refused(row.order_id, "too_many_lines")
        self.lines.append(row.line)
        return None

    def order(self) -> Order | None:
        """The whole order; None if none of its rows was taken. Where rows differ, the first one speaks for all."""
        head = self.head
        if head is None:
            return None
        return Order(
            self.order_id,
            head.customer_id,
            head.currency,
            tuple(self.lines),
            head.placed_at,
            head.payment_terms_days,
            head.prepaid,
            head.ship_complete,
            head.invoice_on,
        )


class _Grouping:
    """Rows in, finished orders out. Beside the open order it remembers ids only: of closed orders and customers."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        self.open = _OpenOrder("")
        self.closed: set[str] = set()
        self.customers: set[str] = set()

    def add(self, row: Taken | Refused, amount: Amount) -> Iterator[Imported]:
        """Account for one row; when it begins another order, the one before is finished."""
        if row.order_id != self.open.order_id:
            yield from self.finish()
            self.open = _OpenOrder(row.order_id)
        refusal = row if isinstance(row, Refused) else self._take(row)
        if refusal is not None:
            self.report.refuse(refusal.reason, amount)

    def _take(self, row: Taken) -> Refused | None:
        if row.order_id in self.closed:
            return Refused(row.order_id, "invoice_reappeared")
        return self.open.add(row)

    def finish(self) -> Iterator[Imported]:
        """The open order and, the first time, its customer."""
        self.closed.add(self.open.order_id)
        order, head = self.open.order(), self.open.head
        if order is None or head is None:
            return
        if order.customer_id not in self.customers:
            self.customers.add(order.customer_id)
            self.report.customers += 1
            yield Customer(order.customer_id, head.customer_name, head.country, head.currency, order.payment_terms_days)
        self.report.take(order)
        yield order


def read_orders(lines: Iterable[str], report: ImportReport) -> Iterator[Imported]:
    """Customers and orders of a file, in its order; a customer comes before their first order.

    `report` is complete when the iterator ends. The same file always yields the same messages, ids included, so
    importing it twice changes nothing. Raises ContractError if the header is of no known format.
    """
    rows = csv.reader(lines)
    try:
        known, columns = recognise(next(rows, []))
    except csv.Error as error:
        raise ContractError([Problem("header", "unreadable", str(error))]) from error
    report.format = known.name
    grouping = _Grouping(report)
    for record in _records(rows, columns):
        amount = NO_AMOUNT if record is None else known.amount(record)
        report.read(amount)
        # A row that is no row names no order: it must not close the one it stands in.
        row = Refused(grouping.open.order_id, "unreadable") if record is None else known.judge(record)
        yield from grouping.add(row, amount)
    yield from grouping.finish()
