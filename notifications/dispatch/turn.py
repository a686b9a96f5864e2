"""Turns: which message a channel is sent next. See `take_turn`.

A channel has one message in flight at a time, so that a channel that hangs delays only itself, and what is
sent about a monitor arrives in order.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from core.clock import database_now
from core.sql import among
from notifications.dispatch import beliefs as belief_rows
from notifications.dispatch import facts
from notifications.dispatch.beliefs import Wake
from notifications.dispatch.waiting import STORM
from notifications.integrations import kinds
from notifications.locks import keep_monitors, lock_beliefs, lock_channel, lock_deliveries
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt
from notifications.rules.compare import Outcome, Rest, Send, Wait, compare
from notifications.transports.base import TOTAL_SECONDS

# Twice what an attempt may take, with room for a slow commit.
LEASE = timedelta(seconds=2 * TOTAL_SECONDS + 5)
# How many beliefs are compared in one turn, at first and at most.
_FEW, _MOST = 20, 10_000

_SENDING, _PENDING = Delivery.Status.SENDING, Delivery.Status.PENDING


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt `number` of a delivery, until the lease expires.

    `interrupted`: the previous attempt ended without a result.
    """

    delivery_id: int
    number: int
    interrupted: bool = False


def take_turn(channel_id: int) -> Claim | None:
    """Claim what a channel, by its row id, is to be sent now; None if there is nothing, or it isn't its turn.

    1. The channel is locked. If a message is in flight, or its receiver asked for a pause, nothing is sent.
    2. A message that was tried before is tried again under its id, if it still says how things are.
       Otherwise it is closed, and its monitors are compared again.
    3. What the channel believes about each monitor with news is compared with the truth.
    4. In calm weather, the first news is sent alone. In a storm, all of it is sent as one digest.
    """
    with transaction.atomic():
        # Two workers may pick the same channel: its lock lets one of them through.
        channel = lock_channel(channel_id, skip_locked=True)
        if channel is None:
            return None
        now = database_now()
        if _is_busy(channel, now):
            return None
        claim = _try_again(channel, now)
        return claim or (_send_news(channel, now) if channel.enabled else None)


def _is_busy(channel: Channel, now: datetime) -> bool:
    sending = channel.deliveries.filter(status=_SENDING, next_attempt_at__gt=now)
    return (channel.paused_until is not None and channel.paused_until > now) or sending.exists()


# --- What was tried before -------------------------------------------------------------------------


def _try_again(channel: Channel, now: datetime) -> Claim | None:
    """Claim the first delivery that is due again and not outdated; close those that are."""
    due = channel.deliveries.filter(status__in=[_SENDING, _PENDING], next_attempt_at__lte=now)
    for row in lock_deliveries(due, limit=_FEW):
        if row.monitor_id and not row.attempt_count:
            _take_over(row, now)
            continue
        interrupted = row.status == _SENDING
        if interrupted:
            _note_interruption(row)
        # What was tried through a channel that is disabled now fails in its attempt.
        if channel.enabled and _is_outdated(channel, row, now):
            close([row], Delivery.Note.OUTDATED, check_at=now)
            continue
        Delivery.objects.filter(pk=row.pk).update(
            status=_SENDING, attempt_count=F("attempt_count") + 1, next_attempt_at=now + LEASE
        )
        return Claim(row.pk, row.attempt_count + 1, interrupted=interrupted)
    return None


def _take_over(row: Delivery, now: datetime) -> None:
    """Compare what is believed about a monitor instead of sending `row`.

    A process of the version before wrote it while an upgrade was running: it is of an earlier time.
    """
    close([row], Delivery.Note.OUTDATED, check_at=now)
    # Late monitors are found again in a few seconds.
    if row.monitor_id and row.incident_id:
        belief_rows.wake([Wake(row.monitor_id, row.channel_id, row.incident_id - 1)], at=now)


def _is_outdated(channel: Channel, row: Delivery, now: datetime) -> bool:
    """Return whether `row`, single or a digest, no longer says how things are.

    Nothing is believed about a failing channel, or about a monitor that was deleted.
    """
    beliefs = list(lock_beliefs(Belief.objects.filter(Q(delivery=row) | Q(delivery__digest=row))))
    if not beliefs:
        return row.event == Event.DIGEST
    truths = facts.Truths(channel, beliefs, now)
    return bool(_outdated((each, compare(facts.believed(each), truths.about(each))) for each in beliefs))


