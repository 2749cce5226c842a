"""Where the running system is: the stack of this home, or what the environment names (a cluster, Compose)."""

from collections.abc import Mapping

from o2c.environment import settings
from o2c.stack import Stack, default_home
from shared.errors import UnavailableError
from shared.values import Value

URLS = "O2C_SERVICE_URLS"
"""Environment variable for a system that `o2c up` did not start: `order=http://…,credit=http://…`; its database and
broker are then those of `O2C_DATABASE_URL` and `O2C_KAFKA_SERVERS`."""


class Addresses(Value, frozen=True, gc=False):
    """What a command needs to reach the system. `http_urls`: service → base URL."""

    database_url: str
    database_prefix: str
    kafka_servers: str
    http_urls: Mapping[str, str]

    def database_of(self, service: str) -> str:
        """The address of a service's own database."""
        return settings(database_url=self.database_url, database_prefix=self.database_prefix).database_of(service)


def addresses() -> Addresses:
    """Of the system that is up. UnavailableError, saying what to do, if none is."""
    own = settings()
    if given := own.urls_of_services():
        return Addresses(own.database_url, own.database_prefix, own.kafka_servers, given)
    state = Stack.state()
    if state is None or not state.up:
        raise UnavailableError(
            f"no stack is up in {default_home().absolute()}: start one with `o2c up --detach`, "
            f"or name a running system in {URLS}"
        )
    return Addresses(state.database_url, own.database_prefix, state.kafka_servers, state.http_urls)
