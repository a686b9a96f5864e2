"""Webhooks: a POST of JSON to a URL."""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from notifications import destinations
from notifications.backoff import parse_retry_after
from notifications.signing import signature
from notifications.transports.base import TOTAL_SECONDS, Failed, Outgoing, Result, Sent
from tianji import __version__

if TYPE_CHECKING:
    import httpx

_BODY_LIMIT = 64 * 1024
# What a failed answer says is worth this many seconds of waiting and this many characters.
_BODY_SECONDS = 3.0
_EXCERPT = 300


class WebhookTransport:
    """POSTs the payload to `config["url"]`. Any 2xx is success; a redirect is not followed.

    A redirect would have to repeat the POST somewhere nobody entered here. The answer is decided by
    its status line; of the body of a failure at most 64 kB are read, for people to see why. Only
    410 Gone is permanent: everything else may be a receiver that is just being repaired. Where the
    channel has a secret, each request is signed with it.
    """

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        url = config.get("url")
        if not isinstance(url, str) or not url:
            return Failed("This channel has no URL.")
        secret = None
        if destinations.has_secret(config) and (secret := destinations.secret_of(config)) is None:
            # Unsigned, the receiver would refuse it or, worse, learn to do without.
            return Failed("The secret cannot be read: SECRET_KEY is not what it was. Enter the secret again.")
        # Not asyncio.run: closing, that waits for its threads, and a look-up of a name that hangs
        # in one of them would outlast the limit.
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(_post(url, outgoing, secret))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


async def _post(url: str, outgoing: Outgoing, secret: str | None) -> Result:
    import httpx  # late: it costs a quarter of a second, which only workers should pay

    body = json.dumps(outgoing.payload, ensure_ascii=False).encode()
    message_id, timestamp = str(outgoing.id), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Tianji/{__version__}",
        "Accept-Encoding": "identity",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
    }
    if secret is not None:
        headers["webhook-signature"] = signature(
            secret, message_id=message_id, timestamp=timestamp, body=body
        )
    try:
        # httpx bounds each read, not their sum: a server that drips would hold us for ever.
        async with (
            asyncio.timeout(TOTAL_SECONDS),
            httpx.AsyncClient(verify=_tls(), timeout=TOTAL_SECONDS, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return await _judge(response)
    except (TimeoutError, httpx.TimeoutException):
        return Failed(f"No answer within {TOTAL_SECONDS:.0f} s.")
    except httpx.ConnectError as error:
        return Failed(f"No connection: {error}")
    except httpx.HTTPError as error:
        return Failed(str(error) or type(error).__name__)
    except (httpx.InvalidURL, ValueError) as error:
        return Failed(f"This URL cannot be used: {error}")


async def _judge(response: httpx.Response) -> Result:
    said = f"HTTP {response.status_code} {_phrase(response)}".strip()
    if response.is_success:
        return Sent(said)
    if response.is_redirect:
        said = f"{said}: redirects are not followed; enter the address it leads to."
    elif excerpt := await _excerpt(response):
        said = f"{said}: {excerpt}"
    return Failed(
        said,
        retry_after=parse_retry_after(response.headers.get("Retry-After", ""), now=datetime.now(UTC)),
        permanent=response.status_code == HTTPStatus.GONE,
    )


def _phrase(response: httpx.Response) -> str:
    try:
        return response.extensions["reason_phrase"].decode("ascii", "replace")
    except KeyError:
        return ""


async def _excerpt(response: httpx.Response) -> str:
    """Return the beginning of an answer's body as text, or nothing where it is not readable in time."""
    import httpx

    read = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) >= _BODY_LIMIT:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass
    return bytes(read[:_BODY_LIMIT]).decode("utf-8", "replace")[:_EXCERPT].strip()


@functools.cache
def _tls() -> ssl.SSLContext:
    """The certificates to trust, read once: that takes longer than many a request."""
    import httpx

    return httpx.create_ssl_context()
