"""Programs that tests run, such as compilers and GNU gettext: found on the machine, or installed once."""

from __future__ import annotations

import os
import shutil
import subprocess

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
}


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [program for program in PACKAGES if shutil.which(program) is None]


def install_missing() -> list[str]:
    """Install what is missing if apt-get is available and permitted; return what is still missing.

    Tests work without these programs, but then only check the text of what they would have run.
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
