"""Creates and removes the sample workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from django.db import transaction

from accounts.models import Workspace
from core.clock import database_now
from monitors.heartbeats import sql
from monitors.models import Monitor, MonitorState
from monitors.services import monitors as monitor_service
from monitors.services import retention
from notifications.models import Channel
from tianji.demo import channels, creation, handling, people, posting, replay, storage
from tianji.demo.catalogue import JOBS
from tianji.demo.creation import Tokens
from tianji.demo.jobs import Fate, Job
from tianji.demo.past import Past, Pushed, merged, past_of
from tianji.demo.people import People

SEED, DAYS = 20_261_127, 30.0
_CHANNELS_AFTER = timedelta(hours=2)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """What was created."""

    workspace: Workspace
    monitors: int
    heartbeats: int


@dataclass(slots=True)
class _Sample:
    """One sample monitor while it is being created."""

    job: Job
    monitor: Monitor
    tokens: Tokens
    past: Past


def fill(*, password: str, sink: str, days: float, seed: int, say: Say) -> Filled:
    """Create the sample workspace with `days` days of history until now: all of it or nothing.

    The same `seed` gives the same history, except for set times, which depend on the date.

    Args:
        password: the owner's password.
        sink: the URL that the channels send to.
        say: prints a line about each finished step.
    """
    with transaction.atomic():
        now = database_now()
        team = people.create(password=password, now=now, days=days)
        samples = _create(team, days=days, now=now, seed=seed)
        say(f"{len(samples)} monitors")
        channels.create(
            team, [each.monitor for each in samples], leading_to=sink, at=_start(days, now) + _CHANNELS_AFTER
        )
        creation.plan_maintenance(team, [(each.job, each.monitor) for each in samples], now=now)
        say("3 channels and 3 maintenance windows")
        _replay(team, samples, now=now)
        say("Incidents and their pending deliveries")
        heartbeats = _insert(samples)
        say(f"{heartbeats:,} heartbeats")
        ids = [each.monitor.pk for each in samples]
        rolled = storage.roll_up(ids, team.workspace.pk, start=_start(days, now), now=now)
        say(f"{rolled:,} rollups")
        posting.post(
            Channel.objects.filter(workspace=team.workspace).order_by("pk"),
            [each.monitor for each in samples],
            now=now,
            rng=Random(seed),
        )
        for each in samples:
            handling.handle(team, each.job, each.monitor, each.past.troubles, now=now)
        say("Delivery attempts, acknowledgements and notes")
    return Filled(team.workspace, len(samples), heartbeats)


def remove(workspace: Workspace) -> None:
    """Delete the sample workspace with everything that belongs to it, and its users."""
    for monitor in Monitor.objects.filter(workspace=workspace).select_related("workspace"):
        pk = monitor.pk
        monitor_service.delete(monitor=monitor)
        # Not in the background: a worker would compete with the deletions that follow.
        retention.purge(monitor_id=pk)
    workspace.delete()
    people.forget()


def _start(days: float, now: datetime) -> datetime:
    return now - timedelta(days=days)


def _create(team: People, *, days: float, now: datetime, seed: int) -> list[_Sample]:
    samples = []
    for number, job in enumerate(JOBS):
        rng = Random(f"{seed} {job.name}")
        begun = _start(days, now) + timedelta(minutes=number)
        if job.fate is Fate.NEW:
            begun = max(now - timedelta(seconds=job.down_for), begun)
        monitor = creation.create(team, job, at=begun, now=now)
        tokens = creation.tokens_of(team, job, monitor, now=now)
        past = past_of(job, monitor, start=begun + timedelta(minutes=3), now=now, rng=rng)
        samples.append(_Sample(job, monitor, tokens, past))
    return samples


def _replay(team: People, samples: list[_Sample], *, now: datetime) -> None:
    states = MonitorState.objects.in_bulk([each.monitor.pk for each in samples])
    watched = []
    for each in samples:
        state = states[each.monitor.pk]
        state.status_changed_at = each.monitor.created_at
        paused_at = None
        if each.job.fate is Fate.PAUSED:
            paused_at = max(now - timedelta(seconds=each.job.down_for), each.monitor.created_at)
            handling.record_pause(team, each.monitor, paused_at)
        watched.append(replay.Watched(each.monitor, state, each.past.pushes, paused_at))
    replay.replay(watched, now=now)
    sql.write_states(states.values())


def _insert(samples: list[_Sample]) -> int:
    """Insert the heartbeats, and record when tokens were last used."""
    by_monitor = {each.monitor.pk: each.tokens for each in samples}
    used: dict[int, tuple[datetime, str]] = {}

    def token_of(monitor: int, pushed: Pushed) -> int:
        token = by_monitor[monitor].of(pushed)
        used[token] = (pushed.at, pushed.sender)
        return token

    pushes = merged((each.monitor.pk, each.past) for each in samples)
    total = storage.insert_heartbeats(pushes, token_of, samples[0].monitor.workspace_id)
    creation.note_use(used)
    return total
