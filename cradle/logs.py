"""Structured log lines: JSON, or readable ones on a terminal. None holds a document's path or content."""

import logging
import sys
from typing import Final

import structlog

TELL_EVERY_TRY: Final = ("aiokafka", "psycopg.pool")
"""Libraries that log each failed connection. Who uses them says once which dependency is away."""


def configure_logs(level: str, *, json: bool = False) -> None:
    """Sends our events and other libraries' warnings to stderr, one line each; `json` even where that is a terminal."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    readable = sys.stderr.isatty() and not json
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=28) if readable else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_drop_meta, renderer])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in TELL_EVERY_TRY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _drop_meta(
    logger: structlog.types.WrappedLogger, name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, name, event)
