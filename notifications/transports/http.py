"""One guarded way to send over HTTP, for all integrations.

An attempt ends within TOTAL_SECONDS, follows no redirects, reads a limited part of the response, connects
only to addresses that `ssrf_guard` allows, and repeats no secret in its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from core import __version__
from notifications.messages.text import one_line
from notifications.transports import ssrf_guard
from notifications.transports.base import (
    RESPONSE_LIMIT,
    RESPONSE_SECONDS,
    TOTAL_SECONDS,
    Failed,
    Outgoing,
    Result,
    Sent,
)
from notifications.transports.redaction import scrub
from notifications.transports.retry import parse_retry_after

# httpx is slow to import and only needed by workers that send: it is imported late.
if TYPE_CHECKING:
    import httpx

# How much of a response is shown.
_EXCERPT = 300
# A name may resolve to several addresses. Each but the last gets this long to accept a connection.
_ADDRESSES_MOST = 4
_CONNECT_SECONDS = 3.0

# What socket.getaddrinfo returns.
_Infos = list[tuple[Any, ...]]

# Tests put the URL of a fake here, by the origin of the provider that it replaces.
stand_ins: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A request ready to be sent. `bare`: success depends on the status alone; the body is not read."""

    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. The names of `headers` are in lower case; `body` is its beginning.

    `secrets` are removed by `describe`.
    """

    status: int
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status <= 299

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it isn't one."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def line(self) -> str:
        """The status line: "HTTP 429 Too Many Requests"."""
        return f"HTTP {self.status} {self.reason}".strip()

    @property
    def retry_after(self) -> timedelta | None:
        """How long the receiver asks us to wait, from its header."""
        return parse_retry_after(self.headers.get("retry-after", ""), now=self.sent_at)

    @property
    def sent_at(self) -> datetime:
        """When it was sent by the receiver's clock, by which the times in it are meant."""
        try:
            at = parsedate_to_datetime(self.headers.get("date", ""))
        except ValueError:
            return datetime.now(UTC)
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def describe(self, words: object = "") -> str:
        """Return the status line and the provider's `words`, or the beginning of the body."""
        text = words if isinstance(words, str) and words.strip() else self.text
        # Remove secrets first, then cut: half a secret is still one.
        excerpt = scrub(one_line(text), self.secrets)[:_EXCERPT]
        return f"{self.line}: {excerpt}" if excerpt else self.line


Judge = Callable[[Answer], Result]


def posted(url: str, content: Any, headers: Mapping[str, str] | None = None, *, method: str = "POST") -> Call:
    """Return a call that carries `content` as JSON."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Call(url, body, {"Content-Type": "application/json", **(headers or {})}, method)


def seconds(value: object) -> timedelta | None:
    """Return the wait that a provider gives as a number of seconds, None if it is invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**9:
        return None
    return timedelta(seconds=value)


def by_status(answer: Answer, words: object = "") -> Result:
    """Judge by the status alone: 2xx is success, and everything else is temporary.

    `words` is the provider's error message, if it is in a known part of the response.
    """
    if answer.ok:
        return Sent(answer.line)
    return Failed(answer.describe(words), retry_after=answer.retry_after)


