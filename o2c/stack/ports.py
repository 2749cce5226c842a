"""Loopback ports for the parts of a stack: free ones, or fixed by a base so that people can remember them."""

import asyncio
import random
import socket
from pathlib import Path

from o2c.stack.errors import StackError

LOOPBACK = "127.0.0.1"
SERVICES = ("order", "credit", "fulfillment", "billing", "receivables", "analytics")

OFFSETS = {"postgres": 0, "broker": 1, "controller": 2} | {name: 10 + i for i, name in enumerate(SERVICES)}
"""Distance of each part's port from the base."""

_LOWEST = 10_000
_EPHEMERAL_LOWEST = 32_768  # the kernel's default, where it cannot be asked
_ATTEMPTS_MAX = 2_000

_given: set[int] = set()


def fixed_ports(base: int) -> dict[str, int]:
    """Every part's port above this base. StackError when they would not fit below 65536."""
    highest = base + max(OFFSETS.values())
    if base < 1 or highest > 65_535:
        raise StackError(f"port base {base} does not fit: the ports {base} to {highest} must lie between 1 and 65535")
    return {name: base + offset for name, offset in OFFSETS.items()}


def free_port() -> int:
    """A port that nobody listens on and that this process has not handed out before.

    It lies below the range from which the kernel takes ports for outgoing connections. Inside that range a client's
    connection could take the port of a broker while the broker is being restarted.
    """
    lowest_ephemeral = _lowest_ephemeral()
    if lowest_ephemeral - _LOWEST < 1_000:
        return _port_of_the_kernel()
    for _ in range(_ATTEMPTS_MAX):
        port = random.randrange(_LOWEST, lowest_ephemeral)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise StackError(f"no free port between {_LOWEST} and {lowest_ephemeral} after {_ATTEMPTS_MAX} attempts")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Servers set it too: a connection in TIME_WAIT from an earlier run must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


async def listens(port: int) -> bool:
    """Whether something takes connections on this loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _lowest_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_LOWEST


def _port_of_the_kernel() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
