"""What people may enter for a channel."""

from __future__ import annotations

from datetime import time

import pytest
from environs import Env

from notifications import channel_config
from notifications.forms.channels import EMAIL_URL_EXAMPLE, ChannelForm
from notifications.integrations import Field, Kind, kind_named, kinds
from notifications.services import channels as channel_service
from tests.support.factories import make_channel, make_monitor, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def email_is_set_up(settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"


COMMON = {"scope": "all", "events": ["down", "recovery"], "enabled": "on"}


def form_of(kind, data, *, workspace=None, channel=None):
    known = kind if isinstance(kind, Kind) else kind_named(kind)
    workspace = workspace or (channel.workspace if channel else make_workspace())
    return ChannelForm({**COMMON, **data}, kind=known, workspace=workspace, channel=channel)


def email_form(addresses, **data):
    return form_of("email", {"name": "Team", "addresses": addresses, **data})


def webhook_form(url, *, workspace=None, **data):
    return form_of("webhook", {"name": "Chat", "url": url, **data}, workspace=workspace)


def destination(form):
    """The config in the form, without empty values."""
    return {name: value for name, value in form.config().items() if value is not None}


@pytest.mark.parametrize(
    "text",
    ["a@example.com, b@example.com", "a@example.com;b@example.com", " a@example.com\n\n b@example.com,"],
)
def test_addresses_may_be_separated_as_people_do(text):
    form = email_form(text)
    assert form.is_valid(), form.errors
    assert destination(form) == {"addresses": ["a@example.com", "b@example.com"]}


def test_an_address_given_twice_counts_once():
    form = email_form("a@example.com a@example.com")
    assert form.is_valid()
    assert destination(form) == {"addresses": ["a@example.com"]}


def test_each_bad_address_is_named_with_what_is_allowed():
    form = email_form("a@example.com, nonsense, b@@example.com")
    assert form.errors["addresses"] == [
        "“nonsense” is not an email address. Enter one such as anna@example.com.",
        "“b@@example.com” is not an email address. Enter one such as anna@example.com.",
    ]


def test_no_address_at_all_is_an_error_with_a_reason():
    assert email_form(" , ,").errors["addresses"] == [
        "Enter at least one email address, such as anna@example.com."
    ]


def test_twenty_addresses_are_enough():
    assert email_form(" ".join(f"a{n}@example.com" for n in range(20))).is_valid()
    errors = email_form(" ".join(f"a{n}@example.com" for n in range(21))).errors
    assert errors["addresses"] == ["21 addresses are too many: enter at most 20."]


def test_without_a_mail_server_an_email_channel_is_refused_by_name_of_the_setting(settings):
    settings.TIANJI_EMAIL_URL = ""
    (error,) = email_form("a@example.com").non_field_errors()
    assert "TIANJI_EMAIL_URL" in error
    assert EMAIL_URL_EXAMPLE in error


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/tianji?key=1",
        "http://chat:8065/hooks/x",
        "http://127.0.0.1:9000",
        "http://[::1]:9000/",
        "https://user:secret@example.com/",
    ],
)
def test_a_web_address_is_accepted(url):
    form = webhook_form(url)
    assert form.is_valid(), form.errors
    assert destination(form) == {"url": url}


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "ftp://example.com/",
        "javascript:alert(1)",
        "https://",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://[::1/",
    ],
)
def test_what_is_no_web_address_is_refused_with_an_example(url):
    (error,) = webhook_form(url).errors["url"]
    assert "https://example.com/tianji" in error


def test_some_monitors_are_chosen_by_their_public_id():
    monitor = make_monitor()
    form = webhook_form(
        "https://example.com/", scope="some", monitors=[str(monitor.public_id)], workspace=monitor.workspace
    )
    assert form.is_valid(), form.errors
    assert list(form.columns()["monitors"]) == [monitor]
    assert form.columns()["all_monitors"] is False


def test_a_monitor_of_another_workspace_cannot_be_chosen():
    form = webhook_form("https://example.com/", scope="some", monitors=[str(make_monitor().public_id)])
    assert "no longer in this workspace" in form.errors["monitors"][0]


def test_something_that_is_no_id_cannot_be_chosen():
    form = webhook_form("https://example.com/", scope="some", monitors=["1"])
    assert "no longer in this workspace" in form.errors["monitors"][0]


def test_some_monitors_means_at_least_one():
    form = webhook_form("https://example.com/", scope="some")
    assert form.errors["monitors"] == ["Choose at least one monitor, or all monitors above."]


def test_a_name_is_needed():
    assert "name" in webhook_form("https://example.com/", name=" ").errors


