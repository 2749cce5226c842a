"""Everything that is heard is said, everything said is in the catalogue, and everything in the catalogue is said."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from o2c.documents.flow import NAMES, flow_page, load_services, missing_services, open_ends
from o2c.documents.written import ROOT
from shared.contracts.billing import Invoiced
from shared.contracts.catalogue import SPEAKERS, contracts
from shared.contracts.inbound import Order, Payment
from shared.contracts.messages import Contract, Message
from shared.contracts.orders import OrderPlaced
from shared.eventsourced.projecting import Column, MessageProjection, Table
from shared.eventsourced.publishing import Says
from shared.eventsourced.service import Service
from shared.settings import Settings

SERVICES = load_services(Settings())


def test_all_six_services_are_there() -> None:
    """Without one of them the tests below would look at less than the whole."""
    assert missing_services() == []
    assert list(SERVICES) == list(NAMES)


def test_the_flow_is_closed() -> None:
    assert open_ends(SERVICES, contracts()) == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_everything_on_its_own_topic(name: str) -> None:
    topics = {says.contract.topic for says in SERVICES[name].says.values()}
    assert topics == ({SPEAKERS[name].topic} if name in SPEAKERS else set())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_named_after_its_folder(name: str) -> None:
    assert SERVICES[name].name == name


def test_the_page_of_the_flow_is_up_to_date() -> None:
    assert (ROOT / "docs" / "flow.md").read_text("utf-8") == flow_page(SERVICES), "run: python -m o2c.documents"


# ---- the check itself: a small system with one thing wrong at a time


class Rumour(Message, frozen=True, gc=False):
    """Nobody declared this."""


CATALOGUE = {name: contracts()[name] for name in ("o2c.order.OrderPlaced.v1", "o2c.inbound.Order.v1")}
SAID_PLACED: Any = {object: Says(OrderPlaced, lambda _: None)}  # type: ignore[arg-type,return-value]


def service(name: str, *hears: type[Message], says: Any = None, projections: Any = ()) -> Service:
    return Service(
        name,
        Path(),
        lambda _: APIRouter(),
        hears={message: lambda *_: () for message in hears},
        says=says or {},
        projections=projections,
    )


def ends(*services: Service, catalogue: dict[str, Contract] = CATALOGUE) -> list[str]:
    return open_ends({each.name: each for each in services}, catalogue)


ORDER = service("order", Order, says=SAID_PLACED)
ANALYTICS = service("analytics", OrderPlaced)


def test_a_closed_system_has_no_open_ends() -> None:
    assert ends(ORDER, ANALYTICS) == []


def test_hearing_what_is_not_in_the_catalogue_is_found() -> None:
    assert ends(ORDER, ANALYTICS, service("credit", Rumour)) == ["credit hears Rumour, which is not in the catalogue"]


def test_saying_what_is_not_in_the_catalogue_is_found() -> None:
    gossip = service("credit", says={object: Says(Rumour, lambda _: Rumour())})
    assert ends(ORDER, ANALYTICS, gossip) == ["credit says Rumour, which is not in the catalogue"]


def test_a_message_that_nobody_says_is_found() -> None:
    assert ends(service("order", Order), ANALYTICS) == [
        "o2c.order.OrderPlaced.v1 is in the catalogue, but order never says it"
    ]


def test_hearing_what_nobody_says_is_found() -> None:
    catalogue = CATALOGUE | {"o2c.billing.Invoiced.v1": contracts()["o2c.billing.Invoiced.v1"]}
    assert ends(ORDER, service("analytics", OrderPlaced, Invoiced), catalogue=catalogue) == [
        "o2c.billing.Invoiced.v1 is in the catalogue, but billing never says it"
    ]


def test_saying_what_is_somebody_elses_is_found() -> None:
    parrot = service("credit", says=SAID_PLACED)
    assert ends(ORDER, ANALYTICS, parrot) == ["credit says OrderPlaced, which is order's to say"]


def test_an_inbound_message_that_nobody_hears_is_found() -> None:
    catalogue = CATALOGUE | {"o2c.inbound.Payment.v1": contracts()["o2c.inbound.Payment.v1"]}
    assert ends(ORDER, ANALYTICS, catalogue=catalogue) == [
        "o2c.inbound.Payment.v1 comes from outside, but nobody hears it"
    ]
    assert ends(ORDER, ANALYTICS, service("receivables", Payment), catalogue=catalogue) == []


def test_what_analytics_does_not_hear_is_found() -> None:
    assert ends(ORDER, service("analytics")) == ["analytics hears everything, but not o2c.order.OrderPlaced.v1"]


def test_rows_of_a_message_that_is_not_heard_are_found() -> None:
    table = Table("stories", (Column("order_id", "text"),), ())
    deaf = MessageProjection(table, {Invoiced: lambda *_: ()})
    assert ends(ORDER, service("analytics", OrderPlaced, projections=(deaf,))) == [
        "analytics makes rows of Invoiced, which it does not hear"
    ]
