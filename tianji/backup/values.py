"""From a value in a backup to what a column of a database takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, ForeignKey, JSONField, Model

Convert = Callable[[Any], Any]

# What SQLite takes as it is in JSON.
_PLAIN = {
    *("AutoField", "BigAutoField", "SmallAutoField", "BooleanField", "FloatField"),
    *("IntegerField", "BigIntegerField", "SmallIntegerField"),
    *("PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField"),
    *("CharField", "TextField", "SlugField", "GenericIPAddressField"),
}


def converters(model: type[Model], columns: Sequence[str]) -> dict[int, Convert]:
    """Return how to convert the values of `columns`, by their place; of most, nothing has to be converted."""
    choose = _for_copy if connection.vendor == "postgresql" else _for_sqlite
    fields = {field.attname: field for field in model._meta.concrete_fields}
    chosen = {place: choose(fields[name]) for place, name in enumerate(columns)}
    return {place: convert for place, convert in chosen.items() if convert is not None}


def _for_copy(field: Field[Any, Any]) -> Convert | None:
    """PostgreSQL reads times, UUIDs and addresses as text itself."""
    field = _target(field)
    if isinstance(field, JSONField):
        return _json(field)
    if field.get_internal_type() == "BinaryField":
        return lambda value: None if value is None else base64.b64decode(value)
    return None


def _for_sqlite(field: Field[Any, Any]) -> Convert | None:
    field = _target(field)
    kind = field.get_internal_type()
    if isinstance(field, JSONField):
        return _json(field)
    if kind == "DateTimeField":
        return _time_for_sqlite
    if kind in _PLAIN and not hasattr(field, "from_db_value"):
        return None
    return lambda value: field.get_db_prep_save(field.to_python(value), connection)


def _target(field: Field[Any, Any]) -> Field[Any, Any]:
    """Return the column that a reference, over any number of others, takes its values from."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field


def _json(field: JSONField[Any, Any]) -> Convert:
    empty = None if field.null else "null"
    return lambda value: empty if value is None else json.dumps(value)


def _time_for_sqlite(value: str | None) -> str | None:
    """Return a time as Django writes it: without a fraction if that is zero."""
    return None if value is None else f"{value[:10]} {value[11:26]}".removesuffix(".000000")
