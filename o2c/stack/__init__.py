"""The embedded stack: PostgreSQL, a Kafka-protocol broker and the services as child processes of one owner."""

from o2c.stack.brokers import Broker
from o2c.stack.errors import AlreadyUpError, KafkaUnavailable, StackError
from o2c.stack.kafka import Kafka
from o2c.stack.ports import SERVICES
from o2c.stack.postgres import Postgres
from o2c.stack.stack import Progress, Stack, StackOptions
from o2c.stack.state import Part, StackState, default_home
from o2c.stack.tansu import Tansu

__all__ = [
    "SERVICES",
    "AlreadyUpError",
    "Broker",
    "Kafka",
    "KafkaUnavailable",
    "Part",
    "Postgres",
    "Progress",
    "Stack",
    "StackError",
    "StackOptions",
    "StackState",
    "Tansu",
    "default_home",
]
