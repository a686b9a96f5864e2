"""The config of a channel over HTTP, with the fields of its integration.

A wrong shape is 400; a value that a field's `clean` rejects is 422. Secrets can be written, never read:
MASK is shown, and leaving a secret out or writing the mask back keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from api.fields import Boolean, Matching, OneOf, StrictSerializer, Text
from api.problems import Problem, impossible
from notifications import channel_config
from notifications.channel_config import MASK
from notifications.integrations import Field, Kind, kinds
from notifications.models import Channel

_LINES_MOST = 200
_HIDDEN = "…"
_SECRET = f"Write-only: shown as {MASK}. Leave it out, or write the mask back, to keep it."


class _OneLine(Matching):
    """Text without line breaks or surrounding white space."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?\Z",
            gettext_lazy("Must be one line, without surrounding spaces or control characters."),
            **kwargs,
        )


_LINES: list[dict[str, Any]] = [
    {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": _LINES_MOST},
    {"type": "string", "minLength": 1},
]


@extend_schema_field({"anyOf": _LINES})
class _Lines(serializers.Field[Any, Any, Any, Any]):
    """Several lines: a list of strings, or one string."""

    default_error_messages = {"invalid": gettext_lazy("Must be a list of strings, or one string.")}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            return Text(min_length=1, trim_whitespace=False).run_validation(data)
        if not isinstance(data, list):
            self.fail("invalid")
        child = Text(min_length=1, trim_whitespace=False)
        return serializers.ListField(child=child, max_length=_LINES_MOST).run_validation(data)


@extend_schema_field({"anyOf": [*_LINES, {"type": "null"}]})
class _LinesOrNone(_Lines):
    """The same, but nullable."""


def _member(field: Field) -> serializers.Field[Any, Any, Any, Any]:
    """Return the serializer field for an integration's field."""
    about = " ".join(filter(None, (str(field.help or field.label), _SECRET if field.secret else "")))
    needed = field.required and not field.secret and field.default is None
    common: dict[str, Any] = {"required": needed, "help_text": about}
    # Whatever is optional can be removed.
    common["allow_null"] = not field.required
    if field.widget == "yes":
        return Boolean(**{**common, "required": False})
    if field.widget == "choice":
        return OneOf(field.choices, **common)
    if field.widget == "lines" and not field.secret:
        return (_Lines if field.required else _LinesOrNone)(**common)
    if field.widget == "lines":
        return Text(min_length=1, max_length=field.max_length, trim_whitespace=False, **common)
    return _OneLine(max_length=field.max_length, **common)


def _serializer(kind: Kind) -> type[StrictSerializer]:
    members = {field.name: _member(field) for field in kind.fields if field.editable}
    made = type(f"{kind.slug.title()}Config", (StrictSerializer,), {**members, "__doc__": str(kind.about)})
    return extend_schema_serializer(component_name=f"{kind.slug.title()}Config")(made)


CONFIGS: dict[str, type[StrictSerializer]] = {slug: _serializer(kind) for slug, kind in kinds().items()}


class ConfigField(serializers.Field[Any, Any, Any, Any]):
    """The config of a channel, with the fields of its integration."""

    default_error_messages = {"invalid": gettext_lazy("Must be an object.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        kind = self.context.get("kind") or self.parent.initial_data.get("kind")
        if not isinstance(kind, str) or kind not in CONFIGS:
            return {}  # the error is reported for `kind`
        body = CONFIGS[kind](data=data)
        if not body.is_valid() and any(other(data=data).is_valid() for other in CONFIGS.values()):
            # It matches the schema, but of another kind.
            raise _of_another_kind(kind, body)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


def _of_another_kind(kind: str, body: StrictSerializer) -> Problem:
    if set(body.initial_data) - set(body.fields):
        return impossible("config", _("Not a valid configuration for the integration %s.") % kind)
    errors = [(f"config.{name}", error) for name, found in body.errors.items() for error in found]
    return Problem("impossible", _("Some fields are invalid."), errors=errors)


class _ConfigInTheSchema(OpenApiSerializerFieldExtension):
    """Any of the kinds (anyOf): the configs of two may look alike, so oneOf would not hold."""

    target_class = "notifications.api.configs.ConfigField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        return {"anyOf": [auto_schema.resolve_serializer(one, direction).ref for one in CONFIGS.values()]}


@extend_schema_field(
    {
        "type": "object",
        "description": (
            f"The fields of the kind's config. {MASK} stands for a secret, of a secret URL only the host is "
            f"shown, and null means not set. Viewers see {_HIDDEN} instead of addresses."
        ),
        "additionalProperties": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "boolean"},
                {"type": "null"},
            ]
        },
    }
)
class ShownConfigField(serializers.Field[Any, Any, Any, Any]):
    pass


def shown(channel: Channel, *, masked: bool) -> dict[str, Any]:
    """Return the config of `channel` for reading: without secrets; `masked`: only recognisable."""
    kind = kinds().get(channel.kind)
    config = channel_config.shown(channel, masked=True)
    editable = [field for field in kind.fields if field.editable] if kind else []
    return {field.name: _read(field, config.get(field.name), masked=masked) for field in editable}


def _read(field: Field, value: Any, *, masked: bool) -> Any:
    if not masked or value is None or field.secret or field.widget in ("choice", "yes"):
        return value
    return [_HIDDEN] * len(value) if isinstance(value, list) else _HIDDEN


def cleaned(kind: str, data: Mapping[str, Any], *, before: Channel | None) -> dict[str, Any]:
    """Return the changes to a config that `data` requests, as `notifications.services.channels` takes them.

    Raises:
        Problem: a value is invalid, or a new channel lacks a required secret.
    """
    changes: dict[str, Any] = {}
    for field in kinds()[kind].fields:
        stored = before is not None and channel_config.is_stored(before, field.name)
        if field.name not in data:
            if field.required and not stored and field.editable:
                if field.default is None:
                    raise impossible(f"config.{field.name}", _("Required: it is not set yet."))
                changes[field.name] = field.default
            continue
        value = data[field.name]
        if field.secret and channel_config.is_mask(value):
            if not stored:
                raise impossible(
                    f"config.{field.name}",
                    _("No secret is set that could be kept. Must be a secret or null."),
                )
        else:
            changes[field.name] = value if value is None else _cleaned(field, value)
    return changes


def _cleaned(field: Field, value: Any) -> Any:
    if isinstance(value, str) and field.widget == "lines":
        value = value.strip()
    try:
        return field.clean(value) if field.clean else value
    except DjangoValidationError as error:
        raise Problem("impossible", _("Some fields are invalid."), errors=_errors(field, error)) from None


def _errors(field: Field, error: DjangoValidationError) -> list[tuple[str, Any]]:
    """Return each error with its location; in a list, with the index of the line."""
    found: list[tuple[str, Any]] = []
    for one in error.error_list:
        index = (one.params or {}).get("index")
        place = f"config.{field.name}" if index is None else f"config.{field.name}.{index}"
        found.append((place, one.messages[0]))
    return found
