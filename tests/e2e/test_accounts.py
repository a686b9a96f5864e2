"""The pages of an account in the browser: another email address, and an invitation that is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import listen, sign_in
from tests.e2e.test_everywhere import LANGUAGES, faults, faults_here
from tests.support.prepared import PASSWORD, owner_of
from tests.support.product import Person, Up, wait_for
from tests.support.sinks import SmtpSink

# The owner of another workspace, who invites the person of this file.
HOST = owner_of("api_docs")


@pytest.fixture
def open_anonymous(browser: Browser, product: Up) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page in which no one is signed in."""
    contexts, complaints = [], []

    def open_page(language: str = "en") -> Page:
        contexts.append(browser.new_context(base_url=product.url, locale=language))
        page = contexts[-1].new_page()
        listen(page, complaints)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Pages of links that don't work are 404s.
    assert [text for text in complaints if "404" not in text] == []


def newcomer(product: Up, mail: SmtpSink, email: str) -> str:
    """Have the owner add someone, who chooses a password with the link in the email; return the address."""
    with product.person() as owner:
        owner.submit("/settings/members/", email=email, role="viewer")
    link = link_in(mail, email, "/accounts/password/reset/key/", product.url)
    person = Person(product.url)
    path = person.session.get(product.url + link, timeout=20).url.removeprefix(product.url)
    person.submit(path, password1=PASSWORD, password2=PASSWORD)
    person.session.close()
    return email


def link_in(mail: SmtpSink, to: str, path: str, url: str) -> str:
    """Wait for the newest email to `to` that has a link to `path`; return the link's path."""
    pattern = re.compile(rf"{re.escape(url)}({path}\S*)")

    def newest() -> str:
        texts = [each.text for each in list(mail.mails) if each.recipients == [to]]
        found = [match[1] for text in texts if (match := pattern.search(text))]
        return found[-1] if found else ""

    return wait_for(newest, seconds=30, describe=f"an email to {to} with a link to {path}")


def test_an_address_is_changed_with_the_link_that_was_sent_to_it(
    open_anonymous: Callable[..., Page], product: Up, mail: SmtpSink
):
    old, new = newcomer(product, mail, "budi@accounts.example.com"), "budi@accounts.example.org"
    page = open_anonymous()
    sign_in(page, old)
    page.locator("header details summary").first.click()
    page.get_by_role("link", name="Change email address").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button").first.click()
    page.get_by_label("New email address").fill(new)
    page.get_by_role("button", name="Send link").click()
    expect(page.get_by_role("status")).to_contain_text(f"We have sent a link to {new}.")
    page.goto(link_in(mail, new, "/accounts/email/confirm/", product.url))
    expect(page.locator("main")).to_contain_text(f"You will sign in with {new} instead of {old}")
    page.get_by_role("button", name="Change email address").click()
    expect(page.get_by_role("status")).to_contain_text(f"Your email address is now {new}.")
    wait_for(
        lambda: [m for m in list(mail.mails) if m.recipients == [old] and "was changed" in m.subject],
        seconds=30,
    )
    page.context.clear_cookies()
    sign_in(page, new)


def test_an_invitation_to_another_workspace_is_accepted(
    open_anonymous: Callable[..., Page], product: Up, mail: SmtpSink
):
    email = newcomer(product, mail, "anna@accounts.example.com")
    with Person(product.url, email=HOST) as host:
        host.submit("/settings/members/", email=email, role="viewer")
        assert "not accepted yet" in host.read("/settings/members/")
    page = open_anonymous()
    page.goto(link_in(mail, email, "/invitations/", product.url))
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/invitations/$"))
    page.get_by_role("button", name="Accept the invitation to api_docs").click()
    expect(page.locator("main .messages")).to_contain_text("You are now a member of “api_docs”.")
    page.goto("/invitations/")
    expect(page.locator("main")).to_contain_text("No invitations.")
    assert faults_here(page, "no-invitations", "en") == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_of_an_account_are_accessible(
    open_anonymous: Callable[..., Page], product: Up, mail: SmtpSink, language: str
):
    email = newcomer(product, mail, f"citra-{language}@accounts.example.com")
    with Person(product.url, email=HOST) as host:
        host.submit("/settings/members/", email=email, role="admin")
        cookies = host.session.cookies.get_dict()
    page, found = open_anonymous(language), []
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button.btn-primary").click()
    found += faults(page, "invited", "/", language)
    found += faults(page, "invitations", "/invitations/", language)
    found += faults(page, "password-again", "/accounts/email/change/", language)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button.btn-primary").click()
    page.locator("[name=email]").fill("citra")
    page.locator("main button.btn-primary").click()
    expect(page.locator("main [role=alert]")).to_be_visible()
    found += faults_here(page, "change-email-refused", language)
    new = f"citra-{language}@accounts.example.org"
    page.locator("[name=email]").fill(new)
    page.locator("main button.btn-primary").click()
    expect(page.locator("main [role=status]")).to_contain_text(new)
    found += faults_here(page, "change-email", language)
    link = link_in(mail, new, "/accounts/email/confirm/", product.url)
    found += faults(page, "confirm-email", link, language)
    found += faults(page, "confirm-email-failed", "/accounts/email/confirm/x/", language)
    page.context.clear_cookies()
    page.context.add_cookies([{"name": n, "value": v, "url": product.url} for n, v in cookies.items()])
    found += faults(page, "members-invited", "/settings/members/", language)
    assert not found, "\n".join(found)
