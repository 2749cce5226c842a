"""After all that the other tests did to it: every promise that data can show holds over all stores."""

import pytest

from tests.e2e.system import System

pytestmark = pytest.mark.e2e


async def test_verify_is_all_green_at_the_end(system: System) -> None:
    verdict = (await system.o2c("verify", "--json")).json
    assert verdict["ok"] is True
    assert [check for check in verdict["checks"] if not check["ok"]] == []
    assert len(verdict["checks"]) >= 30
    assert all(check["checked"] > 0 for check in verdict["checks"] if check["name"] != "nothing_is_stuck")
