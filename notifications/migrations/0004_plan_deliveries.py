"""Deliveries name their monitor and the outage they are about, and say when they were planned for."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models import F, OuterRef, Subquery


def plan(apps: Any, schema_editor: Any) -> None:
    incidents = apps.get_model("monitors", "Incident").objects.filter(pk=OuterRef("incident_id"))
    apps.get_model("notifications", "Delivery").objects.filter(monitor=None).update(
        monitor_id=Subquery(incidents.values("monitor_id")),
        thread=Subquery(incidents.values("public_id")),
        planned_at=F("created_at"),
    )


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_rules_and_storms")]
    operations = [migrations.RunPython(plan, migrations.RunPython.noop)]
