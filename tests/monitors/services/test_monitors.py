"""Create, edit, pause, resume and delete a monitor."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.actors import Actor
from accounts.models import AuditEntry
from core.clock import database_now
from monitors import tasks
from monitors.heartbeats import missed
from monitors.heartbeats.recorder import Outcome
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, PushToken, Transition
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from monitors.signals import recipients_changed
from notifications.models import Belief
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace, secret_of
from tests.support.heartbeats import let_pass, push, state_of, transitions_of

pytestmark = pytest.mark.django_db


def up(**fields):
    monitor = make_monitor(**fields)
    push(monitor)
    return monitor


def due_after(monitor):
    state = state_of(monitor)
    return (state.due_at - state.last_heartbeat_at).total_seconds()


# --- create


def test_a_monitor_begins_new_with_one_token_that_works():
    workspace = make_workspace()
    user = make_user(workspace=workspace)
    monitor = monitor_service.create(workspace=workspace, by=Actor(user), name="Backup", timeout=300)
    state = state_of(monitor)
    assert (state.status, state.due_at, state.last_heartbeat_at) == ("new", None, None)
    assert state.status_changed_at <= database_now()
    assert monitor.tokens.get().created_by == user
    assert push(secret_of(monitor)) is Outcome.RECORDED


def test_a_new_monitor_is_not_missed_before_its_first_heartbeat():
    monitor = make_monitor(timeout=1, grace=0)
    let_pass(monitor, days=1)
    assert missed.declare_missed().missed == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": 0},
        {"timeout": 365 * 86_400 + 1},
        {"grace": 30 * 86_400 + 1},
        {"kind": "cron", "cron": ""},
        {"kind": "oncalendar", "calendar": ""},
        {"kind": "oncalendar", "calendar": "daily", "early": 3601},
    ],
)
def test_the_database_itself_refuses_a_schedule_out_of_range(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_monitor(**fields)
    assert not Monitor.objects.exists()
    assert not PushToken.objects.exists()


def test_a_monitor_is_named_for_programs_by_its_name_and_its_namesake_by_another():
    workspace = make_workspace()
    first = make_monitor(workspace=workspace, name="Nightly Backup")
    second = make_monitor(workspace=workspace, name="nightly backup")
    assert first.slug == "nightly-backup"
    assert second.slug.startswith("nightly-backup")
    assert second.slug != first.slug
    assert make_monitor(name="Nightly Backup").slug == "nightly-backup"


def test_a_slug_that_another_monitor_of_the_workspace_has_is_refused():
    workspace = make_workspace()
    make_monitor(workspace=workspace, slug="backup")
    with pytest.raises(monitor_service.SlugTaken):
        make_monitor(workspace=workspace, slug="backup")
    other = make_monitor(workspace=workspace, name="Other")
    with pytest.raises(monitor_service.SlugTaken):
        monitor_service.edit(monitor=other, slug="backup")
    assert Monitor.objects.count() == 2
    assert Monitor.objects.filter(slug="backup").count() == 1


def test_changes_of_a_monitor_are_recorded_with_their_actor():
    workspace = make_workspace()
    by = Actor(make_user(workspace=workspace), address="192.0.2.7")
    monitor = make_monitor(workspace=workspace, by=by)
    monitor_service.edit(monitor=monitor, by=by, timeout=120)
    monitor_service.pause(monitor=monitor, by=by)
    monitor_service.pause(monitor=monitor, by=by)
    monitor_service.resume(monitor=monitor, by=by)
    monitor_service.resume(monitor=monitor, by=by)
    public_id = monitor.public_id
    monitor_service.delete(monitor=monitor, by=by)
    entries = AuditEntry.objects.filter(subject=public_id).order_by("id")
    assert [entry.action for entry in entries] == [
        "monitor.created",
        "token.issued",
        "monitor.changed",
        "monitor.paused",
        "monitor.resumed",
        "monitor.deleted",
    ]
    assert {(entry.user, entry.address) for entry in entries} == {(by.user, "192.0.2.7")}
    assert entries[2].details == {"fields": ["timeout"]}


# --- edit


def test_an_edit_made_for_an_older_version_is_refused():
    monitor = make_monitor(name="First")
    version = monitor.version
    monitor_service.edit(monitor=monitor, version=version, name="Second")
    with pytest.raises(monitor_service.VersionConflict):
        monitor_service.edit(monitor=Monitor.objects.get(), version=version, name="Third")
    stored = Monitor.objects.get()
    assert (stored.name, stored.version) == ("Second", version + 1)


def test_an_edit_that_changes_nothing_is_none():
    monitor = make_monitor(timeout=60)
    before = Monitor.objects.values().get()
    monitor_service.edit(monitor=monitor, timeout=60)
    assert Monitor.objects.values().get() == before
    assert not AuditEntry.objects.filter(action="monitor.changed").exists()


def test_an_edit_changes_only_what_it_names():
    monitor = make_monitor(name="Old", timeout=60)
    stale = Monitor.objects.get(pk=monitor.pk)
    monitor_service.edit(monitor=monitor, name="New")
    monitor_service.edit(monitor=stale, timeout=120)
    monitor.refresh_from_db()
    assert (monitor.name, monitor.timeout) == ("New", 120)


@pytest.mark.parametrize(("change", "announced"), [({"urgency": "high"}, 1), ({"name": "Other"}, 0)])
def test_a_change_of_urgency_is_announced_within_its_transaction(change, announced):
    monitor = make_monitor()
    heard: list[tuple[list[int], str]] = []

    def receiver(monitors, **kwargs):
        heard.append((monitors, Monitor.objects.get(pk=monitors[0]).urgency))

    recipients_changed.connect(receiver)
    try:
        monitor_service.edit(monitor=monitor, **change)
    finally:
        recipients_changed.disconnect(receiver)
    assert heard == [([monitor.pk], "high")] * announced


def test_an_edit_notes_its_time():
    monitor = make_monitor()
    Monitor.objects.update(updated_at=F("updated_at") - timedelta(days=1))
    monitor_service.edit(monitor=monitor, name="New")
    assert Monitor.objects.get().updated_at > database_now() - timedelta(hours=1)


def test_a_shorter_timeout_moves_the_deadline_at_once():
    monitor = up(timeout=3600, grace=0)
    monitor_service.edit(monitor=monitor, timeout=60)
    assert due_after(monitor) == 60


def test_a_longer_timeout_keeps_a_monitor_up_that_would_have_been_missed():
    monitor = up(timeout=60, grace=0)
    monitor_service.edit(monitor=monitor, timeout=3600)
    let_pass(monitor, minutes=30)
    assert missed.declare_missed().missed == 0
    assert state_of(monitor).status == "up"


def test_a_shorter_grace_moves_the_deadline_at_once():
    monitor = up(timeout=60, grace=600)
    monitor_service.edit(monitor=monitor, grace=0)
    assert due_after(monitor) == 60


def test_a_change_to_cron_moves_the_deadline_at_once():
    monitor = up(timeout=86_400, grace=0)
    monitor_service.edit(monitor=monitor, kind="cron", cron="* * * * *", grace=0)
    # In the last seconds of a minute its heartbeat counts for the next one.
    assert 0 < due_after(monitor) <= 65


def test_a_change_to_an_interval_moves_the_deadline_at_once():
    monitor = up(kind="cron", cron="0 0 1 1 *", timeout=60, grace=0)
    monitor_service.edit(monitor=monitor, kind="interval")
    assert due_after(monitor) == 60


def test_a_deadline_shortened_into_the_past_is_found_by_the_next_sweep():
    monitor = up(timeout=86_400, grace=0)
    let_pass(monitor, hours=1)
    monitor_service.edit(monitor=monitor, timeout=60)
    assert missed.declare_missed().missed == 1
    assert state_of(monitor).status == "down"


def test_a_deadline_follows_what_somebody_else_changed_meanwhile():
    monitor = up(timeout=86_400, grace=0)
    stale = Monitor.objects.get(pk=monitor.pk)
    monitor_service.edit(monitor=monitor, timeout=60)
    edited = monitor_service.edit(monitor=stale, grace=5)
    assert due_after(monitor) == 65
    assert (edited.timeout, edited.grace) == (60, 5)


def test_an_edit_does_not_undo_a_heartbeat():
    monitor = up(timeout=60, grace=0)
    with_old_state = Monitor.objects.select_related("state").get()
    let_pass(monitor, seconds=50)
    push(monitor, message="fresh")
    monitor_service.edit(monitor=with_old_state, name="New")
    state = state_of(monitor)
    assert state.last_message == "fresh"
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=60)


@pytest.mark.parametrize("status", ["new", "down", "paused"])
def test_an_edit_of_a_monitor_that_is_not_up_leaves_it_without_a_deadline(status):
    monitor = up()
    MonitorState.objects.update(status=status, due_at=None)
    monitor_service.edit(monitor=monitor, timeout=1)
    assert state_of(monitor).due_at is None


def test_an_edit_clears_the_fault_of_the_schedule_it_replaces():
    monitor = up()
    Monitor.objects.update(kind="cron", cron="nonsense")
    let_pass(monitor, hours=1)
    missed.declare_missed()
    assert state_of(monitor).fault
    monitor_service.edit(monitor=monitor, cron="0 2 * * *")
    assert state_of(monitor).fault == ""


def test_an_edit_that_is_refused_changes_nothing():
    monitor = up(timeout=60, grace=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        monitor_service.edit(monitor=monitor, timeout=0)
    assert Monitor.objects.get().timeout == 60
    assert due_after(monitor) == 60


# --- pause and resume


@pytest.mark.parametrize("status", ["new", "up", "down"])
def test_a_pause_is_a_transition_and_ends_the_deadline(status):
    monitor = make_monitor()
    if status != "new":
        push(monitor, up=status == "up")
    monitor_service.pause(monitor=monitor)
    state = state_of(monitor)
    assert (state.status, state.due_at) == ("paused", None)
    assert transitions_of(monitor)[-1] == (status, "paused", "paused")


def test_a_pause_closes_the_incident_without_a_recovery(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor, up=False, message="broken")
    monitor_service.pause(monitor=monitor)
    incident = Incident.objects.get()
    assert incident.resolved_at == state_of(monitor).status_changed_at
    assert incident.closing_message == ""
    assert Transition.objects.order_by("id").last().incident == incident
    assert announced.events() == ["opened", "closed"]


def test_a_paused_monitor_is_not_missed():
    monitor = up(timeout=60, grace=0)
    monitor_service.pause(monitor=monitor)
    let_pass(monitor, days=1)
    assert missed.declare_missed() == missed.Swept()


def test_pausing_twice_is_pausing_once():
    monitor = up()
    monitor_service.pause(monitor=monitor)
    paused_at = state_of(monitor).status_changed_at
    monitor_service.pause(monitor=monitor)
    assert state_of(monitor).status_changed_at == paused_at
    assert Transition.objects.count() == 2


def test_a_resumed_monitor_is_new_until_its_next_heartbeat():
    monitor = up(timeout=60, grace=0)
    monitor_service.pause(monitor=monitor)
    let_pass(monitor, days=1)
    monitor_service.resume(monitor=monitor)
    state = state_of(monitor)
    assert (state.status, state.due_at) == ("new", None)
    assert transitions_of(monitor)[-1] == ("paused", "new", "resumed")
    assert missed.declare_missed() == missed.Swept()
    push(monitor)
    assert transitions_of(monitor)[-1] == ("new", "up", "heartbeat")
    assert not Incident.objects.exists()


@pytest.mark.parametrize("status", ["new", "up", "down"])
def test_resuming_what_is_not_paused_changes_nothing(status):
    monitor = make_monitor()
    if status != "new":
        push(monitor, up=status == "up")
    before = MonitorState.objects.values().get()
    monitor_service.resume(monitor=monitor)
    assert MonitorState.objects.values().get() == before


def test_an_incident_after_a_pause_is_another_one():
    monitor = make_monitor()
    push(monitor, up=False)
    monitor_service.pause(monitor=monitor)
    monitor_service.resume(monitor=monitor)
    push(monitor, up=False)
    assert Incident.objects.count() == 2
    assert Incident.objects.filter(resolved_at=None).count() == 1


# --- delete


def test_a_deleted_monitor_takes_all_that_belongs_to_it_along():
    monitor, other = make_monitor(), make_monitor()
    for each in (monitor, other):
        make_channel(workspace=each.workspace)
        push(each, up=False)
    secret = secret_of(monitor)
    monitor_service.delete(monitor=monitor)
    for model in (Monitor, MonitorState, PushToken, Incident, Transition, Belief):
        assert model.objects.count() == 1, model
    assert push(secret) is Outcome.UNKNOWN_TOKEN
    assert push(other) is Outcome.RECORDED


def test_the_heartbeats_of_a_deleted_monitor_are_removed_afterwards(
    hinted, django_capture_on_commit_callbacks
):
    monitor, other = up(), up()
    monitor_id = monitor.pk
    with django_capture_on_commit_callbacks(execute=True):
        monitor_service.delete(monitor=monitor)
    assert hinted == [("monitors.tasks.purge", (monitor_id,))]
    tasks.purge(monitor_id)
    assert Heartbeat.objects.get().monitor == other


def test_a_token_of_a_monitor_that_is_gone_is_unknown_and_not_a_fault():
    monitor = make_monitor()
    secret = tokens.issue(monitor=monitor).secret
    monitor_service.delete(monitor=monitor)
    assert push(secret) is Outcome.UNKNOWN_TOKEN
    assert not Heartbeat.objects.exists()


def test_a_monitor_that_was_edited_meanwhile_is_not_deleted():
    monitor = make_monitor()
    seen = monitor.version
    monitor_service.edit(monitor=monitor, name="Edited")
    with pytest.raises(monitor_service.VersionConflict):
        monitor_service.delete(monitor=monitor, version=seen)
    monitor_service.delete(monitor=monitor, version=monitor.version)
    assert not Monitor.objects.exists()
