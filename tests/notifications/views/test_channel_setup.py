"""The pages that set up channels, and what they show of failing channels."""

from __future__ import annotations

import re
from datetime import time, timedelta

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.models import Monitor
from notifications import channel_config
from notifications.integrations import kinds
from notifications.messages.events import Event, Reason
from notifications.models import Channel, Delivery, DeliveryAttempt, EscalationStep
from notifications.services import channels as channel_service
from notifications.transports import signing
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_delivery, make_incident

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
DATA = {"name": "Chat", "url": "https://example.com/x", "scope": "all", "events": "down", "enabled": "on"}


def url(name, *objects):
    return reverse(f"notifications:{name}", args=[getattr(thing, "public_id", thing) for thing in objects])


def text(answer):
    """The text of a page, with its white space collapsed."""
    return " ".join(answer.content.decode().split())


# --- Which kind ------------------------------------------------------------------------------------


def test_every_kind_can_be_chosen_and_email_comes_first(admin):
    page = admin.get(url("new")).content.decode()
    places = [page.index(f'"{url("create", slug)}"') for slug in kinds()]
    assert places == sorted(places)
    assert next(iter(kinds())) == "email"


@pytest.mark.parametrize("sought", ["slack", "SLACK", " sla "])
def test_a_kind_is_found_by_a_part_of_its_name(admin, sought):
    page = admin.get(url("new"), {"q": sought}).content.decode()
    assert url("create", "slack") in page
    assert url("create", "email") not in page
    assert f'value="{sought.strip()}"' in page


def test_for_htmx_the_integrations_are_a_fragment(admin):
    page = admin.get(url("new"), {"q": "slack"}, headers=HTMX).content.decode()
    assert "<html" not in page
    assert url("create", "slack") in page


def test_what_matches_no_kind_leads_to_all_of_them(admin):
    page = admin.get(url("new"), {"q": "<pigeon>"}).content.decode()
    assert "No integration matches" in page
    assert "&lt;pigeon&gt;" in page


@pytest.mark.parametrize("slug", sorted(kinds()))
def test_each_integration_has_a_form_with_instructions(admin, slug):
    page = admin.get(url("create", slug)).content.decode()
    kind = kinds()[slug]
    assert page.count('<li class="wrap">') == len(kind.where)
    if kind.documentation:
        assert f'href="{kind.documentation}" target="_blank" rel="noopener noreferrer"' in page
    for field in kind.fields:
        assert (f'name="{field.name}"' in page) == field.editable


# --- Preview --------------------------------------------------------------------------------------


def test_the_form_previews_notifications(admin):
    page = admin.get(url("create", "webhook")).content.decode()
    assert "Nightly backup" in page
    assert "Recovered: Nightly backup" in page


def test_the_preview_follows_what_is_typed(admin):
    data = {"preview": "yes", "title": "Alas, {monitor}: {status}", "body": ""}
    page = admin.post(url("create", "webhook"), data, headers=HTMX).content.decode()
    assert "Alas, Nightly backup: Down" in page
    assert "Alas, Nightly backup: Recovered" in page
    assert "<html" not in page
    assert not Channel.objects.exists()


def test_a_template_that_is_not_good_has_no_preview(admin):
    data = {"preview": "yes", "title": "{pigeon}"}
    page = admin.post(url("create", "webhook"), data, headers=HTMX).content.decode()
    assert "Fix the title and text to see the preview." in page


def test_without_javascript_a_button_shows_it_and_keeps_what_was_typed(admin):
    data = {**DATA, "preview": "yes", "title": "Alas, {monitor}", "delay": "10 min"}
    answer = admin.post(url("create", "webhook"), data)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Alas, Nightly backup" in page
    assert 'value="10 min"' in page
    assert not Channel.objects.exists()


