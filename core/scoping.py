"""Large tables know the workspace of each row, and what is asked of them names it.

So a database that is distributed over several servers by workspace finds all of it on one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.expressions import Col
from django.db.models.fields.related_lookups import RelatedExact, RelatedIn
from django.db.models.lookups import Exact

_COLUMN = "workspace_id"


class WorkspaceColumn(models.BigIntegerField):
    """The row id of the workspace that a row belongs to, which never changes.

    A row that is inserted without it gets that of the row that its key `of` refers to; code that inserts many
    gives it, so that nothing has to be looked up. It is no foreign key: checking one would lock and dirty the
    workspace's row, and its type is that of the workspace's own id, as joins between servers want it.
    """

    def __init__(self, *args: Any, of: str = "monitor", **kwargs: Any) -> None:
        self.of = of
        super().__init__(*args, **{**kwargs, "editable": False})

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.BigIntegerField", args, kwargs

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        workspace = getattr(model_instance, self.attname)
        if workspace is None:
            workspace = getattr(getattr(model_instance, self.of), _COLUMN)
            setattr(model_instance, self.attname, workspace)
        return workspace


def fill_workspaces(rows: Sequence[models.Model]) -> None:
    """Give each of `rows`, which are new and of one table, its workspace if the table has it."""
    for column in type(rows[0])._meta.concrete_fields:
        if isinstance(column, WorkspaceColumn):
            for row in rows:
                column.pre_save(row, True)


class _Scoped:
    """A key to a row of the same workspace: look-ups by that row, and joins with its table, say so too."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        kind = "OneToOneField" if isinstance(self, models.OneToOneField) else "ForeignKey"
        return name, f"django.db.models.{kind}", args, kwargs

    def get_extra_restriction(self, alias: str | None, related_alias: str | None) -> Any:
        """Return what Django adds to the condition of a join: `alias` is of the table that is referred to."""
        if alias is None or related_alias is None:
            return None
        return Exact(_column(alias, self.remote_field.model), _column(related_alias, self.model))  # type: ignore[attr-defined]

    def get_extra_descriptor_filter(self, instance: models.Model) -> dict[str, Any]:
        """Return what Django adds where it looks up the row that `instance` refers to."""
        return _workspace_of(instance)

    def get_forward_related_filter(self, obj: models.Model) -> dict[str, Any]:
        """Return by what Django looks up the row that refers to `obj`."""
        return {**super().get_forward_related_filter(obj), **_workspace_of(obj)}  # type: ignore[misc]


class ScopedForeignKey(_Scoped, models.ForeignKey):
    pass


class ScopedOneToOneField(_Scoped, models.OneToOneField):
    pass


def _column(alias: str, model: type[models.Model]) -> Col:
    column: Any = model._meta.get_field(_COLUMN)
    return Col(alias, column, models.BigIntegerField())


def _workspace_of(row: models.Model) -> dict[str, Any]:
    # One that wasn't loaded is not worth a query.
    workspace = row.__dict__.get(_COLUMN)
    return {} if workspace is None else {_COLUMN: workspace}


class _ScopedLookup:
    """Of a key that is compared with rows, the workspaces of these rows; none if one of them is unknown."""

    workspaces: frozenset[int] = frozenset()

    def _note_workspaces(self, rows: list[Any]) -> None:
        found = [_workspace_of(row) if isinstance(row, models.Model) else {} for row in rows]
        if found and all(found):
            self.workspaces = frozenset(each[_COLUMN] for each in found)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        sql, params = super().as_sql(compiler, connection)  # type: ignore[misc]
        lhs = self.lhs  # type: ignore[attr-defined]
        if not self.workspaces or not isinstance(lhs, Col):
            return sql, params
        column, _none = compiler.compile(_column(lhs.alias, lhs.target.model))
        places = ", ".join(["%s"] * len(self.workspaces))
        among = f"= {places}" if len(self.workspaces) == 1 else f"IN ({places})"
        return f"({sql} AND {column} {among})", [*params, *sorted(self.workspaces)]


class _ScopedExact(_ScopedLookup, RelatedExact):  # type: ignore[misc]
    def get_prep_lookup(self) -> Any:
        self._note_workspaces([self.rhs])
        return super().get_prep_lookup()


class _ScopedIn(_ScopedLookup, RelatedIn):  # type: ignore[misc]
    def get_prep_lookup(self) -> Any:
        if isinstance(self.rhs, (list, tuple, set)):
            self._note_workspaces(list(self.rhs))
        return super().get_prep_lookup()


for _key in (ScopedForeignKey, ScopedOneToOneField):
    _key.register_lookup(_ScopedExact)
    _key.register_lookup(_ScopedIn)
