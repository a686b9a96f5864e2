"""Turns: which message a channel is sent next. See `take_turn`.

A channel has one message in flight at a time, so that a channel that hangs delays only itself, and what is
sent about a monitor arrives in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from core import sql
from core.clock import database_now
from core.sql import among
from notifications.dispatch import beliefs as belief_rows
from notifications.dispatch import facts
from notifications.dispatch.beliefs import Wake
from notifications.dispatch.claims import LEASE, Claim, News, claim, news_of
from notifications.dispatch.waiting import STORM
from notifications.integrations import kinds
from notifications.locks import (
    Locked,
    keep_monitors,
    lock_all,
    lock_beliefs,
    lock_channel,
    lock_deliveries,
)
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt
from notifications.rules.compare import Outcome, Rest, Send, Wait, compare

# How many beliefs are compared in one turn, at first and at most.
_FEW, _MOST = 20, 10_000

_SENDING, _PENDING = Delivery.Status.SENDING, Delivery.Status.PENDING
# The ends of monitors that were deleted, until they are tried; their beliefs are deleted.
_OF_DELETED = Q(event=Event.ENDED, monitor=None, status=_PENDING, attempt_count=0)


def take_turn(channel_id: int) -> Claim | None:
    """Claim what a channel, by its row id, is to be sent now; None if there is nothing, or it isn't its turn.

    1. The channel is locked. If a message is in flight, or its receiver asked for a pause, nothing is sent.
    2. A message that was tried before is tried again under its id, if it still says how things are.
       Otherwise it is closed, and its monitors are compared again.
    3. What the channel believes about each monitor with news is compared with the truth.
    4. In calm weather, the first news is sent alone. In a storm, all of it is sent as one digest.
    """
    with suppress(Locked), transaction.atomic():
        # Two workers may pick the same channel: its lock lets one of them through.
        channel = lock_channel(channel_id, skip_locked=True)
        if channel is None:
            return None
        now = database_now()
        if _is_busy(channel, now):
            return None
        tried = _try_again(channel, now)
        return tried or (_send_news(channel, now) if channel.enabled else None)
    return None


def _is_busy(channel: Channel, now: datetime) -> bool:
    sending = channel.deliveries.filter(status=_SENDING, next_attempt_at__gt=now)
    return (channel.paused_until is not None and channel.paused_until > now) or sending.exists()


# --- What was tried before -------------------------------------------------------------------------


def _try_again(channel: Channel, now: datetime) -> Claim | None:
    """Claim the first delivery that is due again and not outdated; close those that are."""
    due = channel.deliveries.filter(status__in=[_SENDING, _PENDING], next_attempt_at__lte=now)
    if channel.enabled:
        due = due.exclude(_OF_DELETED)
    for row in lock_deliveries(due, limit=_FEW):
        if row.monitor_id and not row.attempt_count:
            _take_over(row, now)
            continue
        interrupted = row.status == _SENDING
        if interrupted:
            _note_interruption(row)
        # What was tried through a channel that is disabled now fails in its attempt.
        if channel.enabled and _closed_as_outdated(channel, row, now):
            continue
        channel.deliveries.filter(pk=row.pk).update(
            status=_SENDING, attempt_count=F("attempt_count") + 1, next_attempt_at=now + LEASE
        )
        return Claim(channel.workspace_id, row.pk, row.attempt_count + 1, interrupted=interrupted)
    return None


def _take_over(row: Delivery, now: datetime) -> None:
    """Compare what is believed about a monitor instead of sending `row`.

    A process of the version before wrote it while an upgrade was running: it is of an earlier time.
    """
    belief_rows.close([row], Delivery.Note.OUTDATED, check_at=now)
    # Late monitors are found again in a few seconds.
    if row.monitor_id and row.incident_id:
        belief_rows.wake([Wake(row.monitor_id, row.channel_id, row.incident_id - 1)], at=now)


def _closed_as_outdated(channel: Channel, row: Delivery, now: datetime) -> bool:
    """Close what of `row`, single or a digest, no longer says how things are; return whether it is all of it.

    Nothing is believed about a failing channel, or about a monitor that was deleted.
    """
    beliefs = lock_all(belief_rows.about([row.pk], channel.workspace_id))
    truths = facts.Truths(channel, beliefs, now)
    outdated = _outdated(
        channel, ((each, compare(facts.believed(each), truths.about(each))) for each in beliefs)
    )
    if not outdated:
        return False
    belief_rows.close(outdated, Delivery.Note.OUTDATED, check_at=now)
    return not row.members.filter(status=Delivery.Status.MERGED).exists()


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


def _send_news(channel: Channel, now: datetime) -> Claim | None:
    merges = not channel.keeps_records
    if merges and channel.digest_at is not None and channel.digest_at > now:
        return None
    of_deleted = channel.deliveries.filter(_OF_DELETED, next_attempt_at__lte=now)
    rows = lock_deliveries(of_deleted, limit=_MOST if merges else _FEW)
    ended = [News(row, since=row.created_at) for row in rows]
    # In calm weather one belief is enough, and the rest can wait.
    for most in (_FEW, _MOST) if channel.digest_at is None else (_MOST,):
        beliefs = _due(channel, now, most)
        all_of_it = len(beliefs) < most or most == _MOST
        news = [*ended, *_compare_all(channel, beliefs, now)]
        news.sort(key=lambda each: each.since)
        collected = _collected(channel, news) if merges else []
        together = collected or (_waited(channel, news, now) if merges else [])
        if together and all_of_it:
            _set_digest_at(channel, now + STORM if collected else None)
            return claim(channel, together, now)
        if news and not together:
            alone = not merges or _room(channel, now)
            # More than fits: the rest is collected until the first digest.
            _set_digest_at(channel, None if alone else now + STORM)
            return claim(channel, news[:1], now) if alone else None
        if all_of_it:
            break
    if not news:
        _set_digest_at(channel, None)
    return None


def _set_digest_at(channel: Channel, at: datetime | None) -> None:
    if channel.digest_at != at:
        Channel.objects.filter(pk=channel.pk).update(digest_at=at)


def _room(channel: Channel, now: datetime) -> bool:
    """Return whether another message may be sent alone."""
    kind = kinds().get(channel.kind)
    most = min(channel.burst, kind.burst_most) if kind else channel.burst
    lately = channel.deliveries.filter(
        digest=None, attempt_count__gt=0, created_at__gt=now - STORM, created_at__lte=now
    )
    return lately.count() < most


def _collected(channel: Channel, news: Sequence[News]) -> Sequence[News]:
    """Return `news` if a storm's digest is due; empty if nothing happened since the last one."""
    at = channel.digest_at
    return news if at is not None and any(each.since <= at for each in news) else ()