def test_the_preview_of_a_channel_changes_nothing(admin, workspace):
    channel = make_channel(workspace=workspace, title="Old")
    page = admin.post(url("edit", channel), {"preview": "yes", "title": "New"}, headers=HTMX)
    assert "New" in page.content.decode()
    channel.refresh_from_db()
    assert (channel.title, channel.version) == ("Old", 1)


def test_the_preview_is_in_the_language_and_the_zone_of_the_workspace(admin, workspace):
    workspace.timezone = "Asia/Jakarta"
    workspace.save(update_fields=["timezone"])
    assert "WIB" in admin.get(url("create", "webhook")).content.decode()


def test_the_second_of_two_edits_sees_that_and_keeps_its_input(admin, workspace):
    channel = make_channel(workspace=workspace, name="Chat")
    page = admin.get(url("edit", channel)).content.decode()
    assert 'name="version" value="1"' in page
    channel_service.edit(channel=channel, name="Theirs")
    data = {**DATA, "name": "Mine", "version": "1", "secret": "whsec_" + "QUJD" * 8}
    answer = admin.post(url("edit", channel), data)
    page = text(answer)
    assert answer.status_code == 422
    assert "Someone else changed this channel in the meantime." in page
    assert 'value="Mine"' in answer.content.decode()
    # Only a secret has to be typed again, because it is never shown.
    assert "Enter it again: secrets are never shown." in page
    channel.refresh_from_db()
    assert channel.name == "Theirs"
    # Who saves again means it.
    assert 'name="version" value="2"' in answer.content.decode()
    assert admin.post(url("edit", channel), {**data, "version": "2"}).status_code == 302
    channel.refresh_from_db()
    assert channel.name == "Mine"


def test_the_page_of_a_channel_says_for_what_and_when_it_is(admin, workspace):
    channel = make_channel(
        workspace=workspace,
        least_urgency="high",
        quiet_from=time(22),
        quiet_until=time(7),
        quiet_timezone="Asia/Jakarta",
    )
    EscalationStep.objects.create(workspace=workspace, channel=channel, after=900, least_urgency="high")
    page = text(admin.get(url("detail", channel)))
    assert "<dt>Only monitors with</dt> <dd>high urgency</dd>" in page
    assert "22:00 to 07:00 (Asia/Jakarta)" in page
    assert "if not acknowledged within 15 min, for monitors with high urgency" in page


def test_a_viewer_gets_no_preview(viewer):
    assert viewer.post(url("create", "webhook"), {"preview": "yes"}).status_code == 403


# --- The secret to sign with -----------------------------------------------------------------------


def test_a_new_secret_is_made_after_a_question_and_shown_once(admin, workspace):
    channel = make_channel(workspace=workspace)
    assert "It is shown once" in admin.get(url("new_secret", channel)).content.decode()
    channel.refresh_from_db()
    assert "secret" not in channel.config
    answer = admin.post(url("new_secret", channel))
    channel.refresh_from_db()
    secret = channel_config.opened(channel)["secret"]
    assert signing.is_secret(secret)
    assert f'value="{secret}"' in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    for page in ("detail", "edit"):
        assert secret not in admin.get(url(page, channel)).content.decode()


def test_while_the_secret_before_counts_the_page_says_so(admin, workspace):
    channel = make_channel(workspace=workspace)
    admin.post(url("new_secret", channel))
    assert "Previous secret expires" not in admin.get(url("detail", channel)).content.decode()
    assert (
        "both the new secret and the previous one" in admin.post(url("new_secret", channel)).content.decode()
    )
    assert "Previous secret expires" in admin.get(url("detail", channel)).content.decode()


def test_what_is_not_signed_has_no_secret_to_make(admin, workspace):
    channel = make_channel(workspace=workspace, kind="email", config={"addresses": ["a@example.com"]})
    assert admin.post(url("new_secret", channel)).status_code == 404
    assert url("new_secret", channel) not in admin.get(url("detail", channel)).content.decode()


