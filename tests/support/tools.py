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
    "caddy": ("caddy",),
    "nginx": ("nginx-light",),
}

# The former is the same browser without the windows around its pages, which nobody sees here: opening
# a page takes it a third of the time.
BROWSERS = ("chromium-headless-shell", "chromium")


def browser() -> str | None:
    """Return the path of the browser to test with, where there is one."""
    configured = os.environ.get("TESTS_CHROMIUM")
    return configured or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def program(name: str) -> str | None:
    """Return the path of a program such as a proxy, also of those that only administrators have on theirs."""
    return (
        os.environ.get(f"TESTS_{name.upper()}") or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    )


def install_missing(programs: Iterable[str]) -> None:
    """Install those of `programs` that are missing, if apt-get is available and permitted.

    Tests work without these programs, but then only check the text of what they would have run.
    """
    lacking = [name for name in programs if program(name) is None]
    if lacking:
        install(*(package for name in lacking for package in PACKAGES[name]))


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
