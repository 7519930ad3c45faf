"""Structured logs: one line an event, JSON for machines or text for a terminal, with secrets taken out at the border."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

HIDDEN = "[hidden]"
# A key that holds one of these never reaches a log line.
SECRET_WORDS = (
    "password",
    "secret",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "private_key",
)
SECRET_NAMES = frozenset({"key", "token", "access_token", "refresh_token", "csrfmiddlewaretoken", "auth"})


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that blanks values whose names say that they are secret, at any depth."""
    for key, value in event.items():
        event[key] = _hidden(key, value)
    return event


def _hidden(key: str, value: Any) -> Any:
    name = key.lower().replace("-", "_")
    if name in SECRET_NAMES or any(word in name for word in SECRET_WORDS):
        return HIDDEN if value else value
    if isinstance(value, dict):
        return {inner: _hidden(str(inner), part) for inner, part in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(key, part) if isinstance(part, dict) else part for part in value]
    return value


SHARED_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
    hide_secrets,
]


def configure_structlog() -> None:
    """Send structlog's events through the standard library, so that there is one stream and one format."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def config(*, level: str, as_json: bool) -> dict[str, Any]:
    """The LOGGING dictionary: everything to standard error at `level`, the chatty libraries from WARNING up."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=True)
    )
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *([structlog.processors.format_exc_info] if as_json else []),
        renderer,
    ]
    quiet = (
        "daphne",
        "django.channels.server",
        "axes",
        "httpx2",
        "httpcore2",
        "openai",
        "asyncio",
        "rq",
        "rq.worker",
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "stepwell": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": processors,
                "foreign_pre_chain": SHARED_PROCESSORS,
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "stepwell"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django attaches handlers of its own; without them each line comes once.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Every request has its own line already.
            "django.request": {"level": "ERROR"},
            **{name: {"level": max(logging.WARNING, logging.getLevelName(level))} for name in quiet},
        },
    }
