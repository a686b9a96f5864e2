"""Connections to PostgreSQL that give up on a server that says nothing."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg


class _Silent(psycopg.OperationalError):
    """The server was silent for too long."""


class Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server says nothing for `silent_most` seconds while it is asked.

    The server limits statements itself, but not while it is stopped. TCP's own timeouts don't notice that,
    nor a pooler, proxy or firewall that hangs and keeps acknowledging what it gets.
    """

    # None: for as long as it takes.
    silent_most: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if self.silent_most is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_heard(gen, self.silent_most), *args, **kwargs)
        except _Silent:
            self.close()
            raise


def patient_for(seconds: float) -> type[Connection]:
    """Return the class of connections that wait so long."""
    return type("Connection", (Connection,), {"silent_most": seconds})


def _heard(gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
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
                raise _Silent(f"The database said nothing for {seconds:.0f} s.")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
