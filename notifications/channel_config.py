"""Where a channel leads: what may be entered for each kind, and what of it is stored.

`Channel.config` holds the members that the fields of its kind name, as they were cleaned. A secret one is
in there as `{"sealed": token}`: it leaves only through `opened`, for sending. Pages and the API are given
what `shown` leaves of it.
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

# Stands for a secret where one is shown. Written back, it keeps the one there is.
MASK = "********"
# After a change of what messages are signed with, the one before goes on counting for so long.
OVERLAP = timedelta(hours=24)
_PURPOSE = b"tianji channel secrets"
_SEALED = "sealed"
# Of a secret with so many characters, so many at its end may be shown.
_LONG, _ENDING = 16, 4
# So many secrets before the one there is count, at most.
_COUNTING_MOST = 3
_SIGNS, _PREVIOUS, _UNTIL = "secret", "previous_secret", "previous_secret_until"


class Unreadable(Exception):
    """A secret of the channel cannot be opened; says what to do, in the reader's language."""

    def __str__(self) -> str:
        return _("The secret of this channel cannot be read: SECRET_KEY is not what it was. Enter it again.")


# --- What is stored, opened and shown ---------------------------------------------------------------


def secret_names(kind: str) -> set[str]:
    """Return the members of a config of `kind` that are sealed; none of a kind not known here."""
    known = kinds().get(kind)
    return {field.name for field in known.fields if field.secret} if known else set()


def changed(
    kind: str, config: Mapping[str, Any], changes: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """Return what is stored after `changes` to the stored `config` of a channel of `kind`.

    Secrets in `changes` are in the clear; None removes a member. A secret that is there already is not
    sealed anew, so that nothing differs where nothing was changed. A kind that signs goes on signing with
    the secret before for OVERLAP, too.
    """
    stored = dict(config)
    secrets = secret_names(kind)
    for name, value in changes.items():
        if value is None:
            stored.pop(name, None)
        elif name not in secrets:
            stored[name] = value
        elif _open(stored.get(name)) != value:
            stored[name] = sealed(value)
    if stored.get(_SIGNS) != config.get(_SIGNS) and _PREVIOUS in secrets:
        _overlap(stored, config, now)
    return stored


def _overlap(stored: dict[str, Any], config: Mapping[str, Any], now: datetime) -> None:
    """Let what was signed with count beside the new secret.

    What counted beside that goes on, too: the receiver may have neither of the two that came after it,
    when somebody pressed the button twice.
    """
    before = _open(config.get(_SIGNS))
    if _SIGNS in stored and before is not None:
        earlier = _open(config.get(_PREVIOUS)) if _ends(config, now) else None
        counting = [one for one in (before, *(earlier or "").split()) if one != _open(stored[_SIGNS])]
        until = (now + OVERLAP).isoformat()
        stored |= {_PREVIOUS: sealed(" ".join(dict.fromkeys(counting[:_COUNTING_MOST]))), _UNTIL: until}
    else:
        # Nothing is signed any more, or nothing was, or not with what anybody can read.
        stored.pop(_PREVIOUS, None)
        stored.pop(_UNTIL, None)


def can_sign(kind: str) -> bool:
    """Return whether messages of `kind` can be signed with a secret that is changed with an overlap."""
    return {_SIGNS, _PREVIOUS} <= secret_names(kind)


def new_signing_secret() -> dict[str, str]:
    """Return the change to a config that makes a channel sign with a new secret, in the clear."""
    return {_SIGNS: signing.new_secret()}


def overlap_ends(channel: Channel, now: datetime) -> datetime | None:
    """Return until when messages are signed with the secret before, too; None where they are not."""
    return _ends(channel.config, now)


def _ends(config: Mapping[str, Any], now: datetime) -> datetime | None:
    try:
        until = datetime.fromisoformat(config.get(_UNTIL) or "")
    except (TypeError, ValueError):
        return None
    return until if until.tzinfo and until > now else None


def sealed(text: str) -> dict[str, str]:
    """Return a secret as a config holds it."""
    return {_SEALED: credentials.seal(text, purpose=_PURPOSE)}


def is_kept(channel: Channel, name: str) -> bool:
    """Return whether the config of `channel` has the member `name`, readable or not."""
    return channel.config.get(name) not in (None, "")


def opened(channel: Channel) -> dict[str, Any]:
    """Return the config of `channel` in the clear, for sending and for nothing else.

    Raises:
        Unreadable: SECRET_KEY and its fallbacks are not what it was sealed with.
    """
    config = {name: _open(value) for name, value in channel.config.items()}
    if None in config.values():
        raise Unreadable
    return config


def shown(channel: Channel, *, masked: bool) -> dict[str, Any]:
    """Return the config of `channel` for people, without its secrets.

    MASK stands for a secret, and of a secret address the host is left. Who may change the channel (not
    `masked`) sees how a long secret ends as well, to tell one from another.
    """
    known = kinds().get(channel.kind)
    fields = {field.name: field for field in known.fields} if known else {}
    return {
        name: _without_secret(fields.get(name), value, masked=masked)
        for name, value in channel.config.items()
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
    """Return whether `value` is what stands for a secret, not one."""
    return isinstance(value, str) and value.endswith(MASK)


def _is_sealed(value: object) -> bool:
    return isinstance(value, dict) and _SEALED in value


def _open(value: Any) -> Any:
    """Return a member in the clear; None where it is sealed and cannot be opened."""
    return credentials.unseal(str(value[_SEALED]), purpose=_PURPOSE) if _is_sealed(value) else value
