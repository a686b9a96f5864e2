"""What each channel was last sent, from the deliveries of the versions before.

An upgrade neither repeats nor forgets a notification: what a channel was sent about outages that go on is
known, what was being retried is retried under the same id, and what was waiting is compared with the present
state at once. The number of queries does not depend on the number of deliveries.
"""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import migrations
from django.db.models import Exists, F, Max, OuterRef, Q
from django.db.models.functions import Now

OPENED, RESOLVED, PASSED, REMINDER = (
    f"incident.{name}" for name in ("opened", "resolved", "passed", "reminder")
)
LATE, FAILING = "monitor.late", "channel.failing"
BATCH = 1000


@dataclass
class Sent:
    """The deliveries of one channel about one incident, by event; reminders in their order."""

    incident: int
    public_id: uuid.UUID
    goes_on: bool
    rows: dict = field(default_factory=dict)
    reminders: list = field(default_factory=list)


def rows_of(apps, schema_editor, app, model):
    """Return the manager of a model in the database that is migrated."""
    return apps.get_model(app, model)._default_manager.db_manager(schema_editor.connection.alias)


def is_tried(row):
    """Whether it is being sent or retried, alone or in a digest, so that it may have arrived."""
    return row.status == "merged" or (row.status in ("pending", "sending") and row.attempt_count > 0)


def is_waiting(row):
    return row is not None and row.status == "pending" and not row.attempt_count


def begin(belief, sent):
    """Apply what became of the notification that an outage began."""
    row = sent.rows.get(OPENED)
    if row is None:
        return
    key = row.outage or sent.public_id
    if row.status == "sent" or row.note == "continues":
        belief.state, belief.outage, belief.sequence = "down", key, 1
        belief.incident_id = belief.after_incident = sent.incident
        belief.reminders, belief.sent_at = 0, row.sent_at or row.created_at
    elif is_tried(row):
        belief.outage, belief.sequence, belief.delivery_id = key, 1, row.pk
        belief.after_incident = sent.incident - 1
    elif is_waiting(row):
        belief.check_at = Now()
    else:
        # Whoever was not to be notified is not notified of the end either. What failed may have arrived.
        belief.after_incident = sent.incident
        if row.status == "failed":
            belief.outage, belief.sequence = key, 1


def remind(belief, sent):
    for row in sent.reminders:
        if row.status == "sent":
            belief.reminders, belief.sent_at = row.sequence, row.sent_at
        elif is_tried(row):
            belief.delivery_id = row.pk


def end(belief, sent):
    """Apply what became of the notification that an outage is over."""
    row = sent.rows.get(RESOLVED) or sent.rows.get(PASSED)
    if row is None:
        if not sent.goes_on and belief.delivery_id is None and not is_waiting(sent.rows.get(OPENED)):
            # It was not to be notified of the end.
            belief.state, belief.outage, belief.incident_id = "up", None, None
            belief.after_incident = sent.incident
    elif row.status == "sent":
        belief.state, belief.outage, belief.incident_id = "up", None, None
        belief.after_incident, belief.sent_at, belief.reminders = sent.incident, row.sent_at, 0
    elif is_tried(row):
        belief.delivery_id = row.pk
        if belief.outage is None:
            belief.outage, belief.sequence = row.outage or sent.public_id, 1
    elif is_waiting(row):
        belief.check_at = Now()
        if OPENED not in sent.rows:
            belief.after_incident = min(belief.after_incident or sent.incident, sent.incident - 1)


def about_incidents(Belief, Delivery, Incident):
    """Return beliefs about all outages that go on, or of which a notification is not finished."""
    unfinished = Delivery.filter(
        Q(next_attempt_at__isnull=False) | Q(status="merged"), incident__isnull=False
    )
    incidents = Incident.filter(Q(resolved_at=None) | Q(pk__in=unfinished.values("incident")))
    known = {}
    for pk, public_id, resolved_at in incidents.values_list("pk", "public_id", "resolved_at"):
        known[pk] = (public_id, resolved_at is None)
    pairs = {}
    rows = Delivery.filter(incident__in=incidents.values("pk"), monitor__isnull=False)
    for row in rows.order_by("incident_id", "pk").iterator(chunk_size=BATCH):
        public_id, goes_on = known[row.incident_id]
        mine = pairs.setdefault((row.monitor_id, row.channel_id), {})
        sent = mine.setdefault(row.incident_id, Sent(row.incident_id, public_id, goes_on))
        if row.event == REMINDER:
            sent.reminders.append(row)
        else:
            sent.rows[row.event] = row
    beliefs = {}
    for (monitor, channel), mine in pairs.items():
        first = min(mine)
        belief = Belief.model(monitor_id=monitor, channel_id=channel, after_incident=first - 1)
        for incident in sorted(mine):
            begin(belief, mine[incident])
            remind(belief, mine[incident])
            end(belief, mine[incident])
        if belief.state == "down":
            # There may be a reminder, or the end.
            belief.check_at = Now()
        beliefs[monitor, channel] = belief
    return beliefs


def about_others(beliefs, Belief, Channel, Incident):
    """Add beliefs of channels that have no delivery about an outage that goes on.

    They were not subscribed when it began, so its end is no news.
    """
    channels = {}
    for pk, workspace in Channel.values_list("pk", "workspace"):
        channels.setdefault(workspace, []).append(pk)
    goes_on = Incident.filter(resolved_at=None).values_list("pk", "monitor", "monitor__workspace")
    for incident, monitor, workspace in goes_on:
        for channel in channels.get(workspace, ()):
            if (monitor, channel) not in beliefs:
                beliefs[monitor, channel] = Belief.model(
                    monitor_id=monitor, channel_id=channel, after_incident=incident
                )