def _waited(channel: Channel, news: Sequence[News], now: datetime) -> Sequence[News]:
    """Return what of `news` waited and is sent as one message.

    It waited for the end of quiet hours or, longer than a storm, for a receiver that was not to be reached
    or asked for a pause.
    """
    quiet = facts.quiet_hours(channel)
    ended_at = quiet.ended_at(now) if quiet else None
    waited = [each for each in news if each.since <= now - STORM or each.since == ended_at]
    return waited if len(waited) > 1 else ()


def _due(channel: Channel, now: datetime, most: int) -> list[Belief]:
    """Return and lock the beliefs of `channel` that are to be compared, the oldest news first.

    Those of monitors that are being deleted are left out: they must not get new deliveries.
    """
    due = Belief.objects.filter(channel=channel, check_at__lte=now).order_by("check_at", "pk")
    found = dict(due.values_list("pk", "monitor_id")[:most])
    there = keep_monitors(list(found.values()), channel.workspace_id)
    # By their row ids: in calm weather hardly any belief is due, for which the database plans, and a join of
    # those of a storm with their monitors took seconds.
    these = channel.beliefs.filter(pk__in=among(pk for pk, monitor in found.items() if monitor in there))
    locked = {row.pk: row for row in lock_beliefs(these, skip_locked=True)}
    rows = [locked[pk] for pk in found if pk in locked]
    return [row for row in rows if row.check_at is not None and row.check_at <= now]


def _compare_all(channel: Channel, beliefs: Sequence[Belief], now: datetime) -> list[News]:
    """Compare `beliefs` with the truth; settle those without news, and return the news."""
    truths = facts.Truths(channel, beliefs, now)
    true = {each.pk: truths.about(each) for each in beliefs}
    outcomes = [(each, compare(facts.believed(each), true[each.pk])) for each in beliefs]
    if outdated := _outdated(channel, outcomes):
        belief_rows.close(outdated, Delivery.Note.OUTDATED, check_at=now)
        again = lock_all(channel.beliefs.filter(pk__in=among(each.pk for each in beliefs)))
        return _compare_all(channel, list(again), now)
    news: list[News] = []
    settled: list[tuple[Belief, Wait | Rest]] = []
    for each, outcome in outcomes:
        if each.delivery_id is not None:
            # What was tried is tried again at its own time.
            settled.append((each, Rest()))
        elif isinstance(outcome, Send):
            news.append(news_of(each, outcome, true[each.pk]))
        else:
            settled.append((each, outcome))
    _settle(channel, settled, now)
    return news


def _outdated(channel: Channel, outcomes: Iterable[tuple[Belief, Outcome]]) -> list[Delivery]:
    """Return what was tried, alone or in a digest, and no longer says how things are."""
    tried = {each.delivery_id: outcome for each, outcome in outcomes if each.delivery_id is not None}
    rows = channel.deliveries.filter(pk__in=among(tried)) if tried else ()
    return [row for row in rows if not _still_says(row, tried[row.pk])]


def _still_says(message: Delivery, outcome: Outcome) -> bool:
    # It may have arrived, so a snooze or quiet hours that began since don't stop it.
    send = outcome.send if isinstance(outcome, Wait) else outcome
    if not isinstance(send, Send) or send.event != message.event:
        return False
    # One more change is no news about a monitor that is flapping, and may come sooner than the retry.
    return send.event is Event.FLAPPING or send.outage == message.incident_id


def _settle(channel: Channel, settled: Sequence[tuple[Belief, Wait | Rest]], now: datetime) -> None:
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
    sql.insert(skipped)
    forgotten = {belief.pk for belief, outcome in settled if isinstance(outcome, Rest) and outcome.forget}
    sql.update([belief for belief, _outcome in settled if belief.pk not in forgotten])
    if forgotten:
        channel.beliefs.filter(pk__in=among(forgotten)).delete()
