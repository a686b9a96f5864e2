"""`make audit`: whether locked versions have known vulnerabilities, asked of the list of OSV.

Exit codes: 0, none is known; 1, some are, and printed; 3, nothing is known, because the list was not reached.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
SERVER = "https://api.osv.dev"
NOTHING_FOUND, FOUND, NOT_CHECKED = 0, 1, 3
LOCKS = ("requirements/base.txt", "requirements/build.txt", "requirements/dev.txt")
# What the server answers at once.
_BATCH = 500
_TIMEOUT_SECONDS = 30


class NotReached(Exception):
    """The list gave no complete answer."""


@dataclass(frozen=True, order=True, slots=True)
class Package:
    """A locked version of a package."""

    name: str
    version: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Looks for known vulnerabilities of locked versions.")
    parser.add_argument("--server", default=SERVER, help="The address of another server with OSV's API.")
    parser.add_argument("locks", nargs="*", type=Path, default=[ROOT / lock for lock in LOCKS])
    options = parser.parse_args(arguments)
    packages = sorted({package for lock in options.locks for package in locked(lock.read_text())})
    try:
        found = vulnerabilities(options.server, packages)
    except NotReached as error:
        print(
            f"NOT CHECKED: {options.server} can't be reached, so nothing is known: {error}", file=sys.stderr
        )
        return NOT_CHECKED
    for package, names in found.items():
        print(f"{package.name} {package.version}: {', '.join(names)} (https://osv.dev/{names[0]})")
    if found:
        print(f"{len(found)} of {len(packages)} locked versions have known vulnerabilities.")
        return FOUND
    print(f"{options.server} knows no vulnerability of the {len(packages)} locked versions.")
    return NOTHING_FOUND


def locked(text: str) -> Iterator[Package]:
    """Yield what a lock with `text` names."""
    for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", text, re.MULTILINE):
        yield Package(name, version)


def vulnerabilities(server: str, packages: list[Package]) -> dict[Package, list[str]]:
    """Return the ids of the known vulnerabilities of those that have any.

    Raises:
        NotReached: one of the questions was not answered.
    """
    found: dict[Package, list[str]] = {}
    # A package with more than fits into an answer is asked for again, with the mark where the answer ended.
    waiting = [(package, "") for package in packages]
    while waiting:
        asked, waiting = waiting[:_BATCH], waiting[_BATCH:]
        for (package, _mark), result in zip(asked, _ask(server, asked), strict=True):
            names = [str(each["id"]) for each in result.get("vulns", [])]
            if names:
                found.setdefault(package, []).extend(names)
            if mark := result.get("next_page_token"):
                waiting.append((package, str(mark)))
    return dict(sorted(found.items()))


def _ask(server: str, asked: list[tuple[Package, str]]) -> list[dict[str, Any]]:
    queries = [
        {
            "package": {"ecosystem": "PyPI", "name": package.name},
            "version": package.version,
            **({"page_token": mark} if mark else {}),
        }
        for package, mark in asked
    ]
    try:
        answer = requests.post(f"{server}/v1/querybatch", json={"queries": queries}, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        results = answer.json()["results"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise NotReached(f"{type(error).__name__}: {error}") from error
    if not isinstance(results, list) or len(results) != len(asked):
        raise NotReached("the answer is not one of OSV's API")
    if not all(isinstance(result, dict) for result in results):
        raise NotReached("the answer is not one of OSV's API")
    return results


if __name__ == "__main__":
    sys.exit(main())
