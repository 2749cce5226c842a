"""The bench: what it puts into the system, what it sends over HTTP, and what its report says."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from o2c.bench.asked import Asked
from o2c.bench.http_load import REPEATED_EVERY, Sender, connected, orders_to_post, requests_of
from o2c.bench.orders import Mix, generate, ordinary, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured
from o2c.bench.scenarios import FOR_KAFKA, SCENARIOS, flat, http, replicas, scenario, telemetry
from o2c.bench.scenarios.hot import compared
from o2c.bench.scenarios.latency import TimedWorld
from o2c.bench.scenarios.sustained import Sample, growth, judged, parts_of
from o2c.commands import bench as benching
from o2c.main import app
from o2c.outside.heard import Confirmed, Placed, Reserved, Said
from o2c.outside.plan import ALL_IN_FULL
from o2c.outside.world import Course, World
from o2c.stack import SERVICES, StackOptions
from shared.contracts.fulfillment import LineQuantity
from shared.contracts.inbound import Shipment
from shared.errors import UnavailableError
from shared.values import evolved
from tests.o2c.test_outside import AT

# ---- what is put in


def test_a_mix_says_who_orders_what() -> None:
    mix = Mix(("HOT",), ordinary(100).skus, lines=7, always="ALWAYS")
    orders = generate(30, seed=5, mix=mix)
    assert {order.customer_id for order in orders} == {"HOT"} == {c.customer_id for c in registered(mix)}
    assert all(len(order.lines) == 7 == len({line.sku for line in order.lines}) for order in orders)
    assert all("ALWAYS" in {line.sku for line in order.lines} for order in orders)


def reserved(order_id: str) -> Said[Any]:
    return Said(f"fulfillment-{order_id}@2", AT, Reserved(order_id, (LineQuantity(1, "A", 1),), True))


def test_with_reserved_first_nothing_leaves_before_the_last_order_is_reserved_and_then_everything() -> None:
    orders = generate(3, seed=1)
    ids = [order.order_id for order in orders]
    world = World([], orders, Course(1, ALL_IN_FULL, 0, 10, reserved_first=True))
    for order_id in (*ids[:2], ids[0], "of somebody else"):
        assert list(world.hear(reserved(order_id))) == []
    left = list(world.hear(reserved(ids[2])))
    assert {shipment.order_id for shipment in left if isinstance(shipment, Shipment)} == set(ids)


def test_orders_from_elsewhere_are_answered_and_waited_for_but_not_sent() -> None:
    own, foreign = generate(1, seed=1), generate(1, seed=2)
    world = World([], own, Course(1, ALL_IN_FULL, 0, 10), foreign)
    assert world.orders == tuple(own)
    assert len(list(world.hear(reserved(foreign[0].order_id)))) == 1
    assert foreign[0].order_id in world.progress.missing()


def test_latency_is_told_from_the_facts_and_from_the_instant_an_order_was_due() -> None:
    orders = generate(2, seed=1)
    world = TimedWorld([], orders, Course(1, ALL_IN_FULL, 0, 10, rate=50.0))
    for n, order in enumerate(orders):
        placed = Placed(order.order_id, order.customer_id, "GBP", 1, AT)
        world.hear(Said(f"order-{order.order_id}@1", AT, placed))
        later = AT.replace(microsecond=1_000 * (n + 1))
        for _ in range(2):  # a repeat changes nothing
            world.hear(Said(f"order-{order.order_id}@2", later, Confirmed(order.order_id)))
    assert world.between_ms("placed", "confirmed") == pytest.approx([1.0, 2.0])
    assert world.between_ms("placed", "paid") == []
    assert len(world.due_to_heard_ms(50.0)) == 2


# ---- over HTTP


def test_every_posted_order_has_its_own_key_and_repeats_are_the_same_bytes() -> None:
    number = 3 * REPEATED_EVERY
    requests = requests_of(number, "127.0.0.1:1")
    assert len(requests) == number + 3
    assert len(set(requests)) == number
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert set(json.loads(body)) == {"customer_id", "currency", "lines"}
    ids = {order.order_id for order in orders_to_post(number)}
    assert len(ids) == number
    assert not any(order_id.startswith("BENCH") for order_id in ids)  # made from the keys, as the service does


@asynccontextmanager
async def answering(pause: float) -> AsyncIterator[int]:
    """A server that answers each request after a while, in two pieces; the third of each connection with a 503."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for n in range(1_000):
            try:
                await reader.readuntil(b"\r\n\r\n{}")
            except asyncio.IncompleteReadError:
                break
            await asyncio.sleep(pause)
            writer.write(b"HTTP/1.1 503 x\r\ncontent-" if n == 2 else b"HTTP/1.1 201 Created\r\ncontent-")
            await asyncio.sleep(0)
            writer.write(b"length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_requests_are_sent_when_they_are_due_and_wait_counts_from_then() -> None:
    request = b"POST / HTTP/1.1\r\n\r\n{}"
    async with answering(pause=0.05) as port:
        sender = Sender(await connected("127.0.0.1", port, 1))
        await sender.send([request] * 4, rate=1_000.0)
        sender.close()
    assert sender.statuses == {"201": 3, "503": 1}
    # One connection: the fourth waits for the three before it, and that is part of its time.
    assert sorted(sender.seconds)[3] > 0.15


async def test_a_closed_connection_is_an_answer_that_did_not_come() -> None:
    async with answering(pause=0.0) as port:
        connections = await connected("127.0.0.1", port, 1)
        sender = Sender(connections)
        connections[0].connection_lost(None)
        await sender.send([], rate=1.0)
        assert sender.statuses == {}
        sending = asyncio.create_task(sender.send([b"POST / HTTP/1.1\r\n\r\n{}"], rate=1.0))
        await asyncio.sleep(0)
        connections[0].connection_lost(None)
        await sending
        sender.close()
    assert sender.statuses == {"no answer": 1}


# ---- what is found


def measured(orders: int, lines: int, seconds: float, cpu: float) -> Measured:
    return Measured(orders, lines, seconds, 0, {"order": cpu, "driver": 1.0}, [], "")


def test_a_floor_is_kept_on_its_side_of_the_bound() -> None:
    assert Floor("x", 300.0, 300.0).kept
    assert not Floor("x", 299.9, 300.0).kept
    assert Floor("x", 2.0, 2.0, at_most=True).kept
    assert not Floor("x", 2.1, 2.0, at_most=True).kept


def test_special_orders_are_compared_by_line_with_the_ordinary_ones_before_and_after() -> None:
    special = measured(1, 500, 1.0, 1.5)
    outcome = compared(special, measured(100, 400, 0.5, 0.4), measured(100, 600, 0.5, 0.6), lines=500)
    assert outcome.figures["cpu_ratio"] == 3.0
    assert outcome.figures["elapsed_ratio"] == 2.0
    assert [floor.kept for floor in outcome.floors] == [False, True]


def test_an_old_system_is_compared_with_a_young_one_over_all_turns_without_the_driver() -> None:
    young = [measured(100, 400, 0.5, 0.5), measured(100, 400, 0.5, 0.7)]
    old = [measured(100, 400, 0.6, 0.6), measured(100, 400, 0.6, 0.84)]
    outcome = flat.compared({"young": young, "old": old}, measured(1_000, 4_000, 5.0, 6.0), {"order": 100.0})
    assert outcome.figures["cpu_ratio"] == 1.2
    assert outcome.figures["cpu_ms_per_order_by_process"]["order"] == {"young": 6.0, "old": 7.2}
    assert [floor.kept for floor in outcome.floors] == [False]
    assert not outcome.wrong


def test_telemetry_is_compared_with_none_over_all_turns_and_must_have_reached_the_collector() -> None:
    off = [measured(100, 400, 0.5, 0.5), measured(100, 400, 0.5, 0.7)]
    on = [measured(100, 400, 0.6, 0.53), measured(100, 400, 0.6, 0.73)]
    outcome = telemetry.compared({"off": off, "on": on}, 7)
    assert outcome.figures["cpu_ratio"] == 1.05
    assert outcome.figures["cpu_ms_per_order_by_process"]["order"] == {"off": 6.0, "on": 6.3}
    assert [floor.kept for floor in outcome.floors] == [True]
    assert not outcome.wrong
    assert "collector" in telemetry.compared({"off": off, "on": on}, 0).wrong


def test_two_replicas_are_compared_with_one_over_all_turns_of_a_service() -> None:
    def turn(number: int, seconds: float, **other: float) -> replicas.Turn:
        return replicas.Turn(number, 300, dict.fromkeys(SERVICES, seconds) | other, dict.fromkeys(SERVICES, number - 1))

    turns = [turn(1, 2.0), turn(2, 1.0, credit=3.0), turn(2, 1.0, credit=4.0), turn(1, 4.0)]
    outcome = replicas.compared(turns)
    assert outcome.figures["orders"] == 1_200
    assert outcome.figures["orders_per_second"]["order"] == {"one": 100.0, "two": 300.0, "times": 3.0, "races_lost": 2}
    kept = {floor.figure.partition(":")[0]: floor.kept for floor in outcome.floors}
    assert kept == {**dict.fromkeys(SERVICES, True), "credit": False}
    assert replicas.compared([*turns, evolved(turns[0], missing="4 not placed")]).wrong == "4 not placed"


def test_fulfillment_hears_alone_and_need_only_not_be_slower_for_its_replica() -> None:
    assert replicas.alone() == {"fulfillment"}
    turns = [
        replicas.Turn(number, 100, dict.fromkeys(SERVICES, 1.0), dict.fromkeys(SERVICES, 0)) for number in (1, 2, 2, 1)
    ]
    assert {floor.figure.partition(":")[0] for floor in replicas.compared(turns).floors if floor.kept} == {
        "fulfillment"
    }


def test_beside_callers_each_service_shall_gain_by_a_replica_and_what_they_wait_is_told() -> None:
    turns = [
        replicas.Turn(number, 100, dict.fromkeys(SERVICES, 1.0), dict.fromkeys(SERVICES, 0), "", waited)
        for number, waited in ((1, dict.fromkeys(SERVICES, (30.0, 10.0))), (2, dict.fromkeys(SERVICES, (5.0,))))
    ]
    outcome = replicas.compared(turns, 400.0)
    assert not [floor for floor in outcome.floors if floor.kept]
    assert outcome.figures["answered_ms"]["credit, one"] == {"p50": 10.0, "p95": 30.0, "p99": 30.0}
    assert outcome.figures["answered_ms"]["credit, two"] == {"p50": 5.0, "p95": 5.0, "p99": 5.0}


async def test_replicas_are_not_measured_where_they_can_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(replicas, "rig")
    with pytest.raises(UnavailableError, match="--broker kafka"):
        await replicas.replicas(Asked(StackOptions(), lambda *_: None))


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, (1_500, 12.5)), ({"orders": 7, "rate": 3.0}, (7, 3.0))], ids=["by itself", "asked for"]
)
async def test_the_light_load_is_a_quarter_of_the_other_unless_something_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], expected: tuple[int, float]
) -> None:
    given: list[Asked] = []

    async def instant(asked: Asked) -> Outcome:
        given.append(asked)
        return Outcome({})

    monkeypatch.setattr(http, "http", instant)
    await http.http_light(Asked(StackOptions(), lambda *_: None, **asked))
    assert [(each.orders, each.rate) for each in given] == [expected]


