"""The config of a channel: what may be entered for each integration, and how it is stored.

`Channel.config` holds the cleaned values of the integration's fields. A secret is stored as
`{"sealed": token}` and is only decrypted by `opened`, for sending. Pages and the API get `shown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from core import credentials
from notifications.integrations import Field, kinds
from notifications.models import Channel
from notifications.transports import signing

# Shown instead of a secret. Written back, it keeps the current one.
MASK = "********"
# How long the previous signing secret is used beside a new one.
OVERLAP = timedelta(hours=24)
_PURPOSE = b"tianji channel secrets"
_SEALED = "sealed"
# The last _ENDING characters of a secret may be shown if it has at least _LONG.
_LONG, _ENDING = 16, 4
# At most this many previous secrets are used.
_COUNTING_MOST = 3
_SIGNS, _PREVIOUS, _UNTIL = "secret", "previous_secret", "previous_secret_until"


class Unreadable(Exception):
    """The config can't be used as stored; says what is wrong and what to do, in the reader's language."""


# --- What is wrong with it --------------------------------------------------------------------------


def fault(channel: Channel) -> str:
    """Return what is wrong with the config of `channel`, and what to do about it; "" if it can be used.

    A restored backup, a script or another version may have left anything there.
    """
    kind = kinds().get(channel.kind)
    if kind is None:
        return _("This version of Tianji doesn't have the integration “%(kind)s”. Delete the channel.") % {
            "kind": channel.kind
        }
    given: Any = channel.config
    if not isinstance(given, dict):
        return _("The channel's settings are invalid. Edit the channel and enter them again.")
    sound = well_formed(channel.kind, given)
    needed = {field.name for field in kind.fields if field.required and field.editable}
    for field in kind.fields:
        if field.name not in sound and (field.name in given or field.name in needed):
            words = _("The setting “%(label)s” is missing or invalid. Edit the channel and enter it again.")
            return words % {"label": field.label}
    if None in (_open(value) for value in given.values()):
        return _("The channel's secret can't be decrypted because SECRET_KEY has changed. Enter it again.")
    return ""


def well_formed(kind: str, config: object) -> dict[str, Any]:
    """Return what of a stored config of `kind` has the shape that its field stores."""
    known = kinds().get(kind)
    fields = {field.name: field for field in known.fields} if known else {}
    if not isinstance(config, dict):
        return {}
    return {name: value for name, value in config.items() if name not in fields or _fits(fields[name], value)}


def _fits(field: Field, value: object) -> bool:
    if field.secret and isinstance(value, dict):
        return isinstance(value.get(_SEALED), str)
    if field.widget == "lines" and not field.secret:
        return isinstance(value, list) and all(isinstance(line, str) for line in value)
    return isinstance(value, bool if field.widget == "yes" else str)


# --- What is stored, opened and shown ---------------------------------------------------------------


def secret_names(kind: str) -> set[str]:
    """Return the names of the secrets in a config of `kind`; empty for an unknown one."""
    known = kinds().get(kind)
    return {field.name for field in known.fields if field.secret} if known else set()


def changed(kind: str, config: object, changes: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return what to store after `changes` to the stored `config` of a channel of `kind`.

    Secrets in `changes` are in the clear; None removes a value. An unchanged secret is not encrypted again,
    so that nothing differs if nothing was changed. What is damaged is dropped. An integration that signs
    keeps signing with the previous secret too, for OVERLAP.
    """
    before = well_formed(kind, config)
    stored = dict(before)
    secrets = secret_names(kind)
    for name, value in changes.items():
        if value is None:
            stored.pop(name, None)
        elif name not in secrets:
            stored[name] = value
        elif _open(stored.get(name)) != value:
            stored[name] = sealed(value)
    if stored.get(_SIGNS) != before.get(_SIGNS) and _PREVIOUS in secrets:
        _overlap(stored, before, now)
    return stored


