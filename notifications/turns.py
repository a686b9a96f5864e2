"""Whose turn it is: the next message of a channel, alone or several in one.

A channel has one message in flight at a time. When its turn comes, all that it is owed and that is due is
judged (notifications/judging.py): told, held or withdrawn. Of what is to be told, the first outage is told
at once, and what follows within STORM in one digest at its end; ends of outages and reminders likewise.
What was tried before goes on under its own id, because the other side may know it already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Min, Q
from django.utils.translation import gettext as _

from monitors.models import MonitorState
from notifications import reminders, verdicts
from notifications.judging import Event
from notifications.kinds import kinds
from notifications.models import Channel, Delivery, DeliveryAttempt
from tianji.clock import database_now
from tianji.many import among

# Longer than any attempt can take (transports.base.TOTAL_SECONDS), with room for a slow commit.
LEASE = timedelta(seconds=60)
# What happens within this of the first is told together.
STORM = timedelta(seconds=30)
# Of what one channel is owed, no more than this is looked at in one turn; and so few at first.
_MOST, _FEW = 10_000, 20

_OPEN = (Delivery.Status.PENDING, Delivery.Status.SENDING)
_ENDS = (Event.RESOLVED, Event.PASSED)
# What tells people whether a monitor is down.
_NEWS = (Event.OPENED, *_ENDS)
DIGESTS: dict[str, Delivery.Event] = {
    Event.OPENED: Delivery.Event.DIGEST_DOWN,
    Event.RESOLVED: Delivery.Event.DIGEST_UP,
    Event.PASSED: Delivery.Event.DIGEST_UP,
    Event.REMINDER: Delivery.Event.DIGEST_REMINDER,
}
# The column of a channel that says until when the present storm lasts.
_WINDOWS = {Delivery.Event.DIGEST_DOWN: "downs_until", Delivery.Event.DIGEST_UP: "ups_until"}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt `number` of a delivery, until the lease runs out.

    `interrupted`: the attempt before it ended without a result.
    """

    delivery_id: int
    number: int
    interrupted: bool = False


def claim_next() -> Claim | None:
    """Claim what is due longest and may be sent now, or return None.

    What is not to be told now is held or withdrawn on the way.
    """
    for channel in _channels_with_something_due(database_now()):
        # None: another worker serves this channel, or it has nothing to say now.
        if claim := take_turn(channel):
            return claim
    return None


def _channels_with_something_due(now: datetime) -> list[int]:
    """Return the row ids of channels that are free, the one that has waited longest first."""
    in_flight = Delivery.objects.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=now)
    storm = (now + timedelta.resolution, now + STORM)
    due = (
        Delivery.objects.filter(next_attempt_at__lte=now)
        .exclude(channel__in=in_flight.values("channel"))
        .exclude(channel__quiet_until__gt=now)
        .exclude(event=Event.OPENED, attempt_count=0, channel__downs_until__range=storm)
        .exclude(event__in=_ENDS, attempt_count=0, channel__ups_until__range=storm)
    )
    waiting = due.values("channel").annotate(since=Min("next_attempt_at")).order_by("since", "channel")
    return [channel for channel, _since in waiting.values_list("channel", "since")]


def take_turn(channel_id: int) -> Claim | None:
    """Return what a channel (its row id) is to send now, claimed; None for nothing, or no turn."""
    with transaction.atomic():
        interrupted = _interrupted(channel_id, database_now())
        if interrupted is not None:
            hold_monitor(interrupted)
        # Two workers may see the same channel as the next: its lock lets one of them through, and the
        # look below comes after the lock.
        channel = _hold_channel(channel_id)
        if channel is None:
            return None
        now = database_now()
        if _is_busy(channel, now):
            return None
        if interrupted is not None:
            return _claim_again(interrupted, now)
        # In a storm's first moment one message is all there is to find, and the rest can wait.
        for most in (_FEW, _MOST):
            found = _waiting(channel, now, most)
            due = _in_their_order(channel, found, now)
            if due and not channel.enabled:
                return _claim(due[0], now)
            all_known = most == _MOST or len(found) < most
            if claim := _choose(channel, verdicts.judge(channel, due, now), now, all_known=all_known):
                return claim
            if len(found) < most:
                break
    return None


def _interrupted(channel: int, now: datetime) -> Delivery | None:
    """Return what was being sent when its worker died, if anything was."""
    sending = Delivery.objects.filter(channel=channel, status=Delivery.Status.SENDING)
    return sending.filter(next_attempt_at__lte=now).order_by("pk").first()


def _is_busy(channel: Channel, now: datetime) -> bool:
    sending = channel.deliveries.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=now)
    return (channel.quiet_until is not None and channel.quiet_until > now) or sending.exists()


def _waiting(channel: Channel, now: datetime, most: int) -> list[Delivery]:
    """Return what `channel` may be told now, oldest first and `most` of it, and lock it.

    What a storm holds back is left out, before its end; and what somebody else holds, who deletes a
    monitor perhaps, is left for the next turn: nobody waits here, so nobody waits for ever.
    """
    rows = channel.deliveries.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    if _goes_on(channel.downs_until, now):
        rows = rows.exclude(event=Event.OPENED, attempt_count=0)
    if _goes_on(channel.ups_until, now):
        rows = rows.exclude(event__in=_ENDS, attempt_count=0)
    locked = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
    return list(locked.select_related("incident", "monitor").order_by("pk")[:most])


def _goes_on(until: datetime | None, now: datetime) -> bool:
    """Return whether a storm lasts `until` then; one that ends later began before the clock was set back."""
    return until is not None and now < until <= now + STORM


