"""The path of a push: where its token is, however the URL was put together."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SLASHES = re.compile(r"/{2,}")
# What a text editor, a script with Windows line ends or the end of a sentence leaves behind a URL.
_LEFT_BEHIND = r"[\s\x00-\x20.,'\"<>()\[\]]"
_PATH = re.compile(
    rf"/api/push(?:/(?P<token>[^/?&;]*?))?(?:/|{_LEFT_BEHIND})*(?:[?&;](?P<fields>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PushPath:
    """The token, "" if there is none; and fields behind it that were meant to be the query."""

    token: str
    fields: str = ""


def read_path(path: str) -> PushPath | None:
    """Return what a decoded path says if it is that of a push, else None.

    Repeated slashes count as one. Behind the token, slashes, white space and full stops are ignored.
    """
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if not path.startswith("/api/push"):
        return None
    match = _PATH.fullmatch(path)
    return PushPath(match["token"] or "", match["fields"] or "") if match else None
