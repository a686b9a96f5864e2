"""Audit log entries as text: what someone did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, AuditEntry, Role, Workspace
from monitors.domain.durations import exactly
from monitors.models import Monitor

Action = AuditEntry.Action
# Actions that need no details.
_PLAIN = {
    Action.MONITOR_CREATED: gettext_lazy("Created the monitor"),
    Action.MONITOR_DELETED: gettext_lazy("Deleted the monitor"),
    Action.API_KEY_REVOKED: gettext_lazy("Revoked the API key"),
    Action.CHANNEL_CREATED: gettext_lazy("Created the channel"),
    Action.CHANNEL_CHANGED: gettext_lazy("Changed the channel"),
    Action.CHANNEL_DELETED: gettext_lazy("Deleted the channel"),
    Action.MONITOR_UNSNOOZED: gettext_lazy("Ended the snooze"),
    Action.MAINTENANCE_PLANNED: gettext_lazy("Created the maintenance window"),
    Action.MAINTENANCE_CHANGED: gettext_lazy("Changed the maintenance window"),
    Action.MAINTENANCE_DELETED: gettext_lazy("Deleted the maintenance window"),
}
# What happens to the account of a member.
_OF_AN_ACCOUNT = {
    Action.MEMBER_INVITED: gettext_lazy("Invited %(who)s as %(role)s"),
    Action.MEMBER_JOINED: gettext_lazy("%(who)s accepted the invitation as %(role)s"),
    Action.INVITATION_DECLINED: gettext_lazy("%(who)s declined the invitation"),
    Action.INVITATION_REVOKED: gettext_lazy("Revoked the invitation of %(who)s"),
    Action.EMAIL_REQUESTED: gettext_lazy("Asked to change the email address of %(who)s to %(new)s"),
    Action.EMAIL_CHANGED: gettext_lazy("Changed the email address of %(old)s to %(new)s"),
    Action.PASSWORD_CHANGED: gettext_lazy("Changed the password of %(who)s"),
    Action.FACTOR_ADDED: gettext_lazy("Added a second factor to %(who)s: %(factor)s"),
    Action.FACTOR_REMOVED: gettext_lazy("Removed a second factor from %(who)s: %(factor)s"),
    Action.CODES_RENEWED: gettext_lazy("Generated new recovery codes for %(who)s"),
}
_FACTORS = {
    "authenticator app": gettext_lazy("authenticator app"),
    "passkey": gettext_lazy("passkey"),
    "recovery codes": gettext_lazy("recovery codes"),
}


def in_words(entry: AuditEntry) -> str:
    """Return what was done; details that entries of older versions lack are left out."""
    details: dict[str, Any] = entry.details if isinstance(entry.details, dict) else {}
    if entry.action in _PLAIN:
        return str(_PLAIN[Action(entry.action)])
    match entry.action:
        case Action.MONITOR_CHANGED:
            return _changed(Monitor, details)
        case Action.API_KEY_CREATED:
            scope = dict(ApiKey.Scope.choices).get(details.get("scope", ""), "")
            return (
                _("Created the API key (%(scope)s)") % {"scope": scope} if scope else _("Created the API key")
            )
        case Action.WORKSPACE_CHANGED:
            return _changed(Workspace, details)
        case Action.MEMBER_ADDED | Action.MEMBER_CHANGED | Action.MEMBER_REMOVED if "member" in details:
            return _member(entry.action, details)
        case _ if "member" in details and entry.action in _OF_AN_ACCOUNT:
            return str(_OF_AN_ACCOUNT[Action(entry.action)]) % _words_of_an_account(details)
        case Action.RULES_CHANGED:
            return _rules(details)
        case Action.MONITOR_SNOOZED:
            return _snoozed(details)
        case _ if "token" in details:
            return _token(entry.action, details)
    return _about_an_incident(entry.action, details) or str(entry.get_action_display())


def _about_an_incident(action: str, details: dict[str, Any]) -> str:
    if action == Action.INCIDENT_ACKNOWLEDGED:
        return _("Acknowledged the incident")
    if action == Action.INCIDENT_NOTED:
        return _("Updated the incident note") if details.get("note") else _("Removed the incident note")
    return ""


def _rules(details: dict[str, Any]) -> str:
    words = {
        "missed": _("missed heartbeats"),
        "reported": _("reported failures"),
        "recovery": _("recovery"),
        "reminders": _("reminders"),
        "flap_changes": _("flapping"),
        "escalation": _("escalation"),
    }
    names = [words.get(name, str(name)) for name in details.get("fields", ())]
    names += [_("“%(channel)s”") % {"channel": name} for name in details.get("channels", ())]
    if not names:
        return _("Changed the notifications")
    return _("Changed the notifications: %(what)s") % {"what": ", ".join(names)}


def _snoozed(details: dict[str, Any]) -> str:
    try:
        until = timezone.localtime(datetime.fromisoformat(details["until"]))
    except (KeyError, TypeError, ValueError):
        return _("Snoozed the monitor")
    return _("Snoozed the monitor until %(time)s") % {"time": date_format(until, "j M Y, H:i")}


def _token(action: str, details: dict[str, Any]) -> str:
    named = {"token": details["token"], "label": details.get("label", "")}
    token = _("%(token)s “%(label)s”") % named if named["label"] else str(named["token"])
    match action:
        case Action.TOKEN_ISSUED:
            return _("Created the push token %(token)s") % {"token": token}
        case Action.TOKEN_IMPORTED:
            return _("Imported the push token %(token)s") % {"token": token}
        case Action.TOKEN_REVEALED:
            return _("Viewed the push token %(token)s") % {"token": token}
        case Action.TOKEN_ROTATED:
            return _rotated(token, details)
        case Action.TOKEN_OVERLAP_CHANGED:
            time = exactly(details.get("remaining_seconds", 0))
            return _("Set the old push token %(token)s to expire in %(time)s") % {
                "token": token,
                "time": time,
            }
        case Action.TOKEN_OVERLAP_ENDED:
            return _("Expired the old push token %(token)s") % {"token": token}
        case Action.TOKEN_RENAMED:
            return _renamed(str(named["token"]), details)
        case Action.TOKEN_REVOKED:
            return _("Revoked the push token %(token)s") % {"token": token}
    return f"{Action(action).label}: {token}"


def _rotated(token: str, details: dict[str, Any]) -> str:
    overlap = details.get("overlap_seconds", 0)
    words = {"token": token, "new": details.get("new_token", ""), "time": exactly(overlap)}
    if not overlap:
        return _("Rotated the push token %(token)s to %(new)s, with no overlap") % words
    return _("Rotated the push token %(token)s to %(new)s, with an overlap of %(time)s") % words


def _renamed(token: str, details: dict[str, Any]) -> str:
    words = {"token": token, "before": details.get("before", ""), "after": details.get("label", "")}
    if not words["after"]:
        return _("Removed the label “%(before)s” from the push token %(token)s") % words
    return _("Labelled the push token %(token)s “%(after)s”") % words


def _member(action: str, details: dict[str, Any]) -> str:
    words = {"who": details["member"], "role": dict(Role.choices).get(details.get("role", ""), "")}
    if action == Action.MEMBER_REMOVED:
        return _("Removed %(who)s from the workspace") % words
    if action == Action.MEMBER_ADDED:
        return _("Added %(who)s as %(role)s") % words
    return _("Changed the role of %(who)s to %(role)s") % words


def _words_of_an_account(details: dict[str, Any]) -> dict[str, str]:
    factor = str(details.get("factor", ""))
    return {
        "who": details["member"],
        "role": str(dict(Role.choices).get(details.get("role", ""), "")),
        "old": details.get("old", ""),
        "new": details.get("new", ""),
        "factor": str(_FACTORS.get(factor, factor)),
    }


def _changed(model: type[Model], details: dict[str, Any]) -> str:
    names = [_label(model, name) for name in details.get("fields", ())]
    return _("Changed: %(fields)s") % {"fields": ", ".join(names)} if names else _("Changed the settings")


def _label(model: type[Model], name: str) -> str:
    if name == "channels":
        return _("channels")
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return str(getattr(field, "verbose_name", name))
