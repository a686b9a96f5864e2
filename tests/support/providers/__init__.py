"""Providers' HTTP APIs as their public documentation describes them: real servers on 127.0.0.1.

Each checks what it is sent (fields, types, lengths, who sends) and answers as the provider does.
"""

from __future__ import annotations

from tests.support.providers.base import Fake
from tests.support.providers.chats import Discord, Feishu, Matrix, Slack, Teams, Telegram
from tests.support.providers.oncall import Opsgenie, PagerDuty
from tests.support.providers.phones import Gotify, Ntfy, Pushover, Twilio

FAKES: tuple[type[Fake], ...] = (
    Slack,
    Discord,
    Telegram,
    Teams,
    Feishu,
    Matrix,
    Ntfy,
    Gotify,
    Pushover,
    Twilio,
    PagerDuty,
    Opsgenie,
)
