"""The path of a push: where its token is, however the URL was put together."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PREFIX = "/api/push"
_SLASHES = re.compile(r"/{2,}")
# What a text editor, a script with Windows line ends or the end of a sentence leaves behind a URL.
_LEFT_BEHIND = "/.,'\"<>()[]" + "".join(map(chr, range(33))) + "\x7f\x85\xa0"
# Where the query would begin, if its question mark were not encoded or forgotten.
_FIELDS = re.compile(r"[?&;]")


@dataclass(frozen=True, slots=True)
class PushPath:
    """The token, "" if there is none; and fields behind it that were meant to be the query."""

    token: str
    fields: str = ""

    def with_query(self, query: bytes) -> bytes:
        """Return the query with those fields in front of it."""
        # Their question mark was encoded, or forgotten.
        return b"%b&%b" % (self.fields.encode(), query) if self.fields else query


def read_path(path: str) -> PushPath | None:
    """Return what a decoded path says if it is that of a push, else None.

    Repeated slashes count as one. Behind the token, slashes, white space and full stops are ignored.
    """
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if not path.startswith(_PREFIX):
        return None
    place, *fields = _FIELDS.split(path[len(_PREFIX) :], maxsplit=1)
    token = place.rstrip(_LEFT_BEHIND).removeprefix("/")
    # "/api/pushes" and "/api/push/a/b" are other addresses.
    if (place and place[0] not in _LEFT_BEHIND) or "/" in token:
        return None
    return PushPath(token, *fields)
