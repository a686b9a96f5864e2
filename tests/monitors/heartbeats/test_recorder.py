"""Heartbeats, and what they do to monitors."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import database_now
from monitors.domain.state_machine import Cause
from monitors.heartbeats import missed, recorder
from monitors.heartbeats.recorder import Outcome
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, PushToken, Transition
from monitors.services import tokens
from tests.support.examples import examples
from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of
from tests.support.heartbeats import (
    Queries,
    arrival,
    let_pass,
    push,
    quiet_statements,
    state_of,
    transitions_of,
)

pytestmark = pytest.mark.django_db
RECORDED, UNKNOWN, POST_ONLY = Outcome.RECORDED, Outcome.UNKNOWN_TOKEN, Outcome.POST_ONLY


# --- one push


def test_a_heartbeat_is_stored_with_all_its_fields():
    monitor = make_monitor()
    before = database_now()
    assert push(monitor, message="3 files", value=12.5, source="192.0.2.7") is RECORDED
    heartbeat = Heartbeat.objects.get()
    assert heartbeat.monitor == monitor
    assert heartbeat.token == monitor.tokens.get()
    assert (heartbeat.status, heartbeat.message, heartbeat.value) == ("up", "3 files", 12.5)
    assert heartbeat.source == "192.0.2.7"
    # The database's clock has milliseconds on SQLite.
    assert before - timedelta(milliseconds=1) <= heartbeat.received_at <= database_now()


def test_the_first_heartbeat_brings_a_new_monitor_up_without_a_notification(announced):
    monitor = make_monitor(timeout=60, grace=30)
    make_channel(workspace=monitor.workspace)
    push(monitor, message="hello", value=1.0)
    state = state_of(monitor)
    assert (state.status, state.last_message, state.last_value) == ("up", "hello", 1.0)
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=90)
    assert transitions_of(monitor) == [("new", "up", "heartbeat")]
    assert not Incident.objects.exists()
    assert announced.events() == []


def test_an_on_time_heartbeat_leaves_the_due_time_where_it_is():
    monitor = make_monitor(timeout=600, grace=60)
    push(monitor)
    let_pass(monitor, seconds=100)
    due_at = state_of(monitor).due_at
    push(monitor, message="again", value=2.0)
    state = state_of(monitor)
    assert state.due_at == due_at
    assert (state.last_message, state.last_value) == ("again", 2.0)
    assert state.last_heartbeat_at > due_at - timedelta(seconds=660)


def test_a_heartbeat_without_a_value_clears_the_last_one():
    monitor = make_monitor()
    push(monitor, value=2.0)
    push(monitor)
    assert state_of(monitor).last_value is None


def test_a_reported_down_opens_an_incident_with_its_message_and_value(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor, message="fine")
    heard_at = state_of(monitor).last_heartbeat_at
    push(monitor, up=False, message="disk full", value=99.5)
    incident = Incident.objects.get()
    assert incident.cause == Cause.REPORTED
    assert (incident.opening_message, incident.opening_value) == ("disk full", 99.5)
    assert incident.started_at == incident.detected_at == state_of(monitor).status_changed_at
    assert incident.last_heartbeat_at == heard_at
    assert incident.resolved_at is None
    assert state_of(monitor).due_at is None
    assert transitions_of(monitor) == [("new", "up", "heartbeat"), ("up", "down", "reported")]
    assert announced.events() == ["opened"]


def test_a_new_monitor_may_report_down_at_once():
    monitor = make_monitor()
    push(monitor, up=False)
    assert transitions_of(monitor) == [("new", "down", "reported")]
    assert Incident.objects.get().last_heartbeat_at is None


def test_a_further_down_is_kept_and_changes_nothing(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor, up=False, message="first")
    push(monitor, up=False, message="second")
    assert Heartbeat.objects.count() == 2
    assert Incident.objects.get().opening_message == "first"
    assert state_of(monitor).last_message == "second"
    assert Transition.objects.count() == 1
    assert announced.events() == ["opened"]


def test_a_further_report_with_another_message_is_the_incidents_latest():
    monitor = make_monitor()
    push(monitor, up=False, message="disk full")
    push(monitor, up=False, message="disk full")
    assert Incident.objects.get().latest_message == ""
    push(monitor, up=False, message="disk on fire")
    incident = Incident.objects.get()
    assert (incident.opening_message, incident.latest_message) == ("disk full", "disk on fire")
    recorder.record([arrival(monitor, up=False, message=text) for text in ("smoke", "disk full")])
    assert Incident.objects.get().latest_message == "disk full"
    push(monitor, message="new disk")
    incident = Incident.objects.get()
    assert (incident.latest_message, incident.closing_message) == ("disk full", "new disk")


def test_a_further_report_without_a_message_does_not_replace_the_reason():
    monitor = make_monitor()
    push(monitor, up=False, message="disk full")
    push(monitor, up=False, message="Reported down")
    assert Incident.objects.get().latest_message == ""
    push(monitor, up=False, message="disk on fire")
    push(monitor, up=False, message="Reported down")
    assert Incident.objects.get().latest_message == "disk on fire"


def test_a_report_without_a_message_after_a_missed_heartbeat_is_news():
    monitor = make_monitor(timeout=60, grace=0)
    push(monitor, message="fine")
    let_pass(monitor, minutes=10)
    missed.declare_missed()
    push(monitor, up=False, message="Reported down")
    assert Incident.objects.get().latest_message == "Reported down"


def test_of_reports_in_the_batch_that_opens_the_incident_the_last_is_the_latest():
    monitor = make_monitor()
    recorder.record([arrival(monitor, up=False, message=text) for text in ("disk full", "disk on fire")])
    incident = Incident.objects.get()
    assert (incident.opening_message, incident.latest_message) == ("disk full", "disk on fire")


@pytest.mark.parametrize("swept", [True, False])
def test_a_report_after_a_missed_heartbeat_says_why(swept):
    monitor = make_monitor(timeout=60, grace=0)
    push(monitor, message="fine")
    let_pass(monitor, minutes=10)
    if swept:
        missed.declare_missed()
    push(monitor, up=False, message="out of memory")
    incident = Incident.objects.get()
    assert (incident.cause, incident.latest_message) == ("missed", "out of memory")


def test_an_up_after_a_down_resolves_the_incident_and_is_notified(announced):
    monitor = make_monitor(timeout=60, grace=0)
    make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    let_pass(monitor, minutes=10)
    push(monitor, message="better", value=3.0)
    incident, state = Incident.objects.get(), state_of(monitor)
    assert incident.resolved_at == state.status_changed_at == state.last_heartbeat_at
    assert (incident.closing_message, incident.closing_value) == ("better", 3.0)
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=60)
    assert announced.events() == ["opened", "resolved"]


def test_an_up_after_an_unseen_deadline_leaves_an_incident_from_the_deadline_to_the_push(announced):
    monitor = make_monitor(timeout=60, grace=30)
    make_channel(workspace=monitor.workspace)
    push(monitor, message="before", value=1.0)
    let_pass(monitor, minutes=10)
    heard_at = state_of(monitor).last_heartbeat_at
    push(monitor, message="after", value=2.0)
    incident, state = Incident.objects.get(), state_of(monitor)
    assert incident.cause == Cause.MISSED
    assert incident.started_at == heard_at + timedelta(seconds=90)
    assert incident.resolved_at == incident.detected_at == state.last_heartbeat_at
    assert (incident.opening_message, incident.opening_value) == ("before", 1.0)
    assert (incident.closing_message, incident.closing_value) == ("after", 2.0)
    assert state.status == "up"
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=90)
    assert transitions_of(monitor)[1:] == [("up", "down", "missed"), ("down", "up", "heartbeat")]
    assert set(Transition.objects.order_by("id")[1:].values_list("incident", flat=True)) == {incident.pk}
    assert announced.events() == ["opened", "resolved"]


def test_a_down_after_an_unseen_deadline_opens_one_incident_at_the_deadline(announced):
    monitor = make_monitor(timeout=60, grace=30)
    make_channel(workspace=monitor.workspace)
    push(monitor)
    let_pass(monitor, minutes=10)
    push(monitor, up=False)
    incident = Incident.objects.get()
    assert (incident.cause, incident.resolved_at) == (Cause.MISSED, None)
    assert state_of(monitor).status == "down"
    assert announced.events() == ["opened"]


def test_a_heartbeat_inside_the_grace_changes_nothing_though_it_is_late():
    monitor = make_monitor(timeout=60, grace=60)
    push(monitor)
    let_pass(monitor, seconds=90)
    push(monitor)
    assert not Incident.objects.exists()
    assert Transition.objects.count() == 1


def test_a_heartbeat_of_a_state_that_is_due_early_moves_it_on():
    monitor = make_monitor(timeout=600, grace=0)
    push(monitor)
    MonitorState.objects.update(due_at=F("last_heartbeat_at"))
    push(monitor)
    state = state_of(monitor)
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=600)
    assert Transition.objects.count() == 1


@pytest.mark.parametrize("up", [True, False])
def test_a_push_to_a_paused_monitor_is_kept_and_it_stays_paused(up, announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    MonitorState.objects.update(status="paused")
    assert push(monitor, up=up, message="still here") is RECORDED
    assert Heartbeat.objects.get().status == ("up" if up else "down")
    state = state_of(monitor)
    assert (state.status, state.due_at, state.last_message) == ("paused", None, "still here")
    assert not Transition.objects.exists()
    assert announced.events() == []


def test_a_cron_monitor_is_due_after_its_next_time_in_its_zone():
    monitor = make_monitor(kind="cron", cron="0 2 * * *", timezone="Asia/Jakarta", grace=600)
    push(monitor)
    due_at = state_of(monitor).due_at
    assert (due_at.hour, due_at.minute, due_at.second) == (19, 10, 0)


def test_a_schedule_that_cannot_be_evaluated_keeps_its_heartbeat_and_is_tried_again_in_an_hour():
    monitor = make_monitor()
    Monitor.objects.filter(pk=monitor.pk).update(kind="cron", cron="0 0 31 2 *")
    assert push(monitor) is RECORDED
    state = state_of(monitor)
    assert state.status == "up"
    assert "day of month" in state.fault
    assert state.due_at == state.last_heartbeat_at + timedelta(hours=1)


def test_a_schedule_that_cannot_be_evaluated_is_no_silence():
    monitor = make_monitor(timeout=60, grace=0)
    push(monitor)
    let_pass(monitor, days=1)
    Monitor.objects.filter(pk=monitor.pk).update(kind="cron", cron="nonsense")
    push(monitor)
    assert not Incident.objects.exists()
    assert state_of(monitor).fault


def test_a_fault_is_forgotten_once_the_schedule_can_be_evaluated():
    monitor = make_monitor()
    Monitor.objects.filter(pk=monitor.pk).update(kind="cron", cron="nonsense")
    push(monitor)
    Monitor.objects.filter(pk=monitor.pk).update(cron="0 2 * * *")
    let_pass(monitor, hours=2)
    push(monitor)
    assert state_of(monitor).fault == ""


# --- tokens


def test_a_token_that_names_no_monitor_records_nothing():
    make_monitor()
    assert push(tokens.new_secret()) is UNKNOWN
    assert not Heartbeat.objects.exists()


@pytest.mark.parametrize(
    "ended", [{"revoked_at": timedelta(seconds=-1)}, {"expires_at": timedelta(seconds=-1)}]
)
def test_a_token_that_was_revoked_or_expired_records_nothing(ended):
    monitor = make_monitor()
    now = database_now()
    PushToken.objects.update(**{name: now + age for name, age in ended.items()})
    assert push(tokens.reveal(monitor.tokens.get())) is UNKNOWN
    assert state_of(monitor).last_heartbeat_at is None
    assert not Heartbeat.objects.exists()


def test_a_token_that_expires_later_works():
    monitor = make_monitor()
    PushToken.objects.update(expires_at=database_now() + timedelta(minutes=1))
    assert push(monitor) is RECORDED


def test_a_monitor_that_only_accepts_post_takes_no_other_push():
    monitor = make_monitor(post_only=True)
    assert push(monitor, posted=False) is POST_ONLY
    assert state_of(monitor).status == "new"
    assert push(monitor, posted=True) is RECORDED
    assert Heartbeat.objects.count() == 1


def test_the_use_of_a_token_is_noted_with_its_source():
    monitor = make_monitor()
    push(monitor, source="2001:db8::1")
    token = monitor.tokens.get()
    assert token.last_used_at == state_of(monitor).last_heartbeat_at
    assert token.last_used_from == "2001:db8::1"


def test_the_use_of_a_token_is_noted_at_most_once_a_minute():
    monitor = make_monitor()
    push(monitor, source="192.0.2.1")
    push(monitor, source="192.0.2.2")
    assert monitor.tokens.get().last_used_from == "192.0.2.1"
    PushToken.objects.update(last_used_at=F("last_used_at") - timedelta(seconds=61))
    push(monitor, source="192.0.2.3")
    assert monitor.tokens.get().last_used_from == "192.0.2.3"


# --- batches


def test_no_pushes_are_no_work():
    assert recorder.record([]) == []


def test_each_push_of_a_batch_has_its_own_outcome_in_order():
    first, second = make_monitor(), make_monitor(post_only=True)
    outcomes = recorder.record(
        [
            arrival(tokens.new_secret()),
            arrival(second, posted=False),
            arrival(first),
            arrival(tokens.new_secret()),
            arrival(second),
        ]
    )
    assert outcomes == [UNKNOWN, POST_ONLY, RECORDED, UNKNOWN, RECORDED]
    assert Heartbeat.objects.count() == 2


def test_a_batch_is_received_at_one_instant():
    recorder.record([arrival(make_monitor()) for _ in range(5)])
    assert Heartbeat.objects.values("received_at").distinct().count() == 1


def test_of_a_monitor_in_a_batch_twice_the_last_push_is_the_last_heartbeat():
    monitor = make_monitor()
    push(monitor)
    recorder.record([arrival(monitor, message=word) for word in ("one", "two", "three")])
    assert Heartbeat.objects.count() == 4
    assert state_of(monitor).last_message == "three"


@pytest.mark.parametrize(
    ("pushes", "events"),
    [
        ([False], ["opened"]),
        ([False, True], ["opened", "resolved"]),
        ([True, False], ["opened"]),
        ([False, False, True, True], ["opened", "resolved"]),
        ([False, True, False], ["opened", "opened", "resolved"]),
        ([False, True, False, True, True], ["opened", "opened", "resolved", "resolved"]),
    ],
)
@pytest.mark.parametrize("status", ["new", "up"])
def test_the_pushes_of_one_monitor_in_one_batch_are_decided_one_after_the_other(
    status, pushes, events, announced
):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    if status == "up":
        push(monitor)
    recorder.record([arrival(monitor, up=up) for up in pushes])
    assert sorted(announced.events()) == sorted(events)
    assert state_of(monitor).status == ("up" if pushes[-1] else "down")
    assert Incident.objects.count() == events.count("opened")
    assert Incident.objects.filter(resolved_at=None).count() == (not pushes[-1])


def test_an_open_incident_ends_and_another_begins_in_one_batch(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor, up=False, message="first")
    recorder.record([arrival(monitor), arrival(monitor, up=False, message="second")])
    first, second = Incident.objects.order_by("id")
    assert first.resolved_at is not None
    assert (second.opening_message, second.resolved_at) == ("second", None)
    assert sorted(announced.events()) == ["opened", "opened", "resolved"]


def test_a_batch_after_an_unseen_deadline_leaves_one_pair(announced):
    monitor = make_monitor(timeout=60, grace=0)
    make_channel(workspace=monitor.workspace)
    push(monitor)
    let_pass(monitor, minutes=10)
    recorder.record([arrival(monitor), arrival(monitor), arrival(monitor, up=False)])
    assert sorted(announced.events()) == ["opened", "opened", "resolved"]
    assert [cause for (cause,) in Incident.objects.order_by("started_at").values_list("cause")] == [
        "missed",
        "reported",
    ]


def test_two_tokens_of_one_monitor_in_one_batch_are_one_monitor():
    monitor = make_monitor()
    first = secret_of(monitor)
    second = tokens.issue(monitor=monitor).secret
    recorder.record([arrival(first, message="one"), arrival(second, up=False, message="two")])
    assert state_of(monitor).status == "down"
    assert transitions_of(monitor) == [("new", "up", "heartbeat"), ("up", "down", "reported")]
    assert set(Heartbeat.objects.values_list("token", flat=True)) == set(
        PushToken.objects.values_list("id", flat=True)
    )
    assert PushToken.objects.filter(last_used_at=None).count() == 0


def test_a_quiet_push_and_a_loud_one_of_one_monitor_keep_their_order():
    monitor = make_monitor()
    other = make_monitor()
    recorder.record([arrival(monitor), arrival(other)])
    recorder.record(
        [arrival(monitor, message="a"), arrival(other, message="x"), arrival(monitor, up=False, message="b")]
    )
    assert state_of(monitor).last_message == "b"
    assert state_of(other).last_message == "x"
    kept = Heartbeat.objects.filter(monitor=monitor).order_by("id").values_list("message", flat=True)
    assert list(kept) == ["OK", "a", "b"]


def test_a_push_of_one_workspace_leaves_another_alone():
    monitor, other = make_monitor(), make_monitor()
    channel = make_channel(workspace=other.workspace)
    push(monitor, up=False)
    assert state_of(other).status == "new"
    assert not channel.deliveries.exists()


def statements_of(arrivals):
    with Queries() as queries, pytest.MonkeyPatch.context() as patch:
        # On a busy machine a statement may take as long as one that waits for a lock and is asked again.
        patch.setattr(recorder, "_WAITED_SECONDS", float("inf"))
        recorder.record(arrivals)
    return len(queries.statements)


def test_fifty_pushes_cost_as_few_statements_in_the_steady_state_as_one():
    monitors = [make_monitor() for _ in range(50)]
    recorder.record([arrival(monitor) for monitor in monitors])
    assert statements_of([arrival(monitors[0])]) == quiet_statements()
    assert statements_of([arrival(monitor) for monitor in monitors]) == quiet_statements()


@pytest.mark.slow
@pytest.mark.parametrize("up", [True, False])
def test_fifty_changes_of_status_cost_as_many_statements_as_one(up):
    workspace = make_workspace()
    make_channel(workspace=workspace)
    monitors = [make_monitor(workspace=workspace) for _ in range(51)]
    recorder.record([arrival(monitor, up=not up) for monitor in monitors])
    alone = statements_of([arrival(monitors[0], up=up)])
    assert statements_of([arrival(monitor, up=up) for monitor in monitors[1:]]) == alone
    assert alone <= 20


def test_an_unknown_token_costs_one_statement():
    assert statements_of([arrival(tokens.new_secret())]) == 1


# --- what can be stored


@pytest.mark.slow
def test_any_text_and_number_that_a_push_may_hold_survives_the_database():
    monitor = make_monitor()
    text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=500)

    @settings(max_examples=examples(60), deadline=None)
    @given(text, st.none() | st.floats(allow_nan=False, allow_infinity=False))
    def survives(message, value):
        assert push(monitor, message=message, value=value) is RECORDED
        heartbeat = Heartbeat.objects.latest("id")
        assert heartbeat.message == message == state_of(monitor).last_message
        for stored in (heartbeat.value, state_of(monitor).last_value):
            assert stored == (value if value is None else pytest.approx(value, rel=1e-14, abs=0))

    survives()


@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1e22, 123456789.123])
def test_edge_values_survive_the_database(value):
    monitor = make_monitor()
    push(monitor, value=value)
    assert Heartbeat.objects.get().value == pytest.approx(value, rel=1e-15, abs=0)


def test_nothing_of_a_batch_is_kept_when_its_transaction_fails(monkeypatch):
    monitor, other = make_monitor(), make_monitor()
    make_channel(workspace=monitor.workspace)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notifications_belief RENAME TO notifications_gone")
    try:
        with pytest.raises(Exception, match="notifications_belief"):
            recorder.record([arrival(other), arrival(monitor, up=False)])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE notifications_gone RENAME TO notifications_belief")
    assert not Heartbeat.objects.exists()
    assert not Incident.objects.exists()
    assert state_of(other).status == "new"
