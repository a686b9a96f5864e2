"""The only write path of a heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from django.db import transaction
from django.db.models.functions import Now

from monitors import journal
from monitors.models import Heartbeat, Monitor, MonitorState, PushToken
from monitors.push import Push
from monitors.status import HeartbeatCame, Status

# "Last used" is written at most this often for a token, so that a push costs no second row.
_LAST_USED_EVERY = timedelta(seconds=60)
_MONITOR_COLUMNS = (
    "public_id",
    "workspace",
    "name",
    "kind",
    "timeout",
    "cron",
    "timezone",
    "grace",
    "post_only",
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A push at the door: the digest of its token, what it says and where it came from."""

    digest: str
    push: Push
    posted: bool = True
    source: str | None = None


class Outcome(Enum):
    """What became of one push."""

    RECORDED = auto()
    UNKNOWN_TOKEN = auto()
    POST_ONLY = auto()


def record(arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Record `arrivals`, in that order, in one transaction; return an outcome for each, committed.

    Raises:
        django.db.Error: the database could not commit; nothing of the batch is recorded.
    """
    with transaction.atomic():
        return _Batch(arrivals).record()


class _Batch:
    """One transaction's work. Five statements, whatever the number of pushes, while nothing changes status."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals = arrivals
        self.digests = {arrival.digest for arrival in arrivals}

    def record(self) -> list[Outcome]:
        # Locked in the order of the monitors, so that two batches cannot wait for each other.
        named = PushToken.objects.filter(digest__in=self.digests).values("monitor_id")
        states = {
            state.monitor_id: state
            for state in MonitorState.objects.select_for_update()
            .filter(monitor_id__in=named)
            .order_by("monitor_id")
        }
        # Read after the locks, so that neither a revocation nor an edit that committed meanwhile
        # is missed; the time of this statement is the time of the whole batch.
        tokens = {
            token.digest: token
            for token in PushToken.objects.valid()
            .filter(digest__in=self.digests, monitor_id__in=states)
            .select_related("monitor")
            .annotate(now=Now())
            .only("monitor", "digest", "last_used_at", *(f"monitor__{name}" for name in _MONITOR_COLUMNS))
        }
        if not tokens:
            return [Outcome.UNKNOWN_TOKEN] * len(self.arrivals)
        now: datetime = next(iter(tokens.values())).now  # type: ignore[attr-defined]
        book = journal.Journal(now)
        book.know_open_incidents(list(states.values()))

        outcomes: list[Outcome] = []
        heartbeats: list[Heartbeat] = []
        touched: dict[int, MonitorState] = {}
        used: dict[int, PushToken] = {}
        for arrival in self.arrivals:
            token = tokens.get(arrival.digest)
            if token is None:
                outcomes.append(Outcome.UNKNOWN_TOKEN)
                continue
            if token.monitor.post_only and not arrival.posted:
                outcomes.append(Outcome.POST_ONLY)
                continue
            state = states[token.monitor_id]
            self._apply(arrival.push, state, token.monitor, book)
            touched[state.monitor_id] = state
            if token.last_used_at is None or now - token.last_used_at >= _LAST_USED_EVERY:
                token.last_used_at, token.last_used_from = now, arrival.source
                used[token.pk] = token
            heartbeats.append(
                Heartbeat(
                    monitor_id=token.monitor_id,
                    received_at=now,
                    status="up" if arrival.push.up else "down",
                    value=arrival.push.value,
                    message=arrival.push.message,
                    source=arrival.source,
                    token_id=token.pk,
                )
            )
            outcomes.append(Outcome.RECORDED)

        Heartbeat.objects.bulk_create(heartbeats)
        journal.write_states(list(touched.values()))
        if used:
            PushToken.objects.bulk_update(used.values(), ["last_used_at", "last_used_from"])
        book.write()
        return outcomes

    def _apply(self, push: Push, state: MonitorState, monitor: Monitor, book: journal.Journal) -> None:
        decision = book.decide(
            state, monitor, HeartbeatCame(book.now, push.up), message=push.message, value=push.value
        )
        state.last_heartbeat_at = book.now
        state.last_message, state.last_value = push.message, push.value
        if decision.status is Status.UP and (state.due_at is None or state.due_at <= book.now):
            journal.arm(state, monitor, now=book.now)
