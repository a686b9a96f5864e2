"""Turns: the next notification of a channel, a single one or a digest.

A channel has one notification in flight at a time. When its turn comes, all of its due deliveries are
judged (decide.py): sent, held or skipped. Of those to send, the first outage is sent immediately, and
what follows within STORM in one digest at its end; recoveries and reminders likewise. A delivery that was
attempted before continues under its own id, because the receiver may know it already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from core.clock import database_now
from core.sql import among
from notifications.dispatch import apply, reminders
from notifications.integrations import kinds
from notifications.locks import keep_monitor_of, lock_channel, lock_deliveries
from notifications.messages.events import DIGESTS, ENDS, Event
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.transports.base import TOTAL_SECONDS

# Twice what an attempt may take, with room for a slow commit.
LEASE = timedelta(seconds=2 * TOTAL_SECONDS + 5)
# What happens within this time of the first is sent as a digest.
STORM = timedelta(seconds=30)
# How many deliveries of a channel are looked at in one turn, at most and at first.
_MOST, _FEW = 10_000, 20
# How many attempts are looked at for the channels that were served of late; they have no index by time.
_ATTEMPTS_LOOKED_AT = 2000

_OPEN = (Delivery.Status.PENDING, Delivery.Status.SENDING)
# Events after which people think that a monitor is down, or up.
_NEWS = (Event.OPENED, *ENDS)
# The column of a channel with the end of the current storm.
_WINDOWS = {Event.DIGEST_DOWN: "downs_until", Event.DIGEST_UP: "ups_until"}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt `number` of a delivery, until the lease expires.

    `interrupted`: the previous attempt ended without a result.
    """

    delivery_id: int
    number: int
    interrupted: bool = False


def claim_next() -> Claim | None:
    """Claim the delivery that has been due longest and may be sent now, or return None.

    Deliveries that are not to be sent now are held or skipped on the way.
    """
    for channel in _channels_with_something_due(database_now()):
        # None: another worker serves this channel, or it has nothing to send now.
        if claim := take_turn(channel):
            return claim
    return None


def _channels_with_something_due(now: datetime) -> list[int]:
    """Return the row ids of channels that are free, the one that has waited longest first."""
    waiting = _due(now).values("channel").annotate(since=Min("next_attempt_at")).order_by("since", "channel")
    return [channel for channel, _since in waiting.values_list("channel", "since")]


def neglected_since(limit: datetime, now: datetime) -> datetime | None:
    """Return since when the oldest delivery has waited for us; None if none has since before `limit`.

    What waits for its receiver is not neglected: a channel that is paused or was served since `limit`, or an
    earlier delivery about the same monitor that is tried again later.
    """
    earlier = Delivery.objects.filter(
        Q(event__in=DIGESTS.values()) | Q(monitor=OuterRef("monitor"), pk__lt=OuterRef("pk")),
        channel=OuterRef("channel"),
        attempt_count__gt=0,
        next_attempt_at__gte=limit,
    )
    waiting = _due(now).filter(~Exists(earlier), next_attempt_at__lt=limit)
    waiting = waiting.exclude(channel__paused_until__gt=limit)
    since = dict(
        waiting.values("channel").annotate(since=Min("next_attempt_at")).values_list("channel", "since")
    )
    if not since:
        return None
    newest = DeliveryAttempt.objects.order_by("-pk").values_list("delivery__channel", "finished_at")
    served = {channel for channel, at in newest[:_ATTEMPTS_LOOKED_AT] if at > limit}
    return min((at for channel, at in since.items() if channel not in served), default=None)


def _due(now: datetime) -> QuerySet[Delivery]:
    """Return the deliveries that are due, of channels that are free."""
    in_flight = Delivery.objects.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=now)
    storm = (now + timedelta.resolution, now + STORM)
    return (
        Delivery.objects.filter(next_attempt_at__lte=now)
        .exclude(channel__in=in_flight.values("channel"))
        .exclude(channel__paused_until__gt=now)
        .exclude(event=Event.OPENED, attempt_count=0, channel__downs_until__range=storm)
        .exclude(event__in=ENDS, attempt_count=0, channel__ups_until__range=storm)
    )


