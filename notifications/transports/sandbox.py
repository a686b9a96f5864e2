"""A thread that may do nothing but speak HTTP(S) to addresses that `ssrf_guard` allows.

For libraries that do their own I/O. In a fenced thread, Python's audit events (PEP 578) are denied: running
programs, opening files other than those that Python and the certificates need, and sockets to anywhere else.
Each connection is checked by the address that is really connected to, so redirects and DNS rebinding gain
nothing. Other threads only pay for one look at a thread-local variable.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import certifi
from django.conf import settings

from notifications.transports import ssrf_guard
from notifications.transports.base import RESPONSE_LIMIT, RESPONSE_SECONDS, TOTAL_SECONDS
from notifications.transports.http import Answer

# requests and urllib3 are slow to import and only needed by workers that send: they are imported late.
if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

# Each applies to one read; the sum is limited by whoever abandons the thread.
_CONNECT_SECONDS, _READ_SECONDS = 5.0, TOTAL_SECONDS
_NEVER = frozenset(
    {"subprocess.Popen", "pty.spawn", "socket.bind", "socket.sethostname", "ctypes.dlopen", "os.system"}
    | {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.putenv"}
    | {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
    | {
        "os.chown",
        "os.kill",
        "os.killpg",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "signal.pthread_kill",
    }
)
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")

_here = threading.local()
_built = threading.Lock()
_is_built = False


class Forbidden(OSError):
    """A fenced thread tried something that it may not do."""


@dataclass(slots=True)
class Fence:
    """One fenced thread: its last response, why it was denied something, and its open sockets."""

    online: bool = True
    host: str = ""
    busy: bool = False
    refused: OSError | None = None
    answer: Answer | None = None
    sockets: list[socket.socket] = field(default_factory=list)
    cut: bool = False

    def cut_off(self) -> None:
        """Close the thread's connections, and allow no new ones."""
        self.cut = True
        for line in tuple(self.sockets):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fenced(fence: Fence) -> Iterator[None]:
    """Fence this thread."""
    _build()
    _here.fence = fence
    try:
        yield
    finally:
        _here.fence = None
        for line in fence.sockets:
            line.close()


def _build() -> None:
    """Install the audit hook, once per process; it can't be removed again."""
    global _is_built  # noqa: PLW0603
    with _built:
        if not _is_built:
            _readable()
            _record_answers()
            sys.addaudithook(_audit)
            _is_built = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    fence: Fence | None = getattr(_here, "fence", None)
    if fence is None or fence.busy:
        return
    if not (event.startswith(("socket.", "os.", "shutil.")) or event in _NEVER or event == "open"):
        return
    # What the check itself does, such as reading a translation catalogue, is not checked.
    fence.busy = True
    try:
        _judge(fence, event, arguments)
    except OSError as error:
        if event != "open":
            fence.refused = fence.refused or error
        raise
    finally:
        fence.busy = False


def _judge(fence: Fence, event: str, arguments: tuple[Any, ...]) -> None:
    if event in _NEVER:
        raise Forbidden(f"This service tried to do more than send over HTTP ({event}), which is not allowed.")
    if event == "open":
        _judge_file(*arguments[:3])
    elif event == "socket.getaddrinfo":
        # The next connection goes to what this name resolves to.
        fence.host = _text(arguments[0])
        if fence.cut or not fence.online:
            raise Forbidden("No connections are allowed at this point.")
    elif event in _SENDS:
        line, address = arguments[0], arguments[1]
        if fence.cut or not fence.online:
            raise Forbidden("No connections are allowed at this point.")
        if not isinstance(address, tuple):
            raise Forbidden("This service tried to connect to this machine itself, which is not allowed.")
        target = _text(address[0])
        ssrf_guard.check(target, host=fence.host or target)
        # A duplicate, because TLS takes over the socket itself.
        fence.sockets.append(line.dup())


def _judge_file(path: object, mode: object, flags: object) -> None:
    if isinstance(path, int):
        return  # opened before
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
    wanted = any(flag in mode for flag in "wax+") if isinstance(mode, str) else False
    if wanted or (isinstance(flags, int) and flags & writes):
        raise Forbidden("This service tried to write a file, which is not allowed.")
    name = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
    if not name.startswith(_readable()):
        raise Forbidden("This service tried to read a file, which is not allowed.")


_readable_folders: tuple[str, ...] = ()


def _readable() -> tuple[str, ...]:
    """Return the folders that Python itself reads modules, certificates and time zones from."""
    global _readable_folders  # noqa: PLW0603
    if not _readable_folders:
        paths = sysconfig.get_paths()
        found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
        found |= {os.path.dirname(certifi.where()), "/etc/ssl", "/usr/share/zoneinfo"}
        found |= {path for path in ssl.get_default_verify_paths()[:2] if path}
        # Error messages are translated.
        found |= {str(path) for path in settings.LOCALE_PATHS}
        _readable_folders = tuple(sorted({os.path.realpath(path) + os.sep for path in found}))
    return _readable_folders


def _record_answers() -> None:
    """Make requests keep to our limits in fenced threads, and remember the last response there."""
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    original = HTTPAdapter.send

    def send(self: HTTPAdapter, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        fence: Fence | None = getattr(_here, "fence", None)
        if fence is None:
            return original(self, request, *arguments, **options)
        options.pop("proxies", None)
        # A proxy from the environment would connect in our place, unchecked.
        options |= {"stream": True, "timeout": (_CONNECT_SECONDS, _READ_SECONDS), "proxies": {}}
        request.headers["Accept-Encoding"] = "identity"
        response = original(self, request, **options)
        body = _beginning(response.raw)
        response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
        response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        fence.answer = Answer(response.status_code, response.reason or "", headers, body)
        return response

    HTTPAdapter.send = send  # type: ignore[method-assign]


def _beginning(raw: HTTPResponse) -> bytes:
    """Return the beginning of a response body, as far as it arrives in time."""
    from urllib3.exceptions import HTTPError

    read, end = bytearray(), time.monotonic() + RESPONSE_SECONDS
    with contextlib.suppress(HTTPError, OSError):
        while len(read) < RESPONSE_LIMIT and time.monotonic() < end and (piece := raw.read1(RESPONSE_LIMIT)):
            read += piece
    return bytes(read[:RESPONSE_LIMIT])


def _text(name: object) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes | bytearray) else str(name)


def wait_of(answer: Answer | None) -> timedelta | None:
    """Return how long the receiver asks us to wait."""
    return answer.retry_after if answer is not None and not answer.ok else None
