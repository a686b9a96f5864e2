"""Programs that tests run, of other languages and GNU gettext: found on the machine, or installed once."""

from __future__ import annotations

import os
import shutil
import subprocess

# What is run, and the Debian packages it is in.
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
}


def missing() -> list[str]:
    """Return which programs are not there."""
    return [program for program in PACKAGES if shutil.which(program) is None]


def install_missing() -> list[str]:
    """Install what is missing, where apt-get is there and may; return what is missing after all.

    The tests do without, but then read what they would have run.
    """
    lacking = missing()
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [package for program in lacking for package in PACKAGES[program]]
        print(f"== Installing {', '.join(packages)} with apt-get", flush=True)  # noqa: T201
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(
                command, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
    return missing()
