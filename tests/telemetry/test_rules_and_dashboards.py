"""Alerts and dashboards ask only for what there is: metrics and labels of the catalogue, and of a running system."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shared.money import EXPONENTS
from shared.telemetry.metrics import CATALOGUE, Metric, prometheus_label
from tests.deploy.files import services
from tests.e2e.system import System
from tests.telemetry import promql
from tests.telemetry.conftest import Carried
from tests.telemetry.promtool import NoPromtoolError, run

EXPRESSIONS = [*promql.of_rules(), *promql.of_dashboards(), *promql.of_variables()]
SCRAPED = {"service", "job", "instance", "le"}
"""Labels that Prometheus adds to what it scrapes, and that of buckets."""
CASES = sorted(Path(__file__).parent.glob("alerts*.test.yaml"))
PLATFORM = {
    "up": SCRAPED,
    "kube_job_status_failed": {"namespace", "job_name"},
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "kube_persistentvolumeclaim_info": {"namespace", "persistentvolumeclaim"},
    # `namespace` and `pod` are what the Prometheus Operator gives the targets of a PodMonitor.
    "kafka_controller_kafkacontroller_offlinepartitionscount": {"namespace", "pod"},
    "kafka_server_replicamanager_underminisrpartitioncount": {"namespace", "pod"},
    "kafka_server_replicamanager_underreplicatedpartitions": {"namespace", "pod"},
    "cnpg_pg_replication_streaming_replicas": {"namespace", "pod"},
    "cnpg_pg_replication_lag": {"namespace", "pod"},
    "cnpg_pg_stat_archiver_last_failed_time": {"namespace", "pod"},
    "cnpg_pg_stat_archiver_last_archived_time": {"namespace", "pod"},
    "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp": {"namespace", "pod"},
}
"""Metrics of others, with the labels that we rely on."""


def metrics() -> Iterator[Metric]:
    """Every metric that any service may say."""
    yield from CATALOGUE
    for service in services().values():
        for gauge in service.gauges:
            yield from gauge.metrics


def series() -> dict[str, set[str]]:
    """Name on `/metrics` → its labels."""
    found = {}
    for metric in metrics():
        labels = {prometheus_label(label) for label in metric.labels} | SCRAPED
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found.update({f"{metric.prometheus}{part}": labels for part in parts})
    return found


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_an_expression_asks_for_what_there_is(where: str, expression: str) -> None:
    known = {**series(), **PLATFORM, **{name: {"service"} for name in promql.recorded()}}
    asked, grouped = promql.asked(expression)
    assert asked
    for name, labels in asked.items():
        assert name in known, f"{where}: there is no {name}"
        assert labels <= known[name], f"{where}: {name} has no {labels - known[name]}"
    assert grouped <= set.union(*(known[name] for name in asked)), where


def test_names_and_labels_are_as_prometheus_and_opentelemetry_want_them() -> None:
    names = [metric.name for metric in metrics()]
    assert len(names) == len(set(names))
    for metric in metrics():
        assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", metric.name)
        assert re.fullmatch(r"[a-z][a-z0-9_]+", metric.prometheus)
        assert metric.help
        assert not metric.help.endswith(".")
        assert not {"order_id", "customer_id", "sku", "invoice_id", "payment_id"} & set(metric.labels)


@pytest.mark.parametrize("path", promql.DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    read = promql.dashboard(path)
    assert read["uid"] == f"o2c-{path.stem}"
    panels = read["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"prometheus"}


def test_dashboards_are_those_that_are_promised() -> None:
    assert {path.stem for path in promql.DASHBOARDS} == {"services", "flow", "money"}


def test_an_alert_names_its_page_and_how_urgent_it_is() -> None:
    for path in promql.RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    assert rule["labels"]["severity"] in ("page", "ticket")
                    page = rule["annotations"]["runbook_url"]
                    assert page == f"docs/runbooks/{rule['alert']}.md"
                    assert (promql.ROOT / page).exists()


# ---- judged by Prometheus itself


def judged(*arguments: str) -> str:
    """What promtool says, or a skip where it cannot be had."""
    try:
        return run(*arguments)
    except NoPromtoolError as error:
        pytest.skip(str(error))


@pytest.mark.deploy
def test_promtool_takes_the_rules() -> None:
    for path in promql.RULES:
        assert "SUCCESS" in judged("check", "rules", str(path))


@pytest.mark.deploy
def test_promtool_takes_every_expression_of_the_dashboards(tmp_path: Path) -> None:
    found = [*promql.of_dashboards(), *promql.of_variables()]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(found)]
    file = tmp_path / "dashboards.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    assert f"{len(found)} rules found" in judged("check", "rules", str(file))


MINOR = {"o2c_cash_unapplied_minor", "o2c_invoices_overdue_minor"}
EXACT = {"JPY": 123_456, "GBP": 1_234.56, "KWD": 123.456}
"""123456 minor units of each currency."""


@pytest.mark.deploy
def test_dashboards_show_each_currency_in_its_own_units(tmp_path: Path) -> None:
    panels = [expression for _, expression in promql.of_dashboards() if MINOR & promql.asked(expression)[0].keys()]
    assert set.union(*(set(promql.asked(panel)[0]) for panel in panels)) >= MINOR
    # Two replicas say the same; where one of them has not come to it yet, the other's word counts.
    said = [(name, currency, pod, 123_456) for name in MINOR for currency in EXACT for pod in ("a", "b")]
    said += [("o2c_currency_minor_digits", currency, "a", places) for currency, places in EXPONENTS.items()]
    given = [
        {"series": f'{name}{{currency="{currency}",instance="{pod}"}}', "values": f"{value}x2"}
        for name, currency, pod, value in said
    ]
    expected = [{"labels": f'{{currency="{currency}"}}', "value": value} for currency, value in EXACT.items()]
    cases = [{"expr": panel, "eval_time": "1m", "exp_samples": expected} for panel in panels]
    file = tmp_path / "money.test.yaml"
    file.write_text(yaml.safe_dump({"tests": [{"interval": "1m", "input_series": given, "promql_expr_test": cases}]}))
    judged("test", "rules", str(file))


@pytest.mark.deploy
@pytest.mark.parametrize("cases", CASES, ids=lambda file: str(file.name))
def test_alerts_fire_when_they_shall_and_only_then(cases: Path) -> None:
    judged("test", "rules", str(cases))


@pytest.mark.deploy
def test_every_alert_is_seen_firing_and_silent() -> None:
    read = [test for file in CASES for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for test in read for case in test["alert_rule_test"]]
    alerts = {where for where, _ in promql.of_rules()} - promql.recorded()
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


# ---- and by a system that runs


@pytest.mark.e2e
async def test_a_running_system_says_what_the_catalogue_promises(system: System, carried: Carried) -> None:
    promised = {metric.prometheus: metric for metric in metrics()}
    said: set[str] = set()
    for name in services():
        text = (await system.clients[name].get("/metrics")).text
        for declared, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
            assert promised[declared].kind == kind
            said.add(declared)
        for each, labels in re.findall(r"^([a-z0-9_]+)(?:\{(.*)\})? \S+$", text, re.M):
            assert set(re.findall(r'(\w+)="', labels)) <= series()[each], each
    # Nothing is overdue and no money lies about in this system.
    quiet = {
        name
        for name in promised
        if name.startswith(("o2c_cash_", "o2c_invoices_overdue")) or name.endswith("oldest_seconds")
    }
    assert set(promised) - said <= quiet
