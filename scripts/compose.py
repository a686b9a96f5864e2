"""`make compose`: writes deploy/docker-compose.yml, which is docker-compose.yml for an image of a registry.

So it needs no checkout, only what is beside it in that folder.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, MADE = ROOT / "docker-compose.yml", ROOT / "deploy" / "docker-compose.yml"

# What differs, each exactly once.
_CHANGES = (
    (
        "# Tianji with PostgreSQL and Redis. SECRET_KEY,",
        """# Tianji with PostgreSQL and Redis, from a registry: this folder is all you need. `make compose`
# makes this file from the one for a checkout.
#
# TIANJI_IMAGE, SECRET_KEY,""",
    ),
    (" Only `prepare` builds it: parallel builds with the same name conflict.", ""),
    ("image: tianji\n  pull_policy: never\n", "image: ${TIANJI_IMAGE:?is not set; see docs/install.md}\n"),
    ("    build: .\n    pull_policy: build\n", ""),
)


def made() -> str:
    """Return what deploy/docker-compose.yml has to be."""
    text = SOURCE.read_text()
    for before, after in _CHANGES:
        if text.count(before) != 1:
            raise ValueError(f"{SOURCE.name} doesn't have this once:\n{before}")
        text = text.replace(before, after)
    # What it mounts is beside it.
    return text.replace("./deploy/", "./")


if __name__ == "__main__":
    MADE.write_text(made())
