"""The field to select monitors: all of them to tick, or a search if the workspace has many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import Workspace
from monitors.models import Monitor

# A workspace with more monitors gets a search. The others are shown as they always were.
LISTED = 200
# How many monitors a search shows, and how many selected ones are shown before it.
FOUND = 50
# What the form sends beside the ticked monitors: those that it showed, the search, and that it only searches.
SHOWN, FIND, SEARCHES = "monitors_shown", "find_monitors", "search_monitors"


class MonitorsField(forms.ModelMultipleChoiceField):
    """Monitors by public id, because pages never show row ids. There are none before `offer`.

    In a workspace with more than LISTED monitors (`is_searched`) the page shows some, and a search for more.
    Selected monitors that it doesn't show stay selected: `more_selected` is how many they are.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Monitor.objects.none(), to_field_name="public_id", **kwargs)
        self.is_searched, self.more_selected = False, 0
        self.sought, self.more_found, self.none_found = "", False, False
        self._all: QuerySet[Any] = Monitor.objects.none()
        self._selected: QuerySet[Any] = Monitor.objects.none()
        self._shown: list[UUID] = []
        self._still_selected: list[UUID] = []

    def offer(self, workspace: Workspace, *, selected: QuerySet[Any] | None = None, data: Any = None) -> None:
        """Let people choose among the monitors of `workspace`.

        Args:
            selected: those that are selected until now.
            data: what the form sent, a QueryDict; None before it is sent.
        """
        self.queryset = self._all = Monitor.objects.in_workspace(workspace).order_by("name", "id")
        if selected is not None:
            self._selected = selected.order_by("name", "id")
        listed = _labels(self._all[: LISTED + 1])
        self.is_searched = len(listed) > LISTED
        self.choices = self._to_search(data) if self.is_searched else listed

    def first_selected(self) -> list[UUID]:
        """Return the selected monitors that are ticked when the form is opened, by public id."""
        most = FOUND if self.is_searched else LISTED
        return [public_id for public_id, _name in _labels(self._selected[:most])]

    def _to_search(self, data: Any) -> list[tuple[UUID, str]]:
        """Return those to show: what was searched for, else selected ones; then what was changed before."""
        changed: list[tuple[UUID, str]] = []
        if data is not None:
            ticked, self._shown = _ids(data.getlist("monitors")), _ids(data.getlist(SHOWN))
            self.sought = data.get(FIND, "").replace("\0", "").strip()[:100]
            known = set(self._selected_of([*ticked, *self._shown]))
            named = [pk for pk in ticked if pk not in known]
            named += [pk for pk in self._shown if pk in known and pk not in ticked]
            changed = _labels(self._all.filter(public_id__in=named))
        found = self._found()
        here = [public_id for public_id, _name in found]
        before = set(self._shown)
        self._still_selected = [each for each in self._selected_of(here) if each not in before]
        shown = [*found, *(each for each in changed if each[0] not in here)]
        shown_ids = [public_id for public_id, _name in shown]
        self.more_selected = self._selected.exclude(public_id__in=shown_ids).count()
        return shown

    def _found(self) -> list[tuple[UUID, str]]:
        if not self.sought and (selected := _labels(self._selected[:FOUND])):
            return selected
        text = Q(name__icontains=self.sought) | Q(slug__icontains=self.sought) if self.sought else Q()
        found = _labels(self._all.filter(text)[: FOUND + 1])
        self.more_found, self.none_found = len(found) > FOUND, not found
        return found[:FOUND]

    def _selected_of(self, public_ids: list[UUID]) -> list[UUID]:
        selected = self._selected.filter(public_id__in=public_ids)
        return list(selected.order_by().values_list("public_id", flat=True))

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Tick what was found and is selected, too."""
        return [*(data or ()), *self._still_selected]

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.name)

    def clean(self, value: Any) -> Any:
        """Return a query of the monitors that are selected from now on."""
        ticked = self._clean(value)
        if not self.is_searched:
            return ticked
        kept = self._selected.exclude(public_id__in=self._shown).order_by().values("pk")
        chosen = Q(pk__in=ticked.order_by().values("pk")) | Q(pk__in=kept)
        # Only read when it is saved: it may be tens of thousands.
        return self._all.filter(chosen).order_by("pk").only("pk")

    def _clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except ValidationError:
            # Deleted, in another workspace or not an id at all: the error is the same.
            gone = _("One of these monitors is no longer in this workspace. Choose again.")
            raise ValidationError(gone) from None


def _labels(monitors: QuerySet[Any]) -> list[tuple[UUID, str]]:
    return list(monitors.values_list("public_id", "name"))


def _ids(given: Iterable[str]) -> list[UUID]:
    found = []
    for each in given:
        try:
            found.append(UUID(each))
        except ValueError:
            continue
    return found
