"""A database connection that belongs to no thread: the threads of a process use it in turn."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# A connection that was idle for longer than this is checked before it is used.
_RESTED_SECONDS = 1.0


class OwnConnection:
    """One long-lived connection for work done by one thread at a time.

    Pushes are recorded on it, so that they take no connection from the pages' pool, never wait for one,
    and find their statements already planned. It is not the pool's: the pool connects again only after a
    while that grows, and a push needs it at once. The caller ensures that no two threads use it at once.
    """

    def __init__(self) -> None:
        self._wrapper: BaseDatabaseWrapper | None = None
        self._used_at = 0.0
        self._busy_since: float | None = None
        self._asked_at: float | None = None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Use this connection for the block's queries, unless they are inside a transaction already."""
        threads_own = connections[DEFAULT_DB_ALIAS]
        if threads_own.in_atomic_block:
            yield
            return
        with self._busy():
            wrapper = self._living()
            connections[DEFAULT_DB_ALIAS] = wrapper
            try:
                yield
            except Error:
                # It may be broken; the next use gets a new one.
                wrapper.close()
                raise
            finally:
                connections[DEFAULT_DB_ALIAS] = threads_own
                self._used_at = time.monotonic()

    def open(self) -> None:
        """Connect, where it is not connected.

        Raises:
            django.db.Error: the database can't be reached.
        """
        # The one that is there may hang when it is checked.
        with self._busy():
            self._living().ensure_connection()

    def abandon_after(self, seconds: float, *, each_statement: bool = False) -> None:
        """Cut the connection if a thread has used it for longer: that thread gets an OperationalError.

        With `each_statement`, the time of the last statement counts, however many there are.

        A network that swallows packets, or a server that stopped, would otherwise hold it for minutes. Any
        other thread may call this. Does nothing on SQLite, which has no connection to cut.
        """
        since = self._asked_at if each_statement else self._busy_since
        if since is None or time.monotonic() - since <= seconds:
            return
        connected = getattr(self._wrapper, "connection", None)
        if connected is None or not hasattr(connected, "pgconn"):
            return
        # It may be closed by now, and then has no socket.
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connected.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    @property
    def busy_seconds(self) -> float:
        """Return for how long a thread has used it; 0 if none does."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        if self._wrapper is not None:
            self._wrapper.close()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._busy_since = self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._busy_since = self._asked_at = None

    def _ask(self, execute: Callable[..., Any], *statement: Any) -> Any:
        if self._asked_at is not None:
            self._asked_at = time.monotonic()
        return execute(*statement)

    def _living(self) -> BaseDatabaseWrapper:
        if self._wrapper is None:
            self._wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
            self._wrapper.settings_dict = {
                **self._wrapper.settings_dict,
                "OPTIONS": _options(self._wrapper.settings_dict["OPTIONS"]),
            }
            self._wrapper.inc_thread_sharing()
            self._wrapper.execute_wrappers.append(self._ask)
        rested = time.monotonic() - self._used_at > _RESTED_SECONDS
        if rested and self._wrapper.connection is not None and not self._wrapper.is_usable():
            self._wrapper.close()
        return self._wrapper


def _options(shared: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an own connection, given those of the pages'."""
    own = {name: value for name, value in shared.items() if name != "pool"}
    if "prepare_threshold" in own:
        # Each statement is planned once, at its first use. Otherwise PostgreSQL plans those with few rows
        # again at each use, because it takes the plan for any number of rows to be dearer.
        own |= {"prepare_threshold": 0, "options": f"{own['options']} -c plan_cache_mode=force_generic_plan"}
    return own
