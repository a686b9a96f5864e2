"""The workspace in each large table, and in the keys of those that have one of their own.

On PostgreSQL a new column with a constant default takes no time, whatever the size of the table. So existing
rows get the workspace that has most monitors, and only those of others are written again, a few pages at a
time, in transactions of their own: pushes wait for none of it. An installation with one workspace is done at
once. Whatever is not finished is begun again by the next run.
"""

import time

from django.db import OperationalError, migrations, models, transaction

# A statement that waits for an exclusive lock makes all that come after it wait too.
_LOCK_MS = 15
_PAUSE_SECONDS = 0.1
# So many pages are written in one transaction: of rows that others change, those of a few milliseconds.
_PAGES, _PAGES_OF_APPENDED = 16, 512
_APPENDED = ("heartbeat", "rollup", "dailyrollup")

# Processes of the version before insert rows without it, while an upgrade goes on.
FUNCTION = """
CREATE OR REPLACE FUNCTION tianji_fill_workspace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT workspace_id FROM %I WHERE id = ($1).%I', TG_ARGV[0], TG_ARGV[1])
        INTO NEW.workspace_id USING NEW;
    NEW.workspace_id := coalesce(NEW.workspace_id, 0);
    RETURN NEW;
END $$
"""
ADDED = """
DO $$ BEGIN
    ALTER TABLE {table} ADD COLUMN workspace_id bigint NOT NULL DEFAULT {most};
    ALTER TABLE {table} ALTER COLUMN workspace_id DROP DEFAULT;
    CREATE TRIGGER fill_workspace BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.workspace_id IS NULL)
        EXECUTE FUNCTION tianji_fill_workspace('{source}', '{key}');
END $$
"""
# Rows that others hold are left for the next round: waiting for one of several could be a deadlock.
FILLED = """
UPDATE {part} AS filled SET workspace_id = source.workspace_id FROM {source} AS source
WHERE source.id = filled.{key} AND filled.ctid = ANY(ARRAY(
    SELECT t.ctid FROM {part} AS t JOIN {source} AS s ON s.id = t.{key} AND s.workspace_id <> t.workspace_id
    WHERE t.ctid >= '({first},0)' AND t.ctid < '({last},0)' FOR NO KEY UPDATE OF t SKIP LOCKED))
"""
LEFT = """
SELECT EXISTS (SELECT FROM {part} AS t JOIN {source} AS s ON s.id = t.{key} AND s.workspace_id <> t.workspace_id)
"""


def briefly(cursor, statement):
    """Run a statement that needs an exclusive lock, as soon as there is one for the asking."""
    while True:
        try:
            with transaction.atomic(cursor.db.alias):
                cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
                cursor.execute(statement)
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in ("55P03", "40P01"):
                raise
        time.sleep(_PAUSE_SECONDS)


def one(cursor, statement):
    cursor.execute(statement)
    return cursor.fetchone()[0]


class AddWorkspace(migrations.AddField):
    """Add the column to `model_name`; `source` is the table that knows it, and `key` refers to that table."""

    def __init__(self, model_name, name="workspace_id", field=None, *, source="monitors_monitor", key="monitor_id"):
        field = field or models.BigIntegerField(editable=False, default=0)
        super().__init__(model_name, name, field, preserve_default=False)
        self.source, self.key = source, key

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
        about = {"table": table, "source": self.source, "key": self.key}
        with schema_editor.connection.cursor() as cursor:
            if schema_editor.connection.vendor == "postgresql":
                self._add(cursor, about)
                return
        with transaction.atomic(schema_editor.connection.alias):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            schema_editor.execute(
                "UPDATE {table} SET workspace_id = coalesce((SELECT s.workspace_id FROM {source} AS s"
                " WHERE s.id = {table}.{key}), 0)".format(**about)
            )

    def _add(self, cursor, about):
        column = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{table}'::regclass"
        if not one(cursor, f"{column} AND attname = 'workspace_id')".format(**about)):
            cursor.execute(FUNCTION)
            most = "SELECT workspace_id FROM {source} GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
            most = one(cursor, f"SELECT coalesce(({most}), 0)".format(**about))
            briefly(cursor, ADDED.format(most=most, **about))
        if one(cursor, "SELECT count(DISTINCT workspace_id) <= 1 FROM {source}".format(**about)):
            return
        cursor.execute("SELECT relid::text FROM pg_partition_tree('{table}') WHERE isleaf".format(**about))
        for part in [name for (name,) in cursor.fetchall()] or [about["table"]]:
            self._fill(cursor, {**about, "part": part})

    def _fill(self, cursor, about):
        step = _PAGES_OF_APPENDED if self.model_name in _APPENDED else _PAGES
        while one(cursor, LEFT.format(**about)):
            pages = one(cursor, "SELECT pg_relation_size('{part}') / current_setting('block_size')::int".format(**about))
            for first in range(0, pages, step):
                cursor.execute(FILLED.format(first=first, last=first + step, **about))

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
            schema_editor.execute(f"DROP TRIGGER IF EXISTS fill_workspace ON {table}")
        super().database_backwards(app_label, schema_editor, from_state, to_state)


