"""What is said of pushes that were rejected since the last heartbeat."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.history.rejected import rejected_since
from monitors.models import RejectedPush
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db
Reason = RejectedPush.Reason


@pytest.fixture
def monitor():
    return make_monitor()


def reject(monitor, *, reason=Reason.EXPIRED, count=1, first=5.0, last=1.0, detail="", source="10.0.0.1"):
    """Rejected pushes, the first and the last so many minutes ago."""
    now = database_now()
    return RejectedPush.objects.create(
        monitor=monitor,
        reason=reason,
        method="POST",
        source=source,
        last_four="abcd",
        detail=detail,
        count=count,
        first_at=now - timedelta(minutes=first),
        last_at=now - timedelta(minutes=last),
    )


def ago(minutes):
    return database_now() - timedelta(minutes=minutes)


def test_without_rejected_pushes_there_is_nothing_to_say(monitor):
    reject(make_monitor())
    reject(monitor, first=20, last=15)
    assert rejected_since(monitor, ago(10)) == ""


def test_all_since_the_last_heartbeat_are_counted_with_the_last_reason(monitor):
    reject(monitor, count=4, detail="Unknown push token.")
    detail = "Unknown status “pending”. Up: up, ok. Down: down, fail."
    reject(monitor, reason=Reason.PARAMETER, count=2, last=0.5, detail=detail)
    assert rejected_since(monitor, ago(10)) == "6 pushes were rejected since: Unknown status “pending”."
    assert rejected_since(monitor, None).startswith("6 pushes")


def test_one_is_one_and_says_why_though_the_response_did_not(monitor):
    reject(monitor, detail="Unknown push token.")
    assert rejected_since(monitor, ago(10)) == "1 push was rejected since: Expired token."


def test_no_number_is_given_where_some_were_before(monitor):
    reject(monitor, count=40, first=60)
    assert rejected_since(monitor, ago(10)) == "Pushes were rejected since: Expired token."
