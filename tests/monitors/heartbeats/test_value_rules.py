"""Heartbeats that say up with a value that the monitor's rules forbid."""

from __future__ import annotations

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.domain.value_rules import ValueRules
from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push, parse_push
from monitors.heartbeats.recorder import Arrival, Limited, Outcome
from monitors.history import current
from monitors.models import Incident
from monitors.pages.log import feed
from monitors.services import monitors as monitor_service
from monitors.services.tokens import digest_of
from tests.support.factories import make_monitor, secret_of
from tests.support.heartbeats import (
    Queries,
    TooFast,
    let_pass,
    push,
    quiet_statements,
    state_of,
    transitions_of,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("rules", "value", "good"),
    [
        (ValueRules(), None, True),
        (ValueRules(), -1e300, True),
        (ValueRules(low=0.0), -0.1, False),
        (ValueRules(low=0.0), 0.0, True),
        (ValueRules(high=10.0), 10.0, True),
        (ValueRules(high=10.0), 10.000001, False),
        (ValueRules(low=-5.0, high=-1.0), -3.0, True),
        (ValueRules(low=-5.0, high=-1.0), 0.0, False),
        (ValueRules(high=10.0), None, True),
        (ValueRules(high=10.0, required=True), None, False),
        (ValueRules(required=True), 0.0, True),
    ],
)
def test_a_good_value_lies_within_both_bounds_and_is_there_where_it_has_to_be(rules, value, good):
    assert rules.allow(value) is good


def test_a_value_above_the_bound_opens_an_incident_that_says_so():
    monitor = make_monitor(value_max=10)
    push(monitor, value=3)
    push(monitor, value=12, message="disk nearly full")
    incident = Incident.objects.get()
    assert (incident.cause, incident.resolved_at) == ("value", None)
    assert (incident.opening_message, incident.opening_value) == ("disk nearly full", 12)
    assert transitions_of(monitor)[-1] == ("up", "down", "value")


def test_the_heartbeat_is_stored_as_it_was_sent():
    monitor = make_monitor(value_max=10)
    push(monitor, value=12, message="disk nearly full")
    heartbeat = monitor.heartbeats.get()
    assert (heartbeat.status, heartbeat.value, heartbeat.message) == ("up", 12, "disk nearly full")
    state = state_of(monitor)
    assert (state.status, state.last_value, state.due_at) == ("down", 12, None)


def test_a_new_monitor_with_a_bad_value_is_down():
    monitor = make_monitor(value_min=1)
    push(monitor, value=0)
    assert transitions_of(monitor) == [("new", "down", "value")]


def test_a_heartbeat_without_a_value_is_a_failure_where_one_is_required():
    monitor = make_monitor(value_required=True)
    push(monitor)
    assert Incident.objects.get().cause == "value"
    assert Incident.objects.get().opening_value is None


def test_the_next_good_value_ends_it_and_a_bad_one_does_not():
    monitor = make_monitor(value_max=10)
    push(monitor, value=12)
    push(monitor, value=11)
    assert Incident.objects.get().resolved_at is None
    push(monitor, value=10, message="cleaned up")
    incident = Incident.objects.get()
    assert incident.resolved_at is not None
    assert (incident.opening_value, incident.closing_value, incident.closing_message) == (
        12,
        10,
        "cleaned up",
    )
    assert state_of(monitor).status == "up"


def test_a_bad_value_does_not_end_what_was_reported():
    monitor = make_monitor(value_max=10)
    push(monitor, up=False)
    push(monitor, value=12)
    assert state_of(monitor).status == "down"
    assert Incident.objects.get().cause == "reported"


def test_a_bad_value_after_an_undetected_deadline_is_a_missed_heartbeat():
    monitor = make_monitor(value_max=10, timeout=60, grace=0)
    push(monitor, value=1)
    let_pass(monitor, minutes=5)
    push(monitor, value=12)
    assert state_of(monitor).status == "down"
    assert Incident.objects.get().cause == "missed"


def test_a_bad_value_of_a_paused_monitor_is_kept_and_changes_nothing():
    monitor = make_monitor(value_max=10)
    monitor_service.pause(monitor=monitor)
    push(monitor, value=12)
    assert state_of(monitor).status == "paused"
    assert monitor.heartbeats.get().value == 12