class WidenKey(migrations.AddConstraint):
    """Replace a unique constraint by one that the workspace is in too."""

    def __init__(self, model_name, constraint):
        super().__init__(model_name, constraint)

    def state_forwards(self, app_label, state):
        state.remove_constraint(app_label, self.model_name_lower, self.constraint.name)
        super().state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self._replace(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self._replace(app_label, schema_editor, from_state, to_state)

    def _replace(self, app_label, schema_editor, from_state, to_state):
        name = self.constraint.name
        old, new = (
            (model, next(each for each in model._meta.constraints if each.name == name))
            for model in (state.apps.get_model(app_label, self.model_name) for state in (from_state, to_state))
        )
        if schema_editor.connection.vendor != "postgresql":
            with transaction.atomic(schema_editor.connection.alias):
                schema_editor.remove_constraint(*old)
                schema_editor.add_constraint(*new)
            return
        model, constraint = new
        table, wider = model._meta.db_table, f"{name}_new"
        columns = ", ".join(model._meta.get_field(field).column for field in constraint.fields)
        where = " WHERE resolved_at IS NULL" if constraint.condition else ""
        with schema_editor.connection.cursor() as cursor:
            # Interrupted, it is invalid: begin again.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {wider}")
            cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {wider} ON {table} ({columns}){where}")
            if where:
                briefly(cursor, f"DROP INDEX {name}; ALTER INDEX {wider} RENAME TO {name}")
            else:
                briefly(
                    cursor,
                    f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {wider} UNIQUE USING INDEX {wider};"
                    f" ALTER TABLE {table} RENAME CONSTRAINT {wider} TO {name}",
                )


class Migration(migrations.Migration):
    # Each table, and each batch of rows, is a transaction of its own.
    atomic = False

    dependencies = [("monitors", "0010_large_lists")]

    operations = [
        AddWorkspace("monitorstate"),
        AddWorkspace("pushtoken"),
        AddWorkspace("incident"),
        AddWorkspace("transition"),
        AddWorkspace("rejectedpush"),
        AddWorkspace("dailyrollup"),
        AddWorkspace("rollup"),
        AddWorkspace("heartbeat"),
        WidenKey(
            "incident",
            models.UniqueConstraint(
                condition=models.Q(resolved_at__isnull=True),
                fields=("monitor", "workspace_id"),
                name="one_open_incident_a_monitor",
            ),
        ),
        WidenKey(
            "rejectedpush",
            models.UniqueConstraint(
                fields=("monitor", "reason", "method", "source", "last_four", "workspace_id"),
                name="one_rejected_push_a_kind",
            ),
        ),
        WidenKey(
            "dailyrollup",
            models.UniqueConstraint(
                fields=("monitor", "day", "workspace_id"), name="one_daily_rollup_a_monitor_and_day"
            ),
        ),
        WidenKey(
            "rollup",
            models.UniqueConstraint(
                fields=("monitor", "start", "workspace_id"), name="one_rollup_a_monitor_and_half_hour"
            ),
        ),
    ]
