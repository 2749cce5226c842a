"""Whatever comes in on Kafka: it becomes a dead letter with its reason, or is ignored as documented; nobody stops."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.messages import contract_of
from tests.e2e.conftest import NewDeal
from tests.e2e.deal import Deal
from tests.e2e.system import System, eventually
from tests.support.kafka_client import partitions_of

pytestmark = pytest.mark.e2e

Header = tuple[str, bytes]
TOO_MUCH = 10**30


@dataclass(frozen=True)
class Bad:
    """A record that cannot be taken, and what its dead letter says."""

    reason: str
    value: bytes | None
    headers: tuple[Header, ...]


@dataclass(frozen=True)
class Inbound:
    """A topic of the outside world: who hears it, a good message, and changes of it that are wrong → why."""

    service: str
    good: Callable[[Deal], Any]
    wrong: tuple[tuple[Mapping[str, Any], str], ...]
    taken: Callable[[System, Deal], Awaitable[bool]]


async def _order_taken(system: System, deal: Deal) -> bool:
    return (await system.clients["order"].get(f"/orders/{deal.order_id()}")).status_code == 200


async def _payment_taken(system: System, deal: Deal) -> bool:
    return (await system.clients["receivables"].get(f"/payments/{deal.payment_id()}")).status_code == 200


async def _shipment_taken(system: System, deal: Deal) -> bool:
    return (await system.clients["fulfillment"].get(f"/fulfillments/{deal.order_id()}")).status_code == 200


async def _receipt_taken(system: System, deal: Deal) -> bool:
    return (await system.clients["fulfillment"].get(f"/stock/{deal.sku()}")).status_code == 200


def _line(**changes: Any) -> Mapping[str, Any]:
    return {"lines": [{"sku": "S", "quantity": 1, "unit_price_minor": 100, "tax_rate_bp": 0, **changes}]}


INBOUND = {
    "orders": Inbound(
        "order",
        Deal.order,
        (
            (_line(quantity=-1), "lines[0].quantity: must be 1 to"),
            (_line(quantity="two"), "lines[0].quantity: Expected `int`"),
            (_line(unit_price_minor=10**17), "lines[0].unit_price_minor: must be 0 to"),
            (_line(unit_price_minor=TOO_MUCH), "lines[0].unit_price_minor"),
            (_line(unit_price_minor=1.5), "lines[0].unit_price_minor: Expected `int`"),
            ({"currency": "XTS"}, "currency: must be an ISO 4217 code"),
            ({"placed_at": "2026-03-31T12:00:00"}, "placed_at: must carry a time zone"),
            ({"lines": []}, "lines: must be 1 to 500 lines"),
            ({"order_id": "O\u0000"}, "order_id: must be 1 to 64 of"),
        ),
        _order_taken,
    ),
    "payments": Inbound(
        "receivables",
        lambda deal: deal.payment(100),
        (
            ({"amount_minor": -1}, "amount_minor: must be from 1 to"),
            ({"amount_minor": 10**17}, "amount_minor: must be from 1 to"),
            ({"amount_minor": TOO_MUCH}, "amount_minor"),
            ({"amount_minor": "10"}, "amount_minor: Expected `int`"),
            ({"currency": "euro"}, "currency: must be an ISO 4217 code"),
            ({"value_on": "2026-02-30"}, "value_on"),
            ({"value_on": "9999-12-31"}, "value_on: must be from"),
            ({"reference": "a\u0000b"}, "reference"),
        ),
        _payment_taken,
    ),
    "shipments": Inbound(
        "fulfillment",
        Deal.shipment,
        (
            ({"lines": [{"line_no": 1, "quantity": -1}]}, "lines[0].quantity: must be from 1"),
            ({"lines": [{"line_no": 1, "quantity": TOO_MUCH}]}, "lines[0].quantity"),
            ({"lines": [{"line_no": "1", "quantity": 1}]}, "lines[0].line_no: Expected `int`"),
            ({"shipped_at": "2026-03-31T12:00:00"}, "shipped_at: must carry a time zone"),
            ({"shipment_id": ""}, "shipment_id: must not be empty"),
        ),
        _shipment_taken,
    ),
    "shipments, receipts": Inbound(
        "fulfillment",
        lambda deal: deal.receipt(5),
        (
            ({"quantity": -5}, "quantity: must be from 1"),
            ({"quantity": 10**12}, "quantity: must be from 1"),
            ({"sku": 7}, "sku: Expected `str`"),
        ),
        _receipt_taken,
    ),
}


def _headers(type_: str, id_: bytes, *more: Header) -> tuple[Header, ...]:
    return (("ce_specversion", b"1.0"), ("ce_source", b"/test"), ("ce_type", type_.encode()), ("ce_id", id_), *more)


def _bad_records(inbound: Inbound, deal: Deal, type_: str, body: dict[str, Any]) -> list[Bad]:
    """Everything that is wrong in the same way on every topic, and what is wrong on this one."""
    unversioned = type_.rpartition(".v")[0]
    value = msgspec.json.encode(body)
    records = [
        Bad("ce_id: this CloudEvents attribute is required", value, ()),
        Bad("ce_id: this CloudEvents attribute is required", None, ()),
        Bad("ce_id: must have no control characters", value, _headers(type_, b"nul-\x00")),
        Bad("ce_id: must be UTF-8", value, _headers(type_, b"latin-\xe9\xff")),
        Bad("ce_type: must have no control characters", value, _headers(f"{type_}\x00", b"nul-type")),
        Bad("ce_id: at most", value, _headers(type_, b"x" * 5_000)),
        Bad("is no type that is known here", value, _headers("o2c.inbound.Nonsense.v1", b"unknown-type")),
        Bad("is no version of this type", value, _headers(f"{unversioned}.v99", b"unknown-version")),
        Bad("the body is not JSON", None, _headers(type_, b"tombstone")),
        Bad("the body is not JSON", b"", _headers(type_, b"empty")),
        Bad("the body is not JSON", b"<order/>", _headers(type_, b"xml")),
        Bad("the body is not JSON", value[:-2], _headers(type_, b"truncated")),
        Bad("the body is not JSON", value.replace(b'"', b'"\xff', 1), _headers(type_, b"latin-body")),
        Bad("the body is not JSON", b"[" * 100_000, _headers(type_, b"nested")),
        Bad("Expected `object`", b"[1]", _headers(type_, b"list")),
        Bad("is required", b"{}", _headers(type_, b"nothing")),
        Bad("the body has 2000000 bytes; at most", b" " * 2_000_000, _headers(type_, b"2-megabytes")),
        Bad("no CloudEvent", b"{}", (("content-type", b"application/cloudevents+json"),)),
    ]
    for number, (change, reason) in enumerate(inbound.wrong):
        records.append(Bad(reason, msgspec.json.encode({**body, **change}), _headers(type_, b"wrong-%d" % number)))
    return records


@pytest.mark.parametrize("name", INBOUND)
async def test_every_bad_record_becomes_a_dead_letter_and_the_good_one_behind_them_is_taken(
    system: System, deal: Deal, name: str
) -> None:
    inbound = INBOUND[name]
    message = inbound.good(deal)
    contract = contract_of(type(message))
    bad = _bad_records(inbound, deal, contract.name, msgspec.to_builtins(message))
    before = await system.last_letter(inbound.service)
    key = deal.name.encode()  # one key: one partition, in this order
    for record in bad:
        await system.send(contract.topic, record.value, record.headers, key)
    # Strange in what does not matter: this one is taken.
    odd = (("shop", b"\xff\x00"), ("ce_subject", b"\xfe\x00"), ("ce_time", b"soon"), ("traceparent", b"00-no"))
    good = _headers(contract.name, deal.name.encode(), *odd)
    await system.send(contract.topic, msgspec.json.encode(message), good, key)

    async def taken() -> bool:
        return await inbound.taken(system, deal)

    await eventually(taken, True)
    letters = await system.letters(inbound.service, before)
    found = [(record.reason, letter["reason"]) for record, letter in zip(bad, letters, strict=True)]
    assert [(wanted, said) for wanted, said in found if wanted not in said] == []
    assert {(letter["topic"], letter["status"]) for letter in letters} == {(contract.topic, "parked")}
    ready = await system.get(inbound.service, "/health/ready")
    assert ready["missing"] == {}
    await system.drop(inbound.service, letters)


async def test_what_only_our_services_may_say_is_not_believed_from_anybody_else(system: System, deal: Deal) -> None:
    await deal.begins()
    before = await system.last_letter("order"), await system.last_letter("credit")
    confirmed = msgspec.json.encode({"order_id": deal.order_id(), "customer_id": deal.customer_id})
    approved = {"order_id": deal.order_id(), "customer_id": deal.customer_id, "amount_minor": 1, "currency": "EUR"}
    await system.send(
        "o2c.inbound.orders",
        msgspec.json.encode(approved),
        _headers("o2c.credit.CreditApproved.v1", deal.name.encode()),
    )
    await system.send("o2c.order.events", confirmed, _headers("o2c.order.OrderConfirmed.v1", deal.name.encode()))
    await system.send("o2c.control", b"\xff not for us \x00")

    async def said(service: str, after: int) -> list[str]:
        return [letter["reason"].partition(": ")[2] for letter in await system.letters(service, after)]

    await eventually(
        lambda: said("order", before[0]), ["o2c.credit.CreditApproved.v1 is not taken from o2c.inbound.orders"]
    )
    await eventually(lambda: said("credit", before[1]), ["o2c.order.events takes only messages of its own speaker"])
    await system.say(deal.order())
    await deal.reserved()
    for service in system.clients:
        letters = await system.letters(service, status="parked")
        await system.drop(
            service, [x for x in letters if x["topic"] == "o2c.order.events" or x["message_id"] == deal.name]
        )


INVALID: dict[str, Any] = {
    "currency": "XTS",
    "placed_at": "2026-03-31T12:00:00",
    "payment_terms_days": 999,
    "invoice_on": "never",
    "lines": [
        {"sku": "S-1", "quantity": 0, "unit_price_minor": 100, "tax_rate_bp": 2_000},
        {"sku": "no sku", "quantity": -3, "unit_price_minor": -1, "tax_rate_bp": 20_000},
    ],
}
REASONS = {
    "currency",
    "placed_at",
    "payment_terms_days",
    "invoice_on",
    "lines[0].quantity",
    "lines[1].sku",
    "lines[1].quantity",
    "lines[1].unit_price_minor",
    "lines[1].tax_rate_bp",
}


async def test_an_invalid_order_is_refused_with_every_reason_and_others_go_on(system: System, deals: NewDeal) -> None:
    wrong, right = deals(), deals()
    await right.begins()
    body = {"order_id": wrong.order_id(), "customer_id": wrong.customer_id, **INVALID}
    refused = await system.post("order", "/orders", body)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert {error["field"] for error in refused.json()["errors"]} == REASONS

    before = await system.last_letter("order")
    headers = _headers("o2c.inbound.Order.v1", wrong.name.encode())
    await system.send("o2c.inbound.orders", msgspec.json.encode(body), headers)
    await system.say(right.order())
    await right.reserved()

    async def reasons() -> set[str]:
        letters = await system.letters("order", before)
        return {reason.partition(": ")[0] for letter in letters for reason in letter["reason"].split("; ")}

    await eventually(reasons, REASONS)
    assert await system.pages("order", "/orders", customer_id=wrong.customer_id) == []
    assert (await system.clients["order"].get(f"/orders/{wrong.order_id()}")).status_code == 404
    assert (await system.clients["analytics"].get(f"/orders/{wrong.order_id()}/story")).json().get("items", []) == []

    async def announced() -> set[str]:
        told = await _told(system, "o2c.order.dead-letters", wrong.name.encode())
        return {reason.partition(": ")[0] for each in told for reason in each["o2c_reason"].split("; ")}

    await eventually(announced, REASONS)
    await system.drop("order", await system.letters("order", before))


async def _told(system: System, topic: str, message_id: bytes) -> list[dict[str, str]]:
    """The headers of all records of a topic about this message."""
    partitions = [TopicPartition(topic, n) for n in range(await partitions_of(system.kafka_servers, topic))]
    found: list[dict[str, str]] = []
    async with AIOKafkaConsumer(bootstrap_servers=system.kafka_servers) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [
                    {name: value.decode("utf-8", "replace") for name, value in record.headers}
                    for record in records
                    if message_id in (value for _, value in record.headers)
                ]
    return found
