"""After all that the other tests did to it: every promise that data can show holds over all stores."""

import pytest

from tests.e2e.deal import Deal
from tests.e2e.system import System

pytestmark = pytest.mark.e2e


# Whichever tests ran: these checks may have had nothing to look at.
MAY_BE_EMPTY = {"nothing_is_stuck", "credited_is_at_most_invoiced"}


async def test_verify_is_all_green_at_the_end(system: System, deal: Deal) -> None:
    await deal.begins()
    invoice = await deal.ships()
    await system.say(deal.payment(12_000, reference=invoice["number"]))
    verdict = (await system.o2c("verify", "--json")).json
    assert verdict["ok"] is True
    assert [check for check in verdict["checks"] if not check["ok"]] == []
    assert len(verdict["checks"]) >= 30
    assert all(check["checked"] > 0 for check in verdict["checks"] if check["name"] not in MAY_BE_EMPTY)
