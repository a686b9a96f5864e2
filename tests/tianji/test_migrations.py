"""Migrations: one line per app, without the product's own code, and nothing is lost on the way up."""

from __future__ import annotations

import ast
import datetime
import threading
import uuid
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connections, migrations, models, transaction
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
            if "workspace_id" in columns:
                columns["workspace_id"] = made["accounts.workspace"].pk
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


# --- The workspace in large tables -----------------------------------------------------------------

WITHOUT_WORKSPACES = [
    ("accounts", "0001_initial"),
    ("monitors", "0010_large_lists"),
    ("notifications", "0005_storage"),
]
# Enough for several batches.
HEARTBEATS = 60_000


def fill_workspaces(state, alias: str) -> dict[int, int]:
    """Write one row of each large table for each of three monitors; return the monitors' workspaces."""

    def make(label: str, **columns: object) -> models.Model:
        model = state.get_model(label)
        known = {field.attname for field in model._meta.concrete_fields}
        defaults = {
            field.attname: value_of(field, {})
            for field in model._meta.local_concrete_fields
            if not isinstance(field, models.AutoField) and not field.is_relation
        }
        given = {**defaults, **SPECIAL.get(label.lower(), {}), **columns}
        return model._default_manager.using(alias).create(**{k: v for k, v in given.items() if k in known})

    workspaces = [make("accounts.Workspace").pk for _ in range(2)]
    of = {}
    for number, workspace in enumerate([workspaces[0], *workspaces]):
        channel = make("notifications.Channel", workspace_id=workspace).pk
        monitor = make("monitors.Monitor", workspace_id=workspace, slug=f"m{number}").pk
        about = {"monitor_id": monitor, "channel_id": channel, "last_four": "abcd"}
        make("monitors.MonitorState", **about)
        token = make("monitors.PushToken", digest=str(number), **about).pk
        about["incident_id"] = make("monitors.Incident", **about).pk
        for label in ("Transition", "Rollup", "DailyRollup", "RejectedPush"):
            make(f"monitors.{label}", **about)
        make("monitors.Heartbeat", token_id=token, status="up", **about)
        delivery = make("notifications.Delivery", **about).pk
        make("notifications.DeliveryAttempt", delivery_id=delivery)
        make("notifications.Belief", delivery_id=delivery, **about)
        of[monitor] = workspace
    # Of a monitor that was deleted; a worker deletes them in the background.
    for label in ("Heartbeat", "Rollup", "DailyRollup", "RejectedPush"):
        make(f"monitors.{label}", monitor_id=max(of) + 1, status="up", last_four="abcd")
    return of


LARGE = (
    *("MonitorState", "PushToken", "Heartbeat", "Rollup", "DailyRollup", "Incident", "Transition"),
    *("RejectedPush", "Belief", "Delivery", "DeliveryAttempt"),
)


def workspaces_in(state, alias: str, of: dict[int, int]) -> dict[str, list[tuple[int, int]]]:
    """Return, of each large table, the workspaces of its rows: that of the monitor, and that of the row."""
    found = {}
    for label in LARGE:
        app = "notifications" if label in LARGE[-3:] else "monitors"
        rows = state.get_model(app, label)._default_manager.using(alias)
        monitor = "delivery__monitor_id" if label == "DeliveryAttempt" else "monitor_id"
        there = rows.filter(**{f"{monitor}__in": list(of)}).values_list(monitor, "workspace_id")
        found[label] = [(of[pk], workspace) for pk, workspace in there]
    return found


def migrate_to_newest(alias: str):
    executor = MigrationExecutor(connections[alias])
    return executor.migrate(executor.loader.graph.leaf_nodes()).apps


@pytest.mark.slow
def test_each_row_of_a_large_table_gets_the_workspace_of_its_monitor(empty_database, migrate_to):
    before = migrate_to(WITHOUT_WORKSPACES)
    of = fill_workspaces(before, empty_database)
    heartbeats = before.get_model("monitors.heartbeat")
    heartbeats._default_manager.using(empty_database).bulk_create(
        [
            heartbeats(monitor_id=sorted(of)[number % 3], received_at=NOW, status="up", message="x" * 60)
            for number in range(HEARTBEATS)
        ],
        batch_size=10_000,
    )
    state = migrate_to_newest(empty_database)
    for label, found in workspaces_in(state, empty_database, of).items():
        assert len(found) == 3 + (HEARTBEATS if label == "Heartbeat" else 0), label
        assert [pair for pair in found if pair[0] != pair[1]] == [], label
    # Those of a deleted monitor are still there.
    assert heartbeats._default_manager.using(empty_database).count() == HEARTBEATS + 4


on_postgresql = pytest.mark.skipif(
    connections["default"].vendor != "postgresql", reason="On SQLite, no other process runs meanwhile."
)