def close(rows: Sequence[Delivery], note: Delivery.Note, *, check_at: datetime) -> None:
    """Close deliveries that were tried and are not sent any more; their monitors are compared again."""
    ids = [row.pk for row in rows]
    for row in (Delivery.objects.filter(pk__in=ids), Delivery.objects.filter(digest__in=ids)):
        row.update(status=Delivery.Status.SKIPPED, note=note, next_attempt_at=None)
    mine = Belief.objects.filter(Q(delivery__in=ids) | Q(delivery__digest__in=ids))
    mine.update(delivery=None, check_at=check_at)


def _note_interruption(row: Delivery) -> None:
    assert row.next_attempt_at is not None, "it was being sent"
    DeliveryAttempt.objects.create(
        delivery=row,
        number=row.attempt_count,
        started_at=row.next_attempt_at - LEASE,
        finished_at=row.next_attempt_at,
        ok=False,
        detail=_("Interrupted: the worker stopped before it could record a result."),
    )


# --- News ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class News:
    """What a channel is to be sent about one monitor."""

    belief: Belief
    send: Send
    late_after: datetime | None


def _send_news(channel: Channel, now: datetime) -> Claim | None:
    kind = kinds().get(channel.kind)
    merges = kind is not None and kind.merges
    if merges and _storms(channel, now):
        return None
    # In calm weather one belief is enough, and the rest can wait.
    for most in (_FEW, _MOST) if channel.digest_at is None else (_MOST,):
        beliefs = _due(channel, now, most)
        all_of_it = len(beliefs) < most or most == _MOST
        news = _compare_all(channel, beliefs, now)
        collected = _collected(channel, news, now) if merges else []
        together = collected or (_waited(channel, news, now) if merges else [])
        if together and all_of_it:
            _set_digest_at(channel, now + STORM if collected else None)
            return _claim(channel, together, now)
        if news and not together:
            alone = not merges or _room(channel, now)
            # More than fits: the rest is collected until the first digest.
            _set_digest_at(channel, None if alone else now + STORM)
            return _claim(channel, news[:1], now) if alone else None
        if all_of_it:
            break
    if not news:
        _set_digest_at(channel, None)
    return None


def _set_digest_at(channel: Channel, at: datetime | None) -> None:
    if channel.digest_at != at:
        Channel.objects.filter(pk=channel.pk).update(digest_at=at)


def _storms(channel: Channel, now: datetime) -> bool:
    """Return whether a digest is being collected; a later end means that the clock was set back."""
    return channel.digest_at is not None and now < channel.digest_at <= now + STORM


def _room(channel: Channel, now: datetime) -> bool:
    """Return whether another message may be sent alone."""
    kind = kinds().get(channel.kind)
    most = min(channel.burst, getattr(kind, "burst_most", channel.burst))
    lately = channel.deliveries.filter(
        digest=None, attempt_count__gt=0, created_at__gt=now - STORM, created_at__lte=now
    )
    return lately.count() < most


def _collected(channel: Channel, news: Sequence[News], now: datetime) -> Sequence[News]:
    """Return `news` if a storm's digest is due; empty if nothing happened since the last one."""
    at = channel.digest_at
    # A later one means that the clock was set back.
    return news if at is not None and at <= now and any(_since(each) <= at for each in news) else ()


def _waited(channel: Channel, news: Sequence[News], now: datetime) -> Sequence[News]:
    """Return what of `news` waited and is sent as one message.

    It waited for the end of quiet hours or, longer than a storm, for a receiver that was not to be reached
    or asked for a pause.
    """
    quiet = facts.quiet_hours(channel)
    ended_at = quiet.ended_at(now) if quiet else None
    waited = [each for each in news if _since(each) <= now - STORM or _since(each) == ended_at]
    return waited if len(waited) > 1 else ()


def _since(news: News) -> datetime:
    assert news.belief.check_at is not None, "it is due"
    return news.belief.check_at


def _due(channel: Channel, now: datetime, most: int) -> list[Belief]:
    """Return and lock the beliefs of `channel` that are to be compared, the oldest news first.

    Those of monitors that are being deleted are left out: they must not get new deliveries.
    """
    due = Belief.objects.filter(channel=channel, check_at__lte=now).order_by("check_at", "pk")
    ids = list(due.values_list("monitor_id", flat=True)[:most])
    there = keep_monitors(ids)
    rows = lock_beliefs(Belief.objects.filter(channel=channel, check_at__lte=now, monitor__in=among(there)))
    return sorted(rows, key=lambda row: (row.check_at, row.pk))


