"""On which addresses something listens, as the kernel sees it."""

from pathlib import Path

_LISTEN = "0A"


def listening_addresses(port: int) -> set[str]:
    """Addresses with a listener on this port; IPv4 dotted, others in the kernel's hexadecimal."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, _, number = line.split()[1].partition(":")
            if line.split()[3] == _LISTEN and int(number, 16) == port:
                found.add(_dotted(address))
    return found


def _dotted(address: str) -> str:
    if len(address) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
    # An IPv4 address on an IPv6 socket, as Java opens it.
    mapped = address.startswith("0" * 16 + "FFFF0000")
    return _dotted(address[-8:]) if mapped else address
