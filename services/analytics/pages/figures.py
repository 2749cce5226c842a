"""What the overview shows: own projections by small SQL, and what other services know, over HTTP."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.analytics.pages.live import Source
from services.analytics.pages.peers import PeerError, Peers
from services.analytics.queries import CYCLE_PAIRS, STATUSES, funnel
from shared.eventsourced.commands import Commands

FUNNEL_DAYS = 30
BUCKET_SECONDS = 10
BUCKETS = 60
RECENT_ORDERS_MAX = 200_000
SAMPLE_ORDERS = 20_000
"""Cycle times are measured on about so many orders: percentiles of more would cost more and say the same."""
QUEUE_SHOWN_MAX = 100
SQL_AT_ONCE_MAX = 2  # of the connections that the consumer shares

OPEN_STAGES = tuple(name for name in reversed(tuple(STATUSES)) if name not in ("completed", "cancelled", "rejected"))
"""The stages in which an order waits for something, in the order of the cycle."""

FLOW = (
    "OrderPlaced",
    "CreditApproved",
    "OrderConfirmed",
    "StockReserved",
    "Shipped",
    "Invoiced",
    "PaymentReceived",
    "CashApplied",
    "OrderCompleted",
)
"""Whose messages are counted as today's throughput, in the order of the cycle."""

_STAGE = "CASE " + " ".join(f"WHEN {STATUSES[s]} THEN '{s}'" for s in STATUSES if s in OPEN_STAGES) + " END"
_SINCE = "CASE " + " ".join(f"WHEN {STATUSES[s]} THEN {s}_at" for s in STATUSES if s in OPEN_STAGES) + " END"
_STAGES = f"""
SELECT stage, count(*) AS orders, min(since) AS since, (min(ARRAY[to_char(since, 'YYYYMMDDHH24MISSUS'), order_id]))[2]
       AS order_id
FROM (SELECT {_STAGE} AS stage, {_SINCE} AS since, order_id FROM order_cycle
      WHERE completed_at IS NULL AND cancelled_at IS NULL AND rejected_at IS NULL AND placed_at IS NOT NULL) AS waiting
GROUP BY stage
"""
_PLACED = f"""
SELECT floor(extract(epoch FROM placed_at) / {BUCKET_SECONDS})::bigint AS bucket, count(*) AS orders,
       count(*) FILTER (WHERE placed_at > $2) AS lately
FROM (SELECT placed_at FROM order_cycle WHERE placed_at >= $1 ORDER BY placed_at DESC LIMIT {RECENT_ORDERS_MAX}) AS r
GROUP BY bucket
"""
_LAST_PLACED = "SELECT placed_at FROM order_cycle WHERE placed_at IS NOT NULL ORDER BY placed_at DESC LIMIT 1"
_FLOW = "SELECT stage, sum(count)::bigint AS messages FROM daily_flow WHERE day = $1 GROUP BY stage"
_SIZE = "SELECT greatest(reltuples, 0)::bigint AS orders FROM pg_class WHERE oid = 'order_cycle'::regclass"


