"""Where the program's own files are, and where its data goes: in a checkout, or installed from a wheel."""

from __future__ import annotations

import os
from pathlib import Path

# The packages at the top level, which the wheel has too.
PACKAGES = ("core", "accounts", "api", "monitors", "notifications", "tianji")
_PACKAGE = Path(__file__).resolve().parent
# Where the wheel has templates/, static/, locale/ and docs/ (pyproject.toml). A checkout has no such folder.
_BUNDLED = _PACKAGE / "bundled"
_CHECKOUT = _PACKAGE.parent


def home() -> Path:
    """Return the folder that has `templates`, `static`, `locale` and `docs`."""
    return _BUNDLED if _BUNDLED.is_dir() else _CHECKOUT


def is_checkout() -> bool:
    """Whether the program runs from a checkout, and isn't installed."""
    return home() == _CHECKOUT


def default_data() -> Path:
    """Return the data folder of an installation that doesn't choose one.

    In a checkout it's `data` beside the program. An installed program keeps it where the XDG Base Directory
    Specification says: outside site-packages, and the same whatever the current folder is, so that
    `tianji create-api-key` finds the database that `tianji up` made.
    """
    if is_checkout():
        return _CHECKOUT / "data"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The specification has relative ones ignored.
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "tianji"
