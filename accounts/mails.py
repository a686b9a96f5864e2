"""The emails about accounts, as plain text: what each kind of AccountMail says."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import email_links
from accounts.models import AccountMail, AuditEntry, EmailChange, Invitation
from accounts.roles import Role

Kind = AccountMail.Kind
Written = tuple[str, str]


def write(mail: AccountMail) -> Written | None:
    """Return subject and text in the mail's language, or None if the reason to send it is gone."""
    with translation.override(mail.language):
        written = _WRITERS[Kind(mail.kind)](mail)
        if written is None:
            return None
        subject, paragraphs = written
        # A name with a line break must not end a header, or look like a paragraph of ours.
        text = "\n\n".join([*paragraphs, f"-- \nTianji, {settings.TIANJI_URL}"])
        return " ".join(subject.split()), f"{text}\n"


def _email_link(mail: AccountMail) -> tuple[str, list[str]] | None:
    change = EmailChange.objects.filter(user=mail.user, nonce=mail.details["nonce"]).first()
    if change is None:
        return None
    words = {"new": change.email, "old": mail.user.email}
    return _("Confirm your new email address"), [
        _(
            "The Tianji account %(old)s wants to use %(new)s from now on. If that is yours, open this link "
            "in a browser in which you are signed in:"
        )
        % words,
        email_links.link_for(change),
        _(
            "The link works once and expires in 24 hours. If you did not ask for this, ignore this email: "
            "without the link nothing changes."
        ),
    ]


def _email_taken(mail: AccountMail) -> tuple[str, list[str]]:
    return _("Your email address is already in use"), [
        _(
            "Someone who is signed in to Tianji with another account asked to use %(email)s, which is the "
            "address of your account. Nothing has changed."
        )
        % {"email": mail.to},
        _("If it was you, sign in with your account, or ask an administrator to remove one of the two."),
    ]


def _email_requested(mail: AccountMail) -> tuple[str, list[str]]:
    words = {"new": mail.details["new"], "old": mail.to}
    return _("Your email address is about to change"), [
        _(
            "A change of the email address of your Tianji account was requested, from %(old)s to %(new)s. "
            "It takes effect when the link that was sent to the new address is opened, within 24 hours."
        )
        % words,
        *_where(mail),
        _(
            "If that was not you, someone else is using your account: change your password now, which also "
            "cancels the request and signs out all other browsers."
        ),
        _page("account_change_password"),
    ]


def _email_changed(mail: AccountMail) -> tuple[str, list[str]]:
    words = {"new": mail.details["new"], "old": mail.details["old"]}
    return _("Your email address was changed"), [
        _("The email address of your Tianji account was changed from %(old)s to %(new)s.") % words,
        *_where(mail),
        _("If that was not you, tell the administrator of your Tianji server at once."),
    ]


def _password_changed(mail: AccountMail) -> tuple[str, list[str]]:
    return _("Your password was changed"), [
        _("The password of your Tianji account %(email)s was changed. All other browsers are signed out.")
        % {"email": mail.user.email},
        *_where(mail),
        _(
            "If that was not you, choose a new password with the link below, and tell the administrator of "
            "your Tianji server."
        ),
        _page("account_reset_password"),
    ]


def _factor_changed(mail: AccountMail) -> tuple[str, list[str]]:
    words = {"email": mail.user.email}
    match mail.details["action"], mail.details.get("factor"):
        case AuditEntry.Action.FACTOR_ADDED, "passkey":
            text = _("A passkey was added to your Tianji account %(email)s.")
        case AuditEntry.Action.FACTOR_ADDED, _factor:
            text = _("Two-factor sign-in was turned on for your Tianji account %(email)s.")
        case AuditEntry.Action.FACTOR_REMOVED, "passkey":
            text = _("A passkey was removed from your Tianji account %(email)s.")
        case AuditEntry.Action.FACTOR_REMOVED, "recovery codes":
            text = _("The recovery codes of your Tianji account %(email)s were removed.")
        case AuditEntry.Action.FACTOR_REMOVED, _factor:
            text = _("Two-factor sign-in was turned off for your Tianji account %(email)s.")
        case _:
            text = _(
                "New recovery codes were generated for your Tianji account %(email)s. The old ones no longer "
                "work."
            )
    return _("Your two-factor sign-in was changed"), [
        text % words,
        *_where(mail),
        _("If that was not you, change your password now, and tell the administrator of your Tianji server."),
        _page("account_change_password"),
    ]


def _invitation(mail: AccountMail) -> tuple[str, list[str]] | None:
    invitation = (
        Invitation.objects.select_related("workspace", "created_by")
        .filter(user=mail.user, public_id=mail.details["invitation"])
        .first()
    )
    if invitation is None or mail.to != mail.user.email:
        return None
    words = {
        "who": invitation.created_by.email if invitation.created_by else _("An administrator"),
        "workspace": " ".join(invitation.workspace.name.split()),
        "role": Role(invitation.role).label,
    }
    return _("Invitation to the workspace “%(workspace)s”") % words, [
        _("%(who)s invites you to the workspace “%(workspace)s” in Tianji, as %(role)s.") % words,
        _("Sign in with %(email)s to accept or decline:") % {"email": mail.to},
        _page("accounts:invitations"),
        _("The invitation expires in 7 days. Until you accept, nothing changes."),
    ]


def _where(mail: AccountMail) -> list[str]:
    """Return when and from where it was done, as one paragraph."""
    time = f"{mail.created_at:%Y-%m-%d %H:%M} UTC"
    lines = [_("Time: %(time)s") % {"time": time}]
    if by := mail.details.get("by"):
        lines.append(_("By: %(who)s") % {"who": by})
    if address := mail.details.get("address"):
        lines.append(_("From the IP address: %(address)s") % {"address": address})
    return ["\n".join(lines)]


def _page(name: str) -> str:
    return settings.TIANJI_URL + reverse(name)


_WRITERS: dict[Kind, Any] = {
    Kind.EMAIL_LINK: _email_link,
    Kind.EMAIL_TAKEN: _email_taken,
    Kind.EMAIL_REQUESTED: _email_requested,
    Kind.EMAIL_CHANGED: _email_changed,
    Kind.PASSWORD_CHANGED: _password_changed,
    Kind.FACTOR_CHANGED: _factor_changed,
    Kind.INVITATION: _invitation,
}