def sender(
    build: Callable[[Mapping[str, Any], Outgoing], Call], judge: Judge, *, secrets: Iterable[str]
) -> Callable[[Mapping[str, Any], Outgoing], Result]:
    """Return the `send` of an integration.

    Args:
        build: makes the call from a config in the clear; raises KeyError, TypeError or ValueError for an
            invalid config.
        judge: decides what a response other than a redirect means.
        secrets: the names of the secrets in the config.
    """
    names = tuple(secrets)

    def send(config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        try:
            call = build(config, outgoing)
            if not all(isinstance(part, str) for part in (call.url, *call.headers.values())):
                raise TypeError
        except (KeyError, TypeError, ValueError) as error:
            # A KeyError names the missing setting; other errors might repeat a value.
            what = f" ({error})" if isinstance(error, KeyError) else ""
            return Failed(f"The channel's settings are invalid{what}. Edit the channel and save it again.")
        return deliver(call, judge, secrets=[config[name] for name in names if name in config])

    return send


def deliver(call: Call, judge: Judge, *, secrets: Iterable[object] = ()) -> Result:
    """Make one attempt and return its result; `secrets` are removed from it."""
    (result,) = deliver_each([call], judge, secrets=secrets)
    return result


def deliver_each(calls: Iterable[Call], judge: Judge, *, secrets: Iterable[object] = ()) -> list[Result]:
    """Make one attempt of each call, concurrently, and return their results in order."""
    hidden = tuple(secret for secret in secrets if isinstance(secret, str) and secret)

    async def all_of_them() -> list[Result]:
        return list(await asyncio.gather(*(_attempt(call, judge, hidden) for call in calls)))

    # Not asyncio.run, which waits for its threads when it closes: a DNS look-up that hangs in one of them
    # would outlast the limit.
    loop = asyncio.new_event_loop()
    try:
        results = loop.run_until_complete(all_of_them())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    return [replace(result, detail=scrub(result.detail, hidden)) for result in results]


async def _attempt(call: Call, judge: Judge, secrets: tuple[str, ...]) -> Result:
    import httpx

    headers = {
        "User-Agent": f"Tianji/{__version__}",
        "Accept-Encoding": "identity",
        **call.headers,
    }
    try:
        # httpx limits each read, not their sum: a server that drips would block us forever.
        async with (
            asyncio.timeout(TOTAL_SECONDS),
            httpx.AsyncClient(
                transport=_guarded()(), timeout=TOTAL_SECONDS, follow_redirects=False, trust_env=False
            ) as client,
            client.stream(call.method, _stood_in(call.url), content=call.body, headers=headers) as response,
        ):
            answer = replace(await _answer(response, call), secrets=secrets)
    except (TimeoutError, httpx.TimeoutException):
        return Failed(f"No response within {TOTAL_SECONDS:.0f} s.")
    except ssrf_guard.AddressNotAllowed as error:
        return Failed(str(error))
    except (httpx.ConnectError, socket.gaierror) as error:
        return Failed(f"Connection failed: {error}")
    except httpx.HTTPError as error:
        return Failed(str(error) or type(error).__name__)
    except (httpx.InvalidURL, ValueError) as error:
        return Failed(f"Invalid URL: {error}")
    if 300 <= answer.status <= 399:
        # Following it would send the request to a URL that was not entered here.
        return Failed(f"{answer.line}: redirects are not followed. Enter the URL that it redirects to.")
    return judge(answer)


def _stood_in(url: str) -> str:
    if not stand_ins:
        return url
    origin, slash, rest = url.partition("://")[2].partition("/")
    fake = stand_ins.get(f"{url.partition('://')[0]}://{origin}")
    return f"{fake}{slash}{rest}" if fake else url


async def _answer(response: httpx.Response, call: Call) -> Answer:
    reason = response.extensions.get("reason_phrase", b"").decode("ascii", "replace")
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = b"" if call.bare and response.is_success else await _beginning(response)
    return Answer(response.status_code, reason, headers, body)


async def _beginning(response: httpx.Response) -> bytes:
    """Return the beginning of a response body, as far as it arrives in time."""
    import httpx

    read = bytearray()
    try:
        async with asyncio.timeout(RESPONSE_SECONDS):
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) >= RESPONSE_LIMIT:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass
    return bytes(read[:RESPONSE_LIMIT])


@functools.cache
def _guarded() -> type[httpx.AsyncBaseTransport]:
    import httpx

    class Guarded(httpx.AsyncBaseTransport):
        """Resolves a name once, and connects to an address that may be reached.

        The Host header and the name that the certificate is verified for are still those of the URL.
        """

        def __init__(self) -> None:
            self.inner = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            host = request.url.raw_host.decode("ascii")
            port = request.url.port or (443 if request.url.scheme == "https" else 80)
            found = ssrf_guard.checked(host, await _look_up(host, port))[:_ADDRESSES_MOST]
            for address in found[:-1]:
                try:
                    return await self._to(address, request, host, connect=_CONNECT_SECONDS)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    continue
            return await self._to(found[-1], request, host)

        async def _to(
            self, address: str, request: httpx.Request, host: str, *, connect: float = TOTAL_SECONDS
        ) -> httpx.Response:
            timeouts = {**request.extensions.get("timeout", {}), "connect": connect}
            extensions = {**request.extensions, "timeout": timeouts, "sni_hostname": host}
            there = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            return await self.inner.handle_async_request(there)

        async def aclose(self) -> None:
            await self.inner.aclose()

    return Guarded


async def _look_up(host: str, port: int) -> list[str]:
    """Return the addresses of `host`, looked up in a thread of its own.

    Not in the loop's executor: that takes no more work once the process has begun to exit, while attempts
    are still under way, and the process would wait for a look-up that hangs.
    """
    loop = asyncio.get_running_loop()
    infos: asyncio.Future[_Infos] = loop.create_future()
    threading.Thread(target=_resolve, args=(host, port, infos), name="look-up", daemon=True).start()
    found = ssrf_guard.addresses(await infos)
    if not found:
        raise socket.gaierror(f"{host} has no address")
    return found


def _resolve(host: str, port: int, infos: asyncio.Future[_Infos]) -> None:
    found: _Infos | Exception
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # whatever it is, the attempt fails with it
        found = error
    # The loop is closed if the attempt took too long.
    with contextlib.suppress(RuntimeError):
        infos.get_loop().call_soon_threadsafe(_answer_with, infos, found)


def _answer_with(infos: asyncio.Future[_Infos], found: _Infos | Exception) -> None:
    if infos.done():  # the attempt was cancelled
        return
    if isinstance(found, Exception):
        infos.set_exception(found)
    else:
        infos.set_result(found)


@functools.cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates, read once: that takes longer than many requests."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)
