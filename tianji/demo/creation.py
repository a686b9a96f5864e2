"""Sample monitors, tokens and maintenance windows, created by the operations that pages and the API use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from monitors.heartbeats.rejections import UNKNOWN
from monitors.heartbeats.words import ALLOWED
from monitors.models import MaintenanceWindow, Monitor, PushToken, RejectedPush
from monitors.services import maintenance_windows, tokens
from monitors.services import monitors as monitor_service
from tianji.demo.backdate import as_of
from tianji.demo.catalogue.zones import JAKARTA
from tianji.demo.jobs import Fate, Job
from tianji.demo.past import Pushed
from tianji.demo.people import People

_ROTATED, _OVERLAP = timedelta(hours=5), timedelta(days=7)
# The monitor with rejected pushes: when its sender moved, and how long the old token still worked.
_MOVED, _OLD_WORKED = timedelta(days=3.2), timedelta(hours=6)
_OLD_SERVER = "10.20.4.9"
_STRAY = ("10.20.9.31", f"Unknown status “pending”. {ALLOWED}")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The row ids of a monitor's tokens: `second` is used from `since` on, by `sender` or, if "", by all."""

    first: int
    second: int | None = None
    since: datetime | None = None
    sender: str = ""

    def of(self, pushed: Pushed) -> int:
        """Return the token that a push was sent with."""
        if self.second is None or self.since is None or pushed.at < self.since:
            return self.first
        return self.second if self.sender in ("", pushed.sender) else self.first


def create(people: People, job: Job, *, at: datetime, now: datetime) -> Monitor:
    """Create the monitor of `job`, dated `at`; its description may be added later."""
    described_at = now - timedelta(days=job.described) if job.described else at
    later = described_at > at
    with as_of(people.workspace, at):
        monitor = monitor_service.create(
            workspace=people.workspace,
            by=people.owner,
            description="" if later else job.description,
            **job.columns,
        )
    if later:
        with as_of(people.workspace, described_at):
            monitor_service.edit(monitor=monitor, by=people.admin, description=job.description)
    Monitor.objects.filter(pk=monitor.pk).update(created_at=at, updated_at=max(described_at, at))
    monitor.tokens.update(created_at=at)
    monitor.created_at = at
    return monitor


def tokens_of(people: People, job: Job, monitor: Monitor, *, now: datetime) -> Tokens:
    """Rotate or replace the token of `monitor` if its fate requires it; return its tokens."""
    first = monitor.tokens.get()
    match job.fate:
        case Fate.ROTATING if monitor.created_at < now - _ROTATED:
            return _rotated(people, job, first, now - _ROTATED)
        case Fate.REJECTED:
            moved = max(now - _MOVED, monitor.created_at + (now - monitor.created_at) / 2)
            return _replaced(people, monitor, first, moved, now)
    return Tokens(first.pk)


def _rotated(people: People, job: Job, first: PushToken, at: datetime) -> Tokens:
    with as_of(people.workspace, at):
        new = tokens.rotate(token=first, by=people.admin, overlap=_OVERLAP).new.token
    PushToken.objects.filter(pk=first.pk).update(replaced_at=at, expires_at=at + _OVERLAP)
    PushToken.objects.filter(pk=new.pk).update(created_at=at)
    return Tokens(first.pk, new.pk, at + timedelta(minutes=12), job.senders[-1])


def _replaced(people: People, monitor: Monitor, first: PushToken, moved: datetime, now: datetime) -> Tokens:
    revoked = moved + _OLD_WORKED
    with as_of(people.workspace, moved):
        tokens.rename(token=first, label="old server", by=people.admin)
        second = tokens.issue(monitor=monitor, label="new server", by=people.admin).token
    with as_of(people.workspace, revoked):
        tokens.revoke(token=first, by=people.admin)
    PushToken.objects.filter(pk=first.pk).update(revoked_at=revoked)
    PushToken.objects.filter(pk=second.pk).update(created_at=moved)
    RejectedPush.objects.bulk_create(_rejected_pushes(monitor, first, second, revoked, now))
    return Tokens(first.pk, second.pk, moved)


def _rejected_pushes(
    monitor: Monitor, old: PushToken, new: PushToken, revoked: datetime, now: datetime
) -> list[RejectedPush]:
    assert monitor.interval is not None
    every = timedelta(seconds=monitor.interval)
    last = now - every / 3
    stray = now - timedelta(hours=26)
    return [
        RejectedPush(
            monitor=monitor,
            reason=RejectedPush.Reason.REVOKED,
            method="GET",
            source=_OLD_SERVER,
            last_four=old.last_four,
            detail=UNKNOWN,
            first_at=last - (last - revoked) // every * every,
            last_at=last,
            count=(last - revoked) // every + 1,
        ),
        RejectedPush(
            monitor=monitor,
            reason=RejectedPush.Reason.PARAMETER,
            method="POST",
            source=_STRAY[0],
            last_four=new.last_four,
            detail=_STRAY[1],
            first_at=stray,
            last_at=stray + timedelta(minutes=6),
            count=3,
        ),
    ]


def note_use(last: dict[int, tuple[datetime, str]]) -> None:
    """Write when and from where tokens were last used, by row id."""
    for token, (at, sender) in last.items():
        PushToken.objects.filter(pk=token).update(last_used_at=at, last_used_from=sender)


def plan_maintenance(people: People, pairs: Sequence[tuple[Job, Monitor]], *, now: datetime) -> None:
    """Create an active, a weekly and an upcoming maintenance window."""
    in_it = [monitor for job, monitor in pairs if job.fate is Fate.MAINTENANCE]
    started = (now - timedelta(minutes=45)).replace(second=0, microsecond=0)
    soon = (now + timedelta(days=2)).replace(hour=15, minute=0, second=0, microsecond=0)
    plans: tuple[tuple[datetime, dict[str, Any]], ...] = (
        (
            started - timedelta(hours=20),
            {
                "name": "Mail server upgrade",
                "starts_at": started,
                "ends_at": started + timedelta(hours=3),
                "timezone": JAKARTA,
                "monitors": in_it,
            },
        ),
        (
            started - timedelta(days=2),
            {
                "name": "Patch Sunday",
                "kind": MaintenanceWindow.Kind.WEEKLY,
                "weekdays": [6],
                "start_time": time(3),
                "duration": 2 * 3600,
                "timezone": JAKARTA,
                "tags": ["servers"],
            },
        ),
        (
            started - timedelta(hours=4),
            {
                "name": "Line test by the provider",
                "starts_at": soon,
                "ends_at": soon + timedelta(hours=2),
                "timezone": JAKARTA,
                "tags": ["jakarta"],
            },
        ),
    )
    for at, fields in plans:
        with as_of(people.workspace, at):
            window = maintenance_windows.plan(workspace=people.workspace, by=people.admin, **fields)
        MaintenanceWindow.objects.filter(pk=window.pk).update(created_at=at)
