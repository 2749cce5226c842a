"""The outside world answers the same way every time: pays as planned, ships what is reserved, supplies what lacks."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from o2c.outside.bank import Bank
from o2c.outside.clerk import Clerk
from o2c.outside.envelope import envelope
from o2c.outside.heard import NARROW, Invoice, Placed, Reserved, Said, Short, read
from o2c.outside.kafka import Publisher
from o2c.outside.plan import ALL_IN_FULL, DEMO_SHARES, Kind, kind_of
from o2c.outside.supply import Supply
from o2c.outside.warehouse import Warehouse
from o2c.outside.world import Course, World
from shared.contracts import orders, receivables
from shared.contracts.fulfillment import LineQuantity
from shared.contracts.inbound import Customer, Order, Payment, Receipt, RequestedLine, Shipment, ShippedLine
from shared.contracts.messages import contract_of
from shared.errors import ConflictError, NotFoundError
from shared.eventsourced.publishing import LANES, lane_of
from shared.values import evolved

AT = datetime(2026, 3, 31, 12, tzinfo=UTC)
PLACED_AT = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def order(order_id: str = "O-1", *, sku: str = "A", quantity: int = 4, **more: Any) -> Order:
    return Order(order_id, "C-1", "GBP", (RequestedLine(sku, quantity, 1000, 2000),), PLACED_AT, **more)


def invoice(total_minor: int = 10_000, *, final: bool = True, number: str = "INV-2010-000001") -> Invoice:
    return Invoice("O-1-I1", number, "O-1", "C-1", "GBP", total_minor, date(2010, 12, 2), date(2011, 1, 1), final)


def pay(kind: Kind, total_minor: int = 10_000, *, final: bool = True) -> list[Payment]:
    return Bank({"O-1": kind}).invoiced(invoice(total_minor, final=final))


# ---- the plan


def test_the_same_order_and_seed_are_always_paid_the_same_way() -> None:
    ids = [f"5363{n}" for n in range(500)]
    assert [kind_of(i, 7, DEMO_SHARES) for i in ids] == [kind_of(i, 7, DEMO_SHARES) for i in ids]
    assert [kind_of(i, 7, DEMO_SHARES) for i in ids] != [kind_of(i, 8, DEMO_SHARES) for i in ids]


def test_shares_are_met_and_most_pay_in_full() -> None:
    found = Counter(kind_of(f"O-{n}", 1, DEMO_SHARES) for n in range(20_000))
    for kind, share in DEMO_SHARES.items():
        assert found[kind] / 20_000 == pytest.approx(share / 10_000, abs=0.01)
    assert found[Kind.FULL] > 12_000
    assert {kind_of(f"O-{n}", 1, ALL_IN_FULL) for n in range(100)} == {Kind.FULL}


# ---- the banks


def amounts(payments: list[Payment]) -> list[int]:
    return [p.amount_minor for p in payments]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.FULL, [10_000]),
        (Kind.TWO_PARTS, [5_000, 5_000]),
        (Kind.OVER, [10_500]),
        (Kind.SHORT, [9_500]),
        (Kind.LATE, [10_000]),
        (Kind.DOUBLE, [10_000, 10_000]),
        (Kind.WRONG_REFERENCE, [10_000]),
        (Kind.PREPAID, []),
    ],
)
def test_each_kind_pays_its_final_invoice_in_its_way(kind: Kind, expected: list[int]) -> None:
    assert amounts(pay(kind)) == expected


@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.PREPAID])
def test_an_invoice_before_the_final_one_is_paid_in_full(kind: Kind) -> None:
    assert amounts(pay(kind, final=False)) == [10_000]


def test_a_double_payment_is_one_id_twice_and_two_parts_are_two_ids() -> None:
    first, second = pay(Kind.DOUBLE)
    assert first == second
    assert len({p.payment_id for p in pay(Kind.TWO_PARTS)}) == 2


def test_a_late_payment_has_a_value_day_after_the_due_day_and_a_wrong_reference_no_number() -> None:
    assert pay(Kind.LATE)[0].value_on > date(2011, 1, 1)
    assert pay(Kind.FULL)[0].reference == "INV-2010-000001"
    assert "INV-" not in pay(Kind.WRONG_REFERENCE)[0].reference


def test_prepaid_comes_by_card_for_the_order_before_any_invoice() -> None:
    placed = Placed("O-1", "C-1", "GBP", 4_800, PLACED_AT)
    (payment,) = Bank({"O-1": Kind.PREPAID}).placed(placed)
    assert (payment.method, payment.order_id, payment.amount_minor) == ("card", "O-1", 4_800)
    assert Bank({"O-1": Kind.FULL}).placed(placed) == []


def test_orders_of_others_are_not_paid_for() -> None:
    bank = Bank({"O-2": Kind.FULL})
    assert bank.invoiced(invoice()) == []
    assert bank.placed(Placed("O-1", "C-1", "GBP", 4_800, PLACED_AT)) == []


@given(st.integers(1, 10**15), st.sampled_from(list(Kind)), st.booleans())
def test_whatever_is_due_payments_are_positive_and_fit_their_kind(total: int, kind: Kind, final: bool) -> None:
    payments = pay(kind, total, final=final)
    assert all(p.amount_minor > 0 for p in payments)
    distinct = sum({p.payment_id: p.amount_minor for p in payments}.values())
    match kind:
        case Kind.PREPAID:
            assert distinct == 0
        case Kind.OVER if final:
            assert distinct > total
        case Kind.SHORT if final and total > 1:
            assert distinct < total
        case _:
            assert distinct == total


# ---- the warehouse


def reserved(version: int, *lines: LineQuantity, complete: bool = True, order_id: str = "O-1") -> Said[Reserved]:
    return Said(f"fulfillment-{order_id}@{version}", AT, Reserved(order_id, lines, complete))


def test_what_is_reserved_is_shipped_a_day_after_the_order_under_an_id_that_repeats() -> None:
    warehouse = Warehouse([order()])
    said = reserved(3, LineQuantity(1, "A", 4))
    (shipment,) = warehouse.reserved(said)
    assert shipment == Shipment(
        "SHIP-O-1-3",
        "O-1",
        PLACED_AT + timedelta(days=1, hours=3),
        (ShippedLine(1, 4),),
        carrier="Royal Mail",
    )
    assert warehouse.reserved(said) == [shipment]


def test_a_backorder_leaves_later_in_a_shipment_of_its_own() -> None:
    warehouse = Warehouse([order()])
    (first,) = warehouse.reserved(reserved(3, LineQuantity(1, "A", 1), complete=False))
    (second,) = warehouse.reserved(reserved(6, LineQuantity(1, "A", 3)))
    assert first.shipment_id != second.shipment_id
    assert first.shipped_at < second.shipped_at


def test_an_order_that_must_ship_complete_waits() -> None:
    warehouse = Warehouse([order(ship_complete=True)])
    assert warehouse.reserved(reserved(3, LineQuantity(1, "A", 1), complete=False)) == []
    (shipment,) = warehouse.reserved(reserved(6, LineQuantity(1, "A", 3)))
    assert shipment.lines == ()


def test_orders_of_others_are_not_shipped() -> None:
    assert Warehouse([]).reserved(reserved(3, LineQuantity(1, "A", 4))) == []


# ---- the suppliers


def test_supply_meets_demand_exactly_and_late_halves_come_once_when_asked_for() -> None:
    wanted = [order("O-1", quantity=5), order("O-2", quantity=2), order("O-3", sku="B", quantity=1)]
    supply = Supply(wanted, seed=1, late_bp=10_000)
    first = supply.first()
    assert {r.sku: r.quantity for r in first} == {"A": 3}  # half of 7, half of 1 is nothing
    short = Short("O-1", (LineQuantity(1, "A", 2), LineQuantity(2, "A", 2), LineQuantity(3, "B", 1)))
    second = supply.backordered(short)
    assert {r.sku: r.quantity for r in second} == {"A": 4, "B": 1}
    assert supply.backordered(short) == []
    assert len({r.receipt_id for r in (*first, *second)}) == 3


def test_nothing_is_late_when_nothing_shall_be() -> None:
    supply = Supply([order(quantity=5)], seed=1, late_bp=0)
    assert [(r.sku, r.quantity) for r in supply.first()] == [("A", 5)]
    assert supply.backordered(Short("O-1", (LineQuantity(1, "A", 2),))) == []


def test_other_orders_are_supplied_by_other_receipts() -> None:
    ids = {Supply([order(i)], seed=1, late_bp=0).first()[0].receipt_id for i in ("O-1", "O-2")}
    assert len(ids) == 2


# ---- the envelope


MESSAGES = [
    order(),
    Customer("C-1", "Ölmühle", "DE", "EUR"),
    Payment("P-1", "C-1", 100, "GBP", date(2026, 3, 31)),
    Shipment("S-1", "O-1", AT),
    Receipt("R-1", "A", 5),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_an_inbound_message_is_a_cloudevent_keyed_by_its_contract(message: Any) -> None:
    contract = contract_of(type(message))
    out = envelope(message, AT)
    headers = dict(out.headers)
    assert headers["ce_type"].decode() == contract.name
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_time"] == b"2026-03-31T12:00:00.000000+00:00"
    assert headers["content-type"] == b"application/json"
    assert headers["ce_subject"].decode() == getattr(message, contract.subject)
    assert "traceparent" not in headers  # who does not trace says so, and the service begins the order's trace
    assert out.topic == contract.topic
    assert out.key.decode() == getattr(message, contract.key)
    assert 0 <= out.lane < LANES
    assert out.lane == lane_of(out.key.decode())
    assert msgspec.json.decode(out.value, type=type(message)) == message


def test_a_repeat_has_the_same_id_and_a_change_another() -> None:
    def event_id(message: Any) -> bytes:
        return dict(envelope(message, AT).headers)["ce_id"]

    assert event_id(order()) == event_id(order())
    assert event_id(order()) != event_id(order(quantity=5))


# ---- what is heard


@pytest.mark.parametrize(("contract", "narrow"), NARROW.items(), ids=lambda c: c.__name__)
def test_narrow_shapes_are_parts_of_their_contracts(contract: type[Any], narrow: type[Any]) -> None:
    public = get_type_hints(contract)
    for name, kind in get_type_hints(narrow).items():
        assert public[name] == kind


def record(message: Any, *, event_id: str = "order-O-1@1") -> Any:
    headers = [
        ("ce_type", contract_of(type(message)).name.encode()),
        ("ce_id", event_id.encode()),
        ("ce_time", b"2026-03-31T12:00:00.000000Z"),
    ]
    return SimpleNamespace(headers=headers, value=msgspec.json.encode(message))


def test_only_what_concerns_us_is_read() -> None:
    placed = orders.OrderPlaced("O-1", "C-1", "GBP", (), 4_000, 800, 4_800, PLACED_AT)
    released = orders.OrderReleased("O-1", "C-1")
    foreign = SimpleNamespace(headers=[("x", b"\xff")], value=b"not json")
    assert read([record(released), foreign, record(placed)]) == [
        Said("order-O-1@1", AT, Placed("O-1", "C-1", "GBP", 4_800, PLACED_AT))
    ]


# ---- the whole run, without a broker


def course(**more: Any) -> Course:
    return Course(**{"seed": 1, "shares": ALL_IN_FULL, "late_bp": 0, "in_flight_max": 10, **more})


def said(message: Any, event_id: str) -> Said[Any]:
    return read([record(message, event_id=event_id)])[0]


def invoiced(order_id: str, *, final: bool = True) -> Said[Any]:
    value = msgspec.structs.replace(invoice(), order_id=order_id, invoice_id=f"{order_id}-I1", final=final)
    return Said(f"billing-{order_id}@2", AT, value)


def test_a_run_is_done_when_all_are_completed_and_all_payments_are_received() -> None:
    world = World([], [order("O-1"), order("O-2")], course())
    progress = world.progress
    for order_id in ("O-1", "O-2"):
        world.hear(said(orders.OrderPlaced(order_id, "C-1", "GBP", (), 1, 0, 1, PLACED_AT), f"order-{order_id}@1"))
        (payment,) = world.hear(invoiced(order_id))
        assert isinstance(payment, Payment)
        world.hear(said(orders.OrderCompleted(order_id, "C-1", "GBP", 10_000), f"order-{order_id}@9"))
        assert not progress.done
        received = receivables.PaymentReceived(payment.payment_id, "C-1", 10_000, "GBP", AT.date(), "transfer")
        world.hear(said(received, f"payment-{payment.payment_id}@1"))
    assert progress.done
    assert progress.missing() == ""
    assert progress.received_minor() == progress.invoiced_minor() == {"GBP": 20_000}


def test_a_short_payer_is_done_without_completion_and_others_are_not() -> None:
    shares = {Kind.SHORT: 10_000}
    world = World([], [order("O-1")], course(shares=shares))
    world.hear(invoiced("O-1"))
    assert world.progress.finished == 1
    world = World([], [order("O-1")], course())
    world.hear(invoiced("O-1"))
    assert world.progress.finished == 0


def test_hearing_twice_counts_once() -> None:
    world = World([], [order("O-1")], course())
    applied = receivables.CashApplied("P", "O-1-I1", "INV", "O-1", "C-1", 10_000, "GBP", 0)
    for _ in range(2):
        world.hear(invoiced("O-1"))
        world.hear(said(applied, "account-C-1@3"))
    assert len(world.progress.invoices) == 1
    assert world.progress.applied_minor == {"GBP": 10_000}


def test_latency_runs_from_placed_to_the_last_paid_invoice() -> None:
    world = World([], [order("O-1")], course())
    paid = receivables.InvoicePaid("O-1-I1", "INV", "O-1", "C-1", 1, "GBP", AT.date())
    world.hear(said(orders.OrderPlaced("O-1", "C-1", "GBP", (), 1, 0, 1, PLACED_AT), "order-O-1@1"))
    for seconds in (3, 1):
        later = said(paid, "account-C-1@4")
        world.hear(msgspec.structs.replace(later, at=AT + timedelta(seconds=seconds)))
    world.hear(said(orders.OrderCompleted("O-1", "C-1", "GBP", 1), "order-O-1@9"))
    assert world.progress.latencies_ms() == [3000.0]


def test_what_is_missing_is_said_with_ids() -> None:
    world = World([], [order(f"O-{n}") for n in range(8)], course())
    assert world.progress.missing() == "8 not placed (O-0, O-1, O-2, O-3, O-4, …)"
    world.hear(said(orders.OrderHeld("O-3", "C-1", "credit_declined"), "order-O-3@2"))
    assert "1 held and not invoiced (O-3)" in world.progress.missing()


def test_an_order_that_says_so_is_prepaid_and_none_is_sent_other_than_it_is() -> None:
    """The same file imported beside the demo must meet the same orders."""
    assert World([], [order("O-1", prepaid=True)], course()).plans == {"O-1": Kind.PREPAID}
    assert World([], [order("O-1")], course(shares={Kind.PREPAID: 10_000})).orders == (order("O-1"),)


# ---- the clerk

ACCOUNT = "/accounts/C-1"
WAITING = Payment("BANK-O-1-I1-1", "C-1", 10_000, "GBP", date(2011, 1, 1), reference="YOUR BILL 2")


class FakeServices:
    """Receivables as the clerk sees it: answers apply with each of these, or 200 when none is left."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.unapplied_minor = 0
        self.asked: list[tuple[str, Any, str | None]] = []

    async def etag(self, service: str, path: str) -> str:
        assert service == "receivables"
        return f'"{len(self.asked)}"'

    async def get(self, service: str, path: str) -> Any:
        assert service == "receivables"
        assert path.startswith("/payments/BANK-O-")
        return {"unapplied_minor": self.unapplied_minor}

    async def post(self, service: str, path: str, *, body: Any, seen: str | None) -> Any:
        self.asked.append((path, body, seen))
        if self.errors:
            raise self.errors.pop(0)
        return {}


