"""The upgrade from the version that wrote deliveries in advance: nothing is repeated, nothing forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from core.clock import database_now
from monitors.heartbeats import missed
from monitors.models import Incident, Monitor, MonitorState
from monitors.services import tokens
from notifications.dispatch import late_and_failing, send
from notifications.models import Belief, Channel, Delivery
from tests.support.incidents import age, push
from tests.support.upgrades import empty_database, in_place_of_ours, kept_states, migrate_to

__all__ = ["empty_database", "kept_states", "migrate_to"]

BEFORE = [
    ("accounts", "0001_initial"),
    ("monitors", "0005_set_times"),
    ("notifications", "0001_initial"),
]
OPENED, RESOLVED, PASSED = "incident.opened", "incident.resolved", "incident.passed"
REMINDER, LATE, DIGEST = "incident.reminder", "monitor.late", "digest.down"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@dataclass
class Before:
    """Writes rows as the version before did, each case into a workspace with a monitor and a channel."""

    apps: Any
    now: Any
    monitors: dict[str, Any] = field(default_factory=dict)

    def new(self, app: str, model: str, **fields: Any) -> Any:
        return self.apps.get_model(app, model).objects.using("upgrade").create(**fields)

    def monitor(self, case: str, *, down: bool = True, heartbeat: timedelta = HOUR, **fields: Any) -> Any:
        workspace = self.new("accounts", "Workspace", name=case)
        return self.monitor_in(workspace, case, down=down, heartbeat=heartbeat, **fields)

    def monitor_in(
        self, workspace: Any, name: str, *, down: bool = True, heartbeat: timedelta = HOUR, **fields: Any
    ) -> Any:
        monitor = self.new(
            "monitors",
            "Monitor",
            workspace=workspace,
            name=name,
            slug=name,
            **{"timeout": 1000, "grace": 0, **fields},
        )
        last = self.now - heartbeat
        self.new(
            "monitors",
            "MonitorState",
            monitor=monitor,
            status="down" if down else "up",
            status_changed_at=last,
            last_heartbeat_at=last,
            due_at=None if down else last + timedelta(seconds=monitor.timeout),
        )
        self.monitors[name] = monitor
        return monitor

    def channel(self, monitor: Any, **fields: Any) -> Any:
        name = monitor.name
        return self.new(
            "notifications",
            "Channel",
            **{
                "workspace": monitor.workspace,
                "name": name,
                "kind": "memory",
                "config": {"box": name},
                **fields,
            },
        )

    def incident(self, monitor: Any, *, ago: timedelta = HOUR, over: timedelta | None = None) -> Any:
        return self.new(
            "monitors",
            "Incident",
            monitor=monitor,
            cause="reported",
            started_at=self.now - ago,
            detected_at=self.now - ago,
            resolved_at=None if over is None else self.now - over,
        )

    def delivery(self, channel: Any, incident: Any, event: str, status: str, **fields: Any) -> Any:
        sent_at = self.now - 30 * MINUTE if status == "sent" else None
        waits = status in ("pending", "sending")
        return self.new(
            "notifications",
            "Delivery",
            **{
                "channel": channel,
                "incident": incident,
                "monitor_id": incident and incident.monitor_id,
                "thread": incident and incident.public_id,
                "event": event,
                "status": status,
                "created_at": self.now - HOUR,
                "planned_at": self.now - HOUR,
                "next_attempt_at": self.now - MINUTE if waits else None,
                "attempt_count": 1 if status in ("sent", "failed", "sending") else 0,
                "sent_at": sent_at,
                **fields,
            },
        )


@pytest.fixture
def before(empty_database, migrate_to):
    """The database of the version before, still empty."""
    apps = migrate_to(BEFORE)
    with in_place_of_ours(empty_database):
        yield Before(apps, database_now())


def upgrade() -> None:
    executor = MigrationExecutor(connections["upgrade"])
    executor.migrate(executor.loader.graph.leaf_nodes())
    for monitor in Monitor.objects.all():
        tokens.issue(monitor=monitor)


def recover(*names: str) -> None:
    push(*Monitor.objects.filter(name__in=names).order_by("pk"))


# --- What goes on ----------------------------------------------------------------------------------


def known(before):
    incident = before.incident(before.monitor("known"))
    channel = before.channel(before.monitors["known"])
    before.delivery(channel, incident, OPENED, "sent")
    before.delivery(channel, incident, REMINDER, "pending", sequence=1, next_attempt_at=before.now + HOUR)


def retried(before):
    incident = before.incident(before.monitor("retried"))
    before.delivery(before.channel(before.monitors["retried"]), incident, OPENED, "pending", attempt_count=3)


def delayed(before):
    """Its channel is only notified of outages of two hours."""
    incident = before.incident(before.monitor("delayed"))
    channel = before.channel(before.monitors["delayed"], delay=7200)
    before.delivery(channel, incident, OPENED, "pending", next_attempt_at=before.now + HOUR)


def due(before):
    """It went down while no worker was running."""
    incident = before.incident(before.monitor("due"))
    before.delivery(before.channel(before.monitors["due"]), incident, OPENED, "pending")


def failed(before):
    incident = before.incident(before.monitor("failed"))
    before.delivery(before.channel(before.monitors["failed"]), incident, OPENED, "failed")


def later(before):
    """Its channel was added when it was down already."""
    before.incident(before.monitor("later"))
    before.channel(before.monitors["later"])


def acknowledged(before):
    incident = before.incident(before.monitor("acknowledged"))
    channel = before.channel(before.monitors["acknowledged"])
    before.delivery(channel, incident, OPENED, "skipped", note="acknowledged")


def relapsed(before):
    """It recovered and went down again before its channel was notified of the recovery."""
    monitor = before.monitor("relapsed")
    first, second = before.incident(monitor, over=30 * MINUTE), before.incident(monitor, ago=20 * MINUTE)
    channel = before.channel(monitor)
    before.delivery(channel, first, OPENED, "sent")
    before.delivery(channel, first, RESOLVED, "skipped", note="down_again")
    before.delivery(channel, second, OPENED, "skipped", note="continues", thread=first.public_id)


# --- What is over ----------------------------------------------------------------------------------


def recovered(before):
    """The end is about to be sent."""
    incident = before.incident(before.monitor("recovered", down=False, heartbeat=MINUTE), over=MINUTE)
    channel = before.channel(before.monitors["recovered"])
    before.delivery(channel, incident, OPENED, "sent")
    before.delivery(channel, incident, RESOLVED, "pending")


def recovering(before):
    """The end was tried, and is tried again."""
    incident = before.incident(before.monitor("recovering", down=False, heartbeat=MINUTE), over=MINUTE)
    channel = before.channel(before.monitors["recovering"])
    before.delivery(channel, incident, OPENED, "sent")
    before.delivery(channel, incident, RESOLVED, "pending", attempt_count=2)


def over(before):
    incident = before.incident(before.monitor("over", down=False, heartbeat=MINUTE), over=MINUTE)
    channel = before.channel(before.monitors["over"])
    before.delivery(channel, incident, OPENED, "sent")
    before.delivery(channel, incident, RESOLVED, "sent")


def over_unsaid(before):
    """Its channel is not notified of recoveries."""
    monitor = before.monitor("over_unsaid", down=False, heartbeat=MINUTE)
    channel = before.channel(monitor, on_recovery=False)
    before.delivery(channel, before.incident(monitor, over=MINUTE), OPENED, "sent")


def only_recoveries(before):
    """Its channel is only notified of recoveries."""
    monitor = before.monitor("only_recoveries", down=False, heartbeat=MINUTE)
    channel = before.channel(monitor, on_down=False)
    before.delivery(channel, before.incident(monitor, over=MINUTE), RESOLVED, "pending")


def unknown(before):
    """The end of an outage that its channel was not notified of."""
    monitor = before.monitor("unknown", down=False, heartbeat=MINUTE)
    channel, incident = before.channel(monitor), before.incident(monitor, over=MINUTE)
    before.delivery(channel, incident, OPENED, "skipped", note="acknowledged")
    before.delivery(channel, incident, RESOLVED, "pending")


def passed(before):
    """It was down, and its channel has not been notified of that yet."""
    monitor = before.monitor("passed", down=False, heartbeat=MINUTE)
    before.delivery(before.channel(monitor), before.incident(monitor, over=MINUTE), PASSED, "pending")


# --- Late ------------------------------------------------------------------------------------------


def late(before):
    monitor = before.monitor("late", down=False, heartbeat=20 * MINUTE, timeout=600, grace=7200)
    last = before.now - 20 * MINUTE
    channel = before.channel(monitor, on_late=True)
    before.delivery(channel, None, LATE, "sent", monitor_id=monitor.pk, occasion=last)


def late_now(before):
    monitor = before.monitor("late_now", down=False, heartbeat=20 * MINUTE, timeout=600, grace=7200)
    last = before.now - 20 * MINUTE
    channel = before.channel(monitor, on_late=True)
    before.delivery(channel, None, LATE, "pending", monitor_id=monitor.pk, occasion=last)


# What is sent by the first turns after the upgrade, and when it recovers a minute later.
CASES = [
    (known, [], [RESOLVED]),
    (retried, [OPENED], [RESOLVED]),
    (delayed, [], []),
    (due, [OPENED], [RESOLVED]),
    (failed, [], [PASSED]),
    (later, [], []),
    (acknowledged, [], []),
    (relapsed, [], [RESOLVED]),
    (recovered, [RESOLVED], []),
    (recovering, [RESOLVED], []),
    (over, [], []),
    (over_unsaid, [], []),
    (only_recoveries, [RESOLVED], []),
    (unknown, [], []),
    (passed, [PASSED], []),
    (late, [], []),
    (late_now, [LATE], []),
]


@pytest.mark.slow
def test_after_an_upgrade_each_channel_is_sent_only_what_it_does_not_know(before, memory):
    for case, _first, _then in CASES:
        case(before)
    ids = {row.thread for row in before.apps.get_model("notifications", "Delivery").objects.all()}
    upgrade()
    late_and_failing.enqueue_all()
    send.deliver_due()

    names = [case.__name__ for case, _first, _then in CASES]
    assert {name: memory.events(name) for name in names} == {case.__name__: first for case, first, _ in CASES}
    memory.arrived.clear()

    age(minutes=1)
    recover(*names)
    send.deliver_due()
    assert {name: memory.events(name) for name in names} == {case.__name__: then for case, _, then in CASES}
    # Under the keys that receivers know.
    for name in ("known", "retried", "relapsed", "failed"):
        assert memory.to(name)[0].thread in ids
    assert not Delivery.objects.filter(next_attempt_at__isnull=False).exists()


@pytest.mark.slow
def test_reminders_go_on_after_an_upgrade_where_they_were(before, memory):
    known(before)
    before.new("notifications", "MonitorRules", monitor=before.monitors["known"], remind_every=3600)
    upgrade()
    send.deliver_due()
    age(minutes=29)
    send.deliver_due()
    assert memory.events("known") == []
    age(minutes=2)
    send.deliver_due()
    assert memory.events("known") == [REMINDER]


@pytest.mark.slow
def test_a_digest_that_was_being_retried_is_retried_under_its_id(before, memory):
    first = before.monitor("first")
    channel = before.channel(first)
    second = before.monitor_in(first.workspace, "second")
    digest = before.delivery(channel, None, DIGEST, "pending", attempt_count=2)
    for monitor in (first, second):
        before.delivery(channel, before.incident(monitor), OPENED, "merged", digest=digest, attempt_count=0)
    upgrade()
    send.deliver_due()
    assert [(each.id, each.payload["event"]) for each in memory.to("first")] == [(digest.public_id, "digest")]
    assert set(Belief.objects.values_list("state", flat=True)) == {"down"}
    memory.arrived.clear()
    age(minutes=1)
    recover("first")
    send.deliver_due()
    assert memory.events("first") == [RESOLVED]


@pytest.mark.slow
def test_a_failure_threshold_that_was_not_reached_is_still_to_be_reached(before, memory):
    rows = {
        "missed": {"cause": "missed"},
        "reported": {"cause": "reported"},
        "reached": {"cause": "missed", "started_at": before.now - 50 * MINUTE},
    }
    for name, fields in rows.items():
        monitor = before.monitor(name, timeout=600, heartbeat=2 * MINUTE)
        before.new(
            "notifications",
            "MonitorRules",
            monitor=monitor,
            missed_needed=3,
            missed_of=3,
            reported_needed=2,
            reported_of=2,
        )
        before.new(
            "monitors", "Heartbeat", monitor_id=monitor.pk, received_at=before.now - 2 * MINUTE, status="down"
        )
        incident = before.incident(monitor, ago=2 * MINUTE)
        before.apps.get_model("monitors", "Incident").objects.filter(pk=incident.pk).update(**fields)
        before.delivery(before.channel(monitor), incident, OPENED, "pending", next_attempt_at=before.now)
    upgrade()
    send.deliver_due()
    sent = {name: memory.events(name) for name in rows}
    assert sent == {"missed": [], "reported": [], "reached": [OPENED]}
    confirmed = Incident.objects.filter(confirmed_at__isnull=False)
    assert [incident.monitor.name for incident in confirmed] == ["reached"]

    push(Monitor.objects.get(name="reported"), up=False)
    age(minutes=9)
    missed.declare_missed()
    send.deliver_due()
    assert {name: memory.events(name) for name in ("missed", "reported")} == {
        "missed": [],
        "reported": [OPENED],
    }
    age(minutes=10)
    missed.declare_missed()
    send.deliver_due()
    assert memory.events("missed") == [OPENED]
    assert MonitorState.objects.get(monitor__name="missed").recent_outcomes == 0b111


# --- Processes of the version before ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="One `tianji up` has the database; it is stopped for an upgrade"
)
def test_the_version_before_can_still_write_while_an_upgrade_is_running(before, memory):
    monitor = before.monitor("old")
    upgrade()
    incident = before.incident(monitor)
    channel = before.channel(monitor)
    before.new("notifications", "MonitorRules", monitor=monitor, missed_needed=2, missed_of=2)
    before.delivery(channel, incident, OPENED, "pending")
    before.delivery(
        channel, incident, REMINDER, "pending", sequence=1, next_attempt_at=before.now + 30 * MINUTE
    )
    other = before.monitor_in(monitor.workspace, "other", down=False)
    assert Channel.objects.get().burst == 5
    assert Monitor.objects.get(pk=other.pk).urgency == "normal"
    assert Incident.objects.get().confirmed_at is not None

    send.deliver_due()
    assert memory.events("old") == [OPENED]
    age(hours=1)
    send.deliver_due()
    assert memory.events("old") == [OPENED]
    recover("old")
    send.deliver_due()
    assert memory.events("old") == [OPENED, RESOLVED]
    assert len({each.thread for each in memory.to("old")}) == 1
