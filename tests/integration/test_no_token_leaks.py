"""After a tour of the running product, a search: no secret is where it is not meant to be.

Secrets are push tokens, API keys, the secrets of webhooks, passwords and the tokens of links. What is
searched is every log line, page, answer and message of the tour, and all that it left on the disk.
"""

from __future__ import annotations

import json

import pytest

from tests.integration.tour import take
from tests.integration.visitors import Tour

# Messages exist to bring these.
_IN_MAILS = {"password link of owner@example.com", "password link of viewer@example.com"}
# No browser tells another site of a page with one of these.
_KEPT_TO_ITSELF = {"same-origin", "no-referrer", "strict-origin"}


@pytest.fixture(scope="module")
def tour() -> Tour:
    """The tour; it is over, and the product stopped, when this is given out."""
    return take()


def test_no_log_line_names_a_secret(tour: Tour):
    # The operator gets the setup link there, and nowhere else.
    (link,) = (line for line in tour.log if line.startswith("Create the first account: "))
    leaks = {line: found for line in tour.log if line != link and (found := tour.found_in(line))}
    assert leaks == {}


def test_the_audit_log_records_what_was_done_with_secrets(tour: Tour):
    log = "\n".join(tour.log)
    assert "push not recorded" in log
    assert "Traceback" in log
    assert "/push/..." in log
    paths = [json.loads(line).get("path", "") for line in tour.log if line.startswith('{"')]
    assert len([path for path in paths if "/tokens/" in path]) > 50


def test_a_viewer_sees_no_secret(tour: Tour):
    seen = tour.of("viewer", "read key", "nobody")
    assert len(seen) > 100
    assert {answer.what: found for answer in seen if (found := tour.found_in(answer.text))} == {}


def test_no_page_of_the_admin_site_shows_a_secret(tour: Tour):
    seen = tour.of("admin site")
    assert len(seen) > 100
    assert {answer.what: found for answer in seen if (found := tour.found_in(answer.text))} == {}


def test_no_answer_to_a_sender_repeats_its_token(tour: Tour):
    seen = tour.of("sender")
    statuses = {answer.what.split()[-1] for answer in seen}
    assert {"200", "204", "400", "404", "405", "413", "429", "503"} <= statuses
    assert {answer.what: found for answer in seen if (found := tour.found_in(answer.text))} == {}


def test_an_owner_sees_secrets_only_where_they_are_requested(tour: Tour):
    seen = tour.of("owner", "write key")
    unasked = [answer for answer in seen if not answer.shows]
    assert len(unasked) > 100
    assert {answer.what: found for answer in unasked if (found := tour.found_in(answer.text))} == {}


def test_requested_secrets_are_shown_so_the_search_does_find_them(tour: Tour):
    answers = "\n".join(answer.text for answer in tour.seen if answer.shows)
    shown = set(tour.found_in(answers))
    assert shown == {
        name
        for name in tour.secrets
        if ("push token" in name and "could not" not in name) or name.startswith("API key")
    }


def test_a_response_with_a_secret_is_not_cached_and_sends_no_referrer(tour: Tour):
    for answer in tour.seen:
        if answer.shows and tour.found_in(answer.text):
            assert "no-store" in answer.headers["Cache-Control"], answer.what
            assert answer.headers.get("Referrer-Policy") in _KEPT_TO_ITSELF, answer.what


def test_no_message_names_a_secret(tour: Tour):
    assert len(tour.messages) > 10
    assert {text for text in tour.messages if set(tour.found_in(text)) - _IN_MAILS} == set()


def test_the_database_keeps_no_secret_in_the_clear(tour: Tour):
    assert tour.stored["monitors_pushtoken.sealed"]
    # Encrypted: a session may hold the link that a password was chosen on.
    assert tour.stored["accounts_session.session_data"]
    found = {column: names for column, text in tour.stored.items() if (names := tour.found_in(text))}
    assert found == {}


def test_no_file_of_the_data_folder_has_a_secret_in_it(tour: Tour):
    assert "tianji.sqlite3" in tour.files
    texts = {name: content.decode("latin-1") for name, content in tour.files.items()}
    assert {name: found for name, text in texts.items() if (found := tour.found_in(text))} == {}
