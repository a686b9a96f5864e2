"""Structured logs: one line an event, with the request's or task's id, and never a push token."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars

log = structlog.get_logger("tianji.requests")

_TOKEN_IN_PATH = re.compile(r"(/api/push/|/setup/)[^/?\s\"']+")
_TOKEN = re.compile(r"\btjp_[0-9A-Za-z]{8,}")
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")


def redact(text: str) -> str:
    """Return `text` with push tokens and set-up tokens blotted out."""
    return _TOKEN.sub("tjp_...", _TOKEN_IN_PATH.sub(r"\1...", text))


def _redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


_SHARED: list[Any] = [
    merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logging_config(*, level: int, json: bool) -> dict[str, Any]:
    """Return Django's LOGGING: everything through structlog to standard error, at `level` and above."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: list[Any] = (
        [structlog.processors.format_exc_info, _redact_event, structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.dev.ConsoleRenderer(colors=False),
        ]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            # A line for each request comes from RequestLog; Django's own would say it twice.
            "django.request": {"level": "ERROR", "propagate": True},
            "django.server": {"level": "ERROR", "handlers": [], "propagate": True},
            # Two lines for each tick of every second are noise; faults still show.
            "celery.worker.strategy": {"level": logging.WARNING},
            "celery.app.trace": {"level": logging.WARNING},
            "celery.beat": {"level": logging.WARNING},
            "django_celery_beat": {"level": logging.WARNING},
            "httpx": {"level": logging.WARNING},
            "httpcore": {"level": logging.WARNING},
            "mail.log": {"level": logging.WARNING},
        },
    }


class RequestLog:
    """Middleware: gives each request an id, answers it in `X-Request-ID`, logs one line when done."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
        return response
