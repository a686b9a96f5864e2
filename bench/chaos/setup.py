"""The monitors and channels of a run before it, and the rows of the product after it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from bench.chaos.installation import Installation
from bench.chaos.ledger import Delivery, Incident, Ledger, Rows
from bench.chaos.senders import Pushing, kinds_of
from tests.support.prepared import ROOT

_COMMAND = ("shell", "--no-imports", "-c", "from bench.chaos.setup import main; main()")


def make_senders(
    made: Installation, count: int, channels: dict[str, str], ledger: Ledger, seed: int
) -> list[Pushing]:
    """Create a monitor for each of `count` senders, and a webhook channel for each address of `channels`."""
    named = [(f"{kind.name}-{number:02}", kind) for number, kind in enumerate(kinds_of(count), 1)]
    wanted = {
        "monitors": [{"name": name, "timeout": kind.timeout, "grace": kind.grace} for name, kind in named],
        "channels": channels,
    }
    ran = subprocess.run(
        [sys.executable, "manage.py", *_COMMAND],
        cwd=ROOT,
        env=made.environment(made.ports[0]),
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    tokens = json.loads(ran.stdout.splitlines()[-1])
    return [Pushing(name, kind, tokens[name], made.ports, ledger, seed) for name, kind in named]


def main() -> None:
    """With the settings of the product: create what standard input names, and print the tokens."""
    from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of

    wanted: dict[str, Any] = json.load(sys.stdin)
    workspace = make_workspace("Chaos")
    for name, address in wanted["channels"].items():
        make_channel(workspace=workspace, name=name, config={"url": address})
    monitors = {each["name"]: make_monitor(workspace=workspace, **each) for each in wanted["monitors"]}
    print(json.dumps({name: secret_of(monitor) for name, monitor in monitors.items()}))


def rows_of(made: Installation) -> Rows:
    """Read what the database holds."""
    received = defaultdict(list)
    for row in made.query("SELECT message, received_at FROM monitors_heartbeat ORDER BY id"):
        received[row["message"]].append(row["received_at"])
    incidents = made.query(
        "SELECT m.name AS monitor, i.cause, i.started_at, i.resolved_at, i.opening_message, i.closing_message"
        " FROM monitors_incident i JOIN monitors_monitor m ON m.id = i.monitor_id ORDER BY i.id"
    )
    deliveries = made.query(
        "SELECT c.name AS channel, m.name AS monitor, i.started_at, d.event, d.status, d.note,"
        " coalesce(g.public_id, d.public_id)::text AS id FROM notifications_delivery d"
        " JOIN notifications_channel c ON c.id = d.channel_id"
        " JOIN monitors_incident i ON i.id = d.incident_id JOIN monitors_monitor m ON m.id = i.monitor_id"
        " LEFT JOIN notifications_delivery g ON g.id = d.digest_id ORDER BY d.id"
    )
    gaps = made.query("SELECT started_at, ended_at FROM monitors_gap ORDER BY id")
    return Rows(
        received=dict(received),
        incidents=[Incident(**row) for row in incidents],
        deliveries=[Delivery(**row) for row in deliveries],
        gaps=[(row["started_at"], row["ended_at"]) for row in gaps],
    )
