"""Rows for a product that is tested from outside, created by a separate process (COMMAND_LINE)."""

from __future__ import annotations

import json
import sys
from datetime import time, timedelta
from typing import Any

from accounts.actors import COMMAND
from accounts.models import Workspace
from accounts.services import api_keys
from core.clock import database_now
from monitors.models import MaintenanceWindow, Monitor
from monitors.services import maintenance_windows, tokens
from monitors.services import monitors as monitor_service
from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of
from tests.support.heartbeats import push

COMMAND_LINE = ("shell", "--no-imports", "-c", "from tests.integration.seed import main; main()")
_TO_DELETE = 8


def main() -> None:
    """Fill two workspaces, and print what is needed to use them as one line of JSON."""
    ours, theirs = make_workspace("Ours"), make_workspace("Theirs")
    made = fill(ours)
    fill(theirs)
    seed = {"keys": {name: key_to(space) for name, space in (("ours", ours), ("theirs", theirs))}, **made}
    sys.stdout.write(f"{json.dumps(seed)}\n")


def key_to(workspace: Workspace) -> str:
    return api_keys.issue(workspace=workspace, name="write", scope="write", by=COMMAND).secret


def fill(workspace: Workspace) -> dict[str, Any]:
    """Create monitors of each status with a log, tokens of each kind, and channels without a real receiver.

    Return, by name, lists of what requests can use: the secret of an active token, and ids.
    """
    new, up, down, paused = (
        make_monitor(workspace=workspace, name=name, timeout=3600, tags=["seed", name])
        for name in ("new", "up", "down", "paused")
    )
    cron = make_monitor(
        workspace=workspace, name="cron", kind="cron", cron="*/5 * * * *", timezone="Asia/Tokyo"
    )
    channels = [
        make_channel(workspace=workspace, name="All"),
        make_channel(workspace=workspace, monitors=[new]),
    ]
    for monitor in (up, down, paused):
        for number in range(5):
            push(monitor, message=f"heartbeat {number}", value=float(number), source="127.0.0.1")
    push(down, up=False, message="It broke")
    push(down, message="Back", value=1.5)
    push(down, up=False, message="Again")
    monitor_service.pause(monitor=paused)
    doomed = [make_monitor(workspace=workspace, name="doomed") for _ in range(_TO_DELETE)]
    windows, doomed_windows = some_windows(workspace), some_windows(workspace)
    doomed_channels = [make_channel(workspace=workspace, monitors=[]) for _ in range(_TO_DELETE)]
    return {
        "push_tokens": [secret_of(up)],
        "monitors": ids([up, new, down, paused, cron]),
        "monitor_with_tokens": ids([cron]),
        **{name: ids(rows) for name, rows in some_tokens(cron).items()},
        "channels": ids(channels),
        "doomed_monitors": ids(doomed),
        "doomed_channels": ids(doomed_channels),
        "windows": ids(windows),
        "doomed_windows": ids(doomed_windows),
    }


def some_tokens(monitor: Monitor) -> dict[str, list[Any]]:
    """Give `monitor` tokens of each kind; return them by what can be done with them."""
    issued = [tokens.issue(monitor=monitor, label=f"host-{number}").token for number in range(20)]
    imported = tokens.import_token(monitor=monitor, secret=f"imported-{monitor.pk}", label="old system")
    rotated = [tokens.rotate(token=token).old for token in issued[:4]]
    tokens.revoke(token=issued[4])
    return {
        "tokens": [*issued[5:7], issued[4], imported, *rotated],
        "tokens_to_rotate": issued[7:12],
        "tokens_to_revoke": issued[12:],
        "rotated_tokens": rotated,
    }


def some_windows(workspace: Workspace) -> list[MaintenanceWindow]:
    """Create maintenance windows of both kinds, some of them in progress."""
    now = database_now()
    weekly = {"kind": "weekly", "weekdays": [0, 6], "start_time": time(22), "duration": 3600}
    return [
        maintenance_windows.plan(workspace=workspace, name="Work", all_monitors=True, **columns)
        for columns in ({"starts_at": now, "ends_at": now + timedelta(hours=1)}, weekly)
        for _ in range(_TO_DELETE // 2)
    ]


def ids(rows: list[Any]) -> list[str]:
    return [str(row.public_id) for row in rows]