async def worked(services: Any, *payments: Payment, times: int = 1) -> None:
    clerk = Clerk(services)
    for payment in payments or (WAITING,):
        clerk.take(invoice(), payment)
    working = asyncio.create_task(clerk.work())
    for _ in range(200):
        await asyncio.sleep(0.005)
        if len(services.asked) == times:
            break
    working.cancel()


async def test_the_clerk_applies_the_money_on_the_account_as_it_was_seen() -> None:
    services = FakeServices()
    await worked(services)
    body = {"source_id": "BANK-O-1-I1-1", "invoice_id": "O-1-I1", "amount_minor": 10_000, "by": "clerk"}
    assert services.asked == [(f"{ACCOUNT}/apply", body, '"0"')]


async def test_the_clerk_looks_again_when_the_account_has_moved_on_and_leaves_alone_what_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("o2c.outside.clerk.WAIT_SECONDS", 0.001)
    moved = FakeServices(ConflictError("moved on"))
    await worked(moved, times=2)
    assert [seen for _, _, seen in moved.asked] == ['"0"', '"1"']
    done = FakeServices(NotFoundError("nothing is open"))
    await worked(done)
    assert len(done.asked) == 1


async def test_the_clerk_does_other_work_while_receivables_has_not_heard_of_an_invoice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("o2c.outside.clerk.WAIT_SECONDS", 0.001)
    early = FakeServices(*(NotFoundError("nothing is due") for _ in range(150)))
    early.unapplied_minor = 10_000
    later = evolved(WAITING, payment_id="BANK-O-2-I1-1")
    await worked(early, WAITING, later, times=152)
    assert early.errors == []
    assert {body["source_id"] for _, body, _ in early.asked[:2]} == {WAITING.payment_id, later.payment_id}
    assert {body["source_id"] for _, body, _ in early.asked[-2:]} == {WAITING.payment_id, later.payment_id}


