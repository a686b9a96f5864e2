"""The three channels of the sample workspace: email, and two that send to a sink on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitors.models import Monitor
from notifications import channel_config
from notifications.models import Channel
from notifications.services import channels as channel_service
from tianji.demo import sink
from tianji.demo.backdate import as_of
from tianji.demo.people import People

SINK = f"http://{sink.HOST}:{sink.HTTP_PORT}"
EMAIL, PHONE, WEBHOOK = "Operations mail", "On-call phone", "Incident bridge"
# The on-call phone is only notified of these monitors, and only of outages that last.
_WAKES = "production"
_PHONE_DELAY = 300
_BRIDGE_BURST = 2


def create(people: People, monitors: Sequence[Monitor], *, leading_to: str, at: datetime) -> None:
    """Create the channels, dated `at`: email and webhook for all monitors, the phone for some.

    Args:
        leading_to: the URL of the sink, which the phone and the webhook send to.
    """
    wakes = [monitor for monitor in monitors if _WAKES in monitor.tags]
    with as_of(people.workspace, at):
        channel_service.create(
            workspace=people.workspace,
            kind="email",
            name=EMAIL,
            config={"addresses": ["ops@example.com", "rina@example.com"]},
            by=people.owner,
        )
        channel_service.create(
            workspace=people.workspace,
            kind="ntfy",
            name=PHONE,
            config={"server": leading_to, "topic": "on-call", "priority": "5"},
            all_monitors=False,
            monitors=wakes,
            delay=_PHONE_DELAY,
            by=people.owner,
        )
        channel_service.create(
            workspace=people.workspace,
            kind="webhook",
            name=WEBHOOK,
            config={"url": f"{leading_to}/bridge", **channel_config.new_signing_secret()},
            by=people.admin,
        )
    created = Channel.objects.filter(workspace=people.workspace)
    created.update(created_at=at)
    # The warehouse's monitors recover together: a digest.
    created.filter(name=WEBHOOK).update(burst=_BRIDGE_BURST)
