"""From the bytes of a body to its text: compression and character encodings, within a limit."""

from __future__ import annotations

import codecs
import re
import zlib
from enum import Enum, auto

_GZIP_MAGIC = b"\x1f\x8b"
# Tells zlib to expect the header of gzip.
_GZIP = 16 + zlib.MAX_WBITS
_ENCODINGS = ("gzip", "x-gzip", "deflate", "x-deflate", "identity", "none", "utf-8")
_MOST_ENCODINGS = 3
_DAMAGED = "The compressed body is damaged."
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
# What a charset may name. Others are either a part of UTF-8 or nothing that senders use.
_CHARSETS = frozenset(
    ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "iso8859-1", "iso8859-15")
) | {f"cp125{last}" for last in range(9)}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16: its little-endian mark begins like that one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Text has line breaks, tabs and, in a terminal's output, escapes; what is around it may be framed.
_NOT_IN_TEXT = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\ufffe\uffff]")
_FRAMING = "\0\x01\x02\x03\x04 \t\r\n\x1a\x1e\x1f"


class Unreadable(Exception):
    """The body can't be read; the text says why."""


class Extent(Enum):
    """How much of a body there is: all of it, what the limit allows, or what arrived before the connection
    ended.

    PERHAPS_WHOLE is a body that did not say how long it is, from a server that can't tell its end from that
    of the connection.
    """

    WHOLE = auto()
    PERHAPS_WHOLE = auto()
    CUT = auto()
    INCOMPLETE = auto()


def inflate(body: bytes, encodings: str, *, limit: int, extent: Extent) -> tuple[bytes, Extent]:
    """Undo the `Content-Encoding` of a body; return at most `limit` bytes, and how much of it that is.

    Gzip is recognised without the header too, and a body that is not compressed is left as it is, because
    a proxy may have inflated it and kept the header. Of a body that is not whole, what there is is inflated.

    Raises:
        Unreadable: it is damaged, or in an encoding that we don't know.
    """
    if not encodings and body[:2] != _GZIP_MAGIC:
        return body, extent
    names = [name.strip().lower() for name in encodings.split(",") if name.strip()]
    if len(names) > _MOST_ENCODINGS:
        raise Unreadable("The body has too many content encodings.")
    for name in reversed(names):
        if name not in _ENCODINGS:
            raise Unreadable("The content encoding is not supported; use gzip, deflate or none.")
        if "deflate" in name and body[:2] != _GZIP_MAGIC:
            body, extent = _deflate(body, limit=limit, extent=extent)
        elif body[:2] == _GZIP_MAGIC:
            body, extent = _decompress(body, _GZIP, limit=limit, extent=extent)
    if body[:2] == _GZIP_MAGIC:
        body, extent = _decompress(body, _GZIP, limit=limit, extent=extent)
    return body, extent


def _deflate(body: bytes, *, limit: int, extent: Extent) -> tuple[bytes, Extent]:
    """Inflate what is called deflate: with the header of zlib, or raw, or not compressed at all."""
    for window_bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        try:
            return _decompress(body, window_bits, limit=limit, extent=extent)
        except Unreadable:
            continue
    if is_text(body.decode("utf-8", "replace")):
        return body, extent
    raise Unreadable(_DAMAGED)


def _decompress(body: bytes, window_bits: int, *, limit: int, extent: Extent) -> tuple[bytes, Extent]:
    out = b""
    while body:
        inflater = zlib.decompressobj(window_bits)
        try:
            out += inflater.decompress(body, limit + 1 - len(out))
        except zlib.error as error:
            raise Unreadable(_DAMAGED) from error
        if len(out) > limit:
            return out[:limit], Extent.CUT
        if not inflater.eof:
            return out, Extent.CUT if extent is Extent.CUT else Extent.INCOMPLETE
        # Files of gzip may be joined, and padded with zeros.
        body = inflater.unused_data.lstrip(b"\0")
    return out, extent


def decode(body: bytes, content_type: str) -> str:
    """Return the text of a body, without its byte order mark; bytes that don't fit are replaced."""
    if body.isascii() and b"\0" not in body:
        return body.decode("ascii")
    text = body.decode(_charset_of(body, content_type), "replace")
    return text if text.isascii() else text.lstrip("\ufeff")


def is_text(text: str) -> bool:
    """Return whether `text` is likely to be text, and not some binary format that was decoded as text."""
    text = text.strip(_FRAMING)
    return bool(text) and not (
        text.startswith("\ufffd") or _NOT_IN_TEXT.search(text) or text.count("\ufffd") * 3 > len(text)
    )


def _charset_of(body: bytes, content_type: str) -> str:
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return charset
    if len(body) >= 4 and b"\0" in body[:4]:
        # Mostly ASCII in two bytes each, without a mark.
        high, low = body[0::2].count(0), body[1::2].count(0)
        if max(high, low) * 3 > len(body):
            return "utf-16-be" if high > low else "utf-16-le"
    if (match := _CHARSET.search(content_type)) is not None:
        try:
            name = codecs.lookup(match[1]).name
        except (LookupError, ValueError):
            return "utf-8"
        if name in _CHARSETS and not (name.startswith(("utf-16", "utf-32")) and _is_utf_8(body)):
            return name
    return "utf-8"


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body
