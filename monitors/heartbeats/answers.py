"""The answers to pushes, byte for byte, whichever front of the endpoint gives them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from monitors.heartbeats.parser import METHODS, Push, Rejection
from monitors.heartbeats.recorder import Limited, Outcome, Result
from monitors.heartbeats.rejections import UNKNOWN, Reason

# How many seconds a sender should wait after a 503.
_RETRY_AFTER = (b"retry-after", b"5")
_ALWAYS = ((b"cache-control", b"no-store"), (b"access-control-allow-origin", b"*"))
_ALLOWED = ", ".join(METHODS).encode()
# Why a push is rejected, by the HTTP status of the response.
_REASONS = {400: Reason.PARAMETER, 405: Reason.METHOD, 413: Reason.TOO_LARGE}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a push; `headers` as ASGI has them.

    `noted` is whether it is kept for the page of the token's monitor: then `detail` is the error, and
    `reason` one of RejectedPush.Reason, or None if the token is not active for whatever reason.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    noted: bool = False
    reason: str | None = None
    detail: str = ""


def _answer(status: int, content: dict[str, Any], *headers: tuple[bytes, bytes], **noted: Any) -> Answer:
    body = json.dumps(content, separators=(",", ":")).encode()
    described = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    return Answer(status, body, (*described, *_ALWAYS, *headers), **noted)


def _reject(status: int, message: str, *headers: tuple[bytes, bytes], **noted: Any) -> Answer:
    # The same text twice: there are two families of existing senders, and each reads one of the keys.
    return _answer(status, {"ok": False, "error": message, "msg": message}, *headers, detail=message, **noted)


def _unavailable(message: str) -> Answer:
    return _reject(503, message, _RETRY_AFTER)


def for_rejection(rejection: Rejection) -> Answer:
    """Return the answer to a push that is not well-formed."""
    return _reject(rejection.status, rejection.message, noted=True, reason=_REASONS[rejection.status])


def for_result(result: Result, push: Push) -> Answer:
    """Return the answer to a well-formed push that was recorded or turned away."""
    match result:
        case Outcome.RECORDED:
            return _answer(200, {"ok": True, "warning": push.warning}) if push.warning else _RECORDED
        case Outcome.LOCKED:
            return _LOCKED
        case Outcome.POST_ONLY:
            return _POST_ONLY
        case Outcome.UNKNOWN_TOKEN:
            return _NOT_ACTIVE
        case Limited(retry_after=seconds):
            return _reject(
                *(429, f"Rate limit exceeded; try again in {seconds} s.", (b"retry-after", b"%d" % seconds)),
                noted=True,
                reason=Reason.LIMIT,
            )


_RECORDED = _answer(200, {"ok": True})
_LOCKED = _unavailable("The monitor is locked; try again shortly.")
_POST_ONLY = _reject(
    405, "This monitor only accepts POST.", (b"allow", b"POST"), noted=True, reason=Reason.METHOD
)
# Revoked and expired tokens too: the monitor's page tells which, the response doesn't.
_NOT_ACTIVE = _reject(404, UNKNOWN, noted=True)

NO_TOKEN = _reject(404, UNKNOWN)
METHOD_NOT_ALLOWED = _reject(
    *(405, "Method not allowed; use GET, HEAD or POST.", (b"allow", _ALLOWED)),
    noted=True,
    reason=Reason.METHOD,
)
QUEUE_FULL = _unavailable("Too many pushes are queued; try again shortly.")
TOO_MANY_BODIES = _unavailable("Too many uploads in progress; try again shortly.")
# A fault of our own.
FAULT = _unavailable("Internal error; the heartbeat may not have been recorded.")
NOT_RECORDED = _unavailable("The heartbeat could not be recorded; try again shortly.")
# Without it, a page on another site can't push JSON.
PREFLIGHT = Answer(
    204,
    b"",
    (
        *_ALWAYS,
        (b"access-control-allow-methods", _ALLOWED),
        (b"access-control-allow-headers", b"Authorization, Content-Encoding, Content-Type"),
        (b"access-control-max-age", b"86400"),
    ),
)
