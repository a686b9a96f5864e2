"""Links to choose a password, by email."""

from __future__ import annotations

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import User


@sensitive_variables("link")
def request(*, email: str, language: str) -> None:
    """Send a link to `email`, in `language`, if it is the address of an active account."""
    user = User.objects.with_address(email)
    if user is None or not user.is_active:
        return
    link = link_for(user)
    with translation.override(language):
        paragraphs = [
            _("Open this link to choose a password for your Tianji account %(email)s:")
            % {"email": user.email},
            link,
            _("The link works once and expires in 3 days. If you did not expect this email, ignore it."),
        ]
        send_mail(_("Choose your password for Tianji"), "\n\n".join(paragraphs), None, [user.email])


@sensitive_variables()
def link_for(user: User) -> str:
    """Return the URL at which `user` can choose a password, once and within three days.

    It is under TIANJI_URL, as in all messages: the host of a request may be forged.
    """
    uid, key = user_pk_to_url_str(user), default_token_generator.make_token(user)
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": key})
    return f"{settings.TIANJI_URL}{path}"
