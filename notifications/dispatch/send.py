"""Claim a delivery, send it, record the result.

Three steps, of which only the first and the last touch the database: nothing is sent inside a
transaction. A claim is a lease; if its worker dies, it expires, and the delivery is sent again under the
same id. A channel has one delivery in flight at a time, so a channel that hangs delays only itself, and
the notifications of one incident arrive in order.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import SystemRandom

import structlog
from django.db import Error, connection, transaction
from django.db.models import Min
from django.utils.translation import gettext as _

from core.clock import database_now
from core.connections import release_connection
from core.sql import among
from notifications import channel_config
from notifications.composing import compose
from notifications.dispatch import beliefs, turn, waiting
from notifications.dispatch.claims import Claim
from notifications.integrations import kind_named, kinds
from notifications.locks import keep_monitor_of, lock_channel, lock_in_order
from notifications.messages.events import DIGESTS
from notifications.messages.text import one_line
from notifications.models import DETAIL_LENGTH, Channel, Delivery, DeliveryAttempt
from notifications.transports import retry
from notifications.transports.base import Failed, Outgoing, Result, Sent, Tone

log = structlog.get_logger(__name__)

# A channel that takes this long to fail is hanging; its other deliveries then wait up to _REST, so that a
# backlog doesn't keep a worker's thread busy without a break.
_HANGS = timedelta(seconds=5)
_REST = timedelta(seconds=60)
# After this many failed attempts in a row, of whatever deliveries, a channel is failing.
FAILING_AFTER = 20

_rng = SystemRandom()
_stopping = threading.Event()
# A channel that hangs keeps a thread for as long; threads are only started when all others are busy.
_MOST_THREADS = 256
_pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="deliver")
# The channels that threads of this process are serving.
_served: set[int] = set()
_serving = threading.Lock()


def stop_soon() -> None:
    """Make every thread that delivers stop after its current attempt; other workers find what is left."""
    _stopping.set()


def stop() -> None:
    """Stop delivering, and wait until all attempts under way are recorded: as long as one may take.

    To be called before the process begins to exit. From then on Python's executors take no more work, so that
    what still uses one would fail.
    """
    stop_soon()
    _pool.shutdown()


def deliver_due() -> int:
    """Send what is due until nothing is left that may be sent now; return the number of attempts.

    Safe to run many times concurrently, in one process or several.

    Raises:
        django.db.Error: the database is gone; a delivery in flight is sent again when its lease expires.
    """
    attempts = 0
    while sent := sum(_serve(channel) for channel in waiting.channels_with_something_due()):
        attempts += sent
    return attempts


def start_delivering() -> int:
    """Serve each channel with something due in a thread of its own; return how many were started.

    Returns at once, so that channels that hang delay neither the others nor the sweep.
    """
    if not waiting.something_is_due():
        return 0
    started = 0
    for channel in waiting.channels_with_something_due():
        with _serving:
            if channel in _served or _stopping.is_set():
                continue
            _pool.submit(_serve_in_thread, channel)
            _served.add(channel)
        started += 1
    return started


def _serve_in_thread(channel: int) -> None:
    try:
        _serve(channel)
    except Exception:
        # Its rows are still due, and are found by the next tick.
        log.exception("delivering failed", channel=channel)
    finally:
        with _serving:
            _served.discard(channel)
        connection.close()


def _serve(channel: int) -> int:
    """Send what `channel`, by its row id, may be sent now; return the number of attempts."""
    attempts = 0
    while not _stopping.is_set() and (claim := turn.take_turn(channel)) is not None:
        attempts += attempt(claim)
    return attempts


def attempt(claim: Claim) -> bool:
    """Make the attempt of `claim` and record it; False if the claim is no longer valid."""
    delivery = (
        Delivery.objects.select_related("channel__workspace", "monitor", "incident__monitor")
        .filter(pk=claim.delivery_id, status=Delivery.Status.SENDING, attempt_count=claim.number)
        .first()
    )
    if delivery is None:
        return False  # deleted with its monitor or channel
    if delivery.event in DIGESTS and not delivery.members.filter(status=Delivery.Status.MERGED).exists():
        return _drop(delivery, claim)
    started_at = database_now()
    if claim.interrupted and started_at > _first_tried_at(claim, started_at) + retry.GIVE_UP_AFTER:
        # Otherwise a delivery that kills its worker would be retried forever: only results are counted.
        result: Result = Failed(_("Failed: all attempts were interrupted."), permanent=True)
    else:
        result = _send(delivery, started_at)
    return _record(delivery, claim, result, started_at)


def _drop(delivery: Delivery, claim: Claim) -> bool:
    """Close a digest whose monitors have all been deleted; there is nothing left to send."""
    claimed = Delivery.objects.filter(
        pk=delivery.pk, status=Delivery.Status.SENDING, attempt_count=claim.number
    )
    claimed.update(status=Delivery.Status.SKIPPED, note=Delivery.Note.UNSUBSCRIBED, next_attempt_at=None)
    return False


def _first_tried_at(claim: Claim, started_at: datetime) -> datetime:
    """Return when the first attempt began, which may be days after the event (snooze, maintenance)."""
    if claim.number == 1:
        return started_at
    attempts = DeliveryAttempt.objects.filter(delivery=claim.delivery_id)
    return attempts.aggregate(first=Min("started_at"))["first"] or started_at


def _send(delivery: Delivery, now: datetime) -> Result:
    if not delivery.channel.enabled:
        # Outdated notifications must not be sent when it is enabled again.
        return Failed(_("Not sent: the channel is disabled."), permanent=True)
    try:
        composed = compose.write(delivery)
    except Error:
        raise
    except Exception as error:
        # Without a result, it would hold up all other messages of the channel until its lease expires.
        log.exception("composing failed", delivery=str(delivery.public_id))
        return Failed(f"{type(error).__name__}: {error}"[:DETAIL_LENGTH])
    return _transmit(
        delivery.channel,
        Outgoing(
            delivery.public_id,
            composed.message,
            composed.payload,
            now,
            thread=composed.thread,
            tone=composed.tone,
        ),
    )


def _transmit(channel: Channel, outgoing: Outgoing) -> Result:
    release_connection()
    try:
        config = channel_config.opened(channel)
        result = kind_named(channel.kind).send(config, outgoing)
    except channel_config.Unreadable as error:
        result = Failed(str(error))
    except Exception as error:
        log.exception("transport failed", channel=str(channel.public_id), kind=channel.kind)
        result = Failed(f"{type(error).__name__}: {error}")
    # A response may be anything: NUL, which no database accepts, or a page of HTML.
    return replace(result, detail=one_line(result.detail)[:DETAIL_LENGTH])


def _record(delivery: Delivery, claim: Claim, result: Result, started_at: datetime) -> bool:
    """Write the attempt and the outcome, unless the claim was lost."""
    with transaction.atomic():
        # In the recorder's lock order. A monitor or channel that is being deleted must not get new rows,
        # which would make its deletion fail.
        keep_monitor_of(delivery)
        channel = lock_channel(delivery.channel_id)
        if channel is None:
            return False
        now = database_now()
        first_at = _first_tried_at(claim, started_at)
        outcome = _outcome(claim, result, now, first_at=first_at, took=now - started_at)
        sent_at = now if outcome.status == Delivery.Status.SENT else None
        recorded = Delivery.objects.filter(
            pk=delivery.pk, status=Delivery.Status.SENDING, attempt_count=claim.number
        ).update(status=outcome.status, next_attempt_at=outcome.next_attempt_at, sent_at=sent_at)
        if recorded != 1:
            _send_end_of_deleted(delivery, now)
            log.warning("result of a lost claim dropped", delivery=str(delivery.public_id))
            return False
        if outcome.next_attempt_at is None:
            # The members of a digest share its result.
            members = lock_in_order(delivery.members.filter(status=Delivery.Status.MERGED))
            these = Delivery.objects.filter(pk__in=among(row.pk for row in members))
            these.update(status=outcome.status, sent_at=sent_at)
            beliefs.believe(delivery, arrived=sent_at is not None, now=now)
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=claim.number,
            started_at=started_at,
            finished_at=now,
            ok=isinstance(result, Sent),
            detail=result.detail,
        )
        _note_on_channel(channel, result, outcome, now)
    log.info(
        "delivery attempted",
        delivery=str(delivery.public_id),
        channel=str(delivery.channel.public_id),
        number=claim.number,
        status=outcome.status.value,
    )
    return True


def _send_end_of_deleted(delivery: Delivery, now: datetime) -> None:
    """Send at once what had to wait for `delivery`, if its monitor was deleted while it was in flight."""
    ended = Delivery.objects.filter(channel=delivery.channel_id, outage=delivery.outage, monitor=None)
    if delivery.outage is not None:
        ended.filter(status=Delivery.Status.PENDING, attempt_count=0).update(next_attempt_at=now)


def _note_on_channel(channel: Channel, result: Result, outcome: _Outcome, now: datetime) -> None:
    """Update the health of `channel`, which is locked, and until when it must be left alone."""
    paused_until = outcome.rest_until
    if isinstance(result, Sent):
        channel.failures, channel.failing_since = 0, None
        kind = kinds().get(channel.kind)
        if kind is not None and kind.spacing:
            paused_until = now + timedelta(seconds=kind.spacing)
    elif channel.enabled:
        channel.failures += 1
        if channel.failing_since is None and (result.gone or channel.failures >= FAILING_AFTER):
            channel.failing_since = now
        if result.gone:
            channel.enabled = False
    channel.paused_until = paused_until
    channel.save(update_fields=["failures", "failing_since", "enabled", "paused_until"])


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What follows from an attempt. Nothing is sent to the channel until `rest_until`."""

    status: Delivery.Status
    next_attempt_at: datetime | None = None
    rest_until: datetime | None = None


