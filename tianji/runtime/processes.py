"""The command lines of Tianji's processes: one place for `up`, containers and tests."""

from __future__ import annotations

import runpy
import sys
from typing import Literal

from django.conf import settings

Role = Literal["web", "worker", "beat"]
ROLES: tuple[Role, ...] = ("web", "worker", "beat")


def command(role: Role, *, host: str | None = None, port: int | None = None) -> list[str]:
    """Return the command line for `role`. `host` and `port` default to the settings, for web only."""
    match role:
        case "web":
            return _web(host or settings.TIANJI_HOST, port or settings.TIANJI_PORT)
        case "worker":
            return [*_celery(), "worker", "--pool", "threads", *_worker_options()]
        case "beat":
            # No PID file: the supervisor or the container tracks its processes, and a stale one left by a
            # crash would keep Celery Beat from starting.
            return [*_celery(), "beat", "--pidfile="]


def become(role: Role) -> None:
    """Run `role` in this process, which has loaded the program already, until it stops."""
    _python, _as_module, module, *arguments = command(role)
    sys.argv = [module, *arguments]
    # It is run as the main module, which Python warns of if it was loaded under its own name.
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def management(*arguments: str) -> list[str]:
    """Return the command line of one of our management commands."""
    return [sys.executable, "-m", "tianji", *arguments]


def _web(host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "tianji.runtime.web", "--interface", "asginl"),
        *("--host", host, "--port", str(port), "--no-ws", "--http", "1"),
        *("--workers", str(settings.TIANJI_WEB_WORKERS)),
        # Idle and slow connections cost little, so there may be many. The time is also that after which an
        # idle one is closed, perhaps just when it is used again: so it is none at which senders push.
        *("--backlog", "4096", "--backpressure", "8192", "--http1-header-read-timeout", "45000"),
        # So much memory may the head of a request take.
        *("--http1-buffer-size", "65536"),
        *("--respawn-failed-workers", "--workers-kill-timeout", "8"),
        *("--log-level", "warning"),
        "tianji.asgi:application",
    ]


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "tianji"]


def _worker_options() -> list[str]:
    return [
        *("--concurrency", str(settings.TIANJI_WORKER_THREADS)),
        *("--queues", "sweep,default"),
        "--without-gossip",
        "--without-mingle",
        "--loglevel",
        "WARNING",
    ]
