"""System checks of the installation."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def the_public_address_is_known(**kwargs: Any) -> list[CheckMessage]:
    """Warn when messages and push URLs would name an address that only this machine knows."""
    if settings.TIANJI_URL_IS_SET:
        return []
    return [
        Warning(
            f"TIANJI_URL is not set; messages will link to {settings.TIANJI_URL}.",
            hint="Set it to the address people open, such as https://tianji.example.com.",
            id="tianji.W001",
        )
    ]
