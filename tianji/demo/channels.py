"""Three channels of the sample workspace; two of them lead to a sink on this machine (tianji.demo.sink)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitors.models import Monitor
from notifications import channels, destinations
from notifications.models import Channel
from tianji.demo.backdate import as_of
from tianji.demo.people import People

SINK = "http://127.0.0.1:9099"
EMAIL, PHONE, WEBHOOK = "Operations mail", "On-call phone", "Incident bridge"
# Whoever is on call is woken for these, and only when it lasts.
_WAKES = "production"
_PHONE_DELAY = 300


def create(people: People, monitors: Sequence[Monitor], *, sink: str, at: datetime) -> None:
    """Make the channels as if somebody had at `at`: mail and webhook for all monitors, the phone for some."""
    wakes = [monitor for monitor in monitors if _WAKES in monitor.tags]
    with as_of(people.workspace, at):
        channels.create(
            workspace=people.workspace,
            kind="email",
            name=EMAIL,
            config={"addresses": ["ops@example.com", "rina@example.com"]},
            by=people.owner,
        )
        channels.create(
            workspace=people.workspace,
            kind="ntfy",
            name=PHONE,
            config={"server": sink, "topic": "on-call", "priority": "5"},
            all_monitors=False,
            monitors=wakes,
            delay=_PHONE_DELAY,
            by=people.owner,
        )
        channels.create(
            workspace=people.workspace,
            kind="webhook",
            name=WEBHOOK,
            config={"url": f"{sink}/bridge", **destinations.new_signing_secret()},
            by=people.admin,
        )
    Channel.objects.filter(workspace=people.workspace).update(created_at=at)