def about_late(beliefs, Belief, Delivery, Incident):
    """Add what was sent about monitors that are late."""
    late = Delivery.filter(
        event=LATE, occasion=F("monitor__state__last_heartbeat_at"), monitor__state__status="up"
    ).exclude(status="skipped")
    newest = dict(
        Incident.filter(monitor__in=late.values("monitor"))
        .values("monitor")
        .annotate(newest=Max("pk"))
        .values_list("monitor", "newest")
    )
    for row in late:
        belief = beliefs.get((row.monitor_id, row.channel_id))
        if belief is None:
            belief = Belief.model(
                monitor_id=row.monitor_id,
                channel_id=row.channel_id,
                after_incident=newest.get(row.monitor_id, 0),
            )
            beliefs[row.monitor_id, row.channel_id] = belief
        if is_tried(row):
            if belief.delivery_id is None and belief.outage is None:
                belief.delivery_id = row.pk
        elif not is_waiting(row):
            belief.late_after = row.occasion
            if belief.delivery_id is None and belief.outage is None:
                belief.state, belief.sent_at = "late", row.sent_at or row.created_at


def unconfirm(apps, schema_editor):
    """Open incidents that had not reached their failure threshold yet are not confirmed yet.

    Their notifications were waiting for that; monitors.0006 confirmed all incidents. Those of monitors that
    expect heartbeats at set times stay confirmed, because their next deadline isn't known here: they are
    notified early rather than never.
    """
    Delivery = rows_of(apps, schema_editor, "notifications", "Delivery")
    Incident = rows_of(apps, schema_editor, "monitors", "Incident")
    MonitorState = rows_of(apps, schema_editor, "monitors", "MonitorState")
    openings = Delivery.filter(event=OPENED)
    waiting = openings.filter(status="pending", attempt_count=0)
    reached = openings.exclude(pk__in=waiting.values("pk")).exclude(status="skipped")
    held = Incident.filter(
        resolved_at=None,
        pk__in=waiting.values("incident"),
        cause__in=["missed", "reported"],
        monitor__kind="interval",
        monitor__state__status="down",
        monitor__state__last_heartbeat_at__isnull=False,
    ).exclude(Exists(reached.filter(incident=OuterRef("pk"))))
    defaults = rows_of(apps, schema_editor, "monitors", "MonitorDefaults").in_bulk()
    now = held.annotate(now=Now()).values_list("now", flat=True).first()
    for incident in held.select_related("monitor__state"):
        monitor, state = incident.monitor, incident.monitor.state
        needed, of = (
            getattr(monitor, f"{incident.cause}_{name}")
            or getattr(defaults.get(monitor.workspace_id), f"{incident.cause}_{name}", None)
            or 1
            for name in ("needed", "of")
        )
        timeout = timedelta(seconds=monitor.timeout)
        if incident.cause == "missed":
            failures, next_at = 1, incident.started_at + timeout
            while next_at <= now and failures < needed:
                failures, next_at = failures + 1, next_at + timeout
        else:
            lately = monitor.heartbeats.order_by("-received_at").values_list("status", flat=True)[:of]
            failures = sum(status == "down" for status in lately)
            grace = min(max(monitor.timeout // 10, 1), 300) if monitor.grace is None else monitor.grace
            silent_since = max(state.last_heartbeat_at, state.excused_until or state.last_heartbeat_at)
            next_at = silent_since + timeout + timedelta(seconds=grace)
            if next_at <= now:
                # A sender that reported a failure and then fell silent was not waited for.
                continue
        if failures < needed:
            Incident.filter(pk=incident.pk).update(confirmed_at=None)
            outcomes = (1 << max(failures, 1)) - 1
            MonitorState.filter(pk=state.pk).update(recent_outcomes=outcomes, due_at=next_at)


def believe(apps, schema_editor):
    """Derive the beliefs, and close the deliveries that nothing will send any more."""
    Belief, Channel, Delivery = (
        rows_of(apps, schema_editor, "notifications", name) for name in ("Belief", "Channel", "Delivery")
    )
    Incident = rows_of(apps, schema_editor, "monitors", "Incident")
    beliefs = about_incidents(Belief, Delivery, Incident)
    about_others(beliefs, Belief, Channel, Incident)
    about_late(beliefs, Belief, Delivery, Incident)
    Belief.bulk_create([beliefs[pair] for pair in sorted(beliefs)], batch_size=BATCH)

    retried = Delivery.filter(Exists(Belief.filter(delivery=OuterRef("pk"))))
    retried.filter(event=REMINDER).update(reminder=F("sequence"))
    unfinished = Delivery.filter(Q(next_attempt_at__isnull=False) | Q(status="merged"))
    unfinished.filter(event__startswith="digest.").update(event="digest")
    stale = unfinished.exclude(event__in=["digest", FAILING])
    stale = stale.exclude(pk__in=Belief.filter(delivery__isnull=False).values("delivery"))
    stale.update(status="skipped", note="outdated", next_attempt_at=None)


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0003_beliefs"),
    ]

    operations = [
        migrations.RunPython(unconfirm, migrations.RunPython.noop),
        migrations.RunPython(believe, migrations.RunPython.noop),
    ]