def _compare_all(channel: Channel, beliefs: Sequence[Belief], now: datetime) -> list[News]:
    """Compare `beliefs` with the truth; settle those without news, and return the news."""
    truths = facts.Truths(channel, beliefs, now)
    true = {each.pk: truths.about(each) for each in beliefs}
    outcomes = [(each, compare(facts.believed(each), true[each.pk])) for each in beliefs]
    if outdated := _outdated(outcomes):
        close(outdated, Delivery.Note.OUTDATED, check_at=now)
        again = lock_beliefs(Belief.objects.filter(pk__in=among(each.pk for each in beliefs)))
        return _compare_all(channel, list(again), now)
    news = [
        News(each, outcome, true[each.pk].late_after)
        for each, outcome in outcomes
        if isinstance(outcome, Send) and each.delivery_id is None
    ]
    fresh = {each.belief.pk for each in news}
    # What was tried is tried again at its own time.
    settled = [
        (each, Rest() if each.delivery_id else outcome) for each, outcome in outcomes if each.pk not in fresh
    ]
    _settle(channel, settled, now)
    return news


def _outdated(outcomes: Iterable[tuple[Belief, Outcome]]) -> list[Delivery]:
    """Return the messages that were tried and no longer say how things are; digests as a whole."""
    tried = {each.delivery_id: outcome for each, outcome in outcomes if each.delivery_id is not None}
    rows = Delivery.objects.filter(pk__in=among(tried)).select_related("digest") if tried else ()
    return [row.digest or row for row in rows if not _still_says(row, tried[row.pk])]


def _still_says(message: Delivery, outcome: Outcome) -> bool:
    # It may have arrived, so a snooze or quiet hours that began since don't stop it.
    send = outcome.send if isinstance(outcome, Wait) else outcome
    return isinstance(send, Send) and (send.event, send.outage) == (message.event, message.incident_id)


def _settle(channel: Channel, settled: Sequence[tuple[Belief, Outcome]], now: datetime) -> None:
    """Write when these beliefs are compared again, and what was skipped."""
    skipped = []
    for belief, outcome in settled:
        belief.check_at = outcome.until if isinstance(outcome, Wait) else None
        if isinstance(outcome, Rest):
            for incident, why in outcome.skipped:
                if why is not None:
                    skipped.append(belief_rows.skipped(belief, incident, why.value, now))
                belief.after_incident = max(belief.after_incident, incident)
            if outcome.close:
                belief.state, belief.outage, belief.incident_id = Belief.State.UP, None, None
    if skipped:
        belief_rows.insert(skipped)
    forgotten = {belief.pk for belief, outcome in settled if isinstance(outcome, Rest) and outcome.forget}
    belief_rows.write([belief for belief, _outcome in settled if belief.pk not in forgotten])
    if forgotten:
        Belief.objects.filter(pk__in=among(forgotten)).delete()


def _claim(channel: Channel, news: Sequence[News], now: datetime) -> Claim:
    """Write the message about `news`, a single one or a digest, and claim it."""
    rows = [_delivery(channel, each, now) for each in news]
    if len(rows) == 1:
        rows[0].status, rows[0].attempt_count, rows[0].next_attempt_at = _SENDING, 1, now + LEASE
        message = rows[0]
    else:
        message = Delivery.objects.create(
            channel=channel,
            event=Event.DIGEST,
            status=_SENDING,
            created_at=now,
            planned_at=now,
            next_attempt_at=now + LEASE,
            attempt_count=1,
        )
        for row in rows:
            row.status, row.digest = Delivery.Status.MERGED, message
    belief_rows.insert(rows)
    for each, row in zip(news, rows, strict=True):
        each.belief.delivery, each.belief.check_at = row, None
        each.belief.outage, each.belief.sequence = row.outage, row.sequence
    belief_rows.write([each.belief for each in news])
    return Claim(message.pk, 1)


def _delivery(channel: Channel, news: News, now: datetime) -> Delivery:
    belief, send = news.belief, news.send
    # What is late opens a record at a receiver that keeps one for each outage.
    kind = kinds().get(channel.kind)
    opens = send.event is not Event.LATE or (kind is not None and not kind.merges)
    outage = belief.outage or (uuid.uuid4() if opens else None)
    return Delivery(
        channel_id=belief.channel_id,
        monitor_id=belief.monitor_id,
        incident_id=send.outage,
        event=send.event.value,
        reason=send.reason.value if send.reason else "",
        outage=outage,
        sequence=(belief.sequence if belief.outage else 0) + 1,
        reminder=belief.reminders + 1 if send.event is Event.REMINDER else 0,
        # The end of what was late has no incident either.
        occasion=news.late_after if send.event is Event.LATE else None if send.outage else belief.late_after,
        created_at=now,
        planned_at=belief.check_at,
    )
