"""Sessions that were made before their keys were hashed are ended by the upgrade."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tests.support.upgrades import empty_database, kept_states, migrate_to

__all__ = ["empty_database", "kept_states", "migrate_to"]


@pytest.mark.slow
def test_the_upgrade_leaves_no_session_key_in_the_database(empty_database, migrate_to):
    before = migrate_to([("accounts", "0001_initial"), ("sessions", "0001_initial")])
    sessions = before.get_model("sessions", "Session").objects.using(empty_database)
    expires = timezone.now() + timedelta(days=30)
    sessions.create(session_key="k" * 32, session_data="of someone who is signed in", expire_date=expires)

    executor = MigrationExecutor(connections[empty_database])
    after = executor.migrate(executor.loader.graph.leaf_nodes()).apps

    assert not after.get_model("sessions", "Session").objects.using(empty_database).exists()
    assert not after.get_model("accounts", "Session").objects.using(empty_database).exists()
