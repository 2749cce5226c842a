"""The operator's commands: what they ask services for, what they print, and what their exit codes say."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from o2c.addresses import URLS
from o2c.importing import read_orders
from o2c.main import app
from o2c.stack import SERVICES
from tests.o2c.fakes import FakeService, serving

Urls = Callable[..., None]


def o2c(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Urls:
    """Name the running system: service → fake service or URL. Nothing is up in the home."""
    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))

    def name(**services: FakeService | str) -> None:
        urls = {n: s if isinstance(s, str) else s.url for n, s in services.items()}
        monkeypatch.setenv(URLS, ",".join(f"{n}={u}" for n, u in urls.items()))

    return name


def nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def hanging() -> Iterator[str]:
    """An address where connections are taken and nothing is answered, as at a process that was stopped."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def status(**more: Any) -> dict[str, Any]:
    return {
        "service": "order",
        "version": "1",
        "missing": {},
        "events": 7,
        "positions": {"credit": 3},
        "lag": {"o2c.credit.events": 2},
        "relay": {"backlog": 1, "sent_again": 4},
        "consumer": {"gaps": 0},
        "dead_letters": {"parked": 1, "waiting": 2, "done": 9},
        **more,
    }


LETTER = {
    "id": 12,
    "status": "parked",
    "message_id": "order-1@1",
    "type": "o2c.order.OrderPlaced.v1",
    "stream": "order-1",
    "topic": "o2c.order.events",
    "code": "invalid",
    "reason": "lines[0].quantity: must be at least 1",
    "attempts": 1,
    "parked_at": "2026-03-31T12:00:00+00:00",
    "resolved_at": None,
}

# ---- nothing is up


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--json"],
        ["verify"],
        ["replay"],
        ["rebuild"],
        ["restored", "credit"],
        ["order", "show", "1"],
        ["dead-letters", "list"],
        ["dead-letters", "retry", "order/1"],
    ],
    ids=" ".join,
)
def test_without_a_stack_every_command_ends_with_3_and_says_what_to_do(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(URLS, raising=False)
    result = o2c(*command)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "o2c up" in result.stderr


def test_who_mends_restored_stores_is_told_to_leave_their_services_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(URLS, raising=False)
    assert "`o2c up --detach --without credit`" in o2c("restored", "credit").stderr
    everything = " ".join(f"--without {service}" for service in SERVICES)
    assert f"`o2c up --detach {everything}`" in o2c("restored", "--all").stderr


def test_down_of_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))
    result = o2c("down")
    assert result.exit_code == 0
    assert "Nothing was up" in result.stdout


