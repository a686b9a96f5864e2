"""Many rows in one statement."""

from __future__ import annotations

import itertools
from datetime import timedelta
from uuid import uuid4

import pytest

from core import sql
from core.clock import database_now
from monitors.domain.state_machine import Cause
from monitors.models import Incident
from notifications.models import Belief, Delivery
from tests.support.factories import make_channel, make_monitor
from tests.support.incidents import make_delivery, make_incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace)


def columns_of(model):
    names = [field.attname for field in model._meta.concrete_fields]
    return {row.pk: [getattr(row, name) for name in names] for row in model.objects.all()}


def as_read(rows):
    names = [field.attname for field in type(rows[0])._meta.concrete_fields]
    return {row.pk: [getattr(row, name) for name in names] for row in rows}


def test_what_is_updated_is_read_back_as_it_was(workspace, channel, django_assert_num_queries):
    now = database_now()
    rows = []
    for number in range(3):
        monitor = make_monitor(workspace=workspace)
        belief = Belief.objects.create(monitor=monitor, channel=channel)
        delivery = make_delivery(channel, monitor, next_attempt_at=None, status="sent")
        belief.state, belief.outage, belief.sequence = "flapping", uuid4(), number
        belief.incident, belief.after_incident, belief.reminders = delivery.incident, 5, 2
        belief.late_after, belief.sent_at, belief.check_at = now, now - timedelta(hours=1), None
        belief.delivery = delivery
        rows.append(belief)
    with django_assert_num_queries(1):
        sql.update(rows)
    assert columns_of(Belief) == as_read(rows)


def test_what_is_inserted_is_read_back_as_it_was_and_gets_its_row_id(
    workspace, channel, django_assert_num_queries
):
    now = database_now()
    rows = [
        Delivery(
            channel=channel,
            monitor=make_monitor(workspace=workspace),
            event="incident.opened",
            outage=uuid4(),
            sequence=number,
            about={"monitor": 'Backup "1"', "count": number} if number else None,
            status=Delivery.Status.SKIPPED,
            note=Delivery.Note.PAUSED,
            created_at=now - timedelta(seconds=number),
        )
        for number in range(3)
    ]
    with django_assert_num_queries(1):
        sql.insert(rows)
    assert columns_of(Delivery) == as_read(rows)


ODD_TEXTS = ["", "NULL", 'say "yes"', "back\\slash", "a,b", "{c}", "\n\t ", "it's", "Größe ✓", '\\"', "%s"]


def test_texts_of_any_kind_are_read_back_as_they_were(workspace, channel):
    rows = [
        Incident(
            monitor=make_monitor(workspace=workspace),
            cause=Cause.REPORTED,
            started_at=database_now(),
            detected_at=database_now(),
            confirmed_at=None,
            opening_message=text,
            note=text,
            opening_value=value,
        )
        for text, value in zip(ODD_TEXTS, itertools.cycle([None, 1.5, -2e300]), strict=False)
    ]
    sql.insert(rows)
    assert columns_of(Incident) == as_read(rows)
    # Also where none of them needs to be quoted, or some are missing.
    for each, name in zip(rows, ("plain", "others"), strict=False):
        each.opening_message = name
    sql.update(rows[:2])
    assert columns_of(Incident) == as_read(rows)


def test_only_the_columns_that_are_named_are_updated(workspace, channel, django_assert_num_queries):
    monitor = make_monitor(workspace=workspace)
    incident = make_incident(monitor)
    Incident.objects.update(note="of a person")
    incident.closing_message, incident.note = "over", "older"
    with django_assert_num_queries(1):
        sql.update([incident], only=["closing_message"])
    incident.refresh_from_db()
    assert (incident.closing_message, incident.note) == ("over", "of a person")


def test_no_rows_are_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        sql.insert([])
        sql.update([])