@pytest.mark.parametrize("wrong", ["", "4 not placed"])
async def test_a_home_in_memory_is_left_only_to_look_for_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    home = tmp_path / "memory"

    async def instant(asked: Asked) -> Outcome:
        assert asked.options.home == home
        (home / "log").mkdir(parents=True)
        return Outcome({}, wrong=wrong)

    monkeypatch.setattr(http, "http", instant)
    monkeypatch.setattr(http, "MEMORY", home)
    await http.http_memory(Asked(StackOptions(), lambda *_: None))
    assert (home / "log").exists() == bool(wrong)


async def test_a_machine_without_a_file_system_in_memory_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(http, "http")
    monkeypatch.setattr(http, "MEMORY", tmp_path / "not there" / "o2c")
    with pytest.raises(UnavailableError, match="not there"):
        await http.http_memory(Asked(StackOptions(), lambda *_: None))


def test_a_load_that_piles_up_is_seen_in_its_last_third() -> None:
    samples = [Sample(n, 0, dict.fromkeys(SERVICES, 100.0)) for n in range(1, 101)]
    parts = parts_of(samples)
    means = {when: sum(s.under_way for s in part) / len(part) for when, part in parts.items()}
    assert means["end"] > means["middle"] > 2 * means["start"]
    assert min(s.under_way for s in parts["start"]) > 10  # the warm-up does not count
    assert all(parts_of(samples[:1]).values())
    assert growth({"start": 2_000.0, "middle": 0.0, "end": 6_000.0}, 1_000.0) == 3.0
    assert growth({"start": 2_000.0, "middle": 8_000.0, "end": 6_000.0}, 1_000.0) == 4.0
    # Less than a second's load is no backlog.
    assert growth({"start": 10.0, "middle": 0.0, "end": 900.0}, 1_000.0) == 0.9


