"""The form of a workspace's escalation steps: a row each, and an empty one to add another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.forms.utils import ErrorDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Workspace
from monitors.domain.state_machine import Urgency
from monitors.forms.fields import DurationField
from monitors.models import URGENCY_LABELS
from notifications.models import DELAY_MAX, Channel
from notifications.rules.effective import Step
from notifications.services.escalation import AFTER_LEAST, STEPS_MOST
from notifications.services.rules import Own, versions

_AFTER = 15 * 60
_COUNT, _VERSION = "escalation-rows", "escalation-version"


class StepForm(forms.Form):
    """One step. Without a channel it is none."""

    after = DurationField(
        label=gettext_lazy("If not acknowledged within"), low=AFTER_LEAST, high=DELAY_MAX, required=False
    )
    channel = forms.ModelChoiceField(
        Channel.objects.none(),
        to_field_name="public_id",
        label=gettext_lazy("Also notify"),
        required=False,
        empty_label="—",
        error_messages={
            "invalid_choice": gettext_lazy("This channel no longer exists. Choose another one."),
        },
    )
    least_urgency = forms.ChoiceField(
        label=gettext_lazy("Only if its urgency is at least"),
        choices=URGENCY_LABELS,
        required=False,
        initial=Urgency.LOW.value,
    )
    remove = forms.BooleanField(label=gettext_lazy("Remove this step"), required=False)

    def __init__(self, data: Any = None, *, channels: Any, step: Step | None, **kwargs: Any) -> None:
        initial: dict[str, Any] = {"after": _AFTER}
        if step is not None:
            initial = {
                "after": int(step.after.total_seconds()),
                "channel": step.channel.public_id,
                "least_urgency": step.least_urgency,
            }
        super().__init__(data, initial=initial, **kwargs)
        choice = self.fields["channel"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = channels
        if step is None:
            del self.fields["remove"]

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and not self._is_wanted:
            # Neither a removed step nor an empty row can be wrong.
            self._errors = ErrorDict()

    @property
    def _is_wanted(self) -> bool:
        removed = "remove" in self.fields and self["remove"].value()
        return bool(self["channel"].value()) and not removed

    def clean(self) -> dict[str, Any]:
        if "after" not in self.errors and self.cleaned_data.get("after") is None:
            self.add_error("after", _("Enter a time, for example 15 min."))
        return self.cleaned_data

    def step(self) -> Step | None:
        """Return the step of a valid row, None if it is empty or removed."""
        if not self._is_wanted:
            return None
        cleaned = self.cleaned_data
        after = timedelta(seconds=cleaned["after"])
        return Step(cleaned["channel"], after, cleaned["least_urgency"] or Urgency.LOW.value)


class EscalationForm:
    """The steps of a workspace. A page that was opened without it leaves them unchanged."""

    def __init__(self, data: Any = None, *, workspace: Workspace, steps: Sequence[Step]) -> None:
        self.is_bound = data is not None and _VERSION in data
        self.version = versions(Own(), steps=steps)["escalation"]
        channels = workspace.channels.order_by("name", "id")
        self.has_channels = channels.exists()
        typed = data if self.is_bound else None
        # One more is empty, or was so when the form was opened.
        count = _count(typed, most=STEPS_MOST) if typed is not None else min(len(steps) + 1, STEPS_MOST)
        self.rows = [
            StepForm(
                typed,
                channels=channels,
                step=steps[number] if number < len(steps) else None,
                prefix=f"escalation-{number}",
            )
            for number in range(count)
        ]

    def add_row(self) -> None:
        """Offer another empty row, if there may be more."""
        if len(self.rows) < STEPS_MOST:
            first = self.rows[0].fields["channel"]
            assert isinstance(first, forms.ModelChoiceField)
            prefix = f"escalation-{len(self.rows)}"
            self.rows.append(StepForm(channels=first.queryset, step=None, prefix=prefix))

    @property
    def may_have_more(self) -> bool:
        return len(self.rows) < STEPS_MOST

    @property
    def errors(self) -> bool:
        return any(row.errors for row in self.rows)

    def is_valid(self) -> bool:
        # Validate all of them, so that all errors are shown at once.
        valid = [row.is_valid() for row in self.rows if self.is_bound]
        return all(valid) and self._each_channel_once()

    def _each_channel_once(self) -> bool:
        seen: set[int] = set()
        for row in self.rows if self.is_bound else ():
            step = row.step()
            if step is None:
                continue
            if step.channel.pk in seen:
                row.add_error("channel", _("This channel already has a step."))
                return False
            seen.add(step.channel.pk)
        return True

    def steps(self) -> list[Step] | None:
        """Return the steps of a valid form; None if they are to stay unchanged."""
        if not self.is_bound:
            return None
        found = [step for row in self.rows if (step := row.step()) is not None]
        return sorted(found, key=lambda step: (step.after, step.channel.name))


def _count(data: Any, *, most: int) -> int:
    text = data.get(_COUNT, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def enabled(steps: Iterable[Step]) -> list[Step]:
    """Return the steps whose channels are enabled: only those are notified."""
    return [step for step in steps if step.channel.enabled]
