"""Where the program's own files are, and where its data goes: in a checkout, or installed from a wheel."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

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


@contextmanager
def writing(setting: str, folder: Path) -> Iterator[None]:
    """Where files are made in `folder`, which `setting` names, say in one sentence why they can't be.

    Raises:
        ImproperlyConfigured: the operating system raised an error.
    """
    try:
        yield
    except OSError as error:
        user, advice = os.geteuid(), f"Set {setting} to another folder."
        if error.errno in (errno.EACCES, errno.EPERM) and folder.is_dir():
            advice = (
                f"Let the folder belong to that user (chown {user} {folder}; of a container, what is "
                f"mounted there), or set {setting} to another one."
            )
        raise ImproperlyConfigured(
            f"User {user} can't write in {folder}: {error.strerror or error}. {advice}"
        ) from error
