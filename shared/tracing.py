"""W3C trace context: every piece of work is a new span in its caller's trace, and one order is one trace.

Who calls without a context begins a trace. That of work on an order follows from the order's id: so a shipment joins
the trace of its order although the warehouse knows nothing of traces. Whether a trace is sampled is decided once, where
it begins, by its id, and the flag says so to everybody after.
"""

import os
import re
from contextvars import ContextVar
from hashlib import blake2b
from itertools import count

_spans = count(int.from_bytes(os.urandom(7), "big"))
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SAMPLED = frozenset("13579bdf")
_RANGE = 1 << 64


class _Sampling:
    """Set once, when the process starts."""

    below = 0


def sample(ratio: float) -> None:
    """From now on sample this share (0 to 1) of the traces that begin here."""
    _Sampling.below = round(ratio * _RANGE)


def traceparent_of(value: bytes | None) -> str:
    """A header's traceparent, or "" for what is none: the W3C recommendation asks to ignore what cannot be read."""
    return value.decode("ascii") if value is not None and _TRACEPARENT.fullmatch(value) else ""


def child_of(traceparent: str, order_id: str = "") -> str:
    """A traceparent for a new span: in the given trace; where there is none (""), in that of the order or a new one."""
    span = f"{next(_spans) & 0xFFFF_FFFF_FFFF_FFFF:016x}"
    if traceparent:
        return f"{traceparent[:36]}{span}-{traceparent[53:]}"
    trace = trace_of(order_id) if order_id else os.urandom(16).hex()
    return f"00-{trace}-{span}-{'01' if int(trace[16:], 16) < _Sampling.below else '00'}"


def trace_of(order_id: str) -> str:
    """The id of the trace of an order that came without one: 32 hexadecimal digits, the same in every service."""
    return blake2b(order_id.encode("utf-8", "surrogatepass"), digest_size=16, person=b"o2c.order").hexdigest()


def is_sampled(traceparent: str) -> bool:
    """Whether spans of this trace are recorded; never of an empty one."""
    return traceparent[54:] in _SAMPLED


class Request:
    """The HTTP request under way. `trace`: its own span's traceparent; "" until something is done in it."""

    __slots__ = ("trace",)

    def __init__(self, trace: str = "") -> None:
        self.trace = trace


REQUEST: ContextVar[Request | None] = ContextVar("o2c_request", default=None)


def caller(traceparent: str, order_id: str) -> str:
    """The context in which a command is asked for: the given one, else that of the request under way, else ""."""
    request = None if traceparent else REQUEST.get()
    if request is None:
        return traceparent
    if not request.trace:
        request.trace = child_of("", order_id)
    return request.trace
