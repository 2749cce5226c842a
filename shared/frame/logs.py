"""Structured logs: one JSON object per line on standard error, with the service's name and UTC time."""

import logging
import sys

import structlog


def configure_logs(service: str, level: str) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # The libraries' own loggers: what they warn of matters, their chatter does not.
    logging.basicConfig(
        level=max(number, logging.WARNING), format='{"level":"%(levelname)s","logger":"%(name)s","event":%(message)r}'
    )
