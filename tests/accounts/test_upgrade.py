"""The upgrade to one address a person: rows in two tables that differ, as earlier versions left them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from tests.support.upgrades import empty_database, kept_states, migrate_to

__all__ = ["empty_database", "kept_states", "migrate_to"]
pytestmark = pytest.mark.slow

BEFORE = [("accounts", "0001_initial")]
LATER, EARLIER = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def earlier(migrate_to):
    """The models of the version before."""
    return migrate_to(BEFORE)


def upgraded(alias: str):
    executor = MigrationExecutor(connections[alias])
    return executor.migrate(executor.loader.graph.leaf_nodes()).apps


def addresses(apps, alias: str) -> dict[int, str]:
    return dict(apps.get_model("accounts", "User").objects.using(alias).values_list("pk", "email"))


def test_an_account_keeps_its_address_whatever_allauths_table_says(earlier, empty_database):
    users = earlier.get_model("accounts", "User").objects.using(empty_database)
    rows = earlier.get_model("account", "EmailAddress").objects.using(empty_database)
    attacker = users.create(email="attacker@example.com")
    victim = users.create(email="victim@example.com")
    without = users.create(email="without@example.com")
    differing = users.create(email="differing@example.com")
    # Somebody else's address, unverified; one that is confirmed but not the account's; the account's own.
    rows.create(user_id=attacker.pk, email="victim@example.com", verified=False, primary=True)
    rows.create(user_id=attacker.pk, email="invited@example.com", verified=True)
    rows.create(user_id=victim.pk, email="victim@example.com", verified=False)
    other = rows.create(user_id=differing.pk, email="other@example.com", verified=True, primary=True)
    confirmations = earlier.get_model("account", "EmailConfirmation").objects.using(empty_database)
    confirmations.create(email_address_id=other.pk, key="key")

    apps = upgraded(empty_database)

    assert addresses(apps, empty_database) == {
        attacker.pk: "attacker@example.com",
        victim.pk: "victim@example.com",
        without.pk: "without@example.com",
        differing.pk: "differing@example.com",
    }
    assert not apps.get_model("account", "EmailAddress").objects.using(empty_database).exists()


def test_an_account_without_an_address_takes_its_confirmed_one_if_that_is_free(earlier, empty_database):
    users = earlier.get_model("accounts", "User").objects.using(empty_database)
    rows = earlier.get_model("account", "EmailAddress").objects.using(empty_database)
    taken = users.create(email="taken@example.com")
    empty = users.create(email="")
    rows.create(user_id=empty.pk, email="unconfirmed@example.com", verified=False, primary=True)
    rows.create(user_id=empty.pk, email="taken@example.com", verified=True)
    rows.create(user_id=empty.pk, email="own@example.com", verified=False)
    confirmed = rows.create(user_id=empty.pk, email="confirmed@example.com", verified=True)
    assert confirmed.pk

    found = addresses(upgraded(empty_database), empty_database)

    assert found == {taken.pk: "taken@example.com", empty.pk: "confirmed@example.com"}


def test_of_accounts_that_differ_in_case_the_one_in_use_keeps_the_address(earlier, empty_database):
    users = earlier.get_model("accounts", "User").objects.using(empty_database)
    never = users.create(email="budi@example.com")
    earlier_one = users.create(email="Budi@example.com", last_login=EARLIER)
    current = users.create(email="BUDI@example.com", last_login=LATER)
    alone = users.create(email="Anna@BÜCHER.example")

    found = addresses(upgraded(empty_database), empty_database)

    assert found == {
        never.pk: f"account-{never.pk}@duplicate.invalid",
        earlier_one.pk: f"account-{earlier_one.pk}@duplicate.invalid",
        current.pk: "budi@example.com",
        alone.pk: "anna@xn--bcher-kva.example",
    }
