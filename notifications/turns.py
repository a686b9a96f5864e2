"""Whose turn it is: the next message of a channel, alone or several in one.

A channel has one message in flight at a time. When its turn comes, all that it is owed and that is due is
judged (notifications/judging.py): told, held or withdrawn. Of what is to be told, the first outage is told
at once, and what follows within STORM in one digest at its end; ends of outages and reminders likewise.
What was tried before goes on under its own id, because the other side may know it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from monitors.models import MonitorState
from notifications import judging, reminders
from notifications.circumstances import Circumstances
from notifications.judging import Event, Hold, Tell, Why, Withdraw
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

# What there is to judge: digests and news about channels are told as they are.
_JUDGED = frozenset(event.value for event in Event)
_OPEN = (Delivery.Status.PENDING, Delivery.Status.SENDING)
_DIGESTS: dict[str, Delivery.Event] = {
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
    passed_over: set[int] = set()
    while True:
        candidate = (
            _claimable(database_now())
            .exclude(channel__in=passed_over)
            .select_related("incident")
            .order_by("next_attempt_at", "pk")
            .first()
        )
        if candidate is None:
            return None
        if claim := take_turn(candidate):
            return claim
        # Another worker serves this channel, or it has nothing to say now.
        passed_over.add(candidate.channel_id)


def _claimable(now: datetime) -> QuerySet[Delivery]:
    """Deliveries that are due, of channels that are free, and first of their incident.

    Due is also one in flight whose lease ran out. What a storm holds back is not due before its end.
    """
    in_flight = Delivery.objects.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=now)
    return (
        Delivery.objects.filter(~Exists(_earlier(now)), next_attempt_at__lte=now)
        .exclude(channel__in=in_flight.values("channel"))
        .exclude(channel__quiet_until__gt=now)
        .exclude(event=Event.OPENED, attempt_count=0, channel__downs_until__gt=now)
        .exclude(event__in=(Event.RESOLVED, Event.PASSED), attempt_count=0, channel__ups_until__gt=now)
    )


def _earlier(now: datetime) -> QuerySet[Delivery]:
    """What has to be finished before a delivery: what the channel is owed of the same incident, if due.

    What only the future will decide (a delay, a reminder) does not hold up the news of the end.
    """
    return Delivery.objects.filter(
        Q(status__in=_OPEN, next_attempt_at__lte=now)
        | Q(status__in=_OPEN, attempt_count__gt=0)
        | Q(status=Delivery.Status.MERGED),
        incident=OuterRef("incident"),
        channel=OuterRef("channel"),
        pk__lt=OuterRef("pk"),
    )


def take_turn(candidate: Delivery) -> Claim | None:
    """Return what the channel of `candidate` is to send now, claimed; None for nothing, or no turn."""
    interrupted = candidate.status == Delivery.Status.SENDING
    with transaction.atomic():
        if interrupted:
            hold_monitor(candidate)
        # Two workers may each see another delivery of this channel as the next: the channel's lock
        # lets one of them through, and the look below comes after the lock.
        channel = _hold_channel(candidate.channel_id)
        if channel is None:
            return None
        now = database_now()
        if interrupted:
            return _claim_again(candidate, now)
        # In a storm's first moment one message is all there is to find, and the rest can wait.
        for most in (_FEW, _MOST):
            last = most == _MOST
            due = _due(channel, now, most)
            if due and not channel.enabled:
                return _claim(due[0], now)
            ready = _judge(channel, due, now)
            if claim := _choose(channel, ready, now, all_known=last or len(due) < most):
                return claim
            if len(due) < most:
                break
    return None


def _due(channel: Channel, now: datetime, most: int) -> list[Delivery]:
    """Return what `channel` may be told now, oldest first and `most` of it, and lock it.

    What somebody else holds, who deletes a monitor perhaps, is left for the next turn: nobody waits
    here, so nobody waits for ever.
    """
    rows = (
        _claimable(now)
        .filter(channel=channel, status=Delivery.Status.PENDING)
        .select_for_update(skip_locked=True, of=("self",), no_key=True)
        .select_related("incident", "monitor")
    )
    return list(rows.order_by("pk")[:most])


# --- Judging ---------------------------------------------------------------------------------------


def _judge(channel: Channel, due: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Hold and withdraw of `due` what is not to be told now; return the rest."""
    judged = [row for row in due if row.event in _JUDGED]
    facts = Circumstances(channel, judged, now)
    told: list[Delivery] = [row for row in due if row.event not in _JUDGED]
    held: list[tuple[Hold, Delivery]] = []
    withdrawn: list[tuple[Why, Delivery]] = []
    for row in judged:
        match judging.judge(facts.situation(row)):
            case Tell():
                if row.event in (Event.RESOLVED, Event.REMINDER) and row.incident_id in facts.openings:
                    row.thread = facts.openings[row.incident_id].thread
                told.append(row)
            case Hold() as hold:
                held.append((hold, row))
            case Withdraw(Why.CONTINUES) if row.event == Event.OPENED:
                if not _continue(row, facts):
                    held.append((Hold(now + judging.LOOK_AGAIN), row))
            case Withdraw(why):
                withdrawn.append((why, row))
    ready = reminders.may_follow(told)
    held += [(Hold(now + judging.LOOK_AGAIN), row) for row in told if row.pk not in ready]
    _hold(held)
    for why, rows in groupby(sorted(withdrawn, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        withdraw([row.pk for _why, row in rows], Delivery.Note(why))
    return sorted((row for row in told if row.pk in ready), key=lambda row: row.pk)


def _hold(held: Iterable[tuple[Hold, Delivery]]) -> None:
    by_hold: dict[Hold, list[int]] = {}
    for hold, row in held:
        by_hold.setdefault(hold, []).append(row.pk)
    for hold, ids in by_hold.items():
        planned = {"planned_at": hold.until} if hold.replan else {}
        Delivery.objects.filter(pk__in=among(ids)).update(next_attempt_at=hold.until, **planned)


def _continue(row: Delivery, facts: Circumstances) -> bool:
    """Let the outage that the channel was told of go on with `row`, whose beginning it is not told.

    Return False where somebody else holds the news of the earlier end.
    """
    earlier = facts.untold_before(row)
    ends = Delivery.objects.filter(pk__in=[other.pk for other in earlier], status=Delivery.Status.PENDING)
    held = reminders.free(ends)
    if len(held) < len(earlier):
        return False
    opening = Delivery.objects.filter(
        channel=row.channel_id, incident=earlier[-1].incident_id, event=Event.OPENED
    ).first()
    withdraw(held, Delivery.Note.DOWN_AGAIN)
    withdraw([row.pk], Delivery.Note.CONTINUES, thread=opening.thread if opening else row.thread)
    return True


def withdraw(ids: Sequence[int], note: Delivery.Note, **changes: object) -> None:
    """Close deliveries that nobody tried yet and that need not be sent, saying why."""
    Delivery.objects.filter(pk__in=among(ids), status=Delivery.Status.PENDING).update(
        status=Delivery.Status.WITHDRAWN, note=note, next_attempt_at=None, **changes
    )


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
        digest = _DIGESTS.get(first.event) if merges else None
        if digest is None:
            return _claim(first, now)
        alike = [row for row in ready if _DIGESTS.get(row.event) is digest]
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
    as_seen = _claimable(now).filter(
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
        detail=_("Interrupted: the worker stopped before it could note a result."),
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