def sample(under_way: int, *, lag: int = 0, memory_mb: float = 100.0) -> Sample:
    return Sample(under_way, lag, dict.fromkeys(SERVICES, memory_mb))


def test_minutes_under_load_are_judged_by_what_piles_up_grows_or_is_not_carried() -> None:
    def missed(samples: list[Sample], seconds: float = 10.0) -> list[str]:
        outcome = judged(measured(1_000, 4_000, seconds, 1.0), samples, None, 100.0, samples_due=len(samples))
        assert not outcome.wrong
        return [floor.figure.partition(",")[0] for floor in outcome.floors if not floor.kept]

    calm = [sample(100)] * 9
    assert missed(calm) == []
    assert missed(calm, seconds=11.0) == ["orders carried"]
    assert missed([*calm[:6], *[sample(400)] * 3]) == ["orders under way later"]
    assert missed([*calm[:6], *[sample(100, lag=9_000)] * 3]) == ["lag of the slowest service later"]
    assert missed([*calm[:6], *[sample(100, memory_mb=150.0)] * 3]) == ["memory of a service at the end"]
    assert missed([sample(100, memory_mb=250.0)] * 9) == ["memory of the largest service"]


def test_a_load_that_was_hardly_looked_at_says_nothing() -> None:
    outcome = judged(measured(1_000, 4_000, 10.0, 1.0), [sample(100)] * 8, None, 100.0, samples_due=10)
    assert outcome.wrong == "only 8 looks of 10"


