"""Slugs: the names of monitors for programs."""

from __future__ import annotations

from itertools import count

from django.utils.text import slugify

from accounts.models import Workspace
from monitors.models import SLUG_LENGTH, Monitor

_FALLBACK = "monitor"
_ROOM_FOR_A_NUMBER = 7


def slug_of(name: str) -> str:
    """Return `name` as a slug; "monitor" if no character of it can be used."""
    slug = slugify(name).replace("_", "-")[: SLUG_LENGTH - _ROOM_FOR_A_NUMBER]
    return "-".join(part for part in slug.split("-") if part) or _FALLBACK


def free_slug(workspace: Workspace, name: str) -> str:
    """Return the slug of `name`, with a number if another monitor of `workspace` has it."""
    wanted = slug_of(name)
    taken = set(
        Monitor.objects.in_workspace(workspace).filter(slug__startswith=wanted).values_list("slug", flat=True)
    )
    if wanted not in taken:
        return wanted
    return next(slug for number in count(2) if (slug := f"{wanted}-{number}") not in taken)
