"""Webhooks: a POST of JSON to a URL, according to Standard Webhooks 1.0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from notifications.transports.base import Failed, Outgoing, Result
from notifications.transports.http import Answer, Call, by_status, deliver
from notifications.transports.signing import signature
from notifications.transports.webhook_template import filled

# The secrets in the config.
SECRETS = ("url", "secret", "previous_secret", "headers")


class WebhookTransport:
    """POSTs the payload, or the channel's own template filled in, to `config["url"]`.

    Any 2xx is success. Only 410 Gone is permanent: anything else may be a receiver that is being fixed. If
    the channel has a secret, each request is signed with it; after a change, with the previous one too, until
    `config["previous_secret_until"]`.
    """

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        url = config.get("url")
        if not isinstance(url, str) or not url:
            return Failed("The channel has no URL.")
        try:
            call = build(config, outgoing)
        except ValueError:
            return Failed("The channel's custom body is not valid JSON. Edit the channel and fix it.")
        return deliver(call, judge, secrets=[config.get(name) for name in SECRETS])


def build(config: Mapping[str, Any], outgoing: Outgoing) -> Call:
    """Return the request, signed with the time of the attempt."""
    template = config.get("template")
    content: Any = filled(template, outgoing) if template else outgoing.payload
    body = json.dumps(content, ensure_ascii=False).encode()
    message_id, timestamp = str(outgoing.id), str(int(outgoing.at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        **_own_headers(config.get("headers")),
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
    }
    if secrets := _secrets(config, outgoing.at):
        headers["webhook-signature"] = " ".join(
            signature(secret, message_id=message_id, timestamp=timestamp, body=body) for secret in secrets
        )
    return Call(config["url"], body, headers, bare=True)


def judge(answer: Answer) -> Result:
    """2xx is success, and 410 means that the receiver no longer exists."""
    if answer.status == HTTPStatus.GONE:
        return Failed(answer.describe(), permanent=True, gone=True)
    return by_status(answer)


def _secrets(config: Mapping[str, Any], now: datetime) -> list[str]:
    """Return what to sign with: the secret, then the previous ones until they expire."""
    secrets = [config["secret"]] if config.get("secret") else []
    if (
        secrets
        and (previous := config.get("previous_secret"))
        and _still(config.get("previous_secret_until"), now)
    ):
        secrets += previous.split()
    return secrets


def _still(until: object, now: datetime) -> bool:
    try:
        end = datetime.fromisoformat(str(until))
    except ValueError:
        return False
    return now < (end if end.tzinfo else end.replace(tzinfo=UTC))


def _own_headers(lines: object) -> dict[str, str]:
    if not isinstance(lines, str):
        return {}
    pairs = (line.partition(":") for line in lines.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _colon, value in pairs}
