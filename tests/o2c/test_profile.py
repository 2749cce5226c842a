"""Samples and statements fall into the steps of the engine, and CPU is shared out by them without losing any."""

import pytest

from o2c.bench import statements
from o2c.bench.sampling import shares
from o2c.bench.scenarios.profile import GC, of_postgres, table

LOOP = "run (uvloop/__init__.py:92);Runner.run (asyncio/runners.py:118)"
HANDLE = f"{LOOP};handle (shared/eventsourced/consumer.py:126);run (shared/eventsourced/unit_of_work.py:76)"
RAW = f"""{LOOP} 500
Thread._bootstrap (threading.py:1002);Condition.wait (threading.py:327) 900
{HANDLE};Pass.decide (shared/eventsourced/work.py:86);decide (services/order/domain/order.py:9) 30
{HANDLE};prepared (shared/eventsourced/rows.py:68);array (shared/eventsourced/arrays.py:17) 20
{HANDLE};write_batch (shared/eventsourced/writing.py:95);Connection.fetch (asyncpg/connection.py:717) 10
{LOOP};Relay.run (shared/eventsourced/relay.py:113);decode_fact (shared/eventsourced/mapper.py:76) 25
{LOOP};Fetcher._proc_fetch_request (aiokafka/consumer/fetcher.py:747) 10
{LOOP};somebody (elsewhere.py:1) 5
"""


def test_each_sample_at_work_has_one_step_and_waiting_has_none() -> None:
    assert shares(RAW) == {"decide": 0.3, "project": 0.2, "append": 0.1, "relay": 0.25, "fetch": 0.1, "other": 0.05}


def test_a_process_that_only_waited_has_no_shares() -> None:
    assert shares(f"{LOOP} 7\n") == {}


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        ("INSERT INTO events (originator_id, originator_version) SELECT f.stream, f.version", "append"),
        ("WITH taken AS ( UPDATE lanes SET head = head + u.count", "append"),
        ("after := nextval($1) - 1 'events_notification_id_seq'", "append"),
        ("\nSELECT e.originator_id, e.state\nFROM unnest($1::text::text[]) AS s (id)", "load"),
        ("UPDATE positions p SET sequence = u.after FROM unnest($1)", "unit of work"),
        ("SELECT coalesce(max(notification_id), $1) FROM events", "relay"),
        ("WITH written AS MATERIALIZED (SELECT * FROM write_batch($1)), t1 AS (INSERT INTO orders AS t", "project"),
        ("SELECT lock_store()", "unit of work"),
        ("VACUUM", "other"),
    ],
)
def test_a_statement_has_its_step(statement: str, step: str) -> None:
    assert statements.step_of(statement) == step


def test_the_steps_of_a_service_add_up_to_its_cpu() -> None:
    rows = table({"order": shares(RAW)}, {"order": 1.0}, {"order": 0.1})
    parts = {step: row["order"] for step, row in rows.items() if step != "all"}
    assert parts["decide"] == pytest.approx(0.27)
    assert parts[GC] == pytest.approx(0.1)
    assert sum(parts.values()) == pytest.approx(rows["all"]["order"], abs=0.005)


def test_postgres_is_shared_out_by_the_time_of_statements() -> None:
    spent = {"order": {"append": 30.0, "project": 50.0}, "credit": {"append": 20.0}}
    assert of_postgres(spent, 2.0) == {
        "append": {"order": 0.6, "credit": 0.4},
        "project": {"order": 1.0, "credit": 0.0},
    }
