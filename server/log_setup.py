"""Logging to standard error: one line of key=value pairs for each event, without local variables
and without secrets."""

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=level_of_libraries, handlers=[handler], force=bool(hidden))


class _OneLine(logging.Formatter):
    """Lines of libraries begin with the time too, and their message, which may repeat what a client
    has sent, stays in one line. Only a traceback has more."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(levelname)s] %(message)s logger=%(name)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = "".join(map(_visible, record.message))
        return super().formatMessage(record)


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()
