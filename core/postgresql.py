"""Connections to PostgreSQL that give up on a server that does not respond."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg


class _NotResponding(psycopg.OperationalError):
    """The server sent nothing for too long."""


class Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server doesn't respond to a request for `respond_within` seconds.

    The server limits statements itself, but not while it is stopped. TCP's own timeouts don't notice that,
    nor a pooler, proxy or firewall that hangs and keeps acknowledging what it gets.
    """

    # None: for as long as it takes.
    respond_within: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if self.respond_within is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_limited(gen, self.respond_within), *args, **kwargs)
        except _NotResponding:
            self.close()
            raise


def responding_within(seconds: float) -> type[Connection]:
    """Return the class of connections that wait `seconds` for a response."""
    return type("Connection", (Connection,), {"respond_within": seconds})


def _limited(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """Do what `gen` does; psycopg resumes it with what its socket is ready for, or regularly with nothing."""
    until = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                until = now + seconds
            elif now > until:
                raise _NotResponding(f"The database did not respond for {seconds:.0f} s.")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
