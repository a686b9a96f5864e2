"""The pushes' own database connection."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, connections, transaction

from monitors.heartbeats.connection import OwnConnection
from monitors.models import Monitor
from tests.support.factories import make_monitor


@pytest.fixture
def own():
    own = OwnConnection()
    yield own
    own.close()


@pytest.mark.django_db(transaction=True)
def test_the_block_uses_another_connection_and_the_thread_gets_its_own_back(own):
    mine = connections["default"]
    with own.used():
        assert connections["default"] is not mine
        make_monitor()
    assert connections["default"] is mine
    assert Monitor.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_stays_the_same_from_use_to_use(own):
    seen = []
    for _ in range(2):
        with own.used():
            connection.ensure_connection()
            seen.append(connection.connection)
    assert seen[0] is seen[1]


@pytest.mark.django_db(transaction=True)
def test_a_fault_gives_the_thread_its_own_back_and_the_next_use_a_new_one(own):
    mine = connections["default"]
    with own.used():
        connection.ensure_connection()
        broken = connection.connection
    with pytest.raises(OperationalError), own.used():
        raise OperationalError("the server went away")
    assert connections["default"] is mine
    with own.used():
        assert Monitor.objects.count() == 0
        assert connection.connection is not broken


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_is_that_transaction_that_is_used(own):
    with transaction.atomic():
        make_monitor()
        with own.used():
            assert Monitor.objects.count() == 1
