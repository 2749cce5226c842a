"""What every broker of the stack has in common: an address, and the question whether it serves Kafka clients."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from o2c.stack.ports import LOOPBACK, listens
from o2c.stack.processes import Server

_ANSWER_SECONDS_MAX = 5.0


@dataclass
class Broker(Server):
    """A single broker on loopback."""

    @property
    def servers(self) -> str:
        """Its bootstrap address."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def advice(self) -> Mapping[str, str]:
        """Settings that suit this broker better than the services' own, as environment variables."""
        return {}

    async def ready(self) -> bool:
        """Whether a client gets the cluster's metadata with at least one broker in it."""
        # Whether it listens is asked first because the client logs an error for each refused connection.
        return await listens(self.port) and await answers(self.servers)


async def answers(servers: str) -> bool:
    """Whether a broker at this address tells clients about its cluster."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=int(_ANSWER_SECONDS_MAX * 1000))
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            await client.start()
            return bool((await client.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()
