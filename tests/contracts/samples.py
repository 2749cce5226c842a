"""The golden samples of public messages, by type."""

from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


def samples() -> dict[str, bytes]:
    """CloudEvents type → the body as it was kept."""
    return {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.json"))}


def without_younger_fields(written: Any, kept: Any) -> Any:
    """What is written today, without the optional fields that came after the sample was kept."""
    if isinstance(written, dict):
        return {name: without_younger_fields(value, kept[name]) for name, value in written.items() if name in kept}
    if isinstance(written, list) and len(written) == len(kept):
        return [without_younger_fields(*pair) for pair in zip(written, kept, strict=True)]
    return written
