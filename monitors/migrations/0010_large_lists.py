"""Indexes for the lists of tens of thousands of monitors.

Each blocks writes to its table while it is made, which takes a fraction of a second for 100,000 monitors: pushes
wait that long, and none is lost. Each is its own transaction, so that the locks don't add up.
"""

import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("monitors", "0009_daily_rollups")]

    operations = [
        migrations.AddIndex(
            "monitor",
            models.Index(
                models.F("workspace"),
                django.db.models.functions.text.Lower("name"),
                models.F("name"),
                models.F("id"),
                name="monitor_lower_name",
            ),
        ),
        migrations.AddIndex(
            "monitorstate",
            models.Index(
                condition=~models.Q(status="up"), fields=["status", "monitor"], name="monitor_state_not_up"
            ),
        ),
        migrations.AddIndex(
            "incident",
            models.Index(
                models.OrderBy(models.F("started_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="incident_started",
            ),
        ),
    ]
