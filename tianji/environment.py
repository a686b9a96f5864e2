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
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import dj_email_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, ValidationError

from tianji import paths

HISTORY_DAYS_LEAST = 30
# A hundred years. Far more could not be calculated with.
DAYS_MOST = 36_500
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# The characters of an IP address or a host name.
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)
# A file with more than this is not one with a setting.
_FILE_LENGTH = 64 * 1024
_SYSTEM_ZONES = Path("/usr/share/zoneinfo")
# Fewer make a key that can be found by trying. `openssl rand -hex 16` makes 32.
_KEY_LENGTH, _KEY_CHARACTERS = 32, 8
_KEY_WORDS = (
    *("changeme", "change-me", "change_me", "change this", "replace", "insecure", "example"),
    *("secret-key", "secret_key", "secretkey", "your-secret", "your_secret", "password"),
)
_NEW_KEY = 'python3 -c "import secrets; print(secrets.token_urlsafe(50))"'


class Environment(Env):
    """Reads variables. Each may be in a file instead, which the variable with _FILE after its name names."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        name = f"{env_key}_FILE"
        if not (path := os.environ.get(name)):
            return super()._get_value(env_key, default)
        if os.environ.get(env_key):
            raise ImproperlyConfigured(f"{env_key} and {name} are both set; remove one of them.")
        return _content(name, path)


def _content(name: str, path: str) -> str:
    """Return what is in the file at `path`, which the variable `name` names, without space around it."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_FILE_LENGTH + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise ImproperlyConfigured(f"{name} is {path}, which can't be read: {reason}.") from error
    if len(text) > _FILE_LENGTH or not text.strip():
        fault = "too long" if text.strip() else "empty"
        raise ImproperlyConfigured(f"{name} is {path}, which is {fault}; put only the value into it.")
    return text.strip()


def given_secret_key(key: str) -> str:
    """Return SECRET_KEY, unless it could be guessed."""
    if not key:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Set it to the same value of at least 50 characters in every process, "
            f"for example from: {_NEW_KEY}"
        )
    lower = key.lower()
    if len(key) < _KEY_LENGTH or len(set(key)) < _KEY_CHARACTERS or any(w in lower for w in _KEY_WORDS):
        raise ImproperlyConfigured(
            "SECRET_KEY can be guessed, and whoever has it can sign in as anyone. Set it to at least 50 "
            f"random characters, for example from: {_NEW_KEY}"
        )
    return key


def generated_secret_key(folder: Path) -> str:
    """Return the key in the data folder, generated on first use."""
    path = folder / "secret-key"
    with paths.writing("TIANJI_DATA", folder):
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=folder, prefix="secret-key.") as file:
                file.write(secrets.token_urlsafe(50))
                file.flush()
                # A link appears complete or not at all, and the first of two processes wins.
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return path.read_text().strip()


def folder(name: str, value: str) -> Path:
    """Return the folder that the variable `name` names, as an absolute path."""
    # Empty, it would be the current folder.
    if not value.strip():
        raise ImproperlyConfigured(f"{name} is empty; set it to a folder, or remove it.")
    try:
        return Path(value).resolve()
    except (OSError, RuntimeError) as error:  # such as links that lead in a circle
        raise ImproperlyConfigured(f"{name} is {value!r}, which is not a folder: {error}.") from error


def host(value: str) -> str:
    """Return TIANJI_HOST, an address or a name to listen on."""
    if not _HOST.fullmatch(value) or "[" in value:
        raise ImproperlyConfigured(
            f"TIANJI_HOST is {value!r}; set it to an address to listen on: 127.0.0.1, or 0.0.0.0 for all"
        )
    return value


def redis_url(url: str) -> str:
    """Return REDIS_URL, if both Celery and Django can read it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises ValueError for an invalid port)
        readable = parts.scheme in ("redis", "rediss") and parts.hostname
    except ValueError:
        readable = False
    # The value may contain a password.
    if not readable or not re.fullmatch(r"/?\d*", parts.path):
        raise ImproperlyConfigured(
            "REDIS_URL must look like redis://host:6379/0, or redis://:password@host:6379/0 with a password"
        )
    return url


def time_zone(name: str) -> str:
    """Return TIANJI_TIME_ZONE, the name of a time zone."""
    try:
        ZoneInfo(name)
        # Where the system has a list, Django knows no others.
        known = not _SYSTEM_ZONES.exists() or (_SYSTEM_ZONES / name).is_file()
    except (KeyError, ValueError, OSError):
        known = False
    if not known:
        raise ImproperlyConfigured(
            f"TIANJI_TIME_ZONE is {name!r}, which this system doesn't know; "
            "set it to a time zone such as UTC or Europe/Berlin"
        )
    return name


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
    try:
        found: dict[str, Any] = dj_email_url.parse(url)
    except ValueError:  # an invalid port
        found = {}
    if found.get("EMAIL_BACKEND") != _SMTP:
        raise ImproperlyConfigured(
            "TIANJI_EMAIL_URL must look like smtp://user:password@mail.example.com:25, "
            "submission://user:password@mail.example.com:587 (STARTTLS) or "
            "smtp://user:password@mail.example.com:465?ssl=True"
        )
    return found


def email_sender(value: str) -> None:
    """Validate TIANJI_EMAIL_FROM: an email address, with or without a name."""
    _name, address = parseaddr(value)
    mailbox, _at, domain = address.rpartition("@")
    if not (mailbox and domain) or any(character in value for character in "\r\n"):
        raise ValidationError("It must be an address such as Tianji <tianji@example.com>.")


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