def test_the_example_for_the_mail_server_is_one_that_works_and_is_encrypted(monkeypatch):
    monkeypatch.setenv("EXAMPLE", EMAIL_URL_EXAMPLE)
    parsed = Env().dj_email_url("EXAMPLE")
    assert parsed["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert parsed["EMAIL_USE_TLS"]


# --- Urgency, quiet hours, storms ----------------------------------------------------------------

QUIET = {"quiet_from": "22:00", "quiet_until": "07:00", "quiet_timezone": "Asia/Jakarta"}


def test_urgency_quiet_hours_and_the_size_of_a_storm_are_chosen():
    form = webhook_form("https://example.com/", least_urgency="high", burst="3", **QUIET)
    assert form.is_valid(), form.errors
    channel = channel_service.create(workspace=make_workspace(), kind="webhook", **form.columns())
    assert (channel.least_urgency, channel.burst) == ("high", 3)
    assert (channel.quiet_from, channel.quiet_until) == (time(22), time(7))
    assert channel.quiet_timezone == "Asia/Jakarta"
    shown = ChannelForm(kind=kind_named("webhook"), workspace=channel.workspace, channel=channel)
    assert [shown[name].value() for name in ("least_urgency", "burst")] == ["high", 3]
    assert 'value="22:00"' in str(shown["quiet_from"])


def test_a_form_without_them_keeps_urgency_and_the_size_of_a_storm():
    channel = make_channel(workspace=make_workspace(), least_urgency="high", burst=3)
    data = {"name": "Chat", "url": "https://example.com/"}
    form = form_of("webhook", data, channel=channel)
    assert form.is_valid(), form.errors
    changed = channel_service.edit(channel=channel, **form.columns())
    assert (changed.least_urgency, changed.burst) == ("high", 3)


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"quiet_until": ""}, "quiet_until", "Enter both times, or leave both empty."),
        ({"quiet_from": ""}, "quiet_from", "Enter both times, or leave both empty."),
        ({"quiet_until": "22:00"}, "quiet_until", "Must not be the time at which they begin."),
        ({"quiet_timezone": "Mars/Olympus"}, "quiet_timezone", "Unknown time zone “Mars/Olympus”."),
        ({"quiet_timezone": ""}, "quiet_timezone", "Unknown time zone “”."),
        ({"quiet_from": "late"}, "quiet_from", "Enter a valid time."),
        ({"burst": "0"}, "burst", "Enter a whole number from 1 to 20."),
        ({"burst": "21"}, "burst", "Enter a whole number from 1 to 20."),
        ({"least_urgency": "urgent"}, "least_urgency", "not one of the available choices"),
    ],
)
def test_what_cannot_be_is_reported_at_its_field(typed, field, words):
    form = webhook_form("https://example.com/", **{**QUIET, **typed})
    assert words in form.errors[field][0]


def test_what_keeps_a_record_of_each_outage_has_no_digest_to_set():
    form = ChannelForm(kind=kind_named("pagerduty"), workspace=make_workspace())
    assert "burst" not in form.fields


def test_the_time_zone_offered_is_that_of_the_workspace():
    workspace = make_workspace()
    workspace.timezone = "Asia/Jakarta"
    form = ChannelForm(kind=kind_named("webhook"), workspace=workspace)
    assert form["quiet_timezone"].value() == "Asia/Jakarta"


# --- The secret ----------------------------------------------------------------------------------

SECRET = "whsec_" + "QUJD" * 8


def channel_with(secret):
    return channel_service.create(
        workspace=make_workspace(),
        kind="webhook",
        name="Chat",
        config={"url": "https://example.com/", "secret": secret},
    )


def edited(channel, **data):
    form = form_of("webhook", {"name": "Chat", "url": "", **data}, channel=channel)
    assert form.is_valid(), form.errors
    return channel_service.edit(channel=channel, **form.columns())


def test_a_secret_may_be_left_out():
    form = webhook_form("https://example.com/", secret="")
    assert form.is_valid()
    assert destination(form) == {"url": "https://example.com/"}


def test_a_secret_that_is_none_is_refused_and_not_shown_again():
    form = webhook_form("https://example.com/", secret="hunter2hunter2")
    assert form.errors["secret"][0].startswith("Enter whsec_ followed by the base64 of 24 to 64 bytes")
    assert "hunter2" not in form.as_p()


def test_a_secret_must_be_entered_again_after_an_error():
    form = webhook_form("https://example.com/hidden", secret=SECRET, name="")
    assert not form.is_valid()
    assert "Enter it again" in str(form["secret"].help_text)
    assert "Enter it again" not in str(form["headers"].help_text)
    assert "hidden" not in form.as_p()


def test_an_empty_secret_keeps_the_one_there_is():
    channel = edited(channel_with(SECRET), secret="")
    assert channel_config.opened(channel) == {"url": "https://example.com/", "secret": SECRET}


def test_another_secret_takes_its_place():
    other = "whsec_" + "REVG" * 8
    assert channel_config.opened(edited(channel_with(SECRET), secret=other))["secret"] == other


def test_a_secret_can_be_removed():
    channel = edited(channel_with(SECRET), **{"secret-remove": "on"})
    assert channel_config.opened(channel) == {"url": "https://example.com/"}


def test_only_a_channel_with_a_secret_offers_to_remove_it():
    none, some = channel_with(None), channel_with(SECRET)
    without = ChannelForm(kind=kind_named("webhook"), workspace=none.workspace, channel=none)
    page = ChannelForm(kind=kind_named("webhook"), workspace=some.workspace, channel=some).as_p()
    assert "secret-remove" not in without.fields
    assert "secret-remove" in page
    assert SECRET not in page


