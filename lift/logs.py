"""Structured logs: past-tense events as JSON lines, with the ids bound to the task or thread that logs them."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog


def configure(*, level: str = "INFO", as_json: bool = True, role: str) -> None:
    """Sends structlog's and the standard library's records to stderr, one JSON object (or coloured line) each."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Without local variables: they hold document text and secrets.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: list[structlog.typing.Processor] = (
        [tracebacks, structlog.processors.JSONRenderer()] if as_json else [console]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler], force=True)
    structlog.contextvars.bind_contextvars(role=role)


class _Lines(structlog.WriteLogger):
    """Writes lines. One that cannot be written (a full disk) is lost, as with the standard library's handlers."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Binds ids (tenant, document, adapter, job, request) to every event logged inside the block."""
    with structlog.contextvars.bound_contextvars(**ids):
        yield