# --- Failing ---------------------------------------------------------------------------------------


def failing_channel(workspace, **fields):
    fields = {"name": "Ops", "failing_since": database_now() - timedelta(minutes=4), "failures": 20, **fields}
    channel = make_channel(workspace=workspace, **fields)
    row = make_delivery(channel, make_monitor(workspace=workspace, name="Backup"))
    now = database_now()
    DeliveryAttempt.objects.create(
        delivery=row, number=1, started_at=now, finished_at=now, ok=False, detail="invalid_token"
    )
    return channel


def test_a_failing_channel_is_so_in_the_list_and_on_its_page(admin, workspace):
    channel = failing_channel(workspace)
    for page in (admin.get(url("list")), admin.get(url("detail", channel))):
        content = page.content.decode()
        assert '<span class="pill pill-down">Failing</span>' in content
        assert "invalid_token" in content


def test_a_viewer_sees_that_it_is_failing_but_not_the_response(viewer, workspace):
    channel = failing_channel(workspace)
    for page in (viewer.get(url("list")), viewer.get(url("detail", channel))):
        content = page.content.decode()
        assert "Failing" in content
        assert "invalid_token" not in content


def test_the_overview_warns_admins_of_failing_channels(admin, workspace):
    channel = failing_channel(workspace)
    content = text(admin.get(reverse("monitors:overview")))
    assert f'href="{url("detail", channel)}">Ops</a> has been failing since' in content
    assert "invalid_token" in content


def test_the_overview_does_not_warn_viewers(viewer, workspace):
    failing_channel(workspace)
    assert "has been failing since" not in text(viewer.get(reverse("monitors:overview")))


def test_the_overview_ignores_other_workspaces_and_working_channels(admin, workspace):
    make_channel(workspace=workspace)
    failing_channel(make_workspace())
    assert "has been failing since" not in text(admin.get(reverse("monitors:overview")))


def test_a_monitor_shows_which_of_its_channels_is_failing(admin, workspace):
    channel = failing_channel(workspace)
    monitor = Monitor.objects.get()
    other = failing_channel(workspace, name="Elsewhere", monitors=[])
    page = text(admin.get(url("for_monitor", monitor)))
    assert url("detail", channel) in page
    assert url("detail", other) not in page
    assert "has been failing since" in page


def test_a_channel_disabled_because_its_receiver_is_gone_says_so(admin, workspace):
    channel = failing_channel(workspace, enabled=False)
    page = text(admin.get(url("detail", channel)))
    assert "It is disabled." in page
    assert "invalid_token" in page


# --- Delivery log ----------------------------------------------------------------------------------


def digest_of(channel, *names, **fields):
    now = database_now()
    fields = {"status": Delivery.Status.SENT, "next_attempt_at": None, **fields}
    digest = Delivery.objects.create(
        channel=channel, event=Event.DIGEST_DOWN, created_at=now, planned_at=now, **fields
    )
    for name in names:
        monitor = make_monitor(workspace=channel.workspace, name=name)
        make_delivery(channel, monitor, digest=digest, **fields)
    return digest


def test_a_digest_is_one_row_with_its_monitors_folded(admin, workspace):
    channel = make_channel(workspace=workspace)
    digest = digest_of(channel, "Oven", "Fridge", "Lamp")
    page = admin.get(url("detail", channel)).content.decode()
    assert page.count('id="delivery-') == 1
    assert f'id="delivery-{digest.public_id}"' in page
    assert "Several down: 3 monitors" in page
    for name in ("Oven", "Fridge", "Lamp"):
        assert f">{name}</a>" in page
    assert "Several down: 3 monitors" in admin.get(url("list")).content.decode()


