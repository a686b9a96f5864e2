"""Where the program's own files are, and where its data goes: in a checkout, or installed from a wheel."""

from __future__ import annotations

import os
from pathlib import Path

# The top-level packages, which are in the wheel too.
PACKAGES = ("core", "accounts", "api", "monitors", "notifications", "tianji")
_PACKAGE = Path(__file__).resolve().parent
# In the wheel: templates/, static/, locale/ and docs/ (pyproject.toml). A checkout has no such folder.
_BUNDLED = _PACKAGE / "bundled"
_CHECKOUT = _PACKAGE.parent


def home() -> Path:
    """Return the folder that has `templates`, `static`, `locale` and `docs`."""
    return _BUNDLED if _BUNDLED.is_dir() else _CHECKOUT


def is_checkout() -> bool:
    """Whether the program runs from a checkout, and isn't installed."""
    return home() == _CHECKOUT


def default_data() -> Path:
    """Return the default data folder.

    In a checkout it's `data` beside the program. An installed program follows the XDG Base Directory
    Specification: outside site-packages, and independent of the current folder, so that
    `tianji create-api-key` finds the database that `tianji up` created.
    """
    if is_checkout():
        return _CHECKOUT / "data"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    # According to the specification, relative paths are ignored.
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "tianji"