def _overlap(stored: dict[str, Any], config: Mapping[str, Any], now: datetime) -> None:
    """Keep the previous secret beside the new one.

    Earlier ones stay too: if someone pressed the button twice, the receiver may have neither of the two newer
    ones.
    """
    before = _open(config.get(_SIGNS))
    if _SIGNS in stored and before is not None:
        earlier = _open(config.get(_PREVIOUS)) if _ends(config, now) else None
        counting = [one for one in (before, *(earlier or "").split()) if one != _open(stored[_SIGNS])]
        until = (now + OVERLAP).isoformat()
        stored |= {_PREVIOUS: sealed(" ".join(dict.fromkeys(counting[:_COUNTING_MOST]))), _UNTIL: until}
    else:
        # Signing is off now, or was off before, or the previous secret can't be decrypted.
        stored.pop(_PREVIOUS, None)
        stored.pop(_UNTIL, None)


def can_sign(kind: str) -> bool:
    """Return whether `kind` signs messages with a secret that can be rotated with an overlap."""
    return {_SIGNS, _PREVIOUS} <= secret_names(kind)


def new_signing_secret() -> dict[str, str]:
    """Return the config change that sets a new signing secret, in the clear."""
    return {_SIGNS: signing.new_secret()}


def overlap_ends(channel: Channel, now: datetime) -> datetime | None:
    """Return until when messages are signed with the previous secret too; None if they aren't."""
    return _ends(well_formed(channel.kind, channel.config), now)


def _ends(config: Mapping[str, Any], now: datetime) -> datetime | None:
    try:
        until = datetime.fromisoformat(config.get(_UNTIL) or "")
    except (TypeError, ValueError):
        return None
    return until if until.tzinfo and until > now else None


def sealed(text: str) -> dict[str, str]:
    """Return a secret as a config stores it."""
    return {_SEALED: credentials.seal(text, purpose=_PURPOSE)}


def is_stored(channel: Channel, name: str) -> bool:
    """Return whether the config of `channel` has a value for `name`, readable or not."""
    return well_formed(channel.kind, channel.config).get(name) not in (None, "")


def opened(channel: Channel) -> dict[str, Any]:
    """Return the config of `channel` in the clear, for sending and for nothing else.

    Raises:
        Unreadable: it has a `fault`, such as a secret that neither SECRET_KEY nor its fallbacks decrypt.
    """
    if wrong := fault(channel):
        raise Unreadable(wrong)
    return {name: _open(value) for name, value in channel.config.items()}


def address_of(channel: Channel) -> dict[str, Any]:
    """Return what in the config of `channel` says where it goes, in the clear: to compare, never to show."""
    known = kinds().get(channel.kind)
    config = well_formed(channel.kind, channel.config)
    fields = [field for field in known.fields if field.required and field.editable] if known else []
    return {field.name: _open(config.get(field.name)) for field in fields}


def shown(channel: Channel, *, masked: bool) -> dict[str, Any]:
    """Return the config of `channel` for people, without its secrets.

    A secret is shown as MASK, a secret URL as its host. People who may change the channel (not `masked`)
    also see the end of a long secret, to tell one from another.
    """
    known = kinds().get(channel.kind)
    fields = {field.name: field for field in known.fields} if known else {}
    return {
        name: _without_secret(fields.get(name), value, masked=masked)
        for name, value in well_formed(channel.kind, channel.config).items()
    }


def _without_secret(field: Field | None, value: Any, *, masked: bool) -> Any:
    if field is not None and not field.secret and not _is_sealed(value):
        return value
    text = _open(value)
    if field is not None and field.widget == "url":
        return _host_of(str(text or ""))
    if masked or not isinstance(text, str) or len(text) < _LONG:
        return MASK
    return f"{MASK}{text[-_ENDING:]}"


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return MASK
    return f"{parts.scheme}://{host}/{MASK}" if host else MASK


def is_mask(value: object) -> bool:
    """Return whether `value` is a mask rather than a secret."""
    return isinstance(value, str) and value.endswith(MASK)


def _is_sealed(value: object) -> bool:
    return isinstance(value, dict) and _SEALED in value


def _open(value: Any) -> Any:
    """Return a value in the clear; None if it is encrypted and can't be decrypted."""
    return credentials.unseal(str(value[_SEALED]), purpose=_PURPOSE) if _is_sealed(value) else value
