"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

import pytest
from django.db.utils import ConnectionHandler

from tianji import health
from tianji.clock import database_now

READY = {"status": "ok", "database": "ok", "migrations": "ok"}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Ask again whether the migrations are applied: a process asks until they are."""
    monkeypatch.setattr(health, "_migrations_are_applied", False)


@pytest.fixture
def database(monkeypatch):
    """Make the probes look at the SQLite database of the given name."""
    handlers = []

    def look_at(name):
        handlers.append(
            ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)}})
        )
        monkeypatch.setattr(health, "connections", handlers[-1])

    yield look_at
    for handler in handlers:
        handler.close_all()


def test_a_process_that_answers_lives(client):
    # Without the database: this test has none.
    response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_process_with_a_migrated_database_is_ready(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, READY)


@pytest.mark.django_db
def test_migrations_that_are_not_applied_are_counted_and_not_ready(client, database, tmp_path):
    database(tmp_path / "empty.sqlite3")
    response = client.get("/readyz")
    assert response.status_code == 503
    content = response.json()
    assert (content["status"], content["database"]) == ("unavailable", "ok")
    assert content["migrations"].endswith(" not applied")
    assert int(content["migrations"].split()[0]) > 0


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_not_ready(client, database, tmp_path):
    database(tmp_path / "no" / "such" / "folder.sqlite3")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "does not answer",
        "migrations": "unknown",
    }


@pytest.mark.django_db
def test_a_database_that_is_back_is_ready_again(client, database, tmp_path, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr(
            health,
            "connections",
            ConnectionHandler(
                {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "no" / "x")}}
            ),
        )
        assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json() == READY


@pytest.mark.django_db
def test_applied_migrations_are_not_looked_up_again(client, django_assert_num_queries):
    client.get("/readyz")
    with django_assert_num_queries(1):
        assert client.get("/readyz").json() == READY


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_not_cached_need_no_account_and_set_no_cookie(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_not_sent_to_https(client, settings, path):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path).status_code == 200


# --- the clock that all times are taken from


@pytest.mark.django_db
def test_the_clock_is_aware_and_goes_forward():
    first, second = database_now(), database_now()
    assert first.utcoffset().total_seconds() == 0
    assert first <= second
