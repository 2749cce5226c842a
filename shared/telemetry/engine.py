"""What the engine counts as it goes: plain attributes, read when somebody asks."""

import time

from shared.telemetry.histogram import SECONDS, SIZES, Histogram


class WorkFigures:
    """Of the unit of work: seconds of its steps, works per batch, facts."""

    def __init__(self) -> None:
        self.load, self.decide, self.write, self.whole = (Histogram(SECONDS) for _ in range(4))
        self.works = Histogram(SIZES)
        self.facts = 0


class HearingFigures:
    """Of the consumer: messages per batch, seconds from taking a batch to its commit."""

    def __init__(self) -> None:
        self.records, self.seconds = Histogram(SIZES), Histogram(SECONDS)


class SayingFigures:
    """Of the relay: messages per batch, seconds until Kafka has acknowledged it."""

    def __init__(self) -> None:
        self.messages, self.seconds = Histogram(SIZES), Histogram(SECONDS)


class Lap:
    """A stop-watch: seconds since it was made, and between its laps."""

    __slots__ = ("_begun", "_lap")

    def __init__(self) -> None:
        self._begun = self._lap = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the lap before."""
        before, self._lap = self._lap, time.perf_counter()
        return self._lap - before

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begun
