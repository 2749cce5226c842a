"""What can go wrong while the embedded stack is brought up, kept running or taken down."""

from shared.errors import UnavailableError


class StackError(UnavailableError):
    """A part of the stack cannot be started or stopped; the message quotes the end of its log."""

    code = "stack"


class AlreadyUpError(StackError):
    """Another process holds this home's lock: a stack is up there already."""

    code = "already_up"


class KafkaUnavailable(StackError):
    """Apache Kafka cannot run here: no Java 17, or its jars are neither cached nor to be had."""

    code = "kafka_unavailable"
