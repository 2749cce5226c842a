"""Every metric of a service process: name, unit, labels and meaning. Names are OpenTelemetry's; Prometheus' follow.

Labels have few values, known beforehand: no ids of orders, customers or articles, nothing about persons.
"""

from collections.abc import Sequence
from typing import Literal

from shared.telemetry.histogram import Histogram
from shared.values import Value

Kind = Literal["counter", "gauge", "histogram"]

_SUFFIXES = {"s": "_seconds", "By": "_bytes"}


class Metric(Value, frozen=True):
    """`unit`: UCUM, in braces what is counted. `labels`: attribute names, as OpenTelemetry writes them."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name on `/metrics`, by the rules that OpenTelemetry's exporters for Prometheus follow."""
        total = "_total" if self.kind == "counter" else ""
        return f"{prometheus_label(self.name)}{_SUFFIXES.get(self.unit, '')}{total}"


def prometheus_label(name: str) -> str:
    """A label, or the beginning of a name, on `/metrics`."""
    return name.replace(".", "_")


Sample = tuple[tuple[str, ...], float | Histogram]
"""(values of the labels, in their order; the value)"""


class Family(Value, frozen=True):
    """A metric and its values at one moment."""

    metric: Metric
    samples: Sequence[Sample]


def of(metric: Metric, value: float | Histogram | None) -> Family:
    """The only value of a metric without labels; none at all when it is not known."""
    return Family(metric, [] if value is None else [((), value)])


# ---- the process
VERSION = Metric("o2c.build", "gauge", "", "Always 1; the label says which release runs", ("version",))
STARTED = Metric("o2c.process.start_time", "gauge", "s", "When the process started, seconds since 1970")
CPU = Metric("process.cpu.time", "counter", "s", "CPU that the process has used")
MEMORY = Metric("process.memory.usage", "gauge", "By", "Physical memory of the process")
GC = Metric("o2c.gc.time", "counter", "s", "CPU that garbage collection has used")
MISSING = Metric("o2c.missing", "gauge", "", "1: this part keeps the process from being ready", ("part",))
SPANS = Metric("o2c.spans", "counter", "{span}", "Spans that were exported, dropped or failed", ("result",))

# ---- batches
WORKS = Metric("o2c.batch.works", "histogram", "{work}", "Commands and messages that shared a transaction")
STEPS = Metric("o2c.batch.duration", "histogram", "s", "Time of a batch: load, decide, write, and whole", ("step",))
FACTS = Metric("o2c.facts", "counter", "{fact}", "Facts appended")
CONFLICTS = Metric("o2c.conflicts", "counter", "{batch}", "Batches decided again: another writer was first")
QUEUED = Metric("o2c.commands.queued", "gauge", "{command}", "HTTP commands that wait for a transaction")
LOOKUPS = Metric("o2c.cache.lookups", "counter", "{lookup}", "States looked for in memory: hit or miss", ("result",))
STATES = Metric("o2c.cache.states", "gauge", "{state}", "States kept in memory")

# ---- hearing
BATCHES = Metric("o2c.consumer.batches", "counter", "{batch}", "Batches from Kafka that were committed")
RECORDS = Metric("o2c.consumer.records", "counter", "{message}", "Messages in them")
BATCH_RECORDS = Metric("o2c.consumer.batch.records", "histogram", "{message}", "Messages of a batch from Kafka")
HANDLING = Metric(
    "o2c.consumer.duration", "histogram", "s", "From taking a batch from Kafka to its commit, waits included"
)
DUPLICATES = Metric("o2c.consumer.duplicates", "counter", "{message}", "Messages that had been heard before")
PARKED = Metric("o2c.consumer.parked", "counter", "{message}", "Messages that became dead letters or wait behind one")
GAPS = Metric("o2c.consumer.gaps", "gauge", "{lane}", "Lanes with a hole that is being asked for")
ASKED = Metric("o2c.consumer.asked_again", "counter", "{request}", "How often speakers were asked to say it again")
LAG = Metric("o2c.consumer.lag", "gauge", "{message}", "Messages in Kafka that were not taken yet", ("topic",))
DELAY = Metric(
    "o2c.message.delay", "histogram", "s", "From saying a message to its commit at this listener", ("speaker",)
)
STAGES = Metric("o2c.order.stage", "histogram", "s", "From placed until the order came to a stage", ("stage",))

# ---- saying
SENT = Metric("o2c.relay.sent", "counter", "{message}", "Messages said; again: asked for once more", ("said",))
SENDING = Metric("o2c.relay.duration", "histogram", "s", "From handing a batch to Kafka until it is acknowledged")
SENT_BATCH = Metric("o2c.relay.batch.messages", "histogram", "{message}", "Messages of a batch to Kafka")
BACKLOG = Metric("o2c.relay.backlog", "gauge", "{fact}", "Facts that are stored and not published yet")
LEADS = Metric("o2c.relay.leads", "gauge", "", "1: this process publishes for its service")
LETTERS = Metric("o2c.dead_letters", "gauge", "{letter}", "Dead letters by status, at most 10,000 counted", ("status",))

# ---- HTTP and the store
HTTP = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "Time of HTTP requests",
    ("http.request.method", "http.route", "http.response.status_code"),
)
ACTIVE = Metric("http.server.active_requests", "gauge", "{request}", "HTTP requests under way")
POOL = Metric("o2c.pool.connections", "gauge", "{connection}", "Connections to the store: used or idle", ("state",))
POOL_MAX = Metric("o2c.pool.connections.limit", "gauge", "{connection}", "How many there may be")

CATALOGUE = (
    *(VERSION, STARTED, CPU, MEMORY, GC, MISSING, SPANS),
    *(WORKS, STEPS, FACTS, CONFLICTS, QUEUED, LOOKUPS, STATES),
    *(BATCHES, RECORDS, BATCH_RECORDS, HANDLING, DUPLICATES, PARKED, GAPS, ASKED, LAG, DELAY, STAGES),
    *(SENT, SENDING, SENT_BATCH, BACKLOG, LEADS, LETTERS),
    *(HTTP, ACTIVE, POOL, POOL_MAX),
)
"""What every service says; each says its own business gauges as well (`services/*/gauges.py`)."""
