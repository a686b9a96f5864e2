"""Incidents: the list of a workspace, the page of one, acknowledging and notes."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse

from accounts.actors import Actor
from accounts.models import AuditEntry
from core.clock import database_now
from monitors.models import NOTE_LENGTH, Incident
from monitors.pages.incidents import BadCursor, incidents_of
from monitors.pages.log import audit_text
from monitors.services import incidents
from notifications.dispatch import send
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace
from tests.support.heartbeats import let_pass, push
from tests.support.incidents import make_incident

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60)


@pytest.fixture
def incident(monitor):
    push(monitor)
    push(monitor, up=False, message="disk full")
    return monitor.incidents.get()


def url(name, incident):
    return reverse(f"monitors:{name}", args=[incident.public_id])


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def deeds_of(monitor):
    entries = AuditEntry.objects.filter(subject=monitor.public_id, action__startswith="incident.")
    return [audit_text.in_words(entry) for entry in entries.order_by("pk")]


def make_past(monitor, number):
    """So many incidents that are over, the first the newest."""
    now = database_now()
    for n in reversed(range(number)):
        start = now - timedelta(hours=n + 1)
        make_incident(
            monitor,
            started_at=start,
            resolved_at=start + timedelta(minutes=1),
            opening_message=f"fault-{n:02}",
        )


# --- The list ------------------------------------------------------------------------------------


def messages_of(page):
    return [row.opening_message for row in page.rows]


def test_open_incidents_come_first_then_the_newest(workspace, monitor):
    make_incident(make_monitor(workspace=workspace), opening_message="open")
    make_past(monitor, 3)
    assert messages_of(incidents_of(workspace)) == ["open", "fault-00", "fault-01", "fault-02"]


def test_open_incidents_can_be_filtered(workspace, monitor):
    make_past(monitor, 3)
    make_incident(monitor, opening_message="open")
    assert messages_of(incidents_of(workspace, only_open=True)) == ["open"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_each_incident_is_on_exactly_one_page(workspace, size):
    for _ in range(3):
        monitor = make_monitor(workspace=workspace)
        make_past(monitor, 2)
        make_incident(monitor)
    page = incidents_of(workspace, size=size)
    seen = list(page.rows)
    while page.more:
        page = incidents_of(workspace, cursor=page.more, size=size)
        seen += page.rows
    assert [row.resolved_at is None for row in seen] == [True] * 3 + [False] * 6
    assert len({row.pk for row in seen}) == 9


def test_incidents_of_other_workspaces_are_not_listed(admin, incident):
    make_incident(make_monitor(workspace=make_workspace(), name="Foreign"))
    text = text_of(admin.get(reverse("monitors:incident_list")))
    assert "Backup" in text
    assert "Foreign" not in text


@pytest.mark.parametrize("cursor", ["x", "o", "o-1", "offfffffffffffffff", "%00"])
def test_a_broken_cursor_is_not_found(admin, cursor):
    assert admin.get(f"{reverse('monitors:incident_list')}?before={cursor}").status_code == 404


def test_a_cursor_of_somebody_else_is_refused(workspace):
    with pytest.raises(BadCursor):
        incidents_of(workspace, cursor="1-1")


def test_older_incidents_follow_page_by_page(admin, monitor):
    make_past(monitor, 60)
    page = admin.get(reverse("monitors:incident_list")).content.decode()
    link = re.search(r'href="(\?before=[^"]+)"', page)[1]
    older = admin.get(reverse("monitors:incident_list") + link).content.decode()
    assert re.findall(r"fault-\d+", page + older) == [f"fault-{n:02}" for n in range(60)]


def test_a_list_leads_to_the_page_of_each_incident(admin, monitor, incident):
    for address in (
        reverse("monitors:incident_list"),
        reverse("monitors:incidents", args=[monitor.public_id]),
        reverse("monitors:detail", args=[monitor.public_id]),
    ):
        assert url("incident", incident) in admin.get(address).content.decode()


def test_a_list_costs_the_same_however_long(admin, monitor, django_assert_num_queries):
    address = reverse("monitors:incident_list")
    make_past(monitor, 2)
    admin.get(address)
    with django_assert_num_queries(6):
        admin.get(address)
    for _ in range(5):
        make_past(make_monitor(workspace=monitor.workspace), 3)
    with django_assert_num_queries(6):
        admin.get(address)


def test_a_list_that_is_still_right_is_answered_with_nothing(admin, incident):
    address = reverse("monitors:incident_list")
    version = re.search(r'data-version="([^"]+)"', admin.get(address).content.decode())[1]
    headers = HTMX | {"Tianji-Version": version}
    assert admin.get(address, headers=headers).status_code == 204
    push(incident.monitor)
    assert admin.get(address, headers=headers).status_code == 200


# --- The page ------------------------------------------------------------------------------------


def test_the_page_shows_the_whole_history(admin, workspace, monitor):
    make_channel(workspace=workspace, name="Ops")
    push(monitor)
    push(monitor, up=False, message="disk full")
    incident = monitor.incidents.get()
    let_pass(monitor, minutes=19)
    send.deliver_due()
    admin.post(url("acknowledge", incident))
    admin.post(url("note", incident), {"note": "Deleted old dumps."})
    push(monitor, message="room again")
    text = text_of(admin.get(url("incident", incident)))
    assert "Was down for 19 min" in text
    assert "Reported down by the sender" in text
    story = [
        "Reported down: “disk full”",
        "Acknowledged",
        "Updated the incident note",
        "Recovered after 19 min",
    ]
    places = [text.index(words) for words in story]
    assert places == sorted(places)
    assert "Deleted old dumps." in text


def test_an_open_incident_says_for_how_long_it_goes_on(admin, incident):
    text = text_of(admin.get(url("incident", incident)))
    assert re.search(r"Down for \d+ s · recovers with the next good heartbeat", text)


def test_the_page_loads_every_attempt_from_the_channels(admin, incident):
    assert (
        reverse("notifications:of_incident", args=[incident.public_id])
        in admin.get(url("incident", incident)).content.decode()
    )


@pytest.mark.parametrize("name", ["incident", "acknowledge", "note"])
def test_an_incident_of_another_workspace_does_not_exist(admin, name):
    foreign = make_incident(make_monitor())
    method = admin.get if name == "incident" else admin.post
    assert method(url(name, foreign), {"note": "Mine"}).status_code == 404
    foreign.refresh_from_db()
    assert (foreign.acknowledged_at, foreign.note) == (None, "")


def test_a_viewer_reads_and_has_no_buttons(viewer, incident):
    incidents.note(incident=incident, text="Known.", by=Actor())
    page = viewer.get(url("incident", incident)).content.decode()
    assert "Known." in page
    assert "<textarea" not in page
    assert url("acknowledge", incident) not in page


@pytest.mark.parametrize("name", ["acknowledge", "note"])
def test_a_viewer_changes_nothing(viewer, incident, name):
    assert viewer.post(url(name, incident), {"note": "Mine"}).status_code == 403
    incident.refresh_from_db()
    assert (incident.acknowledged_at, incident.note) == (None, "")


def test_a_page_that_is_still_right_is_answered_with_nothing(admin, incident):
    version = re.search(r'data-version="([^"]+)"', admin.get(url("incident", incident)).content.decode())[1]
    headers = HTMX | {"Tianji-Version": version}
    assert admin.get(url("incident", incident), headers=headers).status_code == 204
    admin.post(url("acknowledge", incident))
    part = admin.get(url("incident", incident), headers=headers)
    assert part.status_code == 200
    assert "<html" not in part.content.decode()


def test_a_page_costs_the_same_however_much_happened(admin, workspace, monitor, django_assert_num_queries):
    push(monitor, up=False)
    incident = monitor.incidents.get()
    admin.get(url("incident", incident))
    with django_assert_num_queries(9):
        admin.get(url("incident", incident))
    for n in range(5):
        incidents.note(incident=incident, text=f"note {n}", by=Actor())
    with django_assert_num_queries(9):
        admin.get(url("incident", incident))


# --- Acknowledging -------------------------------------------------------------------------------


def test_acknowledging_stores_who_and_when(admin, incident):
    response = admin.post(url("acknowledge", incident))
    assert (response.status_code, response["Location"]) == (303, url("incident", incident))
    incident.refresh_from_db()
    assert incident.acknowledged_by is not None
    text = text_of(admin.get(url("incident", incident)))
    assert incident.acknowledged_by.email in text
    assert url("acknowledge", incident) not in admin.get(url("incident", incident)).content.decode()
    assert deeds_of(incident.monitor) == ["Acknowledged the incident"]


def test_whoever_acknowledges_second_changes_nothing(incident, workspace):
    first, second = make_user(workspace=workspace), make_user(workspace=workspace)
    assert incidents.acknowledge(incident=incident, by=Actor(first))
    assert not incidents.acknowledge(incident=incident, by=Actor(second))
    incident.refresh_from_db()
    assert incident.acknowledged_by == first
    assert len(deeds_of(incident.monitor)) == 1


def test_what_is_over_is_not_acknowledged(admin, incident):
    push(incident.monitor)
    response = admin.post(url("acknowledge", incident), follow=True)
    assert "Already acknowledged or resolved." in text_of(response)
    assert Incident.objects.get().acknowledged_at is None
    assert deeds_of(incident.monitor) == []


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_exactly_one_acknowledges(workspace):
    monitor = make_monitor(workspace=workspace)
    push(monitor, up=False)
    incident = Incident.objects.select_related("monitor__workspace").get()
    ready, did = threading.Barrier(2), []

    def acknowledge():
        try:
            ready.wait(10)
            did.append(incidents.acknowledge(incident=incident, by=Actor()))
        finally:
            connection.close()

    threads = [threading.Thread(target=acknowledge) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(did) == [False, True]
    assert len(deeds_of(monitor)) == 1


@pytest.mark.parametrize("name", ["acknowledge", "note"])
def test_changing_needs_a_post(admin, incident, name):
    assert admin.get(url(name, incident)).status_code == 405


# --- Notes ---------------------------------------------------------------------------------------


def test_a_note_keeps_its_line_breaks_and_the_audit_log_its_previous_text(admin, incident):
    admin.post(url("note", incident), {"note": "First."})
    admin.post(url("note", incident), {"note": "Second,\r\non two lines."})
    incident.refresh_from_db()
    assert incident.note == "Second,\non two lines."
    assert "First." in text_of(admin.get(url("incident", incident)))


def test_an_identical_note_is_no_change(admin, incident):
    for _ in range(2):
        admin.post(url("note", incident), {"note": "Known."})
    admin.post(url("note", incident), {"note": ""})
    assert deeds_of(incident.monitor) == ["Updated the incident note", "Removed the incident note"]


def test_a_note_can_be_written_when_it_is_over(admin, incident):
    push(incident.monitor)
    admin.post(url("note", incident), {"note": "It was the fan."})
    incident.refresh_from_db()
    assert incident.note == "It was the fan."


def test_a_note_that_is_too_long_is_refused_and_nothing_typed_is_lost(admin, incident):
    typed = "word " * 1000
    response = admin.post(url("note", incident), {"note": typed})
    assert response.status_code == 422
    assert typed.strip() in response.content.decode()
    assert f"at most {NOTE_LENGTH} characters" in text_of(response)
    incident.refresh_from_db()
    assert incident.note == ""


def test_a_note_of_full_length_fits_also_with_line_breaks(admin, incident):
    lines = "\r\n".join(["x" * 99] * 40)
    admin.post(url("note", incident), {"note": lines})
    incident.refresh_from_db()
    assert len(incident.note) == 40 * 99 + 39
