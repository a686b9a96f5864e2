"""The integrations: each one is a module here with a `KIND`, and is listed nowhere else."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from notifications.integrations.base import Field, Kind

__all__ = ["Field", "Kind", "kind_named", "kinds"]


@cache
def kinds() -> dict[str, Kind]:
    """Return all integrations by slug, in the order of their English labels.

    Email and webhook come first, the catch-all comes last.
    """
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found = [module.KIND for module in modules if hasattr(module, "KIND")]
    first, last = ("email", "webhook"), ("apprise",)
    found.sort(key=lambda kind: (kind.slug in last, kind.slug not in first, str(kind.label).lower()))
    return {kind.slug: kind for kind in found}


def kind_named(slug: str) -> Kind:
    """Return the integration with this slug. Raises LookupError if there is none."""
    return kinds()[slug]
