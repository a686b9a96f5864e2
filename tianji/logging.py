"""Structured logs: one line per event, with the id of the request or task, and never a push token."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.log import CallbackFilter
from structlog.contextvars import bound_contextvars, clear_contextvars, merge_contextvars

log = structlog.get_logger("tianji.requests")

# A mistyped push URL still contains the token, and imported tokens have no recognisable form. All segments
# are redacted: during a move, a sender may still use the old URL, or have one slash too many.
_TOKEN_IN_PATH = re.compile(
    r"(/(?:push|ping|setup|acknowledge|password/reset/key|email/confirm)/)([^?\s\"'\\]+)", re.IGNORECASE
)
_SEGMENT = re.compile(r"[^/]+")
_TOKEN = re.compile(r"tj[pa]_[0-9A-Za-z]{8,}")
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")


def redact(text: str) -> str:
    """Return `text` without push tokens and the tokens in links (setup, password, address, acknowledge)."""
    text = _TOKEN_IN_PATH.sub(lambda found: found[1] + _SEGMENT.sub("...", found[2]), text)
    return _TOKEN.sub(lambda found: found[0][:4] + "...", text)


def _redact_line(logger: Any, method: str, line: str) -> str:
    """Redact the finished line: a token may also be in a list, an error or a traceback."""
    return redact(line)


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
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    renderer,
                    _redact_line,
                ],
            }
        },
        "filters": {"raised": {"()": CallbackFilter, "callback": lambda record: bool(record.exc_info)}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            # RequestLog writes one line per request; Django's would duplicate it, and write one for each push
            # that can't be recorded. Only tracebacks are news.
            "django.request": {"level": "ERROR", "filters": ["raised"], "propagate": True},
            "django.server": {"level": "ERROR", "handlers": [], "propagate": True},
            # Scanners try thousands of host names; the response is 400 either way.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # A line for every tick, every second, and startup banners are noise; errors still show.
            "celery": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.worker.consumer.connection": {"level": "WARNING"},
            "celery.apps.worker": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "django_celery_beat": {"level": "WARNING"},
            "django_celery_beat.schedulers": {"level": "WARNING"},
            # It warns about a missing host name, which a folder as the broker does not have.
            "kombu.connection": {"level": "ERROR"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            # Their lines contain URLs, which may contain secrets.
            "urllib3": {"level": "ERROR"},
            "apprise": {"level": "WARNING", "propagate": False},
            "mail.log": {"level": "WARNING"},
        },
    }


class RequestLog:
    """Middleware: gives each request an id, returns it in `X-Request-ID`, and logs one line at the end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        clear_contextvars()
        # Bound to this request only: the next push on this thread bypasses this middleware.
        with bound_contextvars(request_id=request_id):
            return self._answer(request, request_id)

    def _answer(self, request: HttpRequest, request_id: str) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        # Probes come every few seconds and are of no interest as long as they succeed.
        quiet = request.path in ("/livez", "/readyz", "/healthz") and response.status_code == 200
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
        return response
