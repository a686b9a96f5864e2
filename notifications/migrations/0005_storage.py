"""Storage settings for the tables whose rows are updated again and again on PostgreSQL."""

from django.db import migrations

# Deliveries are updated at each attempt, and kept for a year: of a large table, autovacuum would come only after
# a fifth of all rows, long after the few that change. It comes after every fiftieth instead. Beliefs are few,
# and each changes with every notification; with room in the page that is done in place (HOT) where the time of
# the next comparison, which is indexed, stays as it is.
STORED = {
    "notifications_delivery": "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500",
    "notifications_belief": (
        "fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500"
    ),
}
RESET = {
    "notifications_delivery": "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold",
    "notifications_belief": "fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold",
}


def store(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table, settings in STORED.items():
            schema_editor.execute(f"ALTER TABLE {table} SET ({settings})")


def store_as_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table, settings in RESET.items():
            schema_editor.execute(f"ALTER TABLE {table} RESET ({settings})")


class Migration(migrations.Migration):
    dependencies = [("notifications", "0004_first_beliefs")]

    operations = [migrations.RunPython(store, store_as_before)]
