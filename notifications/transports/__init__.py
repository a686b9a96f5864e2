"""How messages leave: one module for each kind of channel."""

from __future__ import annotations

from notifications.transports import email, webhook
from notifications.transports.base import Transport

_TRANSPORTS: dict[str, Transport] = {
    "email": email.EmailTransport(),
    "webhook": webhook.WebhookTransport(),
}


def transport_for(kind: str) -> Transport:
    """Return the transport of a channel's kind. Raises LookupError for one that is not known here."""
    return _TRANSPORTS[kind]
