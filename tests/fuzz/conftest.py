"""One stack for all fuzzing, apart from that of the end-to-end tests: it sees far more than its share of nonsense."""

from tests.e2e.conftest import e2e_home, foreign_broker, system

__all__ = ["e2e_home", "foreign_broker", "system"]
