"""The queues that people work, as the services that own them show them, and what can be done about an entry."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.analytics.pages.peers import PeerError, Peers
from services.analytics.words import counted, money
from shared.errors import ContractError, Problem
from shared.money import AMOUNT_MINOR_MAX, EXPONENTS

PAGE_SIZE = 50
LETTERS_PER_SERVICE_MAX = 50


@dataclass(frozen=True)
class Queue:
    """A queue of one service: its path there and how people call it."""

    name: str
    title: str
    service: str
    path: str


QUEUES: Mapping[str, Queue] = {
    queue.name: queue
    for queue in (
        Queue("credit", "Credit review", "credit", "credit-reviews"),
        Queue("backorders", "Backorders", "fulfillment", "backorders"),
        Queue("cash", "Unapplied cash", "receivables", "unapplied"),
    )
}


@dataclass(frozen=True)
class Action:
    """What a clerk can do: a request to the service that decides. `done`: the sentence afterwards.

    `target`: the form's fields → service and path; `body`: → the JSON body, None for none.
    `needs`: fields that must be filled in. `told`: the fields and the answer → what the sentence says otherwise.
    """

    target: Callable[[Mapping[str, str]], tuple[str, ...]]
    done: str
    body: Callable[[Mapping[str, str]], dict[str, Any]] | None = None
    needs: tuple[str, ...] = ()
    told: Callable[[Mapping[str, Any]], dict[str, str]] = lambda known: {}


def _decision(form: Mapping[str, str]) -> dict[str, Any]:
    return {"by": form["by"], "reason": form.get("reason", "")}


def _application(form: Mapping[str, str]) -> dict[str, Any]:
    names = ("source_id", "invoice_id", "by")
    return {**{name: form[name] for name in names}, "amount_minor": minor(form["amount"], form["currency"])}


def minor(text: str, currency: str) -> int:
    """An amount as people write it, in minor units: 1,234.5 GBP → 123450. ContractError for what is none."""
    try:
        exact = Decimal(text.replace(",", "").strip()).scaleb(EXPONENTS[currency])
        if exact == exact.to_integral_value() and 0 < exact <= AMOUNT_MINOR_MAX:
            return int(exact)
    except (ArithmeticError, KeyError):
        pass
    raise ContractError([Problem("amount", "amount", f"{text!r} is no amount of {currency}, such as 12.50")])


def _filled(known: Mapping[str, Any]) -> dict[str, str]:
    counts = (("pieces", "quantity_filled", "piece"), ("orders", "orders_filled", "order"))
    return {word: counted(known[name], thing) for word, name, thing in counts if name in known}


ACTIONS: Mapping[str, Action] = {
    "approve": Action(
        lambda f: ("credit", "credit-reviews", f["id"], "approve"),
        "Credit for order {id} is approved.",
        _decision,
        ("id", "by"),
    ),
    "decline": Action(
        lambda f: ("credit", "credit-reviews", f["id"], "decline"),
        "Credit for order {id} is declined.",
        _decision,
        ("id", "by", "reason"),
    ),
    "hold": Action(
        lambda f: ("credit", "credit-accounts", f["id"], "hold"),
        "The credit account of {id} is held.",
        lambda f: {"reason": f["reason"]},
        ("id", "reason", "etag"),
    ),
    "release": Action(
        lambda f: ("credit", "credit-accounts", f["id"], "release"),
        "The credit account of {id} is released.",
        None,
        ("id", "etag"),
    ),
    "fill": Action(
        lambda f: ("fulfillment", "stock", f["id"], "fill-backorders"),
        "Orders that wait for {id} were given what is in stock: {pieces} to {orders}.",
        None,
        ("id",),
        _filled,
    ),
    "apply": Action(
        lambda f: ("receivables", "accounts", f["id"], "apply"),
        "{money} of {source_id} applied to invoice {number}.",
        _application,
        ("id", "source_id", "invoice_id", "amount", "currency", "by", "etag"),
        lambda f: {"money": money(minor(f["amount"], f["currency"]), f["currency"])},
    ),
    "retry": Action(
        lambda f: (f["service"], "dead-letters", f["id"], "retry"),
        "Dead letter {id} of {service} was tried again: {done} done.",
        None,
        ("service", "id"),
    ),
    "drop": Action(
        lambda f: (f["service"], "dead-letters", f["id"], "drop"),
        "Dead letter {id} of {service} is dropped; {done} behind it done.",
        None,
        ("service", "id"),
    ),
}
"""Every action by name. Repeats are harmless: the services meet them by state (credit, stock, letters) or If-Match."""


class Queues:
    """Asks the services that own the queues."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def page(self, queue: Queue, cursor: str | None) -> Any:
        """A page of a queue, as its service orders it. PeerError."""
        return await self._peers.get(queue.service, queue.path, limit=PAGE_SIZE, cursor=cursor)

    async def letters(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Dead letters of all services that wait for somebody, oldest first, and what could not be asked."""
        asked = [(name, status) for name in self._peers.names for status in ("parked", "waiting")]
        answers = await asyncio.gather(*(self._letters(*one) for one in asked))
        found = [letter for letters, _ in answers for letter in letters]
        problems = list(dict.fromkeys(problem for _, problem in answers if problem))
        return sorted(found, key=lambda letter: (letter["parked_at"], letter["id"])), problems

    async def _letters(self, service: str, status: str) -> tuple[list[dict[str, Any]], str]:
        try:
            page = await self._peers.get(service, "dead-letters", status=status, limit=LETTERS_PER_SERVICE_MAX)
        except PeerError as error:
            return [], error.detail
        more = (
            f"{service} has more than {LETTERS_PER_SERVICE_MAX} letters; these are the latest" if page["next"] else ""
        )
        return [{**letter, "service": service} for letter in page["items"]], more

    async def account(self, customer_id: str) -> tuple[Any, str]:
        """A customer's open items and unapplied money, and the ETag that applying it wants. PeerError."""
        return await self._peers.seen("receivables", "accounts", customer_id)

    async def act(self, action: Action, form: Mapping[str, str], trace: str) -> Any:
        """Ask for it; the answer. PeerError when it is refused or the service is away."""
        service, *path = action.target(form)
        body = action.body(form) if action.body is not None else None
        return await self._peers.post(service, *path, body=body, etag=form.get("etag", ""), trace=trace)
