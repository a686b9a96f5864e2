"""The bodies of requests for pages: received in the event loop, in time, and in bounded memory."""

from __future__ import annotations

import asyncio
from types import TracebackType

from monitors.heartbeats.gateway import Receive, Send

# As large as a form may be for Django. Nothing is uploaded; the API takes less.
BODY_MOST = 2_621_440
# By then all of it must be there. What people send is a few kilobytes.
BODY_SECONDS = 10.0
# What the bodies of a process may hold together, from their first byte until their response is sent.
BODIES_MOST = 32 * 1_048_576
# Only bodies up to this size may fill the last half: a few large ones prevent no sign-in.
SMALL = 65_536


class Refused(Exception):
    """A request is answered without being handled, since its body is not there."""

    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers

    async def send(self, send: Send) -> None:
        answer = self.text.encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
        # Otherwise the server would read the rest first.
        headers += [(b"connection", b"close"), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Bodies:
    """The room that the bodies of a process share. Belongs to its event loop.

    Args:
        most: how many bytes they may hold together.
    """

    def __init__(self, most: int = BODIES_MOST) -> None:
        self._most = most
        self.held = 0

    def new(self) -> Body:
        return Body(self)

    def has_room(self, size: int, more: int) -> bool:
        """Whether a body of `size` bytes may grow by `more`."""
        most = self._most if size + more <= SMALL else self._most // 2
        return self.held + more <= most


class Body:
    """One body. As a context manager, it gives its room back in the end."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.held -= self._size

    async def receive(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        """Return all of it. Raises Refused: it is too large, breaks off, takes too long or finds no room."""
        length = headers.get(b"content-length", b"")
        if not length and b"transfer-encoding" not in headers:
            return b""
        if length.isdigit() and int(length) > BODY_MOST:
            raise _too_large()
        parts = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _incomplete()
                    more = message.get("more_body", False)
                    if part := message.get("body", b""):
                        self._keep(len(part))
                        parts.append(part)
        except TimeoutError:
            raise _incomplete() from None
        return b"".join(parts)

    def _keep(self, more: int) -> None:
        if self._size + more > BODY_MOST:
            raise _too_large()
        if not self._bodies.has_room(self._size, more):
            raise Refused(503, "Too much is being sent to this server; try again.", (b"retry-after", b"5"))
        self._size += more
        self._bodies.held += more


def _too_large() -> Refused:
    return Refused(413, f"The request is limited to {BODY_MOST} bytes.")


def _incomplete() -> Refused:
    # A form that is cut would be read as one that is filled in differently.
    return Refused(408, "The request did not arrive completely.")
