"""Collect the static files, but only if one of them has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

_STAMP = "collected"
# The package contains two viewers for API documents; this one is not used.
_NOT_SERVED = ["redoc"]


def collect() -> bool:
    """Bring STATIC_ROOT up to date; return whether anything had to be done.

    Collecting and compressing hundreds of files takes seconds, which a restart should not have to wait for.
    """
    stamp = Path(settings.STATIC_ROOT) / _STAMP
    fingerprint = _fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=_NOT_SERVED)
    stamp.write_text(fingerprint)
    return True


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
