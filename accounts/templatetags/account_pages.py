"""What the sign-in pages need to know about the installation."""

from django import template
from django.conf import settings

from accounts.services import setup

register = template.Library()


@register.simple_tag
def password_reset_offered() -> bool:
    """Whether this server can send an email with a reset link."""
    return bool(settings.TIANJI_EMAIL_URL)


@register.simple_tag
def setup_is_needed() -> bool:
    """Whether there is no account yet, so that sign-in is impossible."""
    return setup.is_needed()
