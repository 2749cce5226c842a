"""The golden samples of public messages, by type."""

from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def samples() -> dict[str, bytes]:
    """CloudEvents type → the body as it was kept."""
    return {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.json"))}