def test_money_with_a_wrong_reference_reaches_the_clerk_once_it_was_received() -> None:
    taken: list[str] = []

    class Notes(Clerk):
        def take(self, invoice: Invoice, payment: Payment) -> None:
            taken.append(payment.payment_id)

    world = World([], [order("O-1")], course(shares={Kind.WRONG_REFERENCE: 10_000}))
    world.clerk = Notes(FakeServices())  # type: ignore[arg-type]
    (payment,) = world.hear(invoiced("O-1"))
    assert isinstance(payment, Payment)
    assert taken == []
    received = receivables.PaymentReceived(payment.payment_id, "C-1", 10_000, "GBP", AT.date(), "transfer")
    for _ in range(2):
        world.hear(said(received, f"payment-{payment.payment_id}@1"))
    assert taken == [payment.payment_id]


# ---- batches to Kafka


class SmallBatch(BatchBuilder):
    """The client's own batch, full after two or three records; remembers its keys."""

    def __init__(self) -> None:
        super().__init__(800, 0)
        self.keys: list[bytes] = []

    def append(self, **record: Any) -> Any:
        taken = super().append(**record)
        if taken is not None:
            self.keys.append(record["key"])
        return taken


class FakeProducer:
    """Notes what is sent where."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, list[bytes]]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def create_batch(self) -> SmallBatch:
        return SmallBatch()

    async def send_batch(self, batch: SmallBatch, topic: str, *, partition: int) -> Any:
        self.sent.append((topic, partition, batch.keys))
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


async def test_records_go_to_the_partition_of_their_lane_in_order_and_none_is_lost_between_batches() -> None:
    publisher = Publisher("nowhere")
    producer: Any = FakeProducer()
    publisher._producer = producer
    messages = [envelope(Receipt(f"R-{n}", f"SKU-{n % 7}", 1), AT) for n in range(50)]
    await publisher.publish(messages)
    by_partition: dict[int, list[bytes]] = {}
    for topic, partition, keys in producer.sent:
        assert topic == "o2c.inbound.shipments"
        by_partition.setdefault(partition, []).extend(keys)
    for partition, keys in by_partition.items():
        assert keys == [m.key for m in messages if m.lane % 3 == partition]
    assert sum(map(len, by_partition.values())) == 50
    assert len(producer.sent) > 6  # batches were filled and begun anew