@pytest.mark.slow
def test_a_long_digest_names_some_and_costs_no_more(admin, workspace, django_assert_max_num_queries):
    channel = make_channel(workspace=workspace)
    for _ in range(3):
        digest_of(channel, *(f"Lamp {n}" for n in range(60)))
    with django_assert_max_num_queries(12):
        page = admin.get(url("detail", channel)).content.decode()
    assert page.count(">Lamp ") == 150
    assert "and others" in page


def test_an_incident_in_a_digest_shows_how_many_it_merged(admin, workspace):
    channel = make_channel(workspace=workspace, name="Chat")
    digest = digest_of(channel, "Oven", "Fridge")
    now = database_now()
    DeliveryAttempt.objects.create(delivery=digest, number=1, started_at=now, finished_at=now, ok=True)
    incident = digest.members.order_by("pk").first().incident
    page = admin.get(url("of_incident", incident)).content.decode()
    assert "In a digest of 2" in page
    assert "Attempt 1 succeeded" in page


def test_a_skipped_delivery_shows_the_reason(admin, workspace):
    channel, monitor = make_channel(workspace=workspace), make_monitor(workspace=workspace)
    incident = make_incident(monitor)
    fields = {"status": Delivery.Status.SKIPPED, "note": Delivery.Note.RECOVERED, "next_attempt_at": None}
    make_delivery(channel, monitor, incident=incident, **fields)
    for page in (admin.get(url("detail", channel)), admin.get(url("of_incident", incident))):
        content = page.content.decode()
        assert "Skipped" in content
        assert "Recovered before it was sent" in content
        assert "No attempts yet" not in content


def test_a_digest_names_its_monitors_by_what_happened_to_them(admin, workspace):
    channel, now = make_channel(workspace=workspace), database_now()
    digest = Delivery.objects.create(
        channel=channel, event=Event.DIGEST, status="sent", created_at=now, attempt_count=1
    )
    for name, event in (("disk", Event.OPENED), ("backup", Event.RESOLVED), ("mail", Event.OPENED)):
        make_delivery(
            channel,
            make_monitor(workspace=workspace, name=name),
            event=event,
            digest=digest,
            status="sent",
            next_attempt_at=None,
        )
    page = admin.get(url("detail", channel)).content.decode()
    assert "Digest: 3 monitors" in page
    words = " ".join(re.sub(r"<[^>]*>", " ", page[page.index("Digest: 3 monitors") :]).split())
    assert "Down: disk mail Recovered: backup" in words


def test_the_end_of_a_deleted_monitor_is_in_the_log_with_its_name_and_the_reason(admin, workspace):
    channel, now = make_channel(workspace=workspace), database_now()
    Delivery.objects.create(
        channel=channel,
        event=Event.ENDED,
        reason=Reason.DELETED,
        about={"monitor": "old backup"},
        status="sent",
        created_at=now,
    )
    page = admin.get(url("detail", channel)).content.decode()
    assert "Closed: old backup" in page
    assert "Monitor deleted" in page


def test_the_news_that_a_channel_is_failing_leads_to_it(admin, workspace):
    failing, channel = failing_channel(workspace), make_channel(workspace=workspace)
    now = database_now()
    Delivery.objects.create(
        channel=channel,
        subject=failing,
        event=Event.FAILING,
        created_at=now,
        planned_at=now,
        next_attempt_at=now,
    )
    page = admin.get(url("detail", channel)).content.decode()
    assert "Channel failing: Ops" in page
    assert url("detail", failing) in page


def test_a_late_monitor_without_an_incident_is_shown(admin, workspace):
    channel, monitor, now = (
        make_channel(workspace=workspace),
        make_monitor(workspace=workspace),
        database_now(),
    )
    Delivery.objects.create(
        channel=channel,
        monitor=monitor,
        event=Event.LATE,
        occasion=now,
        created_at=now,
        planned_at=now,
        next_attempt_at=now,
    )
    assert f"Late: {monitor.name}" in admin.get(url("detail", channel)).content.decode()
    assert f"Late: {monitor.name}" in admin.get(url("list")).content.decode()
