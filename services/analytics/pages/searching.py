"""Finds what has an id: an order, customer, invoice, credit note, payment or shipment, and where its story is told."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from services.analytics.pages.peers import Peers
from services.analytics.pages.stories import told
from shared.eventsourced.commands import Commands

SUGGESTIONS_MAX = 5
HITS_MAX = 20
"""Shown of a kind: where parcels are counted per order, most orders have a shipment of one id."""

_NUMBER = re.compile(r"[A-Za-z]{2,8}-\d{4}-\d{1,12}")


@dataclass(frozen=True)
class Kind:
    """Things with ids of their own: how people call one, and the table and column that have its id.

    `page`: on which page its story is told; `of`: the column with that page's id, if that is another's page.
    `only`: the condition for the rows that are of this kind.
    """

    title: str
    table: str
    key: str
    page: str
    of: str = ""
    only: str = "true"

    def address(self, key: str, of: str) -> str:
        """Of the page with its story. What has no page of its own is marked on the page of what it belongs to."""
        marked = f"?mark={quote(key, safe='')}" if self.of else ""
        return f"/tower/{self.page}/{quote(of, safe='')}{marked}"


KINDS: Mapping[str, Kind] = {
    kind.title: kind
    for kind in (
        Kind("Order", "order_cycle", "order_id", "orders"),
        Kind("Customer", "customers", "customer_id", "customers"),
        Kind("Invoice", "bills", "bill_id", "invoices", only="kind = 'invoice'"),
        Kind("Credit note", "bills", "bill_id", "invoices", "invoice_id", only="kind = 'credit_note'"),
        Kind("Payment", "receipts", "payment_id", "payments"),
        Kind("Shipment", "order_shipments", "shipment_id", "orders", "order_id"),
    )
}
"""Every kind by its title, in the order in which hits are listed."""

FOUND = "\nUNION ALL ".join(
    f"SELECT '{kind.title}' AS kind, found.id, found.of FROM unnest($1::text[]) AS typed (id), LATERAL ("
    f"SELECT {kind.key} AS id, {kind.of or kind.key} AS of FROM {kind.table} "
    f"WHERE {kind.key} = typed.id AND {kind.only} ORDER BY 2 LIMIT {HITS_MAX + 1}) AS found"
    for kind in KINDS.values()
)
"""What has one of these ids: one statement for all kinds, each by the index of its key."""

SUGGESTED = f"SELECT order_id AS id FROM order_cycle WHERE order_id >= $1 ORDER BY order_id LIMIT {SUGGESTIONS_MAX}"


@dataclass(frozen=True)
class Hit:
    """Something that has the id, and the address of its story. `of`: the id of what it belongs to, if that tells it."""

    kind: str
    id: str
    address: str
    of: str = ""


def _hits(rows: Sequence[Any], wanted: str) -> tuple[list[Hit], bool]:
    """What was found, kind by kind, as it was typed or else in capital letters; and whether a kind has more."""
    as_typed = {row["kind"] for row in rows if row["id"] == wanted}
    hits, more = [], False
    for title, kind in KINDS.items():
        its = [r for r in rows if r["kind"] == title and (r["id"] == wanted or title not in as_typed)]
        more = more or len(its) > HITS_MAX
        for row in sorted(its, key=itemgetter("of"))[:HITS_MAX]:
            hits.append(Hit(title, row["id"], kind.address(row["id"], row["of"]), row["of"] if kind.of else ""))
    return hits, more


class Search:
    """Looks ids up in the own projections, and invoice numbers at billing, which has them sorted."""

    def __init__(self, commands: Commands, peers: Peers) -> None:
        self._commands, self._peers = commands, peers

    async def find(self, wanted: str) -> dict[str, Any]:
        """What has this id or invoice number, as `hits`, and ids of orders that begin like it, as `near`.

        An id that nothing of a kind has as it was typed is looked up in capital letters, too.

        `more`: whether only the first of a kind are listed. `away`: why invoice numbers could not be looked up, "" when
        they were.
        """
        if not wanted:
            return {"hits": [], "more": False, "near": [], "away": ""}
        hits, more = _hits(await self._commands.fetch(FOUND, list({wanted, wanted.upper()})), wanted)
        away = ""
        if _NUMBER.fullmatch(wanted):
            answer = await told(self._peers.get("billing", "invoices", number=wanted.upper(), limit=1))
            away = answer.problem
            for invoice in (answer.value or {}).get("items", ()):
                hits.append(Hit("Invoice", invoice["number"], KINDS["Invoice"].address("", invoice["invoice_id"])))
        near = () if hits else await self._commands.fetch(SUGGESTED, wanted)
        begin_like_it = [row["id"] for row in near if row["id"].startswith(wanted)]
        return {"hits": hits, "more": more, "near": begin_like_it, "away": away}
