"""What the tests of the pages of tokens share: to open and read them, and to push with a token."""

from __future__ import annotations

import re
from datetime import timedelta

from django.db.models import F
from django.urls import reverse

from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.heartbeats.push_token import digest_of
from monitors.models import Heartbeat, PushToken


def url(name, monitor, token=None):
    return reverse(f"monitors:{name}", args=[monitor.public_id, *([token.public_id] if token else [])])


def at(verb, token):
    return url(f"{verb}_token", token.monitor, token)


def detail(client, monitor, **headers):
    return client.get(url("detail", monitor), headers=headers).content.decode()


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def push_with(secret, *, source=None, **ago):
    """Record a heartbeat that came with `secret`, some time ago."""
    recorder.record([recorder.Arrival(digest_of(secret) or "", Push(True, "OK", None), source=source)])
    if ago:
        token = PushToken.objects.get(digest=digest_of(secret))
        newest = Heartbeat.objects.filter(token=token).latest("pk")
        Heartbeat.objects.filter(pk=newest.pk).update(received_at=F("received_at") - timedelta(**ago))
        PushToken.objects.filter(pk=token.pk).update(last_used_at=F("last_used_at") - timedelta(**ago))
