"""Texts for push tokens in the admin site, and the bulk operations for one token."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from accounts.actors import Actor
from core.admin_bulk import Outcome
from monitors.models import PushToken
from monitors.services import tokens


def masked_url(token: PushToken) -> str:
    """Return the masked push URL."""
    return f"{settings.TIANJI_URL}/api/push/{token}"


def state_of(token: PushToken, now: datetime) -> str:
    """Return the state of `token` at `now` as text."""
    if token.revoked_at is not None:
        return _("revoked")
    if token.expires_at is None:
        return _("active")
    if token.expires_at <= now:
        return _("expired")
    return _("active until %(time)s") % {"time": _time(token.expires_at)}


def _time(at: datetime) -> str:
    # Non-breaking: in a narrow column each word would be on its own line.
    return date_format(localtime(at), "DATETIME_FORMAT").replace(" ", "\N{NO-BREAK SPACE}")


def name_of(token: PushToken) -> str:
    """Return the name of `token`, loaded with its monitor and workspace, in lists."""
    return f"{token.monitor} ({token.monitor.workspace}): {token}"


def overlap_runs(running: tokens.RotationInProgress) -> str:
    """Return a sentence saying that an earlier rotation's old token is still valid, and until when."""
    if running.ends_at is None:
        return _("The old token of an earlier rotation is still valid.")
    return _("The old token of an earlier rotation is valid until %(time)s.") % {
        "time": _time(running.ends_at)
    }


def rotate_one(token: PushToken, *, by: Actor, overlap: timedelta, force: bool) -> Outcome:
    """Rotate `token`, unless it already was: then its successor would have to be rotated instead."""
    if token.revoked_at is not None:
        return _outcome(token, _("No longer valid"))
    if token.replaced_by_id is not None:
        return _outcome(token, _("Skipped: already rotated"))
    try:
        new = tokens.rotate(token=token, by=by, overlap=overlap, force=force).new.token
    except tokens.RotationInProgress as running:
        return _outcome(
            token, _("Skipped: an earlier rotation's overlap is still running"), overlap_runs(running)
        )
    except tokens.TokenInactive:
        return _outcome(token, _("No longer valid"))
    except tokens.TooManyTokens:
        return _outcome(token, _("Skipped: the monitor has the maximum number of tokens"))
    url = reverse("admin:monitors_pushtoken_change", args=[new.pk])
    return Outcome(_("Rotated"), True, name_of(token), url, masked_url(new))


def revoke_one(token: PushToken, *, by: Actor) -> Outcome:
    if tokens.revoke(token=token, by=by):
        return _outcome(token, _("Revoked"), done=True)
    return _outcome(token, _("Already revoked"))


def _outcome(token: PushToken, word: str, detail: str = "", *, done: bool = False) -> Outcome:
    url = reverse("admin:monitors_pushtoken_change", args=[token.pk])
    return Outcome(word, done, name_of(token), url, detail)
