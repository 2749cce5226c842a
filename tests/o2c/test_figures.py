"""Figures of a run: percentiles, processes, the reports' keys."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from o2c.bench.orders import LINES, customers, generate
from o2c.bench.rig import Measured
from o2c.bench.scenarios.cycle import outcome
from o2c.commands.demo import DemoRun, around, load
from o2c.commands.stacking import report_to
from o2c.figures import cpu_of_all, descendants, peak_mb_of_all, percentile, usage_of
from o2c.importing import ImportReport
from o2c.main import app
from o2c.outside.plan import ALL_IN_FULL
from o2c.outside.world import Course, World
from o2c.settling import at_rest
from o2c.verify import Check, Verdict


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95), percentile(values, 99)) == (50.0, 95.0, 99.0)
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) == 0.0


def test_a_process_is_charged_for_what_it_and_its_children_use() -> None:
    burn = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.3: pass\n"
    child = f"{burn}print('burnt', flush=True); time.sleep(60)"
    start = f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(descendants(parent.pid)) == 1
        assert cpu_of_all({"p": parent.pid})["p"] >= 0.25
        assert peak_mb_of_all({"p": parent.pid})["p"] > 1
    finally:
        for pid in descendants(parent.pid):
            subprocess.run(["kill", "-9", str(pid)], check=True)
        parent.kill()
        parent.communicate()


def test_a_process_that_is_gone_used_nothing() -> None:
    assert usage_of(2**22 + 1).cpu_seconds == 0.0


def run_of(world: World, verdict: Verdict) -> DemoRun:
    return DemoRun(world, ImportReport(), True, 1.234, verdict, 0)


def test_the_demo_report_has_the_agreed_keys() -> None:
    world = World([], [], Course(1, ALL_IN_FULL, 0, 1))
    world.progress.applied_minor["GBP"] = 5
    report = run_of(world, Verdict(())).as_json()
    assert list(report) == [
        "orders",
        "invoices",
        "payments",
        "refused",
        "seconds",
        "currencies",
        "invoiced_minor",
        "cash_applied_minor",
        "trial_balance_minor",
        "verified",
    ]
    assert report["currencies"] == {"GBP": {"invoiced_minor": 0, "cash_applied_minor": 5}}
    assert not run_of(world, Verdict((Check("x", False, 1, ("a",)),))).as_json()["verified"]


def test_the_bench_report_has_the_agreed_keys_and_counts_the_stack_only() -> None:
    cpu = {"order": 1.0, "postgres": 1.0, "driver": 9.0}
    measured = Measured(100, 400, 2.0, 3_000, cpu, [10.0, 20.0], "")
    assert outcome(measured, 3_000.0, {"order": 90.0}).figures == {
        "orders": 100,
        "orders_per_second": 50.0,
        "events_per_second": 1_500.0,
        "latency_ms": {"p50": 10.0, "p95": 20.0, "p99": 20.0},
        "bare_chain_events_per_second": 3_000.0,
        "share_of_bare_chain": 0.5,
        "cpu_seconds_per_order": 0.02,
        "peak_memory_mb": {"order": 90.0},
        "cpu_seconds": cpu,
    }


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    report_to(file, b"{}")
    assert file.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [file]
    report_to(None, b"{}")
    with pytest.raises(FileNotFoundError):
        report_to(tmp_path / "missing" / "report.json", b"{}")


CHOSEN = {"orders": None, "report": None, "broker": "embedded", "time-out": "120"}
ALL_CHOSEN = {"orders": 40, "report": Path("my report.json"), "broker": "kafka", "time-out": "60"}


@pytest.mark.parametrize(
    ("chosen", "own_home", "up", "again"),
    [
        (CHOSEN, "", "O2C_HOME=.o2c/demo o2c up", "o2c demo --keep"),
        (CHOSEN, "/x y", "O2C_HOME=.o2c/demo o2c up", "O2C_HOME='/x y' o2c demo --keep"),
        (
            ALL_CHOSEN,
            "",
            "O2C_HOME=.o2c/demo o2c up --broker kafka",
            "o2c demo --keep --orders 40 --report 'my report.json' --broker kafka --time-out 60",
        ),
    ],
)
def test_the_demo_says_how_to_look_around_with_what_was_chosen(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any], own_home: str, up: str, again: str
) -> None:
    monkeypatch.setenv("O2C_HOME", own_home)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert around(".o2c/demo", chosen) == [f"`{up}`", f"`{again}`"]
    for hint in (up, again):
        name, *options = shlex.split(hint.partition("o2c ")[2])
        group: Any = typer.main.get_command(app)
        assert group.commands[name].make_context(name, options).params["broker"] == chosen["broker"]


def test_the_demo_names_o2c_by_its_path_where_the_shell_would_not_find_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("O2C_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert around(".o2c/demo", CHOSEN) == ["`O2C_HOME=.o2c/demo .venv/bin/o2c up`", "`.venv/bin/o2c demo --keep`"]
    monkeypatch.setattr(sys, "executable", "/opt/o2c x/python")
    assert around("d", CHOSEN)[0] == "`O2C_HOME=d '/opt/o2c x/o2c' up`"


def test_the_demo_takes_so_many_orders_and_orders_again_beyond_the_file() -> None:
    customers_, orders, imported = load(None)
    assert len(orders) == imported.orders
    assert {order.customer_id for order in orders} == {customer.customer_id for customer in customers_}
    assert load(5)[1] == orders[:5]
    more = load(len(orders) + 2)[1]
    assert [order.order_id for order in more[-2:]] == [f"{order.order_id}-2" for order in orders[:2]]
    assert len({order.order_id for order in more}) == len(more)


def test_bench_orders_are_the_same_for_the_same_seed_and_stay_within_credit() -> None:
    first, again = generate(50, seed=3), generate(50, seed=3)
    assert [order.lines for order in first] == [order.lines for order in again]
    assert all(len(order.lines) == LINES == len({line.sku for line in order.lines}) for order in first)
    assert {order.customer_id for order in first} <= {customer.customer_id for customer in customers(50)}
    assert generate(50, seed=4)[0].order_id != first[0].order_id


def test_a_service_is_at_rest_only_when_nothing_waits_anywhere() -> None:
    rest = {"missing": {}, "relay": {"backlog": 0}, "lag": {"t": 0}, "consumer": {"gaps": 0}}
    assert at_rest(rest)
    assert not at_rest({**rest, "lag": {"t": 1}})
    assert not at_rest({**rest, "relay": {"backlog": 1}})
    assert not at_rest({**rest, "consumer": {"gaps": 1}})
    assert not at_rest({**rest, "missing": {"kafka": "is away"}})
    assert not at_rest({"unreachable": "x"})
