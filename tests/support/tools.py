"""Programs that tests run, such as compilers and GNU gettext: found on the machine, or installed once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

# The programs, and the Debian packages that contain them.
PACKAGES = {
    "xgettext": ("gettext",),
    "curl": ("curl",),
    "wget": ("wget",),
    "node": ("nodejs",),
    "tsc": ("node-typescript",),
    "php": ("php-cli",),
    "ruby": ("ruby",),
    "go": ("golang-go",),
    "javac": ("default-jdk-headless",),
    "mcs": ("mono-mcs", "mono-runtime", "libmono-system-net-http4.0-cil"),
    "pgbouncer": ("pgbouncer",),
}

# The former is the same browser without the windows around its pages, which nobody sees here: opening
# a page takes it a third of the time.
BROWSERS = ("chromium-headless-shell", "chromium")


def browser() -> str | None:
    """Return the path of the browser to test with, where there is one."""
    configured = os.environ.get("TESTS_CHROMIUM")
    return configured or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def pgbouncer() -> str | None:
    """Return the path of PgBouncer, where there is one."""
    return os.environ.get("TESTS_PGBOUNCER") or shutil.which("pgbouncer")


def install_missing(programs: Iterable[str]) -> None:
    """Install those of `programs` that are missing, if apt-get is available and permitted.

    Tests work without these programs, but then only check the text of what they would have run.
    """
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking:
        install(*(package for program in lacking for package in PACKAGES[program]))


def install(*packages: str) -> None:
    """Install Debian packages, all or none, where apt-get is there and may."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"== Installing {', '.join(packages)} with apt-get", flush=True)  # noqa: T201
    # In run level 1, packages don't start their services, such as PgBouncer's.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages]
    for each in (["apt-get", "update", "-qq"], command):
        subprocess.run(each, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