def test_headers_of_a_webhook_are_secret_and_kept():
    channel = edited(channel_with(None), headers="Authorization: Bearer abc\nX-Team: ops")
    assert channel_config.opened(channel)["headers"] == "Authorization: Bearer abc\nX-Team: ops"
    page = ChannelForm(kind=kind_named("webhook"), workspace=channel.workspace, channel=channel).as_p()
    assert "Bearer" not in page.replace("“Authorization: Bearer abc”", "").replace(
        'placeholder="Authorization: Bearer abc"', ""
    )
    assert channel_config.opened(edited(channel))["headers"].startswith("Authorization")


# --- When, of what, and in which words -------------------------------------------------------------


def test_a_delay_is_written_as_people_do():
    form = webhook_form("https://example.com/", delay="10 min")
    assert form.is_valid()
    assert form.columns()["delay"] == 600


def test_no_delay_is_at_once():
    form = webhook_form("https://example.com/", delay="")
    assert form.is_valid()
    assert form.columns()["delay"] == 0


def test_a_delay_of_more_than_a_week_is_refused_with_what_is_allowed():
    assert "7 d" in webhook_form("https://example.com/", delay="8 d").errors["delay"][0]


def test_the_selected_events_are_the_subscribed_ones():
    form = webhook_form("https://example.com/", events=["late"])
    assert form.is_valid()
    columns = form.columns()
    assert [name for name in columns if name.startswith("on_") and columns[name]] == ["on_late"]


def test_a_channel_needs_at_least_one_event():
    assert form_of("webhook", {"events": [""]}).errors["events"] == [
        "Choose at least one event, or disable the channel."
    ]


def test_a_field_that_is_not_editable_stays_as_it_is():
    channel = channel_with(None)
    channel_service.edit(channel=channel, on_late=True, on_down=False)
    channel.refresh_from_db()
    form = form_of("webhook", {"name": "Chat", "events": []}, channel=channel)
    assert form.is_valid(), form.errors
    assert (form.columns()["on_late"], form.columns()["on_down"]) == (True, False)


def test_a_new_channel_is_subscribed_to_all_events_but_late():
    form = ChannelForm(kind=kind_named("webhook"), workspace=make_workspace())
    assert form["events"].value() == ["down", "recovery", "reminder"]


@pytest.mark.parametrize("name", ["title", "body"])
def test_a_template_with_an_unknown_placeholder_names_the_known_ones(name):
    (error,) = webhook_form("https://example.com/", **{name: "{pigeon} is down"}).errors[name]
    assert "{pigeon}" in error
    assert "{monitor}" in error


# --- Every kind --------------------------------------------------------------------------------------

KINDS = sorted(kinds())


@pytest.mark.parametrize("slug", KINDS)
def test_no_field_of_a_kind_takes_the_name_of_a_common_one(slug):
    names = {field.name for field in kind_named(slug).fields}
    assert not names & set(ChannelForm.base_fields)
    assert not names & {"preview", "csrfmiddlewaretoken"}


@pytest.mark.parametrize("slug", KINDS)
def test_each_field_has_a_label_and_what_is_missing_is_named(slug):
    form = form_of(slug, {"name": "New"})
    editable = [field for field in kind_named(slug).fields if field.editable]
    assert all(str(form.fields[field.name].label) for field in editable)
    missing = {field.name for field in editable if field.required and field.widget not in ("choice", "yes")}
    assert missing <= set(form.errors)


@pytest.mark.parametrize("slug", KINDS)
def test_no_secret_of_a_kind_is_filled_in_by_a_browser(slug):
    form = ChannelForm(kind=kind_named(slug), workspace=make_workspace())
    for field in kind_named(slug).fields:
        if field.secret and field.editable:
            assert form.fields[field.name].widget.attrs["autocomplete"] in ("off", "new-password")


def kind_with(*fields):
    return Kind("made-up", "Made up", "", fields, send=lambda *_: None, shown=lambda *_: "")


def test_choices_booleans_and_lines_are_stored_as_entered():
    kind = kind_with(
        Field("room", "Room", widget="choice", choices=(("a", "A"), ("b", "B"))),
        Field("loud", "Loud", widget="yes"),
        Field("numbers", "Numbers", widget="lines", clean=str.split),
    )
    form = form_of(kind, {"name": "New", "room": "b", "loud": "on", "numbers": "1\n2"})
    assert form.is_valid(), form.errors
    assert form.config() == {"room": "b", "loud": True, "numbers": ["1", "2"]}


def test_an_unchecked_box_is_false():
    form = form_of(kind_with(Field("loud", "Loud", widget="yes")), {"name": "New"})
    assert form.is_valid()
    assert form.config() == {"loud": False}


def test_what_is_emptied_is_taken_away():
    form = form_of(kind_with(Field("topic", "Topic", required=False)), {"name": "New", "topic": " "})
    assert form.is_valid()
    assert form.config() == {"topic": None}