def take_turn(channel_id: int) -> Claim | None:
    """Claim what a channel (its row id) is to send now; None if there is nothing, or it is not its turn."""
    with transaction.atomic():
        interrupted = _interrupted(channel_id, database_now())
        if interrupted is not None:
            keep_monitor_of(interrupted)
        # Two workers may pick the same channel: its lock lets one of them through, and everything below is
        # read after locking.
        channel = lock_channel(channel_id, skip_locked=True)
        if channel is None:
            return None
        now = database_now()
        if _is_busy(channel, now):
            return None
        if interrupted is not None:
            return _claim_again(interrupted, now)
        # At the start of a storm one delivery is enough, and the rest can wait.
        for most in (_FEW, _MOST):
            found = _waiting(channel, now, most)
            due = _in_their_order(channel, found, now)
            if due and not channel.enabled:
                return _claim(due[0], now)
            all_known = most == _MOST or len(found) < most
            if claim := _choose(channel, apply.judge(channel, due, now), now, all_known=all_known):
                return claim
            if len(found) < most:
                break
    return None


def _interrupted(channel: int, now: datetime) -> Delivery | None:
    """Return the delivery that was being sent when its worker died, if any."""
    sending = Delivery.objects.filter(channel=channel, status=Delivery.Status.SENDING)
    return sending.filter(next_attempt_at__lte=now).order_by("pk").first()


def _is_busy(channel: Channel, now: datetime) -> bool:
    sending = channel.deliveries.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=now)
    return (channel.paused_until is not None and channel.paused_until > now) or sending.exists()


def _waiting(channel: Channel, now: datetime, most: int) -> list[Delivery]:
    """Return and lock the due deliveries of `channel`, oldest first, at most `most`.

    Those that a running storm holds back are left out. Locked rows, for example of a monitor that is being
    deleted, are left for the next turn: nothing waits here, so there are no deadlocks.
    """
    rows = channel.deliveries.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    if _goes_on(channel.downs_until, now):
        rows = rows.exclude(event=Event.OPENED, attempt_count=0)
    if _goes_on(channel.ups_until, now):
        rows = rows.exclude(event__in=ENDS, attempt_count=0)
    return lock_deliveries(rows.select_related("incident", "monitor"), limit=most)


def _goes_on(until: datetime | None, now: datetime) -> bool:
    """Return whether a storm is running `until` then; a later end means that the clock was set back."""
    return until is not None and now < until <= now + STORM


def _in_their_order(channel: Channel, rows: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Return those of `rows` that don't have to wait for an earlier one of the same incident or monitor.

    A delivery that is not due yet (a delay, a reminder) doesn't delay the recovery. A delivery with attempts
    delays later events of its monitor: otherwise the older notification would arrive last.
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
    """Return, by monitor, the first unfinished delivery with an attempt, which may have arrived."""
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

    Return None if there is nothing to claim, or a digest needs more rows than `ready`.
    """
    for row in ready:
        # It may have arrived under its id.
        if row.attempt_count:
            return _claim(row, now)
    kind = kinds().get(channel.kind)
    merges = kind is not None and kind.merges
    if ready:
        first = ready[0]
        digest = DIGESTS.get(Event(first.event)) if merges else None
        if digest is None:
            return _claim(first, now)
        alike = [row for row in ready if DIGESTS.get(Event(row.event)) is digest]
        window = _WINDOWS.get(digest)
        until = getattr(channel, window) if window else None
        # The rest of a storm, or the backlog of a channel that was unreachable.
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
    """Claim a delivery that this transaction has locked."""
    if not row.attempt_count:
        reminders.follow([row], now)
    Delivery.objects.filter(pk=row.pk).update(
        status=Delivery.Status.SENDING,
        attempt_count=F("attempt_count") + 1,
        next_attempt_at=now + LEASE,
        thread=row.thread,
    )
    return Claim(row.pk, row.attempt_count + 1)


def _merge(channel: Channel, rows: Sequence[Delivery], event: Event, now: datetime) -> Claim:
    """Claim a new digest of `rows`, which share its result."""
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
    """Claim a delivery whose worker died while sending it, under the same id."""
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
