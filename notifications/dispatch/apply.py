"""Applies the verdicts on the deliveries of a turn: returns those to send, holds or skips the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from core.sql import among
from notifications.dispatch import decide, reminders
from notifications.dispatch.decide import Hold, Send, Skip, SkipReason
from notifications.dispatch.facts import FactFinder
from notifications.locks import lock_delivery_ids
from notifications.messages.events import SUBSCRIPTIONS, Event
from notifications.models import Channel, Delivery

# Only these are judged: digests and notifications about channels are always sent.
_JUDGED = frozenset(SUBSCRIPTIONS)


def judge(channel: Channel, due: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Hold or skip those of `due` that are not to be sent now; return the rest."""
    judged = [row for row in due if row.event in _JUDGED]
    facts = FactFinder(channel, judged, now)
    notified: list[Delivery] = [row for row in due if row.event not in _JUDGED]
    held: list[tuple[Hold, Delivery]] = []
    skipped: list[tuple[SkipReason, Delivery]] = []
    # Recoveries of outages that continue: their verdicts in this turn are outdated.
    outdated: set[int] = set()
    for row in judged:
        match decide.judge(facts.situation(row)):
            case Send():
                if row.event in (Event.RESOLVED, Event.REMINDER) and row.incident_id in facts.openings:
                    row.thread = facts.openings[row.incident_id].thread
                notified.append(row)
            case Hold() as hold:
                held.append((hold, row))
            case Skip(SkipReason.CONTINUES) if row.event == Event.OPENED:
                if _continue(row, facts):
                    outdated |= {other.pk for other in facts.unsent_recoveries(row)}
                else:
                    held.append((Hold(now + decide.RECHECK_AFTER), row))
            case Skip(why):
                skipped.append((why, row))
    notified = [row for row in notified if row.pk not in outdated]
    held = [(hold, row) for hold, row in held if row.pk not in outdated]
    ready = reminders.may_follow(notified)
    held += [(Hold(now + decide.RECHECK_AFTER), row) for row in notified if row.pk not in ready]
    _lock(held)
    for why, rows in groupby(sorted(skipped, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        withdraw([row.pk for _why, row in rows], Delivery.Note(why))
    return sorted((row for row in notified if row.pk in ready), key=lambda row: row.pk)


def _lock(held: Iterable[tuple[Hold, Delivery]]) -> None:
    by_hold: dict[Hold, list[int]] = {}
    for hold, row in held:
        by_hold.setdefault(hold, []).append(row.pk)
    for hold, ids in by_hold.items():
        planned = {"planned_at": hold.until} if hold.replan else {}
        Delivery.objects.filter(pk__in=among(ids)).update(next_attempt_at=hold.until, **planned)


def _continue(row: Delivery, facts: FactFinder) -> bool:
    """Continue the outage that the channel was notified of with `row`, which is not sent itself.

    Return False if the delivery of the earlier recovery is locked by another transaction.
    """
    earlier = facts.unsent_recoveries(row)
    ends = Delivery.objects.filter(pk__in=[other.pk for other in earlier], status=Delivery.Status.PENDING)
    held = lock_delivery_ids(ends)
    if len(held) < len(earlier):
        return False
    opening = Delivery.objects.filter(
        channel=row.channel_id, incident=earlier[-1].incident_id, event=Event.OPENED
    ).first()
    withdraw(held, Delivery.Note.DOWN_AGAIN)
    withdraw([row.pk], Delivery.Note.CONTINUES, thread=opening.thread if opening else row.thread)
    return True


def withdraw(ids: Sequence[int], note: Delivery.Note, **changes: object) -> None:
    """Skip deliveries that have not been attempted yet, with the reason."""
    Delivery.objects.filter(pk__in=among(ids), status=Delivery.Status.PENDING).update(
        status=Delivery.Status.SKIPPED, note=note, next_attempt_at=None, **changes
    )
