"""The lock of the data folder, on which one `tianji up` or `tianji restore` runs at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.management.base import CommandError


def locked(folder: Path) -> IO[str]:
    """Take the lock of the data folder and return it; it is held until it is closed, or the process exits.

    Raises:
        CommandError: another process holds it.
    """
    file = (folder / "up.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise CommandError(
            f"Tianji is already running on the data folder {folder} ({owner}). "
            "Stop it first, or set TIANJI_DATA to another folder."
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()}, {settings.TIANJI_URL}")
    file.flush()
    # A fork would hold the lock for as long as it runs.
    os.register_at_fork(after_in_child=file.close)
    return file
