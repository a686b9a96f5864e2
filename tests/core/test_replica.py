"""Reads from a replica; tests/integration/test_replica.py has a real one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from core import replica
from tianji import databases

PRIMARY = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "primary",
    "PASSWORD": "one",
    "CONN_MAX_AGE": 0,
    "CONN_HEALTH_CHECKS": True,
    "DISABLE_SERVER_SIDE_CURSORS": True,
    "OPTIONS": {"options": "-c lock_timeout=5000", "pool": {"max_size": 12, "timeout": 5}},
}


@pytest.mark.django_db
def test_without_a_replica_reading_is_as_usual_and_asks_nothing(django_assert_num_queries):
    with django_assert_num_queries(0), replica.reading(complete_until=datetime.now(UTC)) as elsewhere:
        assert not elsewhere
        assert connection.alias == "default"


def test_a_replica_has_the_options_of_the_primary_and_is_read_only():
    given = {
        "ENGINE": PRIMARY["ENGINE"],
        "HOST": "replica",
        "CONN_MAX_AGE": 60,
        "OPTIONS": {"sslmode": "require"},
    }
    made = databases.replica_of(PRIMARY, given)
    assert (made["HOST"], made["CONN_MAX_AGE"], made["DISABLE_SERVER_SIDE_CURSORS"]) == ("replica", 0, True)
    assert made["OPTIONS"] == {
        "options": "-c lock_timeout=5000 -c default_transaction_read_only=on",
        "pool": {"max_size": 12, "timeout": 2},
        "sslmode": "require",
    }
    assert PRIMARY["HOST"] == "primary"


def test_a_replica_of_another_kind_is_refused_by_name():
    with pytest.raises(ImproperlyConfigured, match="DATABASE_REPLICA_URL"):
        databases.replica_of(PRIMARY, {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"})