# ---- wrong usage


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["nonsense"],
        ["run"],
        ["run", "nonsense"],
        ["up", "--broker", "rabbit"],
        ["up", "--port-base", "80"],
        ["up", "--without", "nonsense"],
        ["demo", "--orders", "0"],
        ["bench", "--orders", "-1"],
        ["import", "orders", "/does/not/exist.csv"],
        ["dead-letters", "show", "12"],
        ["dead-letters", "retry", "order/x"],
        ["dead-letters", "list", "--status", "odd"],
        ["order", "show"],
        ["restored"],
        ["restored", "nonsense"],
        ["restored", "credit", "--all"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(command: list[str], system: Urls) -> None:
    system(order="http://127.0.0.1:1")
    assert o2c(*command).exit_code == 2


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_KAFKA_PARTITIONS", "99")
    result = o2c("config")
    assert result.exit_code == 2
    assert "O2C_KAFKA_PARTITIONS" in result.stderr


def test_every_wrong_setting_is_named_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "O2C_HTTP_PORT": "x",
        "OTEL_TRACES_SAMPLER_ARG": "often",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318",
        "O2C_BILLING_TIME_ZONE": "Europe/Atlantis",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    result = o2c("config")
    assert result.exit_code == 2
    told = {part.partition(":")[0].split()[-1] for part in result.stderr.partition("are wrong: ")[2].split("; ")}
    assert set(wrong) <= told
    assert "O2C_TRACE_RATIO" not in result.stderr
    assert "Share of the traces beginning here that are sampled" in result.stderr


@pytest.mark.parametrize("ratio", ["1.5", "-1", "nan", "endpoint=http://localhost:14250"])
def test_a_share_that_is_none_is_refused_under_the_name_it_was_given(
    monkeypatch: pytest.MonkeyPatch, ratio: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    assert "OTEL_TRACES_SAMPLER_ARG:" in o2c("config").stderr
    monkeypatch.setenv("O2C_TRACE_RATIO", ratio)
    assert "O2C_TRACE_RATIO:" in o2c("config").stderr


def test_an_empty_variable_of_opentelemetry_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.setenv(name, "")
    shown = json.loads(o2c("config", "--json").stdout)
    assert (shown["trace_ratio"], shown["otlp_endpoint"]) == (0.01, "")


def test_config_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_DATABASE_URL", "postgresql://user:hush@127.0.0.1:5432")
    for result in (o2c("config"), o2c("config", "--json")):
        assert result.exit_code == 0
        assert "hush" not in result.stdout
    assert json.loads(result.stdout)["database_url"] == "postgresql://user:***@127.0.0.1:5432"


# ---- status


def test_status_prints_one_json_object_and_nothing_else(system: Urls) -> None:
    with serving({"GET /status": (200, status())}) as order:
        system(order=order)
        result = o2c("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["services"]["order"]["events"] == 7


def test_status_adds_up_what_waits(system: Urls) -> None:
    with serving({"GET /status": (200, status())}) as order:
        system(order=order)
        result = o2c("status")
    assert result.stdout.splitlines()[1].split() == ["order", "ready", "7", "3", "2", "1", "4", "0", "3"]
    assert "\x1b[" not in result.stdout


def test_status_of_a_service_that_is_not_ready_ends_with_1_and_of_one_that_is_away_with_3(system: Urls) -> None:
    with serving({"GET /status": (200, status(missing={"kafka": "is away"}))}) as order:
        system(order=order)
        assert o2c("status").exit_code == 1
        system(order=order, credit=nowhere())
        result = o2c("status", "--json")
    assert result.exit_code == 3
    assert "does not answer" in json.loads(result.stdout)["services"]["credit"]["unreachable"]


def test_something_else_on_the_port_is_not_taken_for_a_service(system: Urls) -> None:
    with serving({"GET /status": (200, b"<html>hello</html>")}) as stranger:
        system(order=stranger)
        assert o2c("status").exit_code == 3


# ---- dead letters


def test_letters_are_listed_over_all_services_and_pages(system: Urls) -> None:
    older = {**LETTER, "id": 11}
    pages = {
        "GET /dead-letters?status=parked&limit=50": (200, {"items": [LETTER], "next": "c"}),
        "GET /dead-letters?status=parked&limit=49&cursor=c": (200, {"items": [older], "next": None}),
        "GET /dead-letters?status=waiting&limit=50": (200, {"items": [], "next": None}),
    }
    nothing = {"GET /dead-letters": (200, {"items": [], "next": None})}
    with serving(pages) as order, serving(nothing) as credit:
        system(order=order, credit=credit)
        result = o2c("dead-letters", "list", "--json")
        shown = o2c("dead-letters", "list")
    assert [letter["ref"] for letter in json.loads(result.stdout)["dead_letters"]] == ["order/12", "order/11"]
    assert "lines[0].quantity: must be at least 1" in shown.stdout


def test_what_is_parked_is_not_hidden_by_what_waits_behind_it(system: Urls) -> None:
    waiting = {**LETTER, "status": "waiting"}
    pages = {
        "GET /dead-letters?status=parked&limit=2": (200, {"items": [{**LETTER, "id": 3}], "next": None}),
        "GET /dead-letters?status=waiting&limit=2": (
            200,
            {"items": [{**waiting, "id": 9}, {**waiting, "id": 8}], "next": None},
        ),
    }
    with serving(pages) as order:
        system(order=order)
        result = o2c("dead-letters", "list", "--limit", "2", "--json")
    assert [letter["ref"] for letter in json.loads(result.stdout)["dead_letters"]] == ["order/3", "order/9"]


def test_a_letter_is_shown_whole_and_one_that_is_not_there_is_an_error(system: Urls) -> None:
    whole = {**LETTER, "headers": [["ce_id", "order-1@1"]], "body": "{}", "body_base64": "e30="}
    with serving({"GET /dead-letters/12": (200, whole)}) as order:
        system(order=order)
        assert json.loads(o2c("dead-letters", "show", "order/12", "--json").stdout)["body"] == "{}"
        result = o2c("dead-letters", "show", "order/13")
        assert result.exit_code == 1
        assert "there is no such thing" in result.stderr
        assert o2c("dead-letters", "show", "nonsense/12").exit_code == 1


def test_a_retry_that_fails_again_ends_with_1_and_the_others_are_tried_all_the_same(system: Urls) -> None:
    answers = {
        "POST /dead-letters/1/retry": (200, {"done": 0, "stopped_by": "still wrong"}),
        "POST /dead-letters/2/retry": (200, {"done": 3, "stopped_by": ""}),
    }
    with serving(answers) as order:
        system(order=order)
        result = o2c("dead-letters", "retry", "order/1", "order/2", "order/3")
        good = o2c("dead-letters", "retry", "order/2", "--json")
    assert result.exit_code == 1
    assert order.requests[:3] == [f"POST /dead-letters/{n}/retry" for n in (1, 2, 3)]
    assert "still wrong" in result.stdout
    assert good.exit_code == 0
    assert json.loads(good.stdout) == {"letters": [{"ref": "order/2", "done": 3, "stopped_by": ""}]}


def test_drop_asks_for_it_and_a_conflict_ends_with_1(system: Urls) -> None:
    answers = {
        "POST /dead-letters/1/drop": (200, {"done": 0, "stopped_by": ""}),
        "POST /dead-letters/2/drop": (409, {"title": "Conflict", "detail": "it is dropped already"}),
    }
    with serving(answers) as order:
        system(order=order)
        assert o2c("dead-letters", "drop", "order/1").exit_code == 0
        result = o2c("dead-letters", "drop", "order/2")
    assert result.exit_code == 1
    assert "it is dropped already" in result.stdout


# ---- replay and rebuild


def test_replay_asks_the_speakers_and_rebuild_everybody(system: Urls) -> None:
    answers = {
        "POST /replay": (202, {"lanes": 48}),
        "GET /health/live": (200, {"live": True}),
        "POST /rebuild": (200, {"facts": 5}),
    }
    with serving(answers) as order, serving(answers) as analytics:
        system(order=order, analytics=analytics)
        assert o2c("replay").exit_code == 0
        assert (order.requests, analytics.requests) == (["POST /replay"], [])
        result = o2c("rebuild", "--json")
        assert json.loads(result.stdout) == {"services": {"order": {"facts": 5}, "analytics": {"facts": 5}}}
        assert o2c("rebuild", "order").exit_code == 0
        assert analytics.requests == ["GET /health/live", "POST /rebuild"]
        assert o2c("rebuild", "nonsense").exit_code == 1


def test_who_says_nothing_publicly_has_nothing_to_say_again(system: Urls) -> None:
    with serving({"POST /replay": (202, {"lanes": 48})}) as order, serving({}) as analytics:
        system(order=order, analytics=analytics)
        shown = o2c("replay", "order", "analytics")
        assert (shown.exit_code, analytics.requests) == (0, [])
        assert "order says everything again" in shown.stdout
        assert "analytics has nothing to say again" in shown.stdout
        answers = json.loads(o2c("replay", "analytics", "--json").stdout)
        assert answers == {"services": {"analytics": {"lanes": 0}}}
        assert o2c("replay", "nonsense").exit_code == 1


@pytest.mark.parametrize(
    "command",
    [
        ["replay", "order"],
        ["rebuild", "order"],
        ["status"],
        ["dead-letters", "list"],
        ["dead-letters", "retry", "order/1"],
    ],
    ids=" ".join,
)
def test_a_service_that_hangs_is_not_waited_for(
    command: list[str], system: Urls, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o2c.services.ANSWER_SECONDS_MAX", 0.1)
    system(order=hanging)
    result = o2c(*command)
    assert result.exit_code == 3
    assert "order gives no answer" in result.output
    assert "hangs" in result.output


def test_a_service_that_cannot_just_now_ends_with_3(system: Urls) -> None:
    with serving({"POST /replay": (503, {"detail": "kafka is away"})}) as order:
        system(order=order)
        result = o2c("replay")
    assert result.exit_code == 3
    assert "kafka is away" in result.stderr


# ---- one order


def test_the_story_of_an_order_is_told_over_all_pages(system: Urls) -> None:
    def step(n: int) -> dict[str, str]:
        return {"at": f"2026-03-31T12:00:0{n}Z", "speaker": "order", "type": "o2c.order.OrderPlaced.v1", "summary": "x"}

    answers = {
        "GET /orders/S%2F1/story?limit=200": (200, {"items": [step(1)], "next": "c"}),
        "GET /orders/S%2F1/story?limit=200&cursor=c": (200, {"items": [step(2)], "next": None}),
    }
    with serving(answers) as analytics:
        system(analytics=analytics)
        story = json.loads(o2c("order", "show", "S/1", "--json").stdout)["story"]
        shown = o2c("order", "show", "S/1").stdout
        assert o2c("order", "show", "S-2").exit_code == 1
    assert [s["at"][-2] for s in story] == ["1", "2"]
    assert "OrderPlaced" in shown
    assert "o2c.order" not in shown


# ---- import


CSV = """order_id,customer_id,country,currency,sku,quantity,unit_price,placed_at
S-1,C-1,DE,EUR,A,2,1.50,2026-03-31T00:00:00Z
S-1,C-1,DE,EUR,B,-1,1.50,2026-03-31T00:00:00Z
"""


def test_a_dry_run_accounts_for_every_row_without_a_stack(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(CSV)
    result = o2c("import", "orders", str(file), "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "format": "plain",
        "rows": 2,
        "taken": 1,
        "refused": {"non_positive_quantity": 1},
        "orders": 1,
        "customers": 1,
        "sums": {"EUR": {"file": "1.50", "taken": "3.00", "refused": "-1.50"}},
        "balanced": True,
    }


def test_an_unknown_file_format_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("a,b,c\n1,2,3\n")
    result = o2c("import", "orders", str(file), "--dry-run")
    assert result.exit_code == 1
    assert "unit_price" in result.stderr
    assert "StockCode" in result.stderr


def test_an_import_that_does_not_add_up_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(lines: Any, report: Any) -> Any:
        yield from list(read_orders(lines, report))
        report.rows += 1

    monkeypatch.setattr("o2c.commands.importing.read_orders", lossy)
    file = tmp_path / "orders.csv"
    file.write_text(CSV)
    result = o2c("import", "orders", str(file), "--dry-run")
    assert result.exit_code == 1
    assert "do not add up" in result.stderr


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    import gzip

    file = tmp_path / "orders.csv.gz"
    file.write_bytes(gzip.compress(CSV.encode()))
    assert json.loads(o2c("import", "orders", str(file), "--dry-run", "--json").stdout)["rows"] == 2
