"""Creating and editing a monitor, and the words under the form."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from monitors.domain.durations import exactly
from monitors.models import Monitor
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db

INTERVAL = {"name": "Backup", "kind": "interval", "timeout": "60"}
ON_CALENDAR = {
    "name": "Report",
    "kind": "oncalendar",
    "calendar": "[Timer]\r\n# working days\r\nOnCalendar=Mon..Fri 09:00\r\nOnCalendar=Sat 12:00 UTC\r\n",
    "timezone": "Asia/Jakarta",
}
CRON = {"name": "Backup", "kind": "cron", "cron": "0 2 * * *", "timezone": "Asia/Jakarta"}


def create(client, **data):
    return client.post(reverse("monitors:create"), data)


def edit_url(monitor):
    return reverse("monitors:edit", args=[monitor.public_id])


def preview(client, **data):
    page = client.post(reverse("monitors:preview"), data).content.decode()
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def errors_in(response):
    assert response.status_code == 422
    assert not Monitor.objects.filter(name="Backup").exists()
    return re.findall(r'class="error"[^>]*>\s*<p>([^<]*)</p>', response.content.decode())


# --- Create --------------------------------------------------------------------------------------


def test_a_monitor_is_created_in_the_workspace_with_all_that_was_typed(admin, workspace):
    response = create(
        admin,
        **INTERVAL | {"timeout": "5 min", "interval": "2m", "grace": "90"},
        description="What to do",
        tags="erp, nightly backup,erp,",
        post_only="on",
    )
    monitor = Monitor.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/monitors/{monitor.public_id}/")
    assert monitor.workspace == workspace
    assert (monitor.timeout, monitor.interval, monitor.grace) == (300, 120, 90)
    assert monitor.tags == ["erp", "nightly backup"]
    assert monitor.description == "What to do"
    assert monitor.post_only
    assert monitor.tokens.get().created_by == workspace.memberships.get().user


def test_a_cron_monitor_is_created(admin):
    create(admin, **CRON)
    monitor = Monitor.objects.get()
    assert (monitor.kind, monitor.cron, monitor.timezone) == ("cron", "0 2 * * *", "Asia/Jakarta")
    assert monitor.grace is None


def test_an_oncalendar_monitor_is_created_from_pasted_lines(admin):
    create(admin, **ON_CALENDAR, early="30 s")
    monitor = Monitor.objects.get()
    assert (monitor.kind, monitor.calendar) == ("oncalendar", "Mon..Fri 09:00\nSat 12:00 UTC")
    assert (monitor.timezone, monitor.cron, monitor.early) == ("Asia/Jakarta", "", 30)


def test_a_schedule_of_another_kind_leaves_nothing_behind(admin, workspace):
    monitor = make_monitor(workspace=workspace, kind="oncalendar", calendar="daily", early=7)
    admin.post(edit_url(monitor), CRON)
    monitor.refresh_from_db()
    assert (monitor.kind, monitor.calendar, monitor.early) == ("cron", "", None)
    admin.post(edit_url(monitor), ON_CALENDAR | {"early": "0"})
    monitor.refresh_from_db()
    assert (monitor.kind, monitor.cron, monitor.early) == ("oncalendar", "", 0)
    admin.post(edit_url(monitor), INTERVAL | {"early": "5 s"})
    monitor.refresh_from_db()
    assert (monitor.kind, monitor.calendar, monitor.timezone, monitor.early) == ("interval", "", "UTC", None)


def test_fields_of_the_other_kind_of_schedule_are_not_looked_at(admin):
    create(admin, **INTERVAL, cron="nonsense", timezone="Nowhere")
    monitor = Monitor.objects.get()
    assert (monitor.cron, monitor.timezone) == ("", "UTC")
    create(admin, **CRON | {"name": "Second", "timeout": "nonsense", "interval": "soon"})
    assert Monitor.objects.get(name="Second").interval is None


def test_a_viewer_cannot_create_a_monitor(viewer):
    assert viewer.get(reverse("monitors:create")).status_code == 403
    assert create(viewer, **INTERVAL).status_code == 403


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": " "}, "Enter a name."),
        ({"timeout": ""}, "Enter a timeout, such as 60 s or 5 min."),
        ({"timeout": "soon"}, "Enter a duration such as 90 s, 5 min or 1 h 30 min."),
        ({"timeout": "0"}, "Enter 1 s to 365 d, such as 90 s, 5 min or 1 h 30 min."),
        ({"timeout": "366 d"}, "Enter 1 s to 365 d, such as 90 s, 5 min or 1 h 30 min."),
        ({"grace": "31 d"}, "Enter 0 s to 30 d, such as 90 s, 5 min or 1 h 30 min."),
        ({"interval": "61"}, "Must not be longer than the timeout: at most 60 s."),
        ({"tags": "x" * 31}, f"“{'x' * 31}” is too long: a tag can have at most 30 characters."),
        ({"tags": ",".join(str(n) for n in range(21))}, "Enter at most 20 tags."),
        (
            {"kind": "never"},
            "Select a valid choice. never is not one of the available choices.",
        ),
    ],
)
def test_what_cannot_be_is_answered_with_what_is_allowed(admin, typed, error):
    assert errors_in(create(admin, **INTERVAL | typed)) == [error]


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ({"cron": ""}, "Enter a cron expression"),
        ({"cron": "0 2 * *"}, "Enter five fields"),
        ({"cron": "61 2 * * *"}, "The minute field must be 0-59"),
        ({"cron": "0 0 31 2 *"}, "The day of month field must be 1-31 or L"),
        ({"timezone": "Mars/Olympus"}, "Unknown time zone “Mars/Olympus”"),
        ({"timezone": "localtime"}, "Unknown time zone “localtime”"),
        ({"timezone": "../../etc/passwd"}, "Unknown time zone “../../etc/passwd”"),
    ],
)
def test_a_cron_schedule_that_cannot_be_is_refused_with_the_reason(admin, typed, start):
    (error,) = errors_in(create(admin, **CRON | typed))
    assert error.startswith(start)


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ({"calendar": " "}, "Enter an OnCalendar expression"),
        ({"calendar": "# later"}, "Enter an OnCalendar expression"),
        ({"calendar": "daily\nMon 25:00"}, "“Mon 25:00”: The hour must be 0-23"),
        ({"calendar": "*:*:0/0.5"}, "Fractions of a second are not supported"),
        ({"calendar": "2020-01-01"}, "This expression matches no date in the future"),
        ({"calendar": "*-02-30"}, "This expression matches no date in the future"),
        ({"calendar": "daily\nOnBootSec=15min"}, "Enter only the OnCalendar= lines"),
        ({"calendar": "daily\n" * 11}, "Enter at most 10 expressions"),
        ({"calendar": "daily " * 200}, "Ensure this value has at most 1000 characters"),
        ({"timezone": "Mars/Olympus"}, "Unknown time zone “Mars/Olympus”"),
        ({"early": "2 h"}, "Enter 0 s to 1 h"),
        ({"early": "soon"}, "Enter a duration such as"),
    ],
)
def test_an_oncalendar_schedule_that_cannot_be_is_refused_with_the_reason(admin, typed, start):
    (error,) = errors_in(create(admin, **ON_CALENDAR | typed))
    assert error.startswith(start)
    assert not Monitor.objects.exists()


def test_lines_with_a_mistake_stay_as_they_were_typed(admin):
    page = create(
        admin, **ON_CALENDAR | {"calendar": "# nightly\nOnCalendar=daily\nMon 25:00"}
    ).content.decode()
    assert "# nightly\nOnCalendar=daily\nMon 25:00</textarea>" in page
    assert re.search(r'<textarea[^>]*name="calendar"[^>]*aria-invalid="true"', page)


def test_nothing_typed_is_lost_on_an_error(admin):
    typed = INTERVAL | {
        "timeout": "soonish",
        "interval": "every now and then",
        "grace": "5 parsecs",
        "cron": "1 2 3",
        "timezone": "Nowhere",
        "description": "Call <Budi>",
        "tags": "one, two",
        "post_only": "on",
    }
    page = create(admin, **typed).content.decode()
    for value in ("soonish", "every now and then", "5 parsecs", "1 2 3", "Nowhere", "one, two", "Backup"):
        assert f'value="{value}"' in page
    assert "Call &lt;Budi&gt;" in page
    assert re.search(r'name="post_only"[^>]*checked', page)


def test_an_error_is_tied_to_its_field(admin):
    page = create(admin, **INTERVAL | {"timeout": "soon"}).content.decode()
    control = re.search(r'<input[^>]*name="timeout"[^>]*>', page)[0]
    assert 'aria-invalid="true"' in control
    assert "id_timeout_error" in control
    assert 'id="id_timeout_error"' in page


# --- Edit ----------------------------------------------------------------------------------------


def test_the_form_shows_a_monitor_as_it_is(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup", timeout=5400, grace=0, tags=["a", "b"])
    page = admin.get(edit_url(monitor)).content.decode()
    for value in ("Backup", "1 h 30 min", "0 s", "a, b"):
        assert f'value="{value}"' in page


def test_a_monitor_is_edited(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=60, grace=5)
    response = admin.post(edit_url(monitor), CRON | {"name": "Nightly"})
    assert response.status_code == 303
    monitor.refresh_from_db()
    assert (monitor.name, monitor.kind, monitor.cron, monitor.grace) == ("Nightly", "cron", "0 2 * * *", None)


def test_an_edit_with_an_error_changes_nothing_and_keeps_the_old_name_in_the_way_back(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Old", timeout=60)
    response = admin.post(edit_url(monitor), INTERVAL | {"timeout": "0"})
    assert response.status_code == 422
    assert "← Old" in response.content.decode()
    monitor.refresh_from_db()
    assert (monitor.name, monitor.timeout) == ("Old", 60)


def test_saving_a_form_as_it_came_changes_nothing(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup", timeout=5400, interval=60, tags=["a"])
    before = Monitor.objects.values().get()
    admin.post(
        edit_url(monitor),
        {"name": "Backup", "kind": "interval", "timeout": exactly(5400), "interval": "60 s", "tags": "a"},
    )
    assert Monitor.objects.values().get() == before


# --- Slug and limit ------------------------------------------------------------------------------


def test_the_slug_is_made_from_the_name_where_none_is_given(admin):
    create(admin, **INTERVAL)
    assert Monitor.objects.get().slug == "backup"


def test_slug_and_limit_are_taken_as_typed(admin):
    create(admin, **INTERVAL, slug="nightly-1", push_rate="0")
    monitor = Monitor.objects.get()
    assert (monitor.slug, monitor.push_rate) == ("nightly-1", 0)
    page = admin.get(edit_url(monitor)).content.decode()
    assert 'name="slug" value="nightly-1"' in page
    assert 'name="push_rate" value="0"' in page


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"slug": "Nightly"}, "Use lower-case letters and digits, separated by single hyphens"),
        ({"slug": "a--b"}, "Use lower-case letters and digits, separated by single hyphens"),
        ({"slug": "x" * 61}, "Ensure this value has at most 60 characters"),
        ({"push_rate": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"push_rate": "many"}, "Enter a whole number."),
        ({"push_rate": "1000001"}, "Ensure this value is less than or equal to 1000000."),
    ],
)
def test_an_invalid_slug_or_limit_is_reported_at_its_field(admin, typed, error):
    (shown,) = errors_in(create(admin, **INTERVAL | typed))
    assert shown.startswith(error)


def test_a_taken_slug_is_reported_at_its_field(admin, workspace):
    make_monitor(workspace=workspace, slug="taken")
    taken = "Another monitor in this workspace already has this slug. Choose a different one."
    assert errors_in(create(admin, **INTERVAL, slug="taken")) == [taken]
    other = make_monitor(workspace=workspace, slug="mine")
    response = admin.post(edit_url(other), INTERVAL | {"slug": "taken"})
    assert errors_in(response) == [taken]
    other.refresh_from_db()
    assert other.slug == "mine"


def test_the_urgency_is_chosen_and_kept(admin):
    create(admin, **INTERVAL, urgency="high")
    monitor = Monitor.objects.get()
    assert monitor.urgency == "high"
    page = admin.get(edit_url(monitor)).content.decode()
    assert '<option value="high" selected>' in page
    # A form that was opened before there were urgencies.
    admin.post(edit_url(monitor), INTERVAL)
    monitor.refresh_from_db()
    assert monitor.urgency == "high"


def test_only_an_unusual_urgency_is_on_the_monitors_page(admin, workspace):
    usual, urgent = (make_monitor(workspace=workspace, urgency=urgency) for urgency in ("normal", "high"))
    for monitor, shown in ((usual, False), (urgent, True)):
        page = admin.get(reverse("monitors:detail", args=[monitor.public_id])).content.decode()
        assert ("<dt>Urgency</dt>" in page) is shown


def test_a_slug_that_is_cleared_stays_as_it_was(admin, workspace):
    monitor = make_monitor(workspace=workspace, slug="kept")
    admin.post(edit_url(monitor), INTERVAL | {"slug": "", "push_rate": "5"})
    monitor.refresh_from_db()
    assert (monitor.slug, monitor.push_rate) == ("kept", 5)


def test_the_form_says_which_limit_is_inherited(admin, workspace, settings):
    settings.TIANJI_PUSH_RATE = 60
    assert "the workspace's limit of 60." in admin.get(reverse("monitors:create")).content.decode()
    workspace.push_rate = 0
    workspace.save()
    page = admin.get(reverse("monitors:create")).content.decode()
    assert "the workspace's setting: no limit." in page


# --- The words under the form --------------------------------------------------------------------


def test_the_preview_shows_when_alerts_are_sent(viewer):
    assert (
        preview(viewer, kind="interval", timeout="60")
        == "Alerts 66 s after the last heartbeat: 60 s timeout + 6 s grace period."
    )


def test_the_preview_knows_a_schedule_without_grace(admin):
    assert (
        preview(admin, kind="interval", timeout="5 min", grace="0")
        == "Alerts 5 min after the last heartbeat: 5 min timeout, no grace period."
    )


def test_the_preview_shows_whether_a_lost_push_would_alert(admin):
    assert "so a single lost push does no harm" in preview(
        admin, kind="interval", timeout="60", interval="30"
    )
    assert "so a single lost push makes it late" in preview(
        admin, kind="interval", timeout="60", interval="45"
    )


def test_the_preview_shows_the_next_three_times_of_a_cron_in_its_zone(admin):
    text = preview(admin, kind="cron", cron="0 2 * * *", timezone="Asia/Jakarta")
    assert text.startswith("At 02:00, Asia/Jakarta Next expected at:")
    assert len(re.findall(r"\w{3} \d+ \w{3} \d{4}, 02:00", text)) == 3
    assert text.endswith("Alerts 5 min later if no heartbeat has arrived.")


def test_the_preview_shows_the_times_of_a_cron_in_the_readers_zone_too(admin):
    admin.cookies["zone"] = "Europe/Berlin"
    text = preview(admin, kind="cron", cron="0 2 * * *", timezone="Asia/Jakarta")
    assert len(re.findall(r", 02:00 your time: .*?2[01]:00:00 CES?T", text)) == 3
    assert "your time" not in preview(admin, kind="cron", cron="0 2 * * *", timezone="Europe/Berlin")


def test_the_preview_shows_the_next_times_of_an_oncalendar_to_the_second(admin):
    text = preview(admin, kind="oncalendar", calendar="*-*-* 02:00:10", timezone="Asia/Jakarta")
    assert text.startswith("Next expected at:")
    assert len(re.findall(r"\w{3} \d+ \w{3} \d{4}, 02:00:10", text)) == 3
    assert text.endswith("Alerts 5 min later if no heartbeat has arrived.")
    assert preview(admin, kind="oncalendar", calendar="25:00").startswith("The hour must be 0-23")


def test_the_form_speaks_the_readers_language(admin):
    admin.cookies["django_language"] = "id"
    assert (
        preview(admin, kind="interval", timeout="1 jam 30 menit", grace="90 detik")
        == "Peringatan dikirim 1 jam 31 mnt 30 dtk setelah heartbeat terakhir: "
        "batas waktu 1 jam 30 mnt + masa tenggang 90 dtk."
    )
    assert preview(admin, kind="cron", cron="0 2 * * *", timezone="UTC").startswith("Pukul 02:00, UTC")
    assert errors_in(create(admin, **INTERVAL | {"name": " "})) == ["Masukkan nama."]


def test_the_preview_says_what_is_wrong(admin):
    assert preview(admin, kind="cron", cron="0 2 * *", timezone="UTC").startswith("Enter five fields")
    assert preview(admin, kind="interval", timeout="0").startswith("Enter 1 s to 365 d")
    assert preview(admin).startswith("This field is required")


def test_the_form_has_its_preview_from_the_start(admin):
    assert "Alerts 66 s" in admin.get(reverse("monitors:create")).content.decode()


def test_the_preview_is_for_members_only(client):
    response = client.post(reverse("monitors:preview"), {"kind": "interval"})
    assert response.status_code == 302


def test_an_edit_that_would_undo_another_needs_confirmation(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup")
    address = reverse("monitors:edit", args=[monitor.public_id])
    seen = {**INTERVAL, "name": "Backup", "version": monitor.version}
    admin.post(address, seen | {"name": "Nightly backup"})
    response = admin.post(address, seen | {"tags": "db"})
    assert response.status_code == 422
    assert "Someone else changed this monitor in the meantime." in response.text
    assert 'value="db"' in response.text
    monitor.refresh_from_db()
    assert (monitor.name, monitor.tags) == ("Nightly backup", [])
    newer = re.search(r'name="version" value="(\d+)"', response.text)[1]
    admin.post(address, seen | {"tags": "db", "version": newer})
    monitor.refresh_from_db()
    assert (monitor.name, monitor.tags) == ("Backup", ["db"])


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_another_charset_lets_nothing_through_that_no_database_takes(admin, kind):
    address = f"{reverse('monitors:overview')}?q=%2B2AA-"
    assert admin.get(address, headers={"Content-Type": f"{kind}; charset=utf-7"}).status_code == 200
    body = "name=%2B2AA-&kind=interval&timeout=60"
    response = admin.post(reverse("monitors:create"), body, content_type=f"{kind}; charset=utf-7")
    assert response.status_code < 500
