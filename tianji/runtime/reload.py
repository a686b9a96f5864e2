"""Detects changed files of the program, for which `up --reload` restarts its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tianji import paths

# Static files are not among them: with DEBUG they're served from where they are.
_FOLDERS = (*paths.PACKAGES, "templates", "locale")
_ENDINGS = (".py", ".html", ".txt", ".mo")


@dataclass
class Files:
    """The files of the checkout in `root` that processes read once, when they start.

    They're compared by their modification times. That takes some milliseconds, needs no package, and works on
    shared folders, which don't report changes.
    """

    root: Path
    _times: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._times = dict(self._scan())

    def changed(self) -> list[Path]:
        """Return the files that were written, added or removed since the last call."""
        before, self._times = self._times, dict(self._scan())
        either = sorted(before.keys() | self._times.keys())
        return [
            Path(name).relative_to(self.root) for name in either if before.get(name) != self._times.get(name)
        ]

    def _scan(self) -> Iterator[tuple[str, int]]:
        for folder in _FOLDERS:
            yield from _times_below(self.root / folder)


def _times_below(folder: Path) -> Iterator[tuple[str, int]]:
    for parent, _folders, names in os.walk(folder):
        for name in names:
            if name.endswith(_ENDINGS):
                path = os.path.join(parent, name)
                try:
                    yield path, os.stat(path).st_mtime_ns
                except FileNotFoundError:
                    # An editor's temporary file, or one that is just being replaced.
                    continue
