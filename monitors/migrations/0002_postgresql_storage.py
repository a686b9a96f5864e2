"""What models cannot say: how PostgreSQL stores the rows that each heartbeat updates."""

from django.db import migrations


def leave_room_in_pages(apps, schema_editor):
    """Leave room in each page for the next version of a row, so that PostgreSQL updates it in place."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE monitors_monitorstate SET (fillfactor = 70)")


class Migration(migrations.Migration):
    dependencies = [("monitors", "0001_initial")]

    operations = [migrations.RunPython(leave_room_in_pages, migrations.RunPython.noop)]
