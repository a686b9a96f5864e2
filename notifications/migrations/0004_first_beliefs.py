"""What each channel was last sent, from the deliveries of the versions before."""

import uuid

from django.db import migrations, models
from django.db.models.functions import Now


def believe(apps, schema_editor):
    """Derive the beliefs from the deliveries, so that an upgrade neither repeats nor forgets a notification.

    Deliveries that wait are skipped: their channel's belief is compared with the present state at once.
    """
    get = apps.get_model
    Belief, Delivery = get("notifications", "Belief"), get("notifications", "Delivery")
    now = Now()
    waiting = Delivery.objects.filter(
        status__in=["pending", "sending", "merged"], monitor__isnull=False
    ).exclude(event__startswith="digest.")
    unfinished = set(waiting.values_list("monitor_id", "channel_id"))
    openings = Delivery.objects.filter(event="incident.opened", monitor__isnull=False)
    concerned = openings.filter(models.Q(incident__resolved_at=None) | models.Q(pk__in=waiting.values("pk")))
    pairs = unfinished | set(concerned.values_list("monitor_id", "channel_id"))
    beliefs = []
    for monitor, channel in sorted(pairs):
        mine = Delivery.objects.filter(monitor_id=monitor, channel_id=channel)
        last = mine.filter(
            status="sent", event__in=["incident.opened", "incident.resolved", "incident.passed"]
        ).order_by("-pk").first()
        belief = Belief(monitor_id=monitor, channel_id=channel, check_at=now)
        first_waiting = mine.filter(
            status__in=["pending", "sending", "merged"], incident__isnull=False
        ).order_by("incident_id").first()
        newest = mine.filter(incident__isnull=False).order_by("-incident_id").first()
        if last is not None and last.event == "incident.opened":
            belief.state, belief.outage, belief.sequence = "down", last.outage or uuid.uuid4(), 1
            belief.incident_id = belief.after_incident = last.incident_id
            reminders = mine.filter(event="incident.reminder", status="sent")
            belief.reminders = reminders.filter(incident_id=last.incident_id).count()
            reminded = reminders.order_by("-pk").first()
            belief.sent_at = reminded.sent_at if reminded and reminded.sent_at > last.sent_at else last.sent_at
        elif first_waiting is not None:
            belief.after_incident = first_waiting.incident_id - 1
        elif newest is not None:
            belief.after_incident = newest.incident_id
        beliefs.append(belief)
    Belief.objects.bulk_create(beliefs, batch_size=500)
    stale = Delivery.objects.filter(status__in=["pending", "sending", "merged"]).exclude(event="channel.failing")
    stale.update(status="skipped", note="outdated", next_attempt_at=None)


class Migration(migrations.Migration):

    dependencies = [
        ("notifications", "0003_beliefs"),
    ]

    operations = [
        migrations.RunPython(believe, migrations.RunPython.noop),
    ]