def _in_their_order(channel: Channel, rows: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Return those of `rows` before which nothing of the same incident or monitor has to be finished.

    What only the future will decide (a delay, a reminder) does not hold up the news of the end. What is
    under way holds up what happened to its monitor after it: else the older news would be the last word.
    """
    incidents = among({row.incident_id for row in rows if row.incident_id is not None})
    unfinished = channel.deliveries.filter(
        Q(status__in=_OPEN, next_attempt_at__lte=now)
        | Q(status__in=_OPEN, attempt_count__gt=0)
        | Q(status=Delivery.Status.MERGED),
        incident__in=incidents,
    )
    first: dict[int | None, int] = {}
    for pk, incident in unfinished.values_list("pk", "incident_id"):
        first[incident] = min(pk, first.get(incident, pk))
    news = _news_under_way(channel)
    return [
        row
        for row in rows
        if row.incident_id is None
        or min(first.get(row.incident_id, row.pk), news.get(row.monitor_id, row.pk)) >= row.pk
    ]


def _news_under_way(channel: Channel) -> dict[int | None, int]:
    """Return, by monitor, the first delivery that was tried, and may have arrived, and is not finished."""
    tried = channel.deliveries.filter(next_attempt_at__isnull=False, attempt_count__gt=0)
    open_digests, found = [], []
    for pk, monitor, event in tried.values_list("pk", "monitor_id", "event"):
        if event in DIGESTS.values():
            open_digests.append(pk)
        elif event in _NEWS:
            found.append((pk, monitor))
    if open_digests:
        members = channel.deliveries.filter(digest__in=open_digests, event__in=_NEWS)
        found += members.values_list("pk", "monitor_id")
    first: dict[int | None, int] = {}
    for pk, monitor in found:
        first[monitor] = min(pk, first.get(monitor, pk))
    return first


# --- Choosing --------------------------------------------------------------------------------------


def _choose(channel: Channel, ready: list[Delivery], now: datetime, *, all_known: bool) -> Claim | None:
    """Claim one of `ready`, or a digest of several of them.

    Return None where there is nothing to claim, or more has to be known for a digest than `ready`.
    """
    for row in ready:
        # Its id may have arrived.
        if row.attempt_count:
            return _claim(row, now)
    kind = kinds().get(channel.kind)
    merges = kind is not None and kind.merges
    if ready:
        first = ready[0]
        digest = DIGESTS.get(first.event) if merges else None
        if digest is None:
            return _claim(first, now)
        alike = [row for row in ready if DIGESTS.get(row.event) is digest]
        window = _WINDOWS.get(digest)
        until = getattr(channel, window) if window else None
        # The rest of a storm, and what piled up while the channel could not be reached.
        together = window is None or _planned(first) < max(until or now - STORM, now - STORM)
        if together and not all_known:
            return None
        if window:
            Channel.objects.filter(pk=channel.pk).update(**{window: now + STORM})
        if len(alike) == 1 or not together:
            return _claim(first, now)
        return _merge(channel, alike, digest, now)
    return None


def _planned(row: Delivery) -> datetime:
    return row.planned_at or row.created_at


def _claim(row: Delivery, now: datetime) -> Claim:
    """Claim a delivery that this transaction holds."""
    if not row.attempt_count:
        reminders.follow([row], now)
    Delivery.objects.filter(pk=row.pk).update(
        status=Delivery.Status.SENDING,
        attempt_count=F("attempt_count") + 1,
        next_attempt_at=now + LEASE,
        thread=row.thread,
    )
    return Claim(row.pk, row.attempt_count + 1)


def _merge(channel: Channel, rows: Sequence[Delivery], event: Delivery.Event, now: datetime) -> Claim:
    """Claim a new digest of `rows`, which share its end."""
    reminders.follow(rows, now)
    digest = Delivery.objects.create(
        channel=channel,
        event=event,
        status=Delivery.Status.SENDING,
        created_at=now,
        planned_at=now,
        next_attempt_at=now + LEASE,
        attempt_count=1,
    )
    Delivery.objects.filter(pk__in=among(row.pk for row in rows)).update(
        status=Delivery.Status.MERGED, digest=digest, next_attempt_at=None
    )
    return Claim(digest.pk, 1)


def _claim_again(row: Delivery, now: datetime) -> Claim | None:
    """Claim a delivery whose worker died with it, under the same id."""
    as_seen = Delivery.objects.filter(
        pk=row.pk, status=row.status, attempt_count=row.attempt_count, next_attempt_at=row.next_attempt_at
    )
    claimed = as_seen.update(attempt_count=F("attempt_count") + 1, next_attempt_at=now + LEASE)
    if claimed != 1:
        return None
    assert row.next_attempt_at is not None
    DeliveryAttempt.objects.create(
        delivery=row,
        number=row.attempt_count,
        started_at=row.next_attempt_at - LEASE,
        finished_at=row.next_attempt_at,
        ok=False,
        detail=_("Interrupted: the worker stopped before it could record a result."),
    )
    return Claim(row.pk, row.attempt_count + 1, interrupted=True)


# --- Locks -----------------------------------------------------------------------------------------


def hold_monitor(row: Delivery) -> None:
    """Lock the state of the monitor that a delivery is about, if it is about one."""
    if row.monitor_id is not None:
        states = MonitorState.objects.select_for_update(no_key=True).filter(monitor=row.monitor_id)
        list(states.values_list("pk"))


def _hold_channel(pk: int) -> Channel | None:
    """Lock a channel and return it as it is now; None where it is gone, or locked by somebody else.

    The lock does not hinder the recorder, which only refers to the row.
    """
    rows = Channel.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    return rows.filter(pk=pk).order_by().first()
