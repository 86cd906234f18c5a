"""Logging to standard error: one line of key=value pairs for each event, without local variables
and without secrets."""

import logging
import sys
from collections.abc import Iterable

import structlog

from server.redaction import redacted


def configure(level: str, secrets: Iterable[str] = ()) -> None:
    """`level` is one of Python's level names. `secrets` are hidden in all that is written to
    standard error from now on, errors and tracebacks included."""
    if hidden := list(secrets):
        sys.stderr = redacted(sys.stderr, hidden)
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    level_of_libraries = max(threshold, logging.WARNING)
    logging.basicConfig(level=level_of_libraries, stream=sys.stderr, force=bool(hidden))
