"""Order files: every row is taken or refused with its reason, and the sums of both are the file's to the penny."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2c.data import demo_orders
from o2c.importing import ImportReport, open_text, read_orders
from o2c.importing.rows import ORDER_LINES_MAX
from shared.contracts.inbound import Customer, Order, RequestedLine
from shared.errors import ContractError
from tests.support.examples import examples

RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
PLAIN = "order_id,customer_id,country,currency,sku,quantity,unit_price,tax_rate_percent,placed_at"


def read(text: str) -> tuple[list[Customer | Order], ImportReport]:
    report = ImportReport()
    return list(read_orders(io.StringIO(text, newline=""), report)), report


def retail(*rows: str) -> tuple[list[Customer | Order], ImportReport]:
    return read("\n".join([RETAIL, *rows]))


def plain(*rows: str) -> tuple[list[Customer | Order], ImportReport]:
    return read("\n".join([PLAIN, *rows]))


GOOD = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def test_an_invoice_becomes_its_customer_and_its_order() -> None:
    messages, report = retail(GOOD, "536365,71053,LANTERN,8,2010-12-01 08:26:00,3.39,17850.0,United Kingdom")
    assert messages == [
        Customer("17850", "Customer 17850", "GB", "GBP", 30),
        Order(
            "536365",
            "17850",
            "GBP",
            (RequestedLine("85123A", 6, 255, 2000), RequestedLine("71053", 8, 339, 2000)),
            datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        ),
    ]
    assert (report.rows, report.taken, report.orders, report.customers, report.balanced) == (2, 2, 1, 1, True)


def test_london_summer_time_becomes_utc() -> None:
    (_, order), _ = retail("1,85123A,X,1,2011-06-01 08:26:00,2.55,1.0,France")
    assert isinstance(order, Order)
    assert order.placed_at == datetime(2011, 6, 1, 7, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("C536379,D,Discount,-1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom", "cancellation"),
        ("536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom", "non_positive_price"),
        ("536414,22139,,56,2010-12-01 11:52:00,4.25,,United Kingdom", "no_customer"),
        ("536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom", "non_positive_quantity"),
        ("536589,21777,,0,2010-12-01 16:50:00,1.0,1.0,United Kingdom", "non_positive_quantity"),
        ("536370,POST,POSTAGE,3,2010-12-01 08:45:00,18.00,12583.0,France", "bookkeeping_row"),
        ("536370,BANK CHARGES,,3,2010-12-01 08:45:00,18.00,12583.0,France", "bookkeeping_row"),
        ("536370,gift_0001_20,,3,2010-12-01 08:45:00,18.00,12583.0,France", "bookkeeping_row"),
        ("A563185,85123A,Adjust,1,2011-08-12 14:50:00,-11062.06,,United Kingdom", "non_positive_price"),
        ("536370,85123A,,3,2010-12-01 08:45:00,0.001,12583.0,France", "sub_minor_price"),
        ("536370,85123A,,3,2010-12-01 08:45:00,1e13,12583.0,France", "out_of_range"),
        ("536370,85123A,,3000000,2010-12-01 08:45:00,1,12583.0,France", "out_of_range"),
        ("536370,85123A,,3,2010-12-01 08:45:00,1.00,12583.0,Atlantis", "unknown_country"),
        ("536370,85123A,,3,yesterday,1.00,12583.0,France", "unreadable"),
        ("536370,85123A,,3.5,2010-12-01 08:45:00,1.00,12583.0,France", "unreadable"),
        ("536370,85123A,,many,2010-12-01 08:45:00,1.00,12583.0,France", "unreadable"),
        ("536370,85123A,,3,2010-12-01 08:45:00,NaN,12583.0,France", "unreadable"),
        ("536370,85123A,,3,2010-12-01 08:45:00,1E+999999,12583.0,France", "unreadable"),
        ("536370,85 123,,3,2010-12-01 08:45:00,1.00,12583.0,France", "unreadable"),
        ("536370,85123A,too,few", "unreadable"),
    ],
)
def test_a_row_that_is_no_order_line_is_refused_with_its_reason(row: str, reason: str) -> None:
    messages, report = retail(row)
    assert messages == []
    assert dict(report.refused) == {reason: 1}
    assert report.balanced


def test_an_order_is_taken_with_its_good_rows() -> None:
    messages, report = retail(GOOD, "536365,POST,,1,2010-12-01 08:26:00,18.00,17850.0,France", "536365,x,short", GOOD)
    assert len(messages) == 2
    assert isinstance(messages[1], Order)
    assert len(messages[1].lines) == 2
    assert dict(report.refused) == {"bookkeeping_row": 1, "unreadable": 1}


def test_an_invoice_that_comes_back_later_is_refused_not_merged() -> None:
    messages, report = retail(GOOD, GOOD.replace("536365", "536366"), GOOD)
    assert [m.order_id for m in messages if isinstance(m, Order)] == ["536365", "536366"]
    assert dict(report.refused) == {"invoice_reappeared": 1}


def test_a_row_of_another_customer_does_not_slip_into_the_order() -> None:
    messages, report = retail(GOOD, GOOD.replace("17850", "99999"))
    assert len(messages) == 2
    assert dict(report.refused) == {"contradicts_order": 1}


def test_an_order_longer_than_the_system_takes_is_cut_visibly() -> None:
    messages, report = retail(*[GOOD] * (ORDER_LINES_MAX + 3))
    assert isinstance(messages[1], Order)
    assert len(messages[1].lines) == ORDER_LINES_MAX
    assert dict(report.refused) == {"too_many_lines": 3}
    assert report.balanced


def test_a_customer_is_said_once_however_many_orders_follow() -> None:
    messages, _ = retail(GOOD, GOOD.replace("536365", "536366"))
    assert [type(m) for m in messages] == [Customer, Order, Order]


def test_the_plain_format_says_everything_an_order_can_say() -> None:
    header = f"{PLAIN},customer_name,payment_terms_days,prepaid,ship_complete,invoice_on"
    row = "S-1,C-1,DE,EUR,A.1,3,19.99,19,2026-03-31T23:30:00+02:00,Ölmühle,14,yes,true,confirmation"
    messages, report = read(f"{header}\n{row}\n")
    assert messages == [
        Customer("C-1", "Ölmühle", "DE", "EUR", 14),
        Order(
            "S-1",
            "C-1",
            "EUR",
            (RequestedLine("A.1", 3, 1999, 1900),),
            datetime(2026, 3, 31, 21, 30, tzinfo=UTC),
            14,
            prepaid=True,
            ship_complete=True,
            invoice_on="confirmation",
        ),
    ]
    assert report.as_json()["sums"] == {"EUR": {"file": "59.97", "taken": "59.97", "refused": "0"}}


def test_minor_units_follow_the_currency() -> None:
    messages, report = plain(
        "S-1,C-1,JP,JPY,A,1,500,10,2026-03-31T00:00:00Z",
        "S-2,C-2,KW,KWD,A,1,1.234,0,2026-03-31T00:00:00Z",
        "S-3,C-3,JP,JPY,A,1,1.5,10,2026-03-31T00:00:00Z",
    )
    assert [m.lines[0].unit_price_minor for m in messages if isinstance(m, Order)] == [500, 1234]
    assert dict(report.refused) == {"sub_minor_price": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("S-1,,DE,EUR,A,1,1.00,20,2026-03-31T00:00:00Z", "no_customer"),
        ("S-1,C-1,DE,XXX,A,1,1.00,20,2026-03-31T00:00:00Z", "unknown_currency"),
        ("S-1,C-1,Germany,EUR,A,1,1.00,20,2026-03-31T00:00:00Z", "unknown_country"),
        ("S-1,C-1,DE,EUR,A,1,1.00,20,2026-03-31T00:00:00", "unreadable"),
        ("S-1,C-1,DE,EUR,A,1,1.00,101,2026-03-31T00:00:00Z", "out_of_range"),
        ("S-1,C-1,DE,EUR,A,1,1.00,7.125,2026-03-31T00:00:00Z", "unreadable"),
        ("S-1,C-1,DE,EUR,A,-1,1.00,20,2026-03-31T00:00:00Z", "non_positive_quantity"),
        (",C-1,DE,EUR,A,1,1.00,20,2026-03-31T00:00:00Z", "unreadable"),
        ("S-\x00,C-1,DE,EUR,A,1,1.00,20,2026-03-31T00:00:00Z", "unreadable"),
    ],
)
def test_a_bad_plain_row_is_refused_with_its_reason(row: str, reason: str) -> None:
    messages, report = plain(row)
    assert messages == []
    assert dict(report.refused) == {reason: 1}
    assert report.balanced


def test_without_a_tax_column_the_standard_rate_is_taken() -> None:
    messages, _ = read(
        "order_id,customer_id,country,currency,sku,quantity,unit_price,placed_at\nS,C,DE,EUR,A,1,1,2026-03-31T00:00:00Z"
    )
    assert isinstance(messages[1], Order)
    assert messages[1].lines[0].tax_rate_bp == 2000


@pytest.mark.parametrize("header", ["", "a,b,c", PLAIN.replace("sku,", ""), f"{PLAIN},sku"])
def test_an_unknown_or_ambiguous_header_is_an_error_not_an_empty_import(header: str) -> None:
    with pytest.raises(ContractError):
        read(f"{header}\nx\n")


def raw_rows() -> Iterator[dict[str, str]]:
    with open_text(demo_orders()) as text:
        yield from csv.DictReader(text)


def test_every_row_of_the_real_orders_is_accounted_for() -> None:
    report = ImportReport()
    with open_text(demo_orders()) as text:
        messages = list(read_orders(text, report))
    rows = list(raw_rows())
    orders = [m for m in messages if isinstance(m, Order)]
    assert report.rows == len(rows) == sum(len(o.lines) for o in orders) + report.refused.total()
    assert report.sums["GBP"].file == sum(Decimal(r["Quantity"]) * Decimal(r["UnitPrice"]) for r in rows)
    taken = sum(line.quantity * line.unit_price_minor for o in orders for line in o.lines)
    assert report.sums["GBP"].taken == Decimal(taken) / 100
    assert report.balanced
    assert 300 <= len(orders) <= 400
    assert report.refused.keys() >= {"cancellation", "no_customer", "bookkeeping_row", "non_positive_price"}
    assert len({m.country for m in messages if isinstance(m, Customer)}) >= 15


def test_reading_twice_says_the_same() -> None:
    def said() -> list[Customer | Order]:
        with open_text(demo_orders()) as text:
            return list(read_orders(text, ImportReport()))

    assert said() == said()


def test_a_row_that_vanishes_between_reading_and_orders_breaks_the_balance() -> None:
    """The account can fail: it counts what was yielded, not what was meant to be."""
    _, report = retail(GOOD)
    report.taken -= 1
    assert not report.balanced
    report.taken += 1
    report.sums["GBP"].taken -= Decimal("0.01")
    assert not report.balanced


CELLS = st.one_of(
    st.sampled_from(
        ["1", "2", "C1", "85123A", "POST", "", "-3", "0", "2.55", "1.005", "17850.0", "France", "2010-12-01 08:26:00"]
    ),
    st.text(max_size=8),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=9), max_size=30)


@examples(300)
@given(ROWS)
def test_whatever_the_rows_are_all_are_accounted_for(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(RETAIL.split(","))
    writer.writerows(rows)
    messages, report = read(buffer.getvalue())
    assert report.rows == len(rows)
    assert report.balanced
    ids = [m.order_id for m in messages if isinstance(m, Order)]
    assert len(ids) == len(set(ids)) == report.orders


@examples(200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "3", "C4"]),
            st.sampled_from(["A", "B", "POST"]),
            st.integers(-3, 2_000_000),
            st.decimals("-5", "99999", places=2),
            st.sampled_from(["7.0", "8.0", ""]),
        ),
        max_size=40,
    )
)
def test_sums_are_exact_whatever_is_refused(rows: list[tuple[str, str, int, Decimal, str]]) -> None:
    lines = [f"{i},{sku},,{q},2010-12-01 08:26:00,{price},{c},France" for i, sku, q, price, c in rows]
    messages, report = retail(*lines)
    assert report.balanced
    assert report.sums["GBP"].file == sum((q * price for _, _, q, price, _ in rows), Decimal(0))
    orders = [m for m in messages if isinstance(m, Order)]
    minor = sum(line.quantity * line.unit_price_minor for o in orders for line in o.lines)
    assert report.sums["GBP"].taken * 100 == minor
