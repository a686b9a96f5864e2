"""`python -m tianji.runtime.web`: granian, with its own options, which loads the program once.

Its processes are forks of this one: they start at once, also later when one has ended, and share most memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import resource
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.template.loader import get_template
from django.urls import get_resolver
from granian.cli import entrypoint

# Each connection is an open file. Where fewer are allowed, idle connections would keep pushes, and the
# connection to the database, from being accepted: many systems allow 1024 unless a program asks for more.
_OPEN_FILES = 65_536


def main() -> None:
    allow_open_files()
    # Elsewhere forks aren't safe, so each of granian's processes loads the program.
    if sys.platform == "linux":
        # No longer the default in Python 3.14.
        multiprocessing.set_start_method("fork")
        load()
    entrypoint()


def allow_open_files() -> None:
    """Let this process, and those that it starts, open as many files as the system lets it, up to a limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow fewer than they say.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def load() -> None:
    """Import what a process serves. Opens no connection and starts no thread: neither survives a fork."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
    # Nearly all that is imported stays: nothing looks through it for garbage, now or later, and so it stays
    # shared.
    gc.disable()
    django.setup()
    load_pages()
    gc.freeze()
    gc.enable()


def load_pages() -> None:
    """Import the views, the middleware and the gateway, and compile the templates.

    Otherwise the first requests do it.
    """
    assert get_resolver().url_patterns
    get_wsgi_application()
    importlib.import_module("tianji.runtime.pages")
    for path in (settings.BASE_DIR / "templates").rglob("*.html"):
        get_template(path.relative_to(settings.BASE_DIR / "templates").as_posix())


if __name__ == "__main__":
    main()
