"""Migrations: one line per app, without the product's own code, and nothing is lost on the way up."""

from __future__ import annotations

import ast
import datetime
import uuid
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connections, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from tests.support.upgrades import empty_database, kept_states, migrate_to

__all__ = ["empty_database", "kept_states", "migrate_to"]

OUR_APPS = ("accounts", "monitors", "notifications")
# The state that the first release has. From here on, migrations only add.
RELEASED = [
    ("accounts", "0001_initial"),
    ("monitors", "0002_postgresql_storage"),
    ("notifications", "0001_initial"),
]
TAKES_AWAY = (
    migrations.DeleteModel,
    migrations.RemoveField,
    migrations.RenameField,
    migrations.RenameModel,
    migrations.AlterModelTable,
)
ROOT = Path(__file__).parents[2]
HOUR = datetime.timedelta(hours=1)
MIGRATIONS = sorted(ROOT.glob("*/migrations/0*.py"))
NOW = datetime.datetime(2026, 11, 27, 2, 35, 4, 123456, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def loader():
    return MigrationLoader(None)


@pytest.mark.parametrize("app", OUR_APPS)
def test_the_migrations_of_an_app_are_one_line(app, loader):
    names = sorted(name for label, name in loader.disk_migrations if label == app)
    assert names
    for before, name in zip([None, *names], names, strict=False):
        own = [parent for label, parent in loader.disk_migrations[app, name].dependencies if label == app]
        assert own == ([] if before is None else [before])


def test_the_released_state_is_where_the_line_begins(loader):
    for app, released in RELEASED:
        names = sorted(name for label, name in loader.disk_migrations if label == app)
        assert released in names
        for name in names[: names.index(released)]:
            assert name < released


def test_after_the_released_state_nothing_is_taken_away(loader):
    released = dict(RELEASED)
    for (app, name), migration in loader.disk_migrations.items():
        if app in released and name > released[app]:
            assert [type(one) for one in migration.operations if isinstance(one, TAKES_AWAY)] == []


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*/migrations/0*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_migration_imports_nothing_that_may_change_under_it(path):
    ours = {config.name for config in apps.get_app_configs() if "." not in config.name} & {
        folder.name for folder in ROOT.iterdir() if folder.is_dir()
    }
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert ours
    assert not imported & {*ours, "core", "api"}


# --- Filled tables ---------------------------------------------------------------------------------


# What a column of each type gets, unless a constraint wants something else.
VALUES: list[tuple[type[models.Field], object]] = [
    (models.DateTimeField, NOW),
    (models.TimeField, NOW.time()),
    (models.DateField, NOW.date()),
    (models.BooleanField, True),
    (models.JSONField, ["kept", "é", 1.5]),
    (models.FloatField, 98.5),
    (models.IntegerField, 7),
    (models.GenericIPAddressField, "192.0.2.7"),
    (models.EmailField, "anna@example.com"),
]


def value_of(field: models.Field, made: dict[str, models.Model]) -> object:
    """Return something that a column may hold, so that it would be missed."""
    if field.is_relation:
        related = made.get(field.related_model._meta.label_lower)
        return related and related.pk
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    for kind, value in VALUES:
        if isinstance(field, kind):
            return value
    return "kept"[: field.max_length or 4]


# What constraints ask for beyond a column's type.
SPECIAL: dict[str, dict[str, object]] = {
    "monitors.monitor": {"kind": "interval", "cron": "", "timezone": "UTC", "timeout": 60, "grace": 5},
    "monitors.maintenancewindow": {
        "kind": "once",
        "starts_at": NOW,
        "ends_at": NOW + datetime.timedelta(hours=1),
    },
    "monitors.monitorstate": {"status": "up", "due_at": NOW},
    "monitors.incident": {"started_at": NOW, "detected_at": NOW, "resolved_at": NOW},
    "notifications.delivery": {"status": "sent", "next_attempt_at": None, "digest_id": None},
}


# What the models of notifications forgot, and where it is now: the database keeps the columns for a release.
THRESHOLDS = ("missed_needed", "missed_of", "reported_needed", "reported_of", "recovery_needed")
RENAMED = {("notifications.delivery", "thread"): "outage"}
# What they forgot: when a storm was to end.
WINDOWS = ("downs_until", "ups_until")
MOVED_TO = {
    "notifications.monitorrules": "monitors.monitor",
    "notifications.workspacerules": "monitors.monitordefaults",
}


def fill(state, alias: str) -> dict[str, models.Model]:
    """Write one row into each of our tables, as the migrations' own state has them."""
    made: dict[str, models.Model] = {}
    left = [model for app in OUR_APPS for model in state.get_app_config(app).get_models()]
    while left:
        ready = [
            model
            for model in left
            if all(
                not field.is_relation
                or field.null
                or field.related_model is model
                or field.related_model._meta.label_lower in made
                for field in model._meta.local_concrete_fields
            )
        ]
        assert ready, left
        for model in ready:
            label = model._meta.label_lower
            columns = {
                field.attname: value_of(field, made)
                for field in model._meta.local_concrete_fields
                if not isinstance(field, models.AutoField)
            }
            made[label] = model._default_manager.using(alias).create(**{**columns, **SPECIAL.get(label, {})})
            left.remove(model)
    return made


def columns_of(model: type[models.Model], pk: object, alias: str) -> dict[str, object]:
    return model._default_manager.using(alias).values().get(pk=pk)


@pytest.mark.slow
def test_filled_tables_of_the_released_state_come_up_whole(empty_database, migrate_to):
    made = fill(migrate_to(RELEASED), empty_database)
    assert len(made) >= 15
    before = {
        label: type(row).objects.using(empty_database).values().get(pk=row.pk) for label, row in made.items()
    }

    executor = MigrationExecutor(connections[empty_database])
    state = executor.migrate(executor.loader.graph.leaf_nodes()).apps

    moved = {
        (label, name): before[label].pop(name)
        for label in ("notifications.monitorrules", "notifications.workspacerules")
        for name in THRESHOLDS
    }
    for name in WINDOWS:
        del before["notifications.channel"][name]
    for label, columns in before.items():
        after = columns_of(state.get_model(label), made[label].pk, empty_database)
        after |= {old: after[new] for (of, old), new in RENAMED.items() if of == label}
        assert {name: after[name] for name in columns} == columns
    for (label, name), value in moved.items():
        now_in, row = MOVED_TO[label], made[label]
        assert columns_of(state.get_model(now_in), row.pk, empty_database)[name] == value
    incident = columns_of(state.get_model("monitors.incident"), made["monitors.incident"].pk, empty_database)
    assert incident["confirmed_at"] == incident["detected_at"]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "outcomes"), [("up", 0), ("down", 1)])
def test_what_is_down_has_failed_last_after_the_upgrade(
    empty_database, migrate_to, monkeypatch, status, outcomes
):
    due_at = NOW if status == "up" else None
    monkeypatch.setitem(SPECIAL, "monitors.monitorstate", {"status": status, "due_at": due_at})
    made = fill(migrate_to(RELEASED), empty_database)

    executor = MigrationExecutor(connections[empty_database])
    state = executor.migrate(executor.loader.graph.leaf_nodes()).apps

    label = "monitors.monitorstate"
    assert columns_of(state.get_model(label), made[label].pk, empty_database)["recent_outcomes"] == outcomes
