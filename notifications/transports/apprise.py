"""Every service that Apprise reaches over HTTP, in its own thread that may do nothing else.

Apprise takes a second and 47 MB to load, so it is loaded when the first channel needs it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from notifications.messages.text import one_line
from notifications.transports.apprise_allowlist import ALLOWED
from notifications.transports.base import TOTAL_SECONDS, Failed, Outgoing, Result, Sent, Tone
from notifications.transports.redaction import scrub
from notifications.transports.sandbox import Fence, fenced, wait_of

_SCHEMA = re.compile(r"([A-Za-z0-9]{1,24})://[^\s\x00-\x1f\x7f]*")
_NOTIFY_TYPES = {
    Tone.DOWN: "failure",
    Tone.UP: "success",
    Tone.LATE: "warning",
    Tone.FLAPPING: "warning",
    Tone.CLOSED: "info",
    Tone.INFO: "info",
}
_DETAIL_LENGTH = 300
# Host names without a dot are shorter.
_TOKEN_LENGTH = 20


class AppriseTransport:
    """Sends through the service that `config["url"]` describes, within TOTAL_SECONDS."""

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        url = config.get("url")
        if not isinstance(url, str) or not url:
            return Failed("The channel has no URL.")
        return _Sending(url, outgoing).result_within(TOTAL_SECONDS)


def check(url: str) -> str:
    """Return what is wrong with an Apprise URL, in a sentence; empty if it is valid."""
    if not _SCHEMA.fullmatch(url):
        return _("Enter one Apprise URL, such as mmost://chat.example.com/token.")
    _library()
    with _log.capture() as logged, fenced(Fence(online=False)):
        found = _service(url)
    if isinstance(found, str):
        return found
    if found is None:
        why = scrub(logged[-1], _secrets_of(url)) if logged else ""
        return _("Apprise doesn't understand this URL. %(why)s") % {"why": why}
    return ""


# apprise is slow to import, and few use it: each function imports what it needs of it.


@cache
def _library() -> Any:
    import apprise
    from apprise.manager_plugins import NotificationManager

    logger = logging.getLogger("apprise")
    logger.addHandler(_log)
    # Its log may contain secrets; the attempt gets its messages without them.
    logger.propagate = False
    NotificationManager().load_modules()
    return apprise


def _service(url: str) -> Any:
    """Return the service for `url`, None if there is none, or a sentence if it is not allowed."""
    from apprise.manager_plugins import NotificationManager
    from apprise.plugins import url_to_dict

    library, manager = _library(), NotificationManager()
    results = url_to_dict(url)
    schema = str((results or {}).get("schema") or url.partition("://")[0]).lower()
    if schema not in manager:
        return None
    plugin = manager[schema]
    if plugin.__module__.split(".")[2] not in ALLOWED:
        return _("“%(schema)s” is not supported: only services that use HTTP are.") % {"schema": schema}
    if results is None:
        return None
    asset = library.AppriseAsset(storage_mode="memory", async_mode=False)
    asset.http_redirects = False
    asset.app_id, asset.app_desc, asset.app_url = "Tianji", "Tianji", ""
    return library.Apprise.instantiate(results, asset=asset)


def _secrets_of(url: str) -> list[str]:
    """Return the secrets in a URL: many services have a token where others have the host."""
    from apprise.manager_plugins import NotificationManager

    schema, _colon, rest = url.partition("://")
    manager, schema = NotificationManager(), schema.lower()
    parts = re.split(r"[:@]", re.split(r"[/?#]", rest, maxsplit=1)[0])
    if schema not in manager or any("{host}" in template for template in manager[schema].templates):
        parts = [part for part in parts if "." not in part and len(part) >= _TOKEN_LENGTH]
    return [url, *parts]


class _Sending:
    """One attempt in its own thread, which is abandoned when its time is up."""

    def __init__(self, url: str, outgoing: Outgoing) -> None:
        self.url, self.outgoing = url, outgoing
        self.language = get_language()
        self.fence = Fence()
        self.result: Result | None = None
        self.done = threading.Event()

    def result_within(self, seconds: float) -> Result:
        threading.Thread(target=self._run, name="apprise", daemon=True).start()
        self.done.wait(seconds)
        if self.result is not None:
            return self.result
        self.fence.cut_off()
        return Failed(f"No response within {seconds:.0f} s.")

    def _run(self) -> None:
        secrets = [self.url]
        try:
            _library()
            secrets = _secrets_of(self.url)
            with override(self.language), _log.capture() as logged, fenced(self.fence):
                result = self._judged(_service(self.url), logged)
        except Exception as error:  # whatever a service raises, the attempt failed
            result = Failed(self._refusal() or f"{type(error).__name__}: {error}")
        detail = scrub(one_line(result.detail), secrets)[:_DETAIL_LENGTH]
        self.result = Sent(detail) if isinstance(result, Sent) else Failed(detail, result.retry_after)
        self.done.set()

    def _judged(self, service: Any, logged: list[str]) -> Result:
        if isinstance(service, str):
            return Failed(service)
        if service is None:
            return Failed(f"Invalid URL: {logged[-1] if logged else 'unknown to Apprise'}")
        message = self.outgoing.message
        delivered = service.notify(
            body=message.text,
            title=message.title,
            notify_type=_library().NotifyType(_NOTIFY_TYPES[self.outgoing.tone]),
            body_format="text",
        )
        answer = self.fence.answer
        if delivered:
            return Sent(answer.line if answer else "Handed over.")
        if refusal := self._refusal():
            return Failed(refusal)
        # The last response belongs to what failed; without one, Apprise knows why.
        if answer is not None and not answer.ok:
            return Failed(answer.describe(), wait_of(answer))
        words = logged[-1] if logged else ""
        return Failed(f"{answer.describe()} {words}".strip() if answer else words or "Sending failed.")

    def _refusal(self) -> str:
        return str(self.fence.refused) if self.fence.refused else ""


class _LogCapture(logging.Handler):
    """The log messages of Apprise, kept for the thread that logged them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines: list[str] | None = getattr(self.here, "lines", None)
        if lines is None:
            return
        # The parsed parts of the URL, secrets included, come last and mean nothing to people.
        line, parts, _rest = one_line(record.getMessage()).partition(" URL: {")
        if not (parts and lines):
            lines.append(line)

    def capture(self) -> _Capture:
        return _Capture(self)


class _Capture:
    """While it is open, the messages logged in this thread are added to the list that it returns."""

    def __init__(self, handler: _LogCapture) -> None:
        self.handler = handler

    def __enter__(self) -> list[str]:
        self.handler.here.lines = []
        return self.handler.here.lines

    def __exit__(self, *_error: object) -> None:
        self.handler.here.lines = None


_log = _LogCapture()
