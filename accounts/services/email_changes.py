"""Change the address of an account: by the person, who confirms the new one, or by an administrator."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction

from accounts.actors import Actor
from accounts.addresses import normalized
from accounts.email_links import nonce_in
from accounts.models import AccountMail, AuditEntry, EmailChange, User
from accounts.services import outbox, sign_in_changes
from core.clock import database_now

LIFETIME = timedelta(hours=24)
# Each asks for two emails, one of them to an address that may be anyone's.
MOST_REQUESTS = 5
Kind = AccountMail.Kind


class TooManyRequests(Exception):
    """There were so many requests in the last 24 hours that this one is not granted."""


class ChangeGone(Exception):
    """The link has expired, was used or replaced, or is of another account."""


class AddressTaken(Exception):
    """Another account has the address."""


def request(*, user: User, email: str, by: Actor) -> EmailChange:
    """Ask for `email` to become the address of `user`; the one they have stays until the link is opened.

    What happens is the same if another account has that address, except for what the email to it says.

    Raises:
        TooManyRequests: nothing was changed, and no email is sent.
    """
    now = database_now()
    with transaction.atomic():
        earlier = EmailChange.objects.filter(user=user, expires_at__gt=now).first()
        requests = earlier.requests + 1 if earlier else 1
        if requests > MOST_REQUESTS:
            raise TooManyRequests
        # Another nonce: earlier links no longer work.
        EmailChange.objects.filter(user=user).delete()
        change = EmailChange.objects.create(
            user=user, email=normalized(email), created_at=now, expires_at=now + LIFETIME, requests=requests
        )
        sign_in_changes.note(user=user, by=by, action=AuditEntry.Action.EMAIL_REQUESTED, new=change.email)
        if other := User.objects.with_address(change.email):
            outbox.queue(Kind.EMAIL_TAKEN, user=other)
        else:
            outbox.queue(Kind.EMAIL_LINK, user=user, to=change.email, nonce=change.nonce.hex)
        details = {"new": change.email, **sign_in_changes.whence(user, by)}
        outbox.queue(Kind.EMAIL_REQUESTED, user=user, **details)
    return change


def pending_of(user: User) -> EmailChange | None:
    """Return the change that waits for its link to be opened."""
    return EmailChange.objects.filter(user=user, expires_at__gt=database_now()).first()


def find(*, token: str, user: User) -> EmailChange:
    """Return the change that a link confirms. It is only good for the account that asked for it.

    Otherwise, whoever opened a stranger's link would give the stranger's account their own address.

    Raises:
        ChangeGone: see there.
    """
    if (nonce := nonce_in(token)) is None:
        raise ChangeGone
    change = EmailChange.objects.filter(user=user, nonce=nonce, expires_at__gt=database_now()).first()
    if change is None:
        raise ChangeGone
    return change


def confirm(*, token: str, user: User, by: Actor) -> User:
    """Give `user` the address to which the link was sent.

    Raises:
        ChangeGone: the link is not good; nothing was changed.
        AddressTaken: another account got the address in the meantime.
    """
    with transaction.atomic():
        change = find(token=token, user=user)
        # Deleting is the compare-and-set: a link works once.
        used, _rows = EmailChange.objects.filter(pk=change.pk, nonce=change.nonce).delete()
        if not used:
            raise ChangeGone
        return change_to(user=user, email=change.email, by=by)


def change_to(*, user: User, email: str, by: Actor) -> User:
    """Change the address at once, as an administrator may; both addresses get an email.

    Raises:
        AddressTaken: another account has the address; nothing was changed.
    """
    user = User.objects.get(pk=user.pk)
    before, user.email = user.email, normalized(email)
    if user.email == before:
        return user
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
            EmailChange.objects.filter(user=user).delete()
            details = {"old": before, "new": user.email}
            sign_in_changes.note(user=user, by=by, action=AuditEntry.Action.EMAIL_CHANGED, **details)
            for address in (before, user.email):
                outbox.queue(
                    Kind.EMAIL_CHANGED, user=user, to=address, **details, **sign_in_changes.whence(user, by)
                )
    except IntegrityError:
        raise AddressTaken from None
    return user


def forget_expired() -> None:
    """Delete the changes whose links no longer work."""
    EmailChange.objects.filter(expires_at__lte=database_now()).delete()
