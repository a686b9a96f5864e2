"""Collect the static files, but only if one of them has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

from tianji import paths

_STAMP = "collected"
# The package contains two viewers for API documents; this one is not used.
_NOT_SERVED = ["redoc"]


def collect() -> bool:
    """Bring STATIC_ROOT up to date; return whether anything had to be done.

    Collecting and compressing hundreds of files takes seconds, which a restart should not have to wait for.
    """
    root = Path(settings.STATIC_ROOT)
    stamp, fingerprint = root / _STAMP, _fingerprint()
    setting = "TIANJI_DATA" if root.is_relative_to(settings.TIANJI_DATA) else "TIANJI_STATIC"
    with paths.writing(setting, root), _readable_by_all():
        if stamp.exists() and stamp.read_text() == fingerprint:
            return False
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=_NOT_SERVED)
        stamp.write_text(fingerprint)
    return True


@contextmanager
def _readable_by_all() -> Iterator[None]:
    """Static files are public, and an image is built by another user than the one who runs it."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _fingerprint() -> str:
    """Return a digest of the names and contents of all files that would be collected.

    Not of their times, which differ between the build of an image and a container of it.
    """
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for path, storage in finder.list(_NOT_SERVED):
            content = Path(storage.path(path)).read_bytes()
            digest.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    return digest.hexdigest()
