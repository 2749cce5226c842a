"""What fulfillment has to do though nothing more happens: filling goes on where a transaction's bound ended it."""

from collections.abc import Sequence
from typing import Any

from services.fulfillment.domain.stock import FillBackorders, stock
from shared.eventsourced.commands import Commands
from shared.eventsourced.decider import To

STOCKS_MAX = 100
"""Stocks that are asked in one go."""

_FILLABLE = f"SELECT sku FROM stock_levels WHERE backordered > 0 AND on_hand > reserved ORDER BY sku LIMIT {STOCKS_MAX}"


async def due(commands: Commands) -> Sequence[To[Any]]:
    """Stocks with free goods while orders wait for them: each fills as many as one transaction may."""
    return [To(stock, row["sku"], FillBackorders(row["sku"])) for row in await commands.fetch(_FILLABLE)]