def test_what_says_down_with_a_bad_value_is_reported():
    monitor = make_monitor(value_max=10)
    push(monitor, up=False, value=12)
    assert Incident.objects.get().cause == "reported"


def test_people_are_owed_a_message_of_it_and_of_its_end(announced):
    monitor = make_monitor(value_max=10)
    push(monitor, value=12)
    push(monitor, value=1)
    assert announced.events() == ["opened", "resolved"]


def test_a_bad_value_that_comes_too_fast_is_recorded_because_it_may_change_something():
    monitor = make_monitor(value_max=10)
    push(monitor, value=1)
    assert isinstance(push(monitor, value=2, limiter=TooFast()), Limited)
    assert push(monitor, value=12, limiter=TooFast()) is Outcome.RECORDED
    assert state_of(monitor).status == "down"


def test_a_good_push_costs_no_more_statements_with_rules_than_without():
    plain, ruled = make_monitor(), make_monitor(value_min=0, value_max=10, value_required=True)
    counts = []
    for monitor in (plain, ruled):
        secret = secret_of(monitor)
        push(secret, value=1)
        with Queries() as queries:
            push(secret, value=2)
        counts.append(len(queries.statements))
    assert counts[0] == counts[1] == quiet_statements()


def test_new_bounds_do_not_judge_the_past():
    monitor = make_monitor()
    push(monitor, value=12)
    monitor_service.edit(monitor=monitor, value_max=10.0)
    assert state_of(monitor).status == "up"
    assert not Incident.objects.exists()
    push(monitor, value=12)
    monitor_service.edit(monitor=monitor, value_max=100.0)
    assert state_of(monitor).status == "down"
    push(monitor, value=12)
    assert state_of(monitor).status == "up"


@pytest.mark.parametrize(
    "rules",
    [
        {"value_max": 90},
        {"value_min": 1},
        {"value_required": True},
        {"value_max": 90, "value_required": True},
    ],
)
def test_a_value_that_is_not_a_number_is_out_of_range_and_the_incident_says_why(rules):
    monitor = make_monitor(**rules)
    push(monitor, value=5)
    push_raw(monitor, b"value=abc&msg=nearly+full")
    incident = Incident.objects.get()
    assert (incident.cause, incident.opening_value) == ("value", None)
    assert incident.opening_message == "The value “abc” is not a number. nearly full"
    heartbeat = monitor.heartbeats.latest("pk")
    # A threshold counts it as a failure, though the row has no value that shows it.
    assert (heartbeat.status, heartbeat.value) == ("down", None)
    assert transitions_of(monitor)[-1] == ("up", "down", "value")
    push_raw(monitor, b"value=5")
    assert state_of(monitor).status == "up"


def test_without_a_rule_a_value_that_is_not_a_number_changes_nothing():
    monitor = make_monitor()
    push_raw(monitor, b"value=abc")
    assert state_of(monitor).status == "up"
    heartbeat = monitor.heartbeats.get()
    assert (heartbeat.status, heartbeat.message, heartbeat.value) == ("up", "OK", None)


@pytest.mark.parametrize("written", ["97,3", "97.3%25", "973e-1", "97,3ms"])
def test_a_value_in_any_notation_is_held_against_the_rule(written):
    monitor = make_monitor(value_max=90)
    push_raw(monitor, f"value={written}".encode())
    assert Incident.objects.get().opening_value == 97.3


def test_above_the_rate_limit_an_unreadable_value_under_a_rule_is_recorded():
    monitor = make_monitor(value_max=90)
    push(monitor, value=5)
    arrival = Arrival(digest_of(secret_of(monitor)) or "", parsed(b"value=abc"))
    assert recorder.record([arrival], limiter=TooFast()) == [Outcome.RECORDED]


def parsed(query):
    said = parse_push("GET", query)
    assert isinstance(said, Push)
    return said


def push_raw(monitor, query):
    arrival = Arrival(digest_of(secret_of(monitor)) or "", parsed(query))
    assert recorder.record([arrival]) == [Outcome.RECORDED]


