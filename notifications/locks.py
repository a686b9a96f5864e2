"""The locks of channels, beliefs and deliveries, which are taken after those of monitors (monitors/locks.py).

Channels come before deliveries, each in the order of their row ids, and beliefs last, in the order of their
monitors and channels. A transaction that can't keep to this
order, or must not wait, skips locked rows.

A channel is locked FOR NO KEY UPDATE: receivers write rows that reference it in the transaction of a push,
and FOR UPDATE would block them. Only deleting a channel does that. `of=("self",)` doesn't lock the rows of
joined tables, such as the channel's workspace.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from monitors.locks import keep_states
from notifications.models import Belief, Channel, Delivery

# --- Channels ---------------------------------------------------------------------------------------


def lock_channel(pk: int, *, skip_locked: bool = False) -> Channel | None:
    """Lock a channel and return its current state, None if it was deleted.

    Args:
        skip_locked: return None if it is locked: of several workers that pick the same channel, one gets it,
            and the others look for another one.
    """
    channels = Channel.objects.select_for_update(no_key=True, skip_locked=skip_locked, of=("self",))
    return channels.filter(pk=pk).order_by().first()


def lock_channel_to_delete(pk: int) -> Channel | None:
    """Lock a channel so that no new row can reference it; return None if it was deleted.

    FOR UPDATE, unlike the others: a delivery added after Django has collected those to delete would make the
    deletion fail.
    """
    return Channel.objects.select_for_update().filter(pk=pk).first()


def lock_channels(
    channels: QuerySet[Channel], *, skip_locked: bool = False, with_workspaces: bool = False
) -> list[Channel]:
    """Lock those of `channels` that exist, and return their current state.

    Args:
        skip_locked: leave out those that are locked, for callers that try again in a few seconds.
        with_workspaces: also lock the rows of their workspaces, which `channels` joins.
    """
    of = ("self", "workspace") if with_workspaces else ("self",)
    locked = channels.select_for_update(no_key=True, skip_locked=skip_locked, of=of)
    return list(locked.order_by("pk"))


def keep_channels(channels: set[int]) -> set[int]:
    """Return those of `channels` that still exist, and keep them from being deleted until the commit.

    A channel deleted in between would make the commit fail, and with it the pushes of a whole batch. FOR KEY
    SHARE, which Django has no option for, is the lock that the foreign key takes anyway, only earlier; it
    blocks nothing but deletion. SQLite doesn't need it, because only one transaction writes at a time.
    """
    if not channels or connection.vendor != "postgresql":
        return channels
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM notifications_channel WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE",
            [sorted(channels)],
        )
        return {channel for (channel,) in cursor.fetchall()}


# --- Beliefs ----------------------------------------------------------------------------------------


def lock_beliefs(beliefs: QuerySet[Belief], *, skip_locked: bool = False) -> list[Belief]:
    """Lock `beliefs` and return their current state.

    Args:
        skip_locked: leave out those that are locked; a turn finds them the next time.
    """
    rows = beliefs.select_for_update(no_key=True, skip_locked=skip_locked, of=("self",))
    return list(rows.order_by("monitor_id", "channel_id"))


class Locked(Exception):
    """Another transaction has locked a row that is needed; it wakes a worker when it is done."""


def lock_all(rows: QuerySet[Belief] | QuerySet[Delivery]) -> list[Any]:
    """Lock all of these beliefs, or deliveries, without waiting.

    For turns, which have locked others by then, in another order.

    Raises:
        Locked: one of them is locked.
    """
    locked = list(rows.select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("pk"))
    if len(locked) < rows.count():
        raise Locked
    return locked


def keep_monitors(monitors: list[int], workspace_id: int | None = None) -> set[int]:
    """Return those of `monitors` that exist, and keep them from being deleted until the commit.

    They get new deliveries. FOR KEY SHARE, so that pushes, edits and sweeps don't wait. SKIP LOCKED leaves
    out those that are being deleted, because a channel is locked already. SQLite doesn't need it.

    Args:
        workspace_id: of all of them, if they are of one.
    """
    if not monitors or connection.vendor != "postgresql":
        return set(monitors)
    known = [] if workspace_id is None else [workspace_id]
    among = " AND workspace_id = %s" if known else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM monitors_monitor WHERE id = ANY(%s){among}"
            " ORDER BY id FOR KEY SHARE SKIP LOCKED",
            [sorted(monitors), *known],
        )
        return {monitor for (monitor,) in cursor.fetchall()}


# --- Deliveries -------------------------------------------------------------------------------------


def keep_monitor_of(delivery: Delivery) -> None:
    """Keep the monitor of `delivery`, if it has one, from being deleted."""
    if delivery.monitor_id is not None:
        keep_states([delivery.monitor_id], {delivery.workspace_id})


def lock_deliveries(deliveries: QuerySet[Delivery], *, limit: int | None = None) -> list[Delivery]:
    """Lock those of `deliveries` that are not locked yet, oldest first, at most `limit`; return them.

    SKIP LOCKED: rows may be locked by the deletion of their monitor, which may be waiting for us.
    """
    rows = deliveries.select_for_update(skip_locked=True, of=("self",), no_key=True)
    return list(rows.order_by("pk")[:limit])


def lock_in_order(deliveries: QuerySet[Delivery]) -> list[Delivery]:
    """Lock `deliveries` and return their current state, in the order in which all do who wait for several.

    An UPDATE of several, such as the members of a digest, would lock them in any order.
    """
    return list(deliveries.select_for_update(no_key=True, of=("self",)).order_by("pk"))


def lock_unfinished_of(monitor: int) -> dict[int, datetime]:
    """Lock the unfinished deliveries about `monitor`, which is being deleted.

    Returns until when one is in flight, by channel. Before the beliefs, which Django deletes first: a
    transaction that has locked one of these deliveries waits for its belief.
    """
    unfinished = [Delivery.Status.PENDING, Delivery.Status.SENDING, Delivery.Status.MERGED]
    locked = lock_in_order(Delivery.objects.filter(monitor=monitor, status__in=unfinished))
    sending = [row for row in locked if row.status == Delivery.Status.SENDING]
    return {row.channel_id: row.next_attempt_at for row in sending if row.next_attempt_at is not None}
