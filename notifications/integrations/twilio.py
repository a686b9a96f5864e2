"""SMS, through Twilio."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from notifications.integrations import formatting
from notifications.integrations.base import Field, Kind
from notifications.integrations.validators import matching
from notifications.messages.text import Message
from notifications.transports.base import Failed, Outgoing, Result, Sent
from notifications.transports.http import Answer, Call, by_status, deliver_each

ADDRESS = "https://api.twilio.com"
TO_MOST = 10
# Non-ASCII text costs one more message per 70 characters; Twilio accepts 1600 characters.
_TEXT, _NUMBER = 320, r"\+[1-9]\d{6,14}"
# Links must leave at least this much for the text.
_TEXT_LEAST = 90
_SECRETS = ("auth_token",)


def build(config: Mapping[str, Any], outgoing: Outgoing) -> list[Call]:
    """Return a call for each number: what happened, and the links to the details and to acknowledge."""
    message = outgoing.message
    links = _links(message)
    content = message.written or "\n".join([message.title, *message.lines])
    text = f"{formatting.shorten(content, _TEXT - len(links))}{links}"
    account, origin = config["account_sid"], config["from"]
    signed_in = b64encode(f"{account}:{config['auth_token']}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {signed_in}"}
    sent_from = {"MessagingServiceSid" if origin.startswith("MG") else "From": origin}
    return [
        Call(
            f"{ADDRESS}/2010-04-01/Accounts/{account}/Messages.json",
            urlencode({"To": number, **sent_from, "Body": text}).encode(),
            headers,
        )
        for number in config["to"]
    ]


def _links(message: Message) -> str:
    """Return the links that fit: above all the one to acknowledge, which ends reminders and escalation."""
    read = f"\n{message.url}" if message.url else ""
    acknowledge = f"\n{message.ack_label}: {message.ack_url}" if message.ack_url else ""
    ways = (f"{read}{acknowledge}", acknowledge, read)
    return next((links for links in ways if len(links) <= _TEXT - _TEXT_LEAST), "")


def judge(answer: Answer) -> Result:
    reply = answer.json
    words = reply.get("message")
    return by_status(answer, f"{words} ({reply.get('code')})" if words else "")


def send(config: Mapping[str, Any], outgoing: Outgoing) -> Result:
    """Send to every number at once. It counts as sent if at least one of them was accepted.

    Otherwise, those who already have it would get it again with every further attempt.
    """
    try:
        calls = build(config, outgoing)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Failed("The channel's settings are invalid. Edit the channel and save it again.")
    if not calls:
        return Failed("The channel has no phone number.")
    results = deliver_each(calls, judge, secrets=[config[name] for name in _SECRETS])
    failed = [
        (number, result)
        for number, result in zip(config["to"], results, strict=True)
        if isinstance(result, Failed)
    ]
    refusals = "; ".join(f"{number}: {result.detail}" for number, result in failed)
    if len(failed) == len(results):
        waits = [result.retry_after for _number, result in failed if result.retry_after]
        return Failed(refusals, retry_after=max(waits, default=None))
    accepted = __("Accepted for %(count)d of %(all)d numbers.") % {
        "count": len(results) - len(failed),
        "all": len(results),
    }
    return Sent(f"{accepted} {refusals}".strip())


def _clean_numbers(given: Iterable[str] | str) -> list[str]:
    lines = given.splitlines() if isinstance(given, str) else given
    numbers = list(dict.fromkeys(number for line in lines if (number := "".join(line.split()))))
    for number in numbers:
        matching(_NUMBER, __("Enter each number with + and its country code, such as +6281234567890."))(
            number
        )
    if not 1 <= len(numbers) <= TO_MOST:
        raise ValidationError(__("Enter 1 to %(count)d numbers."), params={"count": TO_MOST})
    return numbers


def _shown(config: Mapping[str, Any], masked: bool) -> str:
    numbers = config.get("to")
    numbers = numbers if isinstance(numbers, list) else []
    if masked:
        return ngettext("%(count)d number", "%(count)d numbers", len(numbers)) % {"count": len(numbers)}
    return ", ".join(str(number) for number in numbers) or __("no number")


FIELDS = (
    Field(
        "account_sid",
        _("Account SID"),
        max_length=40,
        placeholder="AC…",
        clean=matching(r"AC[0-9a-fA-F]{32}", _("Enter the account SID: AC and 32 letters and digits.")),
    ),
    Field(
        "auth_token",
        _("Auth token"),
        widget="secret",
        secret=True,
        max_length=40,
        clean=matching(r"[0-9a-fA-F]{32}", _("Enter the auth token: 32 letters and digits.")),
    ),
    Field(
        "from",
        _("From"),
        _("Your Twilio number, a sender name, or the SID of a messaging service."),
        max_length=40,
        placeholder="+15551234567",
        clean=matching(
            rf"{_NUMBER}|MG[0-9a-fA-F]{{32}}|(?=.*[A-Za-z])[A-Za-z0-9 ]{{1,11}}|\d{{5,6}}",
            _("Enter a number such as +15551234567, a name of up to 11 letters, or MG and 32 characters."),
        ),
    ),
    Field(
        "to",
        _("To"),
        _("Up to 10 numbers with + and country code, one per line."),
        widget="lines",
        max_length=300,
        placeholder="+6281234567890",
        clean=_clean_numbers,
    ),
)

KIND = Kind(
    slug="twilio",
    label="Twilio SMS",
    about=_("A short text message to phones."),
    fields=FIELDS,
    send=send,
    shown=_shown,
    where=(
        _("Sign in at console.twilio.com. The first page shows the account SID and the auth token."),
        _("Under “Phone Numbers”, find or buy the number to send from."),
    ),
    documentation="https://www.twilio.com/docs/messaging/api/message-resource",
    # Carriers filter a number that sends another one over 15 messages in 30 s (twilio.com/help, "Sending and
    # Receiving Limitations"), a long text counts as several, and each costs money.
    burst_most=5,
    spacing=1.0,
)