# --- What people see -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rules", "words"),
    [
        (12.0, ValueRules(high=10.0), "Value 12 is above 10"),
        (0.5, ValueRules(low=1.0), "Value 0.5 is below 1"),
        (10.0000001, ValueRules(high=10.0), "Value 10.0000001 is above 10"),
        (None, ValueRules(required=True), "No value, but one is required"),
        (None, ValueRules(high=10.0), "The value is not a number"),
        (12.0, ValueRules(high=100.0), "Value 12 was out of range"),
    ],
)
def test_the_broken_rule_is_described_in_a_sentence(value, rules, words):
    assert current.value_text(value, rules) == words


def fallen(workspace):
    monitor = make_monitor(workspace=workspace, name="Disk", value_max=10)
    push(monitor, value=12, message="nearly full")
    return monitor


def test_the_overview_the_page_and_the_log_say_which_bound_was_broken(viewer, workspace):
    monitor = fallen(workspace)
    address = reverse("monitors:detail", args=[monitor.public_id])
    for page in (
        viewer.get("/").content.decode(),
        viewer.get(address).content.decode(),
        viewer.get(f"{address}log/").content.decode(),
        viewer.get(f"{address}incidents/").content.decode(),
        viewer.get(reverse("monitors:incident_list")).content.decode(),
        viewer.get(reverse("monitors:incident", args=[Incident.objects.get().public_id])).content.decode(),
    ):
        assert "Value 12 is above 10" in page


def test_the_change_its_heartbeat_and_its_message_are_one_row_of_the_log(workspace):
    monitor = fallen(workspace)
    rows = feed.newest(monitor, now=database_now()).rows
    assert [(row.code, row.text, row.value) for row in rows if row.kind != "changes"] == [
        ("value", "Value 12 is above 10 · “nearly full”", 12.0)
    ]


def test_an_up_message_is_not_shown_as_a_fault_where_the_bounds_are_others_by_now(viewer, workspace):
    monitor = make_monitor(workspace=workspace, value_max=10)
    push(monitor, value=12)
    monitor_service.edit(monitor=monitor, value_max=None)
    assert 'text-down">OK' not in viewer.get("/").content.decode()


def test_the_number_of_queries_does_not_grow_with_incidents_for_values(viewer, workspace):
    monitor = fallen(workspace)
    address = reverse("monitors:incidents", args=[monitor.public_id])
    with Queries() as few:
        viewer.get(address)
    for value in (1, 12, 2, 13):
        push(monitor, value=value)
    with Queries() as more:
        viewer.get(address)
    assert len(more.statements) == len(few.statements)


def test_the_chart_of_values_has_its_bounds(viewer, workspace):
    monitor = make_monitor(workspace=workspace, value_min=-1000, value_max=10)
    push(monitor, value=1)
    push(monitor, value=12)
    page = viewer.get(reverse("monitors:charts", args=[monitor.public_id])).content.decode()
    assert "Highest allowed value: 10" in page
    assert "Lowest allowed value" not in page


def test_the_form_takes_bounds_and_folds_what_is_not_used(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    address = reverse("monitors:edit", args=[monitor.public_id])
    assert '<details class="card card-flush fold" >' in admin.get(address).content.decode()
    typed = {"name": "Disk", "kind": "interval", "timeout": "60", "value_min": "-1.5", "value_required": "on"}
    assert admin.post(address, typed).status_code == 303
    monitor.refresh_from_db()
    assert (monitor.value_min, monitor.value_max, monitor.value_required) == (-1.5, None, True)
    assert '<details class="card card-flush fold" open>' in admin.get(address).content.decode()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"value_min": "2", "value_max": "1"}, "Must not be below the lowest allowed value."),
        ({"value_min": "inf"}, "Enter a number, such as 12.5."),
        ({"value_max": "much"}, "Enter a number, such as 12.5."),
    ],
)
def test_invalid_bounds_are_reported_at_their_field(admin, typed, error):
    base = {"name": "Disk", "kind": "interval", "timeout": "60"}
    response = admin.post(reverse("monitors:create"), {**base, **typed})
    assert response.status_code == 422
    assert error in response.content.decode()


def test_a_test_heartbeat_that_fails_for_want_of_a_value_says_so(admin, workspace):
    monitor = make_monitor(workspace=workspace, value_required=True)
    address = reverse("monitors:test_heartbeat", args=[monitor.public_id])
    page = admin.post(address, follow=True).content.decode()
    assert "The test heartbeat has no value, but one is required: the monitor is down." in page
