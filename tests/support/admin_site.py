"""Users of the admin site, and a workspace with one of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client

from accounts.actors import COMMAND
from accounts.allauth_adapter import MFAAdapter
from accounts.models import User, Workspace
from accounts.services import api_keys
from core.clock import database_now
from monitors.models import Incident, Monitor, PushToken, Transition
from monitors.services import tokens
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.services import channels as channel_service
from tests.support.factories import PASSWORD, make_monitor, make_user, make_workspace, secret_of

# The pages are registered with the URLs.
admin.autodiscover()


def make_staff(*, superuser: bool = False, email: str = "") -> User:
    user = make_user(email=email)
    user.is_staff, user.is_superuser = True, superuser
    user.save(update_fields=["is_staff", "is_superuser"])
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def superuser(db) -> User:
    return make_staff(superuser=True, email="root@example.com")


@pytest.fixture
def root(superuser) -> Client:
    """A client signed in as a superuser who is not a member of any workspace."""
    return signed_in(superuser)


@dataclass
class Samples:
    """A workspace with one of everything, and the secrets that must not be shown."""

    workspace: Workspace
    monitor: Monitor
    token: PushToken
    channel: Channel
    secrets: dict[str, str]
    rows: dict[str, Any]


WEBHOOK_SECRET = "whsec_" + "A2b4" * 11
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def samples(db) -> Samples:
    """One of everything that has a page."""
    workspace = make_workspace("Kitchen")
    member = make_user(workspace=workspace, email="cook@example.com")
    Group.objects.create(name="Waiters")
    monitor = make_monitor(workspace=workspace, name="Oven")
    channel = channel_service.create(
        workspace=workspace,
        kind="webhook",
        name="Bell",
        config={
            "url": "https://user:s3cretpass@bell.example.com/hidden-path?key=hidden-key",
            "secret": WEBHOOK_SECRET,
        },
    )
    old = secret_of(monitor)
    issued = tokens.rotate(token=monitor.tokens.get()).new
    key = api_keys.issue(workspace=workspace, name="ci", scope="write", by=COMMAND)
    factor = Authenticator.objects.create(
        user=member, type="totp", data={"secret": MFAAdapter().encrypt(TOTP_SECRET)}
    )
    recovery = Authenticator.objects.create(
        user=member, type="recovery_codes", data={"seed": "c0ffee" * 10, "used_mask": 0}
    )
    incident = make_incident(monitor)
    delivery = Delivery.objects.create(
        incident=incident,
        channel=channel,
        event="incident.opened",
        status="pending",
        created_at=database_now(),
        next_attempt_at=database_now(),
    )
    DeliveryAttempt.objects.create(
        delivery=delivery,
        number=1,
        started_at=database_now(),
        finished_at=database_now(),
        ok=False,
        detail="No.",
    )
    return Samples(
        workspace=workspace,
        monitor=monitor,
        token=issued.token,
        channel=channel,
        secrets={
            "old push token": old,
            "new push token": issued.secret,
            "API key": key.secret,
            "digest of the push token": issued.token.digest,
            "sealed push token": issued.token.sealed,
            "digest of the API key": key.key.digest,
            "password of the channel": "s3cretpass",
            "path of the channel": "hidden-path",
            "query of the channel": "hidden-key",
            "secret of the channel": WEBHOOK_SECRET,
            "sealed secret of the channel": channel.config["secret"]["sealed"],
            "TOTP secret": TOTP_SECRET,
            "sealed TOTP secret": factor.data["secret"],
            "recovery seed": "c0ffee" * 10,
            "password": PASSWORD,
            "password hash": member.password,
        },
        rows={"key": key.key, "member": member, "factor": factor, "recovery": recovery, "delivery": delivery},
    )


def make_incident(monitor: Monitor) -> Incident:
    now = database_now()
    incident = Incident.objects.create(monitor=monitor, cause="missed", started_at=now, detected_at=now)
    Transition.objects.create(
        monitor=monitor, at=now, source="up", target="down", reason="missed", incident=incident
    )
    return incident
