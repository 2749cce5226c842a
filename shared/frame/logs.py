"""Structured logs: one JSON object per line on standard error, with the service's name, UTC time and trace."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from shared.tracing import REQUEST


def configure_logs(service: str, level: str) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    number = logging.getLevelNamesMapping()[level]

    def of_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)  # not by a context variable: threads of libraries have none
        return event

    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        of_service,
        of_request,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*common, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The libraries' own loggers: what they warn of matters, their chatter does not.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])
    # An exporter says of every request that it failed; we say once that the collector is away.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


def of_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The trace of the HTTP request under way, by which its line and its spans find each other."""
    request = REQUEST.get()
    if request is not None and request.trace:
        event.setdefault("trace_id", request.trace[3:35])
        event.setdefault("span_id", request.trace[36:52])
    return event
