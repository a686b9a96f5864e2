"""What the sign-in pages need to know of the installation."""

from django import template
from django.conf import settings

from accounts.services import setup

register = template.Library()


@register.simple_tag
def password_reset_offered() -> bool:
    """Whether a message with a reset link can be sent."""
    return bool(settings.TIANJI_EMAIL_URL)


@register.simple_tag
def setup_is_needed() -> bool:
    """Whether no account exists yet, so that nobody can sign in."""
    return setup.is_needed()