def _outcome(claim: Claim, result: Result, now: datetime, *, first_at: datetime, took: timedelta) -> _Outcome:
    if isinstance(result, Sent):
        return _Outcome(Delivery.Status.SENT)
    if result.permanent:
        return _Outcome(Delivery.Status.FAILED)
    next_time = retry.next_attempt_at(
        first_at=first_at,
        attempts=claim.number,
        now=now,
        rng=_rng,
        retry_after=result.retry_after,
    )
    if next_time is None:
        return _Outcome(Delivery.Status.FAILED)
    rest = None
    if result.retry_after:
        rest = next_time
    elif took >= _HANGS:
        rest = min(next_time, now + _REST)
    return _Outcome(Delivery.Status.PENDING, next_time, rest)


def send_test(*, channel: Channel) -> Result:
    """Send a test through `channel` immediately, within the time of one attempt.

    It belongs to no incident, is tried once and is not stored. If it succeeds, the channel is no longer
    failing: otherwise a channel that was fixed would be shown as failing until the next outage.
    """
    test_id = uuid.uuid4()
    now = database_now()
    composed = compose.test(channel, test_id, now)
    result = _transmit(channel, Outgoing(test_id, composed.message, composed.payload, now))
    if isinstance(result, Sent):
        Channel.objects.filter(pk=channel.pk, failures__gt=0).update(failures=0, failing_since=None)
        if channel.keeps_records:
            # No one would close that of a test.
            closing = Outgoing(
                uuid.uuid4(), composed.message, composed.payload, now, thread=test_id, tone=Tone.UP
            )
            _transmit(channel, closing)
    return result