@pytest.mark.slow
@on_postgresql
def test_a_process_of_the_version_before_writes_rows_with_a_workspace(empty_database, migrate_to):
    before = migrate_to(WITHOUT_WORKSPACES)
    of = fill_workspaces(before, empty_database)
    state = migrate_to_newest(empty_database)
    other = {
        "public_id": "gen_random_uuid()",
        "digest": "digest || 'again'",
        "start": "start - interval '1 day'",
        "day": "day - 1",
        "method": "'PUT'",
    }
    for label in set(LARGE) - {"MonitorState", "Belief"}:
        model = before.get_model("notifications" if label in LARGE[-3:] else "monitors", label)
        names = [field.column for field in model._meta.concrete_fields if field.name != "id"]
        columns = ", ".join(f'"{name}"' for name in names)
        values = ", ".join(other.get(name, f'"{name}"') for name in names)
        with connections[empty_database].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {values} FROM {model._meta.db_table}"
            )
    for label, found in workspaces_in(state, empty_database, of).items():
        assert len(found) == (3 if label in ("MonitorState", "Belief") else 6), label
        assert [pair for pair in found if pair[0] != pair[1]] == [], label


@pytest.mark.slow
@on_postgresql
def test_a_process_of_the_version_before_goes_on_noting_what_to_compare(empty_database, migrate_to):
    of = fill_workspaces(migrate_to(WITHOUT_WORKSPACES), empty_database)
    state = migrate_to_newest(empty_database)
    with connections[empty_database].cursor() as cursor:
        cursor.execute(
            "INSERT INTO notifications_belief"
            " (monitor_id, channel_id, after_incident, check_at, state, sequence, reminders)"
            " SELECT monitor_id, channel_id, 0, now(), 'nothing', 0, 0 FROM notifications_belief"
            " ON CONFLICT (monitor_id, channel_id) DO UPDATE SET check_at = excluded.check_at"
        )
        assert cursor.rowcount == 3
    assert len(workspaces_in(state, empty_database, of)["Belief"]) == 3


@pytest.mark.slow
@on_postgresql
def test_the_upgrade_waits_for_no_row_that_another_transaction_holds(empty_database, migrate_to):
    before = migrate_to(WITHOUT_WORKSPACES)
    of = fill_workspaces(before, empty_database)
    connections[empty_database].close()
    held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        # As a push does, of a monitor whose row is to be written.
        with transaction.atomic(empty_database), connections[empty_database].cursor() as cursor:
            cursor.execute("SELECT FROM monitors_monitorstate FOR UPDATE")
            held.set()
            goes_on.wait(30)
        connections[empty_database].close()

    pushing = threading.Thread(target=hold)
    pushing.start()
    assert held.wait(30)
    threading.Timer(2, goes_on.set).start()
    state = migrate_to_newest(empty_database)
    pushing.join(30)
    assert goes_on.is_set()
    found = workspaces_in(state, empty_database, of)["MonitorState"]
    assert len(found) == 3
    assert all(monitors == own for monitors, own in found)


@pytest.mark.slow
def test_the_upgrade_can_be_undone_and_done_again(empty_database, migrate_to):
    of = fill_workspaces(migrate_to(WITHOUT_WORKSPACES), empty_database)
    migrate_to_newest(empty_database)
    executor = MigrationExecutor(connections[empty_database])
    executor.migrate(WITHOUT_WORKSPACES)
    state = migrate_to_newest(empty_database)
    for label, found in workspaces_in(state, empty_database, of).items():
        assert len(found) == 3, label
        assert all(monitors == own for monitors, own in found), label


@pytest.mark.slow
@on_postgresql
def test_every_key_of_a_large_table_beyond_row_ids_has_the_workspace(empty_database, migrate_to):
    migrate_to(WITHOUT_WORKSPACES)
    state = migrate_to_newest(empty_database)
    tables = [
        state.get_model("notifications" if label in LARGE[-3:] else "monitors", label)._meta.db_table
        for label in LARGE
    ]
    with connections[empty_database].cursor() as cursor:
        cursor.execute(
            "SELECT i.indexrelid::regclass::text, array_agg(a.attname::text)"
            " FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid"
            " WHERE i.indisunique AND i.indrelid = ANY(%s::regclass[]) GROUP BY 1",
            [tables],
        )
        found = dict(cursor.fetchall())
    assert len(found) > len(tables)
    narrow = {tuple(sorted(columns)) for columns in found.values() if "workspace_id" not in columns}
    # Row ids, public ids and digests are unique in all of an installation; a failing channel is one row.
    assert narrow == {
        *(("id",), ("id", "received_at"), ("monitor_id",), ("public_id",), ("digest",)),
        # Kept for a release; see above.
        ("channel_id", "monitor_id"),
        ("channel_id", "occasion", "subject_id"),
    }
