"""Which tables a backup has, in whatever state of the migrations, and which of them hold data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps as present_apps
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import AutoField, Model

from core import __version__
from tianji import paths
from tianji.backup.errors import BackupError
from tianji.backup.format import Header

# Sessions are no use elsewhere, and whoever reads a backup should not be signed in by it.
_LEFT_OUT, _LEFT_OUT_APPS = {"accounts.session"}, {"sessions"}
# What Tianji writes before anyone has used it.
_BEFORE_USE = {
    *("contenttypes.contenttype", "auth.permission", "accounts.setuplink", "accounts.attemptcount"),
    *("monitors.watermark", "monitors.pushtally", "monitors.gap"),
    *("monitors.rolledup", "monitors.rollupprogress", "monitors.outdateddays"),
}
_BEFORE_USE_APPS = {"django_celery_beat"}


class Migrated:
    """The present database, as far as it is migrated: its migrations, and the models of that state."""

    def __init__(self) -> None:
        self._loader = MigrationLoader(connection)
        self.latest = _latest(self._loader)

    def require_known(self) -> None:
        """Raise BackupError if a later version of Tianji has migrated the database."""
        known = self._loader.disk_migrations
        later = [
            f"{app} {name}"
            for app, name in self._loader.applied_migrations
            if app in paths.PACKAGES and (app, name) not in known
        ]
        if later:
            raise BackupError(
                f"The database is of a later version of Tianji than this one ({__version__}), which doesn't "
                f"know its migrations: {', '.join(sorted(later))}. Use that version."
            )

    def models(self) -> dict[str, type[Model]]:
        return models_of(state_of(self.latest, self._loader))


def require_migrations(header: Header) -> None:
    """Raise BackupError if the backup was made by a later version than this one."""
    known = MigrationLoader(None).disk_migrations
    later = [f"{app} {name}" for app, name in header.migrations.items() if (app, name) not in known]
    if later:
        raise BackupError(
            f"This backup is of Tianji {header.tianji}, with migrations that this version ({__version__}) "
            f"doesn't have: {', '.join(sorted(later))}. Restore it with the version that made it, or with a "
            "newer one."
        )


def state_of(latest: Mapping[str, str], loader: MigrationLoader | None = None) -> Apps:
    """Return the models as they were after these migrations, the latest of each app."""
    state = (loader or MigrationLoader(None)).project_state(list(latest.items()))
    return state.apps


def models_of(apps: Apps) -> dict[str, type[Model]]:
    """Return the models whose rows are in a backup, by their labels in alphabetical order."""
    found = {
        model._meta.label_lower: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and model._meta.app_label not in _LEFT_OUT_APPS
    }
    return {label: found[label] for label in sorted(found) if label not in _LEFT_OUT}


def columns_of(model: type[Model]) -> tuple[str, ...]:
    """Return the attributes of a model that are stored, as its backup has them."""
    return tuple(field.attname for field in model._meta.concrete_fields if not field.generated)


def numbered(model: type[Model]) -> str | None:
    """Return the column of row ids that the database counts, if there is one."""
    key = model._meta.pk
    return str(key.column) if isinstance(key, AutoField) else None


def filled(cursor: Any, *, schema: str = "") -> list[str]:
    """Return the tables with rows that someone's use of Tianji left, for `cursor` of any connection.

    Args:
        schema: where to look on PostgreSQL.
    """
    where = f'"{schema}".' if schema else ""
    found = []
    for label, model in models_of(present_apps).items():
        if label in _BEFORE_USE or model._meta.app_label in _BEFORE_USE_APPS:
            continue
        table = model._meta.db_table
        cursor.execute(_EXISTS[bool(schema)].format(table=table, schema=schema))
        if not cursor.fetchone()[0]:
            continue
        cursor.execute(f'SELECT EXISTS (SELECT 1 FROM {where}"{table}")')
        if cursor.fetchone()[0]:
            found.append(table)
    return found


_EXISTS = {
    True: 'SELECT to_regclass(\'"{schema}"."{table}"\') IS NOT NULL',
    False: "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}')",
}


def require_empty(tables: list[str]) -> None:
    """Raise BackupError if there are any `tables` with data."""
    if tables:
        more = f" and {len(tables) - 5} more" if len(tables) > 5 else ""
        raise BackupError(
            f"The database has data (in {', '.join(tables[:5])}{more}). A backup is restored into an empty "
            "one only: one that was just created, or prepared and never used."
        )


def _latest(loader: MigrationLoader) -> dict[str, str]:
    """Return the latest applied migration of each app whose tables are in a backup."""
    applied, nodes = loader.applied_migrations, loader.graph.node_map
    found: dict[str, str] = {}
    for app, name in sorted(loader.graph.nodes):
        later = (child.key for child in nodes[app, name].children if child.key[0] == app)
        if app not in _LEFT_OUT_APPS and (app, name) in applied and not any(key in applied for key in later):
            found[app] = name
    return found
