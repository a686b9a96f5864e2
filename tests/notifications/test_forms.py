"""What people may enter for a channel."""

from __future__ import annotations

import pytest
from environs import Env

from notifications import channels, destinations
from notifications.forms import EMAIL_URL_EXAMPLE, EmailForm, WebhookForm
from tests.factories import make_monitor, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def email_is_set_up(settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"


def email_form(addresses, **data):
    data = {"name": "Team", "scope": "all", "enabled": "on", "addresses": addresses, **data}
    return EmailForm(data, workspace=data.pop("workspace", None) or make_workspace())


def webhook_form(url, **data):
    data = {"name": "Chat", "scope": "all", "enabled": "on", "url": url, **data}
    return WebhookForm(data, workspace=data.pop("workspace", None) or make_workspace())


@pytest.mark.parametrize(
    "text",
    ["a@example.com, b@example.com", "a@example.com;b@example.com", " a@example.com\n\n b@example.com,"],
)
def test_addresses_may_be_separated_as_people_do(text):
    form = email_form(text)
    assert form.is_valid(), form.errors
    assert form.config() == {"addresses": ["a@example.com", "b@example.com"]}


def test_an_address_given_twice_counts_once():
    form = email_form("a@example.com a@example.com")
    assert form.is_valid()
    assert form.config() == {"addresses": ["a@example.com"]}


def test_each_bad_address_is_named_with_what_is_allowed():
    form = email_form("a@example.com, nonsense, b@@example.com")
    assert form.errors["addresses"] == [
        "“nonsense” is not an email address; give one such as anna@example.com.",
        "“b@@example.com” is not an email address; give one such as anna@example.com.",
    ]


def test_no_address_at_all_is_an_error_in_words():
    assert email_form(" , ,").errors["addresses"] == [
        "Give at least one email address, such as anna@example.com."
    ]


def test_twenty_addresses_are_enough():
    assert email_form(" ".join(f"a{n}@example.com" for n in range(20))).is_valid()
    errors = email_form(" ".join(f"a{n}@example.com" for n in range(21))).errors
    assert errors["addresses"] == ["These are 21 addresses; give at most 20."]


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
    assert form.config() == {"url": url}


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
    assert "not in this workspace" in form.errors["monitors"][0]


def test_something_that_is_no_id_cannot_be_chosen():
    form = webhook_form("https://example.com/", scope="some", monitors=["1"])
    assert "not in this workspace" in form.errors["monitors"][0]


def test_some_monitors_means_at_least_one():
    form = webhook_form("https://example.com/", scope="some")
    assert form.errors["monitors"] == ["Choose at least one monitor, or all of them above."]


def test_a_name_is_needed():
    assert "name" in webhook_form("https://example.com/", name=" ").errors


def test_the_example_for_the_mail_server_is_one_that_works_and_is_encrypted(monkeypatch):
    monkeypatch.setenv("EXAMPLE", EMAIL_URL_EXAMPLE)
    parsed = Env().dj_email_url("EXAMPLE")
    assert parsed["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert parsed["EMAIL_USE_TLS"]


# --- The secret ----------------------------------------------------------------------------------

SECRET = "whsec_" + "QUJD" * 8


def channel_with(secret):
    return channels.create(
        workspace=make_workspace(),
        kind="webhook",
        name="Chat",
        config={"url": "https://example.com/", "secret": secret},
    )


def edited(channel, **data):
    data = {"name": "Chat", "scope": "all", "enabled": "on", "url": "https://example.com/", **data}
    form = WebhookForm(data, workspace=channel.workspace, channel=channel)
    assert form.is_valid(), form.errors
    return channels.edit(channel=channel, **form.columns())


def test_a_secret_may_be_left_out():
    form = webhook_form("https://example.com/", secret="")
    assert form.is_valid()
    assert form.config() == {"url": "https://example.com/"}


def test_a_secret_that_is_none_is_refused_and_not_shown_again():
    form = webhook_form("https://example.com/", secret="hunter2hunter2")
    assert form.errors["secret"][0].startswith("Give whsec_ and the base64 of 24 to 64 bytes")
    assert "hunter2" not in form.as_p()


def test_an_empty_secret_keeps_the_one_there_is():
    channel = edited(channel_with(SECRET), secret="")
    assert destinations.secret_of(channel.config) == SECRET


def test_another_secret_takes_its_place():
    other = "whsec_" + "REVG" * 8
    assert destinations.secret_of(edited(channel_with(SECRET), secret=other).config) == other


def test_a_secret_can_be_removed():
    assert not destinations.has_secret(edited(channel_with(SECRET), unsigned="on").config)


def test_only_who_has_a_secret_is_asked_whether_to_remove_it():
    channel = channel_with(None)
    assert "unsigned" not in WebhookForm(workspace=channel.workspace, channel=channel).fields
    page = WebhookForm(workspace=channel.workspace, channel=channel_with(SECRET)).as_p()
    assert "unsigned" in page
    assert SECRET not in page
