"""`manage.py demo` beside what is in the database already, and once more."""

from __future__ import annotations

import pytest
from django.core.management import CommandError

from accounts.models import Membership, User
from core.clock import database_now
from monitors.history import status_bars
from monitors.models import Heartbeat, Monitor, RejectedPush, Rollup
from tests.support.demo import demo, monitors_of, rows
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import push
from tianji.demo import people


@pytest.mark.slow
@pytest.mark.django_db
def test_reset_makes_it_anew_and_leaves_nothing_of_the_old_one_behind():
    theirs = make_monitor(workspace=make_workspace("Theirs"))
    push(theirs)
    demo("--yes")
    before, old = rows(), people.workspace()
    demo("--yes", "--reset")
    new = people.workspace()
    assert new.pk != old.pk
    after = rows()
    for name in ("Monitor", "Channel", "User", "Workspace"):
        assert after[name] == before[name]
    there = Monitor.objects.values("pk")
    for model in (Heartbeat, Rollup, RejectedPush):
        assert not model.objects.exclude(monitor__in=there).exists()
    assert Heartbeat.objects.filter(monitor=theirs).count() == 1
    # The bars of the new ones are right, though the half hours were rolled up before.
    now, monitors = database_now(), monitors_of(new)
    ups = sum(slot.ups for slot in status_bars.bars_of(monitors, now=now)[monitors[5].pk])
    assert ups > 1000


@pytest.mark.django_db
def test_a_database_in_use_is_left_alone():
    make_monitor(workspace=make_workspace("Acme"))
    before = rows()
    with pytest.raises(CommandError, match=r"“Acme”.*--yes"):
        demo()
    assert rows() == before


@pytest.mark.slow
@pytest.mark.django_db
def test_existing_accounts_are_unchanged():
    User.objects.create_user(people.VIEWER, "another password")
    demo()
    viewer = User.objects.get(email=people.VIEWER)
    assert viewer.check_password("another password")
    assert Membership.objects.get(user=viewer).role == "viewer"
