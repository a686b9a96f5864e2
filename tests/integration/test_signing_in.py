"""Attacks on sign-in: two web processes on PostgreSQL and Redis, and one on SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.support.dumps import words_in
from tests.support.plant import standing_plant
from tests.support.product import EMAIL, PASSWORD, Person, up, wait_for
from tests.support.servers import Redis
from tests.support.sinks import SmtpSink

PER_ACCOUNT = 5
LOGIN = "/accounts/login/"


@dataclass(frozen=True)
class Installation:
    """A product that runs, its mail server, and how to look into its database."""

    url: str
    mail: SmtpSink
    query: Callable[[str], list[tuple[Any, ...]]]
    list_tables: str

    def dump(self) -> dict[str, str]:
        tables = [name for (name,) in self.query(self.list_tables)]
        rows = {table: self.query(f'SELECT * FROM "{table}"') for table in tables}
        return {table: "\n".join(str(v) for row in found for v in row) for table, found in rows.items()}

    def forget_attempts(self) -> None:
        self.query("DELETE FROM accounts_attemptcount")

    def submit(self, path: str, **fields: str) -> str:
        """Send the form at `path` from an unknown browser; return the text of the page it leads to."""
        person = Person(self.url)
        with person.session:
            page = person.submit(path, **fields).text
        return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installation(
    request: pytest.FixtureRequest, migrated_database: Callable[[str], str], own_redis: Redis
) -> Iterator[Installation]:
    with SmtpSink() as mail:
        if request.param == "sqlite":
            with up(TIANJI_EMAIL_URL=mail.url) as product:
                tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
                yield Installation(product.url, mail, _on_sqlite(product.data), tables)
            return
        with standing_plant(migrated_database("signing_in"), own_redis.url) as plant:
            for role in ("web", "worker", "beat"):
                plant.start(role, TIANJI_EMAIL_URL=mail.url, TIANJI_WEB_WORKERS="2")
            plant.wait_until_ready()
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            yield Installation(plant.url, mail, _on_postgresql(plant.database), tables)


def _on_sqlite(data: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    def query(statement: str) -> list[tuple[Any, ...]]:
        path = data / "tianji.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as database:
            return database.execute(statement).fetchall()

    return query


def _on_postgresql(database: str) -> Callable[[str], list[tuple[Any, ...]]]:
    def query(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(database) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    return query


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_fifty_guesses_at_once_are_as_few_as_one_after_the_other(installation: Installation, email: str):
    installation.forget_attempts()

    def guess(number: int) -> str:
        page = installation.submit(LOGIN, login=email, password=f"guess {number}")
        return "wrong" if "are not correct" in page else "refused" if "Too many attempts" in page else page

    with ThreadPoolExecutor(50) as pool:
        outcomes = Counter(pool.map(guess, range(50)))
    assert outcomes == {"wrong": PER_ACCOUNT, "refused": 50 - PER_ACCOUNT}
    assert "Try again in 5 minutes." in installation.submit(LOGIN, login=email, password=PASSWORD)


def test_the_owner_gets_past_what_others_do_in_the_browser_of_yesterday(installation: Installation):
    installation.forget_attempts()
    with Person(installation.url) as owner:
        owner.submit_to("/accounts/logout/")
        for number in range(PER_ACCOUNT + 1):
            installation.submit(LOGIN, login=EMAIL, password=f"guess {number}")
        assert "Too many attempts" in installation.submit(LOGIN, login=EMAIL, password=PASSWORD)
        owner.submit(LOGIN, login=EMAIL, password=PASSWORD)
        assert "Sign out" in owner.read("/settings/")


def test_a_dump_of_the_database_signs_nobody_in(installation: Installation):
    installation.forget_attempts()
    with Person(installation.url) as owner:
        key = owner.session.cookies["sessionid"]
        tables = installation.dump()
    with requests.Session() as session:
        session.trust_env = False

        def signs_in(word: str) -> bool:
            cookie = {"sessionid": word}
            address = f"{installation.url}/settings/"
            return session.get(address, cookies=cookie, allow_redirects=False, timeout=20).status_code == 200

        assert signs_in(key)
        assert tables["accounts_session"]
        sensitive = {
            name: text for name, text in tables.items() if name.startswith(("accounts_", "django_se"))
        }
        words = {word for word in words_in(sensitive) if re.fullmatch(r"[\w.+/=-]+", word, re.ASCII)}
        assert len(words) > 10
        assert [word for word in words if signs_in(word)] == []
    assert all(key not in text for text in tables.values())


def test_a_password_link_is_sent_by_the_worker(installation: Installation):
    installation.forget_attempts()
    for email in ("nobody@example.com", EMAIL):
        page = installation.submit("/accounts/password/reset/", email=email)
        assert "Too many" not in page
    wait_for(lambda: installation.mail.mails, seconds=30, describe=lambda: "no email")
    (mail,) = installation.mail.mails
    assert mail.recipients == [EMAIL]
    waiting = "SELECT * FROM accounts_passwordlinkrequest"
    wait_for(lambda: not installation.query(waiting), seconds=10, describe="a request is left")