# ---- the command


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_loaded(name: str) -> None:
    assert scenario(name).__doc__


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Outcome]:
    """Scenarios that find at once what is put here; cycle and replay are sound until a test says otherwise."""
    outcomes = {
        "cycle": Outcome({"orders": 7, "cpu": {"order": {"ms": 1}}}, (Floor("orders per second", 200.0, 300.0),)),
        "replay": Outcome({"facts": 9}),
    }

    def instant(name: str) -> Any:
        async def find(asked: Asked) -> Outcome:
            asked.watch("counting", 1, 2)
            asked.watch("waiting", 0, 0)
            return outcomes[name]

        return find

    monkeypatch.setenv("O2C_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("o2c.commands.bench.scenario", instant)
    return outcomes


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_one_scenario_is_reported_by_its_figures_and_several_by_name(found: Mapping[str, Outcome]) -> None:
    one = json.loads(bench("--json").stdout)
    assert (one["scenario"], one["orders"], one["broker"]) == ("cycle", 7, "embedded")
    assert one["floors"] == [{"figure": "orders per second", "value": 200.0, "bound": "≥ 300", "kept": False}]
    several = json.loads(bench("cycle", "replay", "--json").stdout)
    assert several["scenarios"]["replay"] == {"facts": 9}
    assert several["total_seconds"] >= 0


def test_a_missed_floor_is_shown_and_ends_with_1_only_when_that_is_asked_for(
    found: Mapping[str, Outcome], tmp_path: Path
) -> None:
    shown = bench("cycle", "--report", str(tmp_path / "report.json"))
    assert shown.exit_code == 0
    assert "200, wanted ≥ 300: missed" in shown.stdout
    assert json.loads((tmp_path / "report.json").read_text())["orders"] == 7
    assert bench("cycle", "--strict").exit_code == 1
    assert bench("replay", "--strict").exit_code == 0


def test_figures_that_mean_nothing_end_with_1_and_are_reported_all_the_same(
    found: dict[str, Outcome], tmp_path: Path
) -> None:
    found["cycle"] = Outcome({"orders": 3}, wrong="4 not placed")
    ended = bench("cycle", "--report", str(tmp_path / "report.json"))
    assert ended.exit_code == 1
    assert "4 not placed" in ended.stderr
    assert json.loads((tmp_path / "report.json").read_text())["wrong"] == "4 not placed"


def test_a_scenario_that_cannot_be_measured_does_not_keep_the_others_from_it(
    found: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    instant = benching.scenario

    async def refuses(asked: Asked) -> Outcome:
        raise UnavailableError("there is no sampler")

    monkeypatch.setattr("o2c.commands.bench.scenario", lambda name: refuses if name == "cycle" else instant(name))
    several = bench("cycle", "replay", "--json")
    assert json.loads(several.stdout)["scenarios"] == {"cycle": {"wrong": "not measured"}, "replay": {"facts": 9}}
    assert several.exit_code == 1
    assert "there is no sampler" in several.stderr
    assert "cycle: not measured" in several.stderr
    assert bench("cycle").exit_code == 3, "alone it has the exit code of its reason"


def test_all_are_those_that_mean_something_on_the_broker(found: dict[str, Outcome]) -> None:
    found.update({name: Outcome({}) for name in SCENARIOS})
    on_kafka = json.loads(bench("all", "--broker", "kafka", "--json").stdout)["scenarios"]
    embedded = json.loads(bench("all", "--json").stdout)["scenarios"]
    assert list(on_kafka) == list(SCENARIOS)
    assert on_kafka.keys() - embedded.keys() == FOR_KAFKA


def test_an_unknown_scenario_is_wrong_usage() -> None:
    ended = bench("nonsense")
    assert ended.exit_code == 2
    assert "sustained" in ended.stderr
