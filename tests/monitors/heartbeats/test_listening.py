"""The watermark, gaps, and what they mean for monitors that were not heard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.db.models import F

from core.clock import database_now
from monitors import signals
from monitors.domain.listening import ClockSetBack, Failing, GapEnded, Listening
from monitors.domain.state_machine import Shown
from monitors.heartbeats import missed
from monitors.heartbeats.connection import OwnConnection
from monitors.heartbeats.group_commit import QueueFull
from monitors.heartbeats.listening import Listener
from monitors.heartbeats.missed import Swept
from monitors.heartbeats.pipeline import Pipeline, process_pipeline
from monitors.heartbeats.rate_limit import Limiter
from monitors.heartbeats.rejections import RejectionLog
from monitors.history import current, gaps
from monitors.history.uptimes import uptimes
from monitors.models import Gap, Incident, Monitor, MonitorState, PushTally, Watermark
from monitors.services import monitors as services
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.heartbeats import arrival, let_pass, push, state_of, transitions_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(tolerated=0.5)
    yield listener
    listener.stop()


def received_until(seconds_ago: float) -> datetime:
    """Put the watermark there."""
    until = database_now() - timedelta(seconds=seconds_ago)
    Watermark.objects.update_or_create(pk=Watermark.ROW, defaults={"until": until})
    return until


def watched(*, silent: float, **fields: float) -> Monitor:
    """A monitor that is up, and was heard so many seconds ago; it is down after 60 s of silence."""
    monitor = make_monitor(**{"timeout": 50, "grace": 10, **fields})
    push(monitor)
    let_pass(monitor, seconds=silent)
    return monitor


# --- The watermark -------------------------------------------------------------------------------


def test_the_first_look_ever_is_no_gap(listener):
    assert listener.look() == Listening()
    assert Gap.objects.count() == 0
    assert database_now() - Watermark.objects.get().until < timedelta(seconds=5)


def test_each_look_moves_the_watermark(listener):
    before = received_until(3)
    assert listener.look() == Listening()
    assert Watermark.objects.get().until > before
    assert Gap.objects.count() == 0


def test_one_process_that_listens_is_enough(listener):
    other = Listener(tolerated=0.5)
    listener.look()
    # This one has not looked for an hour; the other one has.
    now, at = listener._found
    listener._found = now - timedelta(hours=1), at - 3600
    other.look()
    assert listener.look() == Listening()
    other.stop()


def test_a_process_that_has_never_committed_is_silent_since_it_started(listener, monkeypatch):
    assert listener.silent_seconds is None
    monkeypatch.setattr(listener, "look", lambda: 1 / 0)
    listener.start()
    first = listener.silent_seconds
    assert first is not None
    assert first >= 0
    listener._started -= 60
    assert listener.silent_seconds >= 60


# --- Who is blamed -------------------------------------------------------------------------------


@pytest.mark.slow
def test_nobody_is_blamed_for_an_outage_of_ours(listener):
    workspace = make_workspace()
    channel = make_channel(workspace=workspace)
    monitors = [watched(silent=100 + number, workspace=workspace) for number in range(60)]
    since = received_until(100)
    # As after a restart: the worker is there before the web process.
    assert missed.declare_missed() == Swept()
    assert listener.look() == GapEnded(since)
    missed.declare_missed()
    assert Incident.objects.count() == 0
    assert channel.deliveries.count() == 0
    now = database_now()
    assert {current.read(monitor, now).shown for monitor in reloaded(monitors)} == {Shown.UP}
    (gap,) = Gap.objects.all()
    assert gap.started_at == since
    assert now - gap.ended_at < timedelta(seconds=5)


def reloaded(monitors: list[Monitor]) -> list[Monitor]:
    return list(Monitor.objects.filter(pk__in=[one.pk for one in monitors]).select_related("state"))


def test_after_a_gap_each_has_its_whole_timeout_and_grace_period_again(listener):
    monitor = watched(silent=100)
    received_until(100)
    listener.look()
    gap = Gap.objects.get()
    missed.declare_missed()
    assert state_of(monitor).due_at == gap.ended_at + timedelta(seconds=60)
    # And who stays silent for that long is down, from then on.
    let_pass(monitor, seconds=61)
    MonitorState.objects.update(excused_until=F("excused_until") - timedelta(seconds=61))
    listener.look()
    assert missed.declare_missed() == Swept(missed=1)
    incident = Incident.objects.get()
    assert incident.started_at == gap.ended_at - timedelta(seconds=1)


def test_a_cron_job_that_ran_while_nobody_listened_is_next_due_at_its_next_time(listener):
    now = database_now()
    ran = now - timedelta(minutes=30)
    monitor = make_monitor(
        kind="cron", cron=f"{ran.minute} {ran.hour} * * *", timezone="UTC", grace=60, timeout=60
    )
    push(monitor)
    let_pass(monitor, hours=23)
    received_until(3600)
    listener.look()
    missed.declare_missed()
    assert Incident.objects.count() == 0
    (one,) = reloaded([monitor])
    deadline = current.read(one, now).deadline
    assert deadline is not None
    assert timedelta(hours=23) < deadline - now < timedelta(hours=24)


def test_what_was_overdue_before_the_gap_is_down_from_its_deadline(listener):
    monitor = watched(silent=200)
    # It was due after 60 s, and the worker had not looked yet.
    received_until(100)
    listener.look()
    heard = state_of(monitor).last_heartbeat_at
    incident = Incident.objects.get()
    assert heard is not None
    assert incident.started_at == heard + timedelta(seconds=60)
    assert state_of(monitor).status == "down"


def test_what_was_down_before_the_gap_stays_down(listener):
    monitor = watched(silent=200)
    missed.declare_missed()
    received_until(100)
    listener.look()
    missed.declare_missed()
    assert state_of(monitor).status == "down"
    assert Incident.objects.filter(resolved_at=None).count() == 1


def test_a_push_before_the_first_look_after_a_gap_is_in_time(listener):
    monitor = watched(silent=100)
    received_until(100)
    push(monitor)
    assert Incident.objects.count() == 0
    assert transitions_of(monitor) == [("new", "up", "heartbeat")]
    listener.look()
    assert missed.declare_missed().missed == 0


def test_a_heartbeat_after_the_gap_counts_as_ever(listener):
    monitor = watched(silent=100)
    received_until(100)
    listener.look()
    push(monitor)
    missed.declare_missed()
    state = state_of(monitor)
    assert state.silent_since == state.last_heartbeat_at
    let_pass(monitor, seconds=61)
    MonitorState.objects.update(excused_until=F("excused_until") - timedelta(seconds=61))
    listener.look()
    assert missed.declare_missed().missed == 1


def test_editing_or_pausing_in_a_gap_blames_nobody(listener, announced):
    edited, paused = watched(silent=100), watched(silent=100)
    received_until(100)
    services.edit(monitor=edited, name="Another name")
    services.pause(monitor=paused)
    assert Incident.objects.count() == 0
    assert announced.events() == []


def test_pausing_what_was_overdue_keeps_the_missed_deadline_and_notifies_nobody(announced):
    monitor = watched(silent=100)
    make_channel(workspace=monitor.workspace)
    services.pause(monitor=monitor)
    assert Incident.objects.get().resolved_at is not None
    assert announced.events() == []
    assert transitions_of(monitor) == [
        ("new", "up", "heartbeat"),
        ("up", "down", "missed"),
        ("down", "paused", "paused"),
    ]


def test_a_gap_is_out_of_everyones_uptime(listener):
    monitor = watched(silent=300)
    received_until(200)
    listener.look()
    now = database_now()
    (one,) = reloaded([monitor])
    found = uptimes([one], start=now - timedelta(seconds=250), end=now, now=now)[monitor.pk]
    assert 48 < found.watched.total_seconds() < 56
    assert found.share is not None


def test_the_gap_that_lasts_is_shown_and_out_of_uptime_already(listener, monkeypatch):
    (one,) = reloaded([watched(silent=300)])
    now = database_now()
    since = now - timedelta(seconds=200)
    monkeypatch.setattr(process_pipeline().listener, "_until", since)
    assert gaps.between(now - timedelta(hours=1), now) == [(since, now)]
    assert gaps.between(now - timedelta(hours=1), since - timedelta(seconds=1)) == []
    found = uptimes([one], start=now - timedelta(seconds=250), end=now, now=now)[one.pk]
    assert found.watched == timedelta(seconds=50)


# --- The clock -----------------------------------------------------------------------------------


def test_a_clock_that_is_set_forward_blames_nobody_and_is_noted(listener):
    monitor = watched(silent=10)
    listener.look()
    # An hour of the database's time passes, but not of the process's own.
    let_pass(monitor, hours=1)
    Watermark.objects.update(until=F("until") - timedelta(hours=1))
    now, at = listener._found
    listener._found = now - timedelta(hours=1), at
    assert isinstance(listener.look(), GapEnded)
    missed.declare_missed()
    assert Incident.objects.count() == 0
    assert Gap.objects.get().clock_step == pytest.approx(3600, abs=2)


def test_a_clock_that_is_set_back_loses_no_deadline_and_is_noted(listener):
    monitor = watched(silent=10)
    let_pass(monitor, hours=-1)
    ahead = database_now() + timedelta(hours=1)
    Watermark.objects.create(until=ahead)
    steps = []

    def note(by, **arguments):
        steps.append(by)

    signals.clock_set_back.connect(note)
    assert isinstance(listener.look(), ClockSetBack)
    signals.clock_set_back.disconnect(note)
    gap, state = Gap.objects.get(), state_of(monitor)
    assert [step.total_seconds() for step in steps] == [pytest.approx(3600, abs=2)]
    assert gap.started_at == gap.ended_at
    assert gap.clock_step == pytest.approx(-3600, abs=2)
    # Without it, the outage of a sender that is silent from now on would be found an hour late.
    missed.declare_missed()
    state = state_of(monitor)
    assert state.last_heartbeat_at == gap.ended_at
    assert state.due_at == gap.ended_at + timedelta(seconds=60)


def recovering(*, silent: float) -> Monitor:
    """A monitor that is down until three good heartbeats have arrived, and was heard so many seconds ago."""
    monitor = make_monitor(timeout=50, grace=10)
    thresholds.change(monitor=monitor, own=OwnThresholds(recovery=3))
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=silent)
    return monitor


def test_a_recovering_monitor_has_its_whole_timeout_again_after_a_gap(listener):
    monitor = recovering(silent=100)
    outcomes = state_of(monitor).recent_outcomes
    received_until(100)
    listener.look()
    missed.declare_missed()
    state = state_of(monitor)
    assert state.recent_outcomes == outcomes
    assert state.due_at == Gap.objects.get().ended_at + timedelta(seconds=60)


def test_a_recovering_monitor_misses_nothing_because_a_clock_is_set_back(listener):
    monitor = recovering(silent=-3590)
    outcomes = state_of(monitor).recent_outcomes
    Watermark.objects.create(until=database_now() + timedelta(hours=1))
    assert isinstance(listener.look(), ClockSetBack)
    missed.declare_missed()
    state = state_of(monitor)
    assert state.recent_outcomes == outcomes
    assert state.due_at == Gap.objects.get().ended_at + timedelta(seconds=60)


# --- Partial deafness ----------------------------------------------------------------------------


def fail(listener: Listener, *, failed: int, answered: int) -> None:
    for _ in range(failed):
        listener.note(answered=False)
    for _ in range(answered):
        listener.note(answered=True)


def test_while_most_pushes_fail_the_watermark_stands_still_and_that_minute_is_a_gap(listener):
    monitor = watched(silent=70)
    since = received_until(15)
    Watermark.objects.update(held=True)
    fail(listener, failed=6, answered=5)
    assert listener.look() == Failing(since)
    assert missed.declare_missed().missed == 0
    assert listener.settled(database_now()) == since
    (one,) = reloaded([monitor])
    assert isinstance(listener.look(), Failing)
    assert (one.state.status, Incident.objects.count()) == ("up", 0)
    # A minute later.
    PushTally.objects.all().delete()
    Watermark.objects.update(until=F("until") - timedelta(seconds=60))
    assert isinstance(listener.look(), GapEnded)
    assert Gap.objects.count() == 1
    missed.declare_missed()
    assert Incident.objects.count() == 0


def test_a_few_failed_pushes_are_no_gap(listener):
    listener.look()
    fail(listener, failed=5, answered=5)
    assert listener.look() == Listening()


def test_seconds_in_which_all_pushes_fail_are_a_gap_however_many_a_minute_before_were_answered(listener):
    monitor = watched(silent=55)
    listener.look()
    answered_at = database_now() - timedelta(seconds=20)
    PushTally.objects.create(at=answered_at, answered=1000)
    fail(listener, failed=3, answered=0)
    assert isinstance(listener.look(), Failing)
    # It is overdue by the time that pushes are answered again.
    let_pass(monitor, seconds=10)
    PushTally.objects.filter(failed__gt=0).update(at=F("at") - timedelta(seconds=11))
    Watermark.objects.update(until=F("until") - timedelta(seconds=11))
    assert isinstance(listener.look(), GapEnded)
    missed.declare_missed()
    assert Incident.objects.count() == 0


def test_failures_of_an_outage_do_not_hold_the_watermark_after_it(listener):
    listener.look()
    fail(listener, failed=100, answered=0)
    Watermark.objects.update(until=F("until") - timedelta(seconds=100))
    now, at = listener._found
    listener._found = now - timedelta(seconds=100), at - 100
    assert isinstance(listener.look(), GapEnded)
    assert listener.look() == Listening()


def test_processes_count_together(listener):
    other = Listener(tolerated=0.5)
    listener.look()
    other.look()
    fail(listener, failed=10, answered=0)
    fail(other, failed=0, answered=10)
    other.look()
    assert listener.look() == Listening()
    other.stop()


# --- Pushes --------------------------------------------------------------------------------------


def test_the_pipeline_notes_what_became_of_each_push(listener):
    pipeline = Pipeline(
        limiter=Limiter(), rejections=RejectionLog(), listener=listener, queue_limit=0, batch_limit=1
    )
    with pytest.raises(QueueFull):
        pipeline.submit(arrival(make_monitor()))
    assert (listener._answered, listener._failed) == (0, 1)


def test_while_the_database_is_known_to_be_away_a_push_fails_at_once(listener):
    pipeline = Pipeline(
        limiter=Limiter(), rejections=RejectionLog(), listener=listener, queue_limit=9, batch_limit=1
    )
    listener.database_is_away = True
    with pytest.raises(OperationalError):
        pipeline.submit(arrival(make_monitor()))
    assert listener._failed == 1
    listener.look()
    assert not listener.database_is_away


def test_while_what_records_pushes_is_stuck_the_watermark_stands_still(listener, monkeypatch):
    connection = OwnConnection()
    listener.watch(connection)
    listener.look()
    before = Watermark.objects.get().until
    monkeypatch.setattr(connection, "_busy_since", time.monotonic() - 20)
    with pytest.raises(OperationalError):
        listener.look()
    assert Watermark.objects.get().until == before
    monkeypatch.setattr(connection, "_busy_since", None)
    listener.look()


def test_pages_show_nobody_down_while_pushes_fail(listener):
    now = database_now()
    assert listener.settled(now) == now
    listener.look()
    assert listener.settled(now + timedelta(seconds=4)) == now + timedelta(seconds=4)
    assert listener.settled(now + timedelta(hours=1)) - now < timedelta(seconds=5)
