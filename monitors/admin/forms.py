"""Forms for monitors and tokens in the admin site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from monitors.forms.fields import DurationField, TagsField
from monitors.forms.monitors import require_order_of_values
from monitors.forms.schedules import ScheduleForm
from monitors.models import SLUG_LENGTH, Monitor
from monitors.services import tokens

# Fields that are written with `lifecycle`; all others are read-only.
ABOUT = ("name", "slug", "description", "tags", "urgency")
SCHEDULE = ("kind", "timeout", "interval", "cron", "calendar", "timezone", "grace", "early")
PUSHES = ("post_only", "push_rate", "value_min", "value_max", "value_required")
COLUMNS = (*ABOUT, *SCHEDULE, *PUSHES)


class MonitorForm(forms.ModelForm, ScheduleForm):
    """A monitor with its schedule in the same form as for members. It does not save anything itself."""

    slug = forms.SlugField(
        label=_("Slug"),
        max_length=SLUG_LENGTH,
        required=False,
        help_text=_("Identifies the monitor in the API. Leave it empty to derive it from the name."),
    )
    tags = TagsField(label=_("Tags"), required=False, help_text=_("Separated by commas."))
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Monitor
        fields = ("workspace", *COLUMNS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seen_version"].initial = self.instance.version
        self.fields["kind"].choices = Monitor.Kind.choices  # type: ignore[attr-defined]
        self.fields["urgency"].required = False

    def clean(self) -> dict[str, Any]:
        super().clean()
        ScheduleForm.clean(self)
        require_order_of_values(self)
        cleaned = self.cleaned_data
        # Fields of other kinds of schedules get their defaults.
        cleaned |= {name: value for name, value in self.schedule_columns().items() if name in cleaned}
        if "slug" in cleaned:
            cleaned["slug"] = cleaned["slug"] or self.instance.slug
            self._require_a_free_slug(cleaned["slug"])
        return cleaned

    def _require_a_free_slug(self, slug: str) -> None:
        workspace = self.cleaned_data.get("workspace") or self.instance.workspace_id
        others = Monitor.objects.filter(workspace=workspace, slug=slug).exclude(pk=self.instance.pk)
        if slug and workspace and others.exists():
            self.add_error("slug", _("Another monitor in this workspace already has this slug."))

    def columns(self) -> dict[str, Any]:
        """Return the columns of Monitor from a valid form."""
        columns = {name: self.cleaned_data[name] for name in COLUMNS}
        # A form without it leaves it unchanged.
        return {name: value for name, value in columns.items() if value or name != "urgency"}


class RotateForm(forms.Form):
    """How tokens are rotated."""

    overlap = DurationField(
        label=_("Overlap"),
        low=0,
        high=tokens.OVERLAP_MAX_SECONDS,
        initial=tokens.OVERLAP_DEFAULT_SECONDS,
        help_text=_("How long the old token keeps working: 0 s to 7 d, such as 24 h."),
    )
    force = forms.BooleanField(
        label=_("Force"),
        required=False,
        help_text=_(
            "Rotate even if an earlier rotation's old token is still valid. It keeps its expiry, so three "
            "tokens are valid for a while."
        ),
    )

    def clean_overlap(self) -> timedelta:
        return timedelta(seconds=self.cleaned_data["overlap"])