class Figures:
    """Reads what the overview shows."""

    def __init__(self, commands: Commands, peers: Peers) -> None:
        self._commands, self._peers = commands, peers
        self._turn = asyncio.Semaphore(SQL_AT_ONCE_MAX)

    def sources(self) -> list[Source]:
        """All of it, each at the pace that it is worth."""
        return [
            Source("flow", self.flow, 1),
            Source("placed", self.placed, 1),
            Source("stages", self.stages, 1),
            Source("funnel", self.funnel, 2),
            Source("cycle", self.cycle, 5),
            Source("aging", self.aging, 5),
            Source("balance", self.balance, 5),
            Source("services", self.services, 2, waits=True),
            Source("credit", lambda: self._queue("credit", "credit-reviews", "requested_at"), 2),
            Source("backorders", lambda: self._queue("fulfillment", "backorders", "queued_at"), 2),
            Source("cash", lambda: self._queue("receivables", "unapplied", "recorded_at"), 2),
        ]

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        async with self._turn:
            return await self._commands.fetch(sql, *args)

    async def flow(self) -> dict[str, Any]:
        """Messages heard today by type."""
        today = datetime.now(UTC).date()
        counts = {row["stage"]: int(row["messages"]) for row in await self._fetch(_FLOW, today)}
        return {"day": today, "counts": counts}

    async def placed(self) -> dict[str, Any]:
        """Orders taken in the last ten minutes, ten seconds each, oldest first; and how many in the last 60 seconds."""
        now = datetime.now(UTC)
        last = int(now.timestamp()) // BUCKET_SECONDS
        first = last - BUCKETS + 1
        begin = datetime.fromtimestamp(first * BUCKET_SECONDS, UTC)
        rows = await self._fetch(_PLACED, begin, now - timedelta(minutes=1))
        found = {int(row["bucket"]): int(row["orders"]) for row in rows}
        minute = sum(int(row["lately"]) for row in rows)
        latest = None
        if not found:
            rows = await self._fetch(_LAST_PLACED)
            latest = rows[0]["placed_at"] if rows else None
        orders = [found.get(n, 0) for n in range(first, last + 1)]
        return {"first": begin, "orders": orders, "minute": minute, "latest": latest}

    async def stages(self) -> list[dict[str, Any]]:
        """How many orders wait in each stage, since when the oldest does, and which one that is."""
        found = {row["stage"]: row for row in await self._fetch(_STAGES)}
        nothing = {"orders": 0, "since": None, "order_id": None}
        return [{**nothing, **found.get(stage, {}), "stage": stage} for stage in OPEN_STAGES]

    async def funnel(self) -> dict[str, Any]:
        """How far the orders of the last 30 days have come."""
        end = datetime.now(UTC).date() + timedelta(days=1)
        async with self._turn:
            return await funnel(self._commands, end - timedelta(days=FUNNEL_DAYS), end)

    async def cycle(self) -> list[dict[str, Any]]:
        """Median and 95th percentile between stages, in seconds, of a sample of all orders."""
        size = int((await self._fetch(_SIZE))[0]["orders"])
        sampled = f"TABLESAMPLE SYSTEM ({100 * SAMPLE_ORDERS / size:.6f})" if size > SAMPLE_ORDERS else ""
        measures = []
        for at, (_, begun, _, done) in enumerate(CYCLE_PAIRS):
            seconds = f"extract(epoch FROM {done} - {begun})"
            measures.append(f"count({done} - {begun}) AS orders_{at}")
            measures.append(f"percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY {seconds}) AS seconds_{at}")
        row = (await self._fetch(f"SELECT {', '.join(measures)} FROM order_cycle {sampled}"))[0]
        pairs = []
        for at, (begun, _, done, _) in enumerate(CYCLE_PAIRS):
            p50, p95 = row[f"seconds_{at}"] or (None, None)
            pairs.append({"begun": begun, "done": done, "orders": row[f"orders_{at}"], "p50": p50, "p95": p95})
        return pairs

    async def aging(self) -> Any:
        """What is open today by how long it is due, as receivables knows it."""
        return (await self._peers.get("receivables", "aging", on=_today().isoformat()))["currencies"]

    async def balance(self) -> Any:
        """The trial balance of today, as receivables keeps it."""
        return (await self._peers.get("receivables", "trial-balance", on=_today().isoformat()))["accounts"]

    async def services(self) -> dict[str, Any]:
        """How every service is: each replica's own word, `away` for one that does not answer, and their sums."""
        answers = await asyncio.gather(*(self._statuses(name) for name in self._peers.names))
        if not answers:
            raise PeerError("", 0, "no addresses of services are known: set O2C_SERVICE_URLS")
        replicas = [row for rows in answers for row in rows]
        return {
            "replicas": replicas,
            "well": sum(not row["away"] and not row["missing"] for row in replicas),
            # Replicas share their letters, and each says them.
            "letters": sum(max(row.get("letters", 0) for row in rows) for rows in answers),
        }

    async def _statuses(self, name: str) -> list[dict[str, Any]]:
        found = await self._peers.of_replicas(name, "status")
        return [{"name": name, "address": address, **_shown(name, each)} for address, each in found.items()]

    async def _queue(self, service: str, path: str, since: str) -> dict[str, Any]:
        """How long a queue is, up to a limit, and since when one of these entries waits: when it was recorded."""
        page = await self._peers.get(service, path, limit=QUEUE_SHOWN_MAX)
        oldest = min((item[since] for item in page["items"] if item.get(since)), default=None)
        return {"items": len(page["items"]), "more": page["next"] is not None, "since": oldest}


def _shown(name: str, status: Any) -> dict[str, Any]:
    """What the page shows of a replica's status."""
    if isinstance(status, PeerError):
        return {"away": status.detail}
    try:
        letters = status["dead_letters"]
        return {
            "away": "",
            "missing": status["missing"],
            "events": int(status["events"]),
            "heard": sum(status["positions"].values()),
            "lag": sum(status["lag"].values()),
            "backlog": int(status["relay"]["backlog"]),
            "letters": letters.get("parked", 0) + letters.get("waiting", 0),
            "uptime": float(status["uptime_seconds"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {"away": f"{name} answers with a status that this version does not understand"}


def _today() -> date:
    return datetime.now(UTC).date()
