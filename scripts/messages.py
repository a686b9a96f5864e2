"""`make messages`: updates the catalogs in locale/ from the source, and compiles them.

Compiled catalogs are kept in the repository, because running the product should not require gettext.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

ROOT = Path(__file__).parent.parent
# Every language with a folder; tests compare them with Django's settings, which this script doesn't need.
LANGUAGES = tuple(sorted(path.parent.name for path in ROOT.glob("locale/*/LC_MESSAGES")))
_SOURCE = (
    "accounts",
    "api",
    "core",
    "monitors",
    "notifications",
    "tianji",
    "templates",
    "locale",
    "manage.py",
)
# Only these headers are kept; the others are dates and version numbers, which change with each run.
_KEPT = (
    "Project-Id-Version",
    "Language",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Plural-Forms",
)


def catalog(language: str, root: Path = ROOT) -> Path:
    """Return the path of a language's catalog; the compiled one (.mo) is next to it."""
    return root / "locale" / language / "LC_MESSAGES" / "django.po"


def catalogs() -> list[Path]:
    """Return all catalogs, including those for cron expressions (monitors/domain/durations.py)."""
    return sorted((ROOT / "locale").rglob("*.po"))


def extracted(language: str) -> polib.POFile:
    """Return the catalog of `language` as it should be: the messages of the source, with their translations.

    Runs GNU gettext's xgettext and msgmerge on a copy of the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _SOURCE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        command = ["manage.py", "makemessages", "--locale", language, "--no-location", "--no-obsolete"]
        subprocess.run(
            [sys.executable, *command, "--verbosity", "0"],
            cwd=copy,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "SECRET_KEY": "only-for-messages-" + "x" * 50,
                "TIANJI_DATA": folder,
            },
            check=True,
        )
        found = polib.pofile(str(catalog(language, copy)), wrapwidth=100)
    found.metadata = {name: found.metadata[name] for name in _KEPT if name in found.metadata}
    return found


def to_do(found: polib.POFile) -> list[str]:
    """Return the messages without a translation, or with a fuzzy one."""
    return [entry.msgid for entry in found if not entry.translated()]


def main() -> int:
    undone = 0
    for language in LANGUAGES:
        found = extracted(language)
        found.save(str(catalog(language)))
        undone += len(to_do(found))
        print(f"{language}: {len(found)} messages, {len(to_do(found))} to translate")
    for path in catalogs():
        polib.pofile(str(path)).save_as_mofile(str(path.with_suffix(".mo")))
    return 1 if undone else 0


if __name__ == "__main__":
    sys.exit(main())
