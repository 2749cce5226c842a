"""W3C trace context: every piece of work is a new span in its caller's trace."""

import os
from itertools import count

_spans = count(int.from_bytes(os.urandom(7), "big"))


def child_of(traceparent: str) -> str:
    """A traceparent for a new span: in the given trace, or in a new trace when there is none ("")."""
    span = f"{next(_spans) & 0xFFFF_FFFF_FFFF_FFFF:016x}"
    return f"{traceparent[:36]}{span}-01" if traceparent else f"00-{os.urandom(16).hex()}-{span}-01"
