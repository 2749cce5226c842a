"""Every process behind one address: a name that leads to several IP addresses is asked at each of them."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

LOOKUP_SECONDS_MAX = 2.0
"""A name server that has not said by then is away; who is asked by name then says the same."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Host name → its IP addresses. OSError when it has none."""


@dataclass(frozen=True, slots=True)
class Replica:
    """Where one process answers. `url`: without a slash at its end; `address`: its IP address, "" where its service has
    only this one; `options`: for httpx, so that it is asked as by its name (Host, and the name in its certificate)."""

    url: str
    address: str = ""
    options: dict[str, Any] = field(default_factory=dict)


async def looked_up(host: str) -> Sequence[str]:
    """What the name servers of this machine say."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


async def replicas_of(url: str, resolve: Resolve | None = None) -> list[Replica]:
    """The processes behind the address of a service; that address itself, if its name cannot be looked up.

    One process may have an address of each family: only several of one family are several processes.
    """
    parts = urlsplit(url)
    families: defaultdict[int, set[str]] = defaultdict(set)
    try:
        async with asyncio.timeout(LOOKUP_SECONDS_MAX):
            for address in await (resolve or looked_up)(parts.hostname or ""):
                families[ip_address(address).version].add(address)
    except (OSError, ValueError):  # a time-out is an OSError
        return [Replica(url)]
    # IPv4 where both have as many.
    several = max((families[4], families[6]), key=len)
    if len(several) < 2:
        return [Replica(url)]
    options = {"headers": {"Host": parts.netloc}, "extensions": {"sni_hostname": parts.hostname}}
    port = "" if parts.port is None else f":{parts.port}"
    return [
        Replica(urlunsplit(parts._replace(netloc=_host(address) + port)), address, options)
        for address in sorted(several, key=ip_address)
    ]


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
