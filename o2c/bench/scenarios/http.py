"""`POST /orders` while the whole cycle runs: orders come over HTTP and over Kafka, and all are carried to paid."""

from dataclasses import replace
from pathlib import Path

from o2c.bench.asked import SEED, Asked
from o2c.bench.disk import watched_disk
from o2c.bench.http_load import Posted, mix_to_post, orders_to_post, poster
from o2c.bench.orders import customers, generate, registered
from o2c.bench.outcome import Floor, Outcome
from o2c.bench.rig import Measured, Rig, rig
from o2c.bench.scenarios.cycle import percentiles
from o2c.outside.world import World
from o2c.stack import Stack
from shared.errors import UnavailableError

POSTS = 4_000
RATE = 50.0
"""Orders per second that come over Kafka beside those posted."""
POSTED_TIMES = 4
"""So many are posted for each that comes over Kafka: 200 a second."""
P99_MS = 50.0
LIGHT_POSTS, LIGHT_RATE = 1_500, 12.5
"""A quarter of the load, for half a minute."""
MEMORY = Path("/dev/shm/o2c")
SECONDS_MIN = 60.0
"""Beside twice the time of sending: a machine that needs longer cannot carry this load at all."""


async def http(asked: Asked) -> Outcome:
    """Milliseconds until `POST /orders` is answered, each counted from when it was due, at a fixed rate."""
    number, rate = asked.orders or POSTS, asked.rate or RATE
    beside = number // POSTED_TIMES
    posted = orders_to_post(number)
    course = asked.course(in_flight=number, rate=rate)
    known = [*customers(beside), *registered(mix_to_post(number))]
    world = World(known, generate(beside, seed=SEED), course, posted)
    async with rig(asked.options, asked.watch) as stack:
        with watched_disk(asked.options.home) as disk_ms:
            measured, answers = await _both(stack, world, number, POSTED_TIMES * rate)
    return _outcome(measured, answers, rate, disk_ms)


async def http_light(asked: Asked) -> Outcome:
    """As `http`, with a quarter of its load: what an answer takes where there is CPU to spare."""
    return await http(replace(asked, orders=asked.orders or LIGHT_POSTS, rate=asked.rate or LIGHT_RATE))


async def http_memory(asked: Asked) -> Outcome:
    """As `http`, with the home in memory (Linux's /dev/shm): what is left of the time without the disk."""
    if not MEMORY.parent.is_dir():
        raise UnavailableError(f"there is no {MEMORY.parent} on this machine; set O2C_HOME to a directory in memory")
    outcome = await http(replace(asked, options=replace(asked.options, home=MEMORY)))
    if not outcome.wrong:
        Stack.wipe(MEMORY)
    return outcome


async def _both(stack: Rig, world: World, number: int, posts_per_second: float) -> tuple[Measured, Posted]:
    async with poster(stack.where.http_urls["order"], number, posts_per_second) as posting:
        seconds_max = SECONDS_MIN + 2 * number / posts_per_second
        measured = await stack.carry(world, "paid, posted and by Kafka", begun=posting.go, seconds_max=seconds_max)
        return measured, await posting.done()


def _outcome(measured: Measured, answers: Posted, rate: float, disk_ms: list[float]) -> Outcome:
    refused = {status: n for status, n in answers.statuses.items() if status not in ("200", "201")}
    shown = percentiles(answers.milliseconds)
    figures = {
        "posts": len(answers.milliseconds),
        "posts_per_second": POSTED_TIMES * rate,
        "orders_per_second_by_kafka": rate,
        "answered_ms": {**shown, "max": round(answers.milliseconds[-1], 1)},
        "disk_ms": {**percentiles(disk_ms), "max": round(max(disk_ms, default=0.0), 1)},
        "sent_late_p99_ms": round(answers.late_ms, 2),
        "statuses": answers.statuses,
        "orders": measured.orders,
        "placed_to_paid_ms": percentiles(measured.latencies_ms),
        "cpu_seconds": {
            **{name: round(seconds, 2) for name, seconds in measured.cpu_seconds.items()},
            "poster": round(answers.cpu_seconds, 2),
        },
        "seconds": round(measured.seconds, 1),
    }
    wrong = measured.missing or (f"not all posts were taken: {refused}" if refused else "")
    return Outcome(figures, (Floor("POST /orders p99, ms", shown["p99"], P99_MS, at_most=True),), wrong)
