"""Parses and validates environment variables for settings.py, without Django's settings.

settings.py reads the variables itself, so that all of them are in one place. For an invalid value,
ImproperlyConfigured is raised with one sentence that names the variable; tianji/cli.py prints only that.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import SplitResult, urlsplit

import dj_email_url
from django.core.exceptions import ImproperlyConfigured

HISTORY_DAYS_LEAST = 30
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# The characters of an IP address or a host name.
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)


def generated_secret_key(folder: Path) -> str:
    """Return the key in the data folder, generated on first use."""
    path = folder / "secret-key"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=folder, prefix="secret-key.") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            # A link appears complete or not at all, and the first of two processes wins.
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_text().strip()


def public_url(value: str) -> SplitResult:
    """Return the parts of TIANJI_URL, with a scheme and a host name."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  (raises ValueError for an invalid port)
    except ValueError as error:
        raise ImproperlyConfigured(f"TIANJI_URL is {value!r}: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ImproperlyConfigured(
            f"TIANJI_URL is {value!r}; set it to the address people open, such as https://tianji.example.com"
        )
    return parts


def history_days(days: int) -> int:
    """Return TIANJI_HISTORY_DAYS: 0, or enough for the statistics of the last month."""
    if days != 0 and days < HISTORY_DAYS_LEAST:
        raise ImproperlyConfigured(
            f"TIANJI_HISTORY_DAYS is {days}; set it to {HISTORY_DAYS_LEAST} or more, or to 0 to keep all"
        )
    return days


def email_settings(url: str) -> dict[str, Any]:
    """Return Django's settings of the mail server that TIANJI_EMAIL_URL names."""
    found: dict[str, Any] = dj_email_url.parse(url)
    if found.get("EMAIL_BACKEND") != _SMTP:
        raise ImproperlyConfigured(
            "TIANJI_EMAIL_URL must look like smtp://user:password@mail.example.com:25, "
            "submission://user:password@mail.example.com:587 (STARTTLS) or "
            "smtp://user:password@mail.example.com:465?ssl=True"
        )
    return found


def private_hosts(entries: Iterable[str]) -> list[str]:
    """Return the networks, IP addresses and host names in TIANJI_ALLOW_PRIVATE_WEBHOOKS."""
    found = [entry for entry in map(str.strip, entries) if entry]
    for entry in found:
        try:
            if "/" in entry:
                ip_network(entry, strict=False)
            elif not _HOST.fullmatch(entry):
                raise ValueError("not a network, IP address or host name")
        except ValueError as error:
            raise ImproperlyConfigured(
                f"TIANJI_ALLOW_PRIVATE_WEBHOOKS contains {entry!r} ({error}); use networks, IP addresses and "
                "host names, separated by commas, such as 10.0.0.0/8,chat.example.internal"
            ) from error
    return found
