"""The forms of notification rules. A field that is left alone uses the default of the level above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from monitors.domain.thresholds import NEEDED_MOST, OF_MOST, Threshold
from monitors.forms.fields import DurationField, forget
from notifications.models import DELAY_MAX, Channel, ChannelRule
from notifications.rules.effective import DEFAULT, EVENTS, Rules, is_at_least, route
from notifications.services import sentences
from notifications.services.rules import (
    FLAP_LEAST,
    FLAP_MOST,
    REMIND_LEAST,
    REMIND_LONGEST,
    REMIND_MOST,
    Choice,
    Own,
    Reminders,
    versions,
)

IN_A_ROW, OF_THE_LAST, OWN, NEVER, EVERY = "row", "of", "own", "never", "every"
OFF, MORE_THAN = "off", "more"


class NumberField(forms.IntegerField):
    """A whole number in a range, in a plain text input."""

    def __init__(self, *, low: int, high: int, **kwargs: Any) -> None:
        sentence = format_lazy(gettext_lazy("Enter a whole number from {low} to {high}."), low=low, high=high)
        super().__init__(
            min_value=low,
            max_value=high,
            required=False,
            widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
            error_messages={"invalid": sentence, "min_value": sentence, "max_value": sentence},
            **kwargs,
        )


class OwnForm(forms.Form):
    """The rules of a monitor or a workspace itself: thresholds, reminders, flapping."""

    missed = forms.ChoiceField(label=gettext_lazy("Failure threshold for missed heartbeats"), required=False)
    missed_needed = NumberField(label=gettext_lazy("Failures"), low=1, high=NEEDED_MOST)
    missed_of = NumberField(label=gettext_lazy("Out of the last"), low=1, high=OF_MOST)
    reported = forms.ChoiceField(label=gettext_lazy("Failure threshold for down reports"), required=False)
    reported_needed = NumberField(label=gettext_lazy("Failures"), low=1, high=NEEDED_MOST)
    reported_of = NumberField(label=gettext_lazy("Out of the last"), low=1, high=OF_MOST)
    recovery = NumberField(label=gettext_lazy("Good heartbeats in a row"), low=1, high=NEEDED_MOST)
    reminders = forms.ChoiceField(label=gettext_lazy("Reminders while it is down"), required=False)
    remind_every = DurationField(
        label=gettext_lazy("Every"),
        low=REMIND_LEAST,
        high=REMIND_LONGEST,
        required=False,
        help_text=gettext_lazy("For example 30 min, 1 h or 1 d."),
    )
    remind_most = NumberField(label=gettext_lazy("Maximum reminders"), low=1, high=REMIND_MOST)
    flapping = forms.ChoiceField(
        label=gettext_lazy("When it keeps changing"),
        required=False,
        help_text=gettext_lazy(
            "A flapping monitor sends one notification that says so, and the next one when it is steady."
        ),
    )
    flap_changes = NumberField(label=gettext_lazy("Changes in 10 minutes"), low=FLAP_LEAST, high=FLAP_MOST)

    def __init__(
        self, data: Any = None, *, own: Own, above: Rules, workspace: bool = False, **kwargs: Any
    ) -> None:
        """Args:
        own: the current rules.
        above: the rules that apply otherwise.
        workspace: these are a workspace's rules, and the product's defaults are above.
        """
        super().__init__(data, initial=_initial(own, above), prefix="own", **kwargs)
        self.version = versions(own)["rules"]
        self.words = {
            "missed": sentences.tolerance_in_words(above.thresholds.missed),
            "reported": sentences.tolerance_in_words(above.thresholds.reported),
            "recovery": sentences.recovery_in_words(above.thresholds.recovery),
            "reminders": sentences.reminders_in_words(above),
            "flapping": sentences.flapping_in_words(above.flap_changes),
        }
        usual = _("Default (%(what)s)") if workspace else _("Workspace default (%(what)s)")
        nothing = {name: [("", usual % {"what": words})] for name, words in self.words.items()}
        several = [
            (IN_A_ROW, _("After several in a row")),
            (OF_THE_LAST, _("After several of the last heartbeats")),
        ]
        for name in ("missed", "reported"):
            self._offer(name, nothing[name] + several)
        self._offer(
            "reminders", nothing["reminders"] + [(NEVER, _("Never")), (EVERY, _("At a regular interval"))]
        )
        self._offer(
            "flapping",
            nothing["flapping"]
            + [(OFF, _("Notify every change")), (MORE_THAN, _("After more changes than this"))],
        )
        empty = (
            _("Leave empty for the default: %(what)s.")
            if workspace
            else _("Leave empty for the workspace default: %(what)s.")
        )
        self.fields["recovery"].help_text = empty % {"what": self.words["recovery"]}

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        for name in ("missed", "reported"):
            self._clean_tolerance(name)
        if self.cleaned_data.get("reminders") != EVERY:
            forget(self, "remind_every", "remind_most")
        else:
            self._require("remind_every", _("Enter an interval, for example 1 h."))
        if self.cleaned_data.get("flapping") != MORE_THAN:
            forget(self, "flap_changes")
        else:
            self._require("flap_changes", _("Enter the number of changes."))
        return self.cleaned_data

    def _clean_tolerance(self, name: str) -> None:
        needed, of = f"{name}_needed", f"{name}_of"
        mode = self.cleaned_data.get(name)
        if not mode:
            forget(self, needed, of)
            return
        self._require(needed, _("Enter the number of failures."))
        if mode == IN_A_ROW:
            forget(self, of)
            return
        self._require(of, _("Enter the number of heartbeats to look at."))
        least, most = self.cleaned_data.get(needed), self.cleaned_data.get(of)
        if least and most and most < least:
            self.add_error(
                of, _("Enter a whole number from {low} to {high}.").format(low=least, high=OF_MOST)
            )

    def _require(self, name: str, sentence: str) -> None:
        if name not in self.errors and self.cleaned_data.get(name) is None:
            self.add_error(name, sentence)

    def own(self) -> Own:
        """Return the result of a valid form."""
        cleaned = self.cleaned_data
        reminders = None
        if cleaned["reminders"] == NEVER:
            reminders = Reminders(0)
        elif cleaned["reminders"] == EVERY:
            reminders = Reminders(cleaned["remind_every"], cleaned["remind_most"] or DEFAULT.remind_most)
        return Own(
            missed=self._tolerance("missed"),
            reported=self._tolerance("reported"),
            recovery=cleaned["recovery"],
            reminders=reminders,
            flap_changes=0 if cleaned["flapping"] == OFF else cleaned["flap_changes"],
        )

    def _tolerance(self, name: str) -> Threshold | None:
        if not self.cleaned_data[name]:
            return None
        needed = self.cleaned_data[f"{name}_needed"]
        return Threshold(needed, self.cleaned_data[f"{name}_of"] or needed)

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The collapsible parts: title, fields, and whether the part differs from the default."""
        titles = {
            "missed": (_("Missed heartbeats"), ("missed", "missed_needed", "missed_of")),
            "reported": (_("Down reports"), ("reported", "reported_needed", "reported_of")),
            "recovery": (_("Recovery"), ("recovery",)),
            "reminders": (_("Reminders"), ("reminders", "remind_every", "remind_most")),
            "flapping": (_("Flapping"), ("flapping", "flap_changes")),
        }
        return [
            {
                "name": name,
                "title": title,
                "fields": [self[field] for field in fields],
                "words": self.words[name],
                "own": bool(self[name].value()) or any(field in self.errors for field in fields),
            }
            for name, (title, fields) in titles.items()
        ]


class ChoiceForm(forms.Form):
    """How one channel is notified of one monitor."""

    subscribed = forms.BooleanField(required=False)
    delay = DurationField(
        label=gettext_lazy("Only if still down after"), low=0, high=DELAY_MAX, required=False
    )
    mode = forms.ChoiceField(label=gettext_lazy("Events"), required=False)
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Only these"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(
        self, data: Any = None, *, channel: Channel, choice: Choice, urgency: str, **kwargs: Any
    ) -> None:
        self.channel = channel
        self.is_too_low = not is_at_least(urgency, channel.least_urgency)
        usual = route(channel, None)
        self.usual_delay = sentences.delay_in_words(usual.delay)
        self.usual_events = sentences.events_in_words(usual.events)
        initial = {
            "subscribed": choice.subscribed,
            "delay": choice.delay,
            "mode": "" if choice.events is None else OWN,
            "events": sorted(usual.events) if choice.events is None else list(choice.events),
        }
        super().__init__(data, initial=initial, prefix=str(channel.public_id), **kwargs)
        self.version = versions(Own(), [(channel, choice)])[str(channel.public_id)]
        self.fields["subscribed"].label = channel.name
        self.fields["delay"].help_text = _(
            "For example 10 min; 0 means immediately. Leave empty for the channel's own setting: %(what)s."
        ) % {"what": self.usual_delay}
        mode, events = self.fields["mode"], self.fields["events"]
        assert isinstance(mode, forms.ChoiceField)
        assert isinstance(events, forms.ChoiceField)
        label = _("Channel default (%(what)s)") % {"what": self.usual_events}
        mode.choices = [("", label), (OWN, _("Only these"))]
        labels = sentences.event_labels()
        events.choices = [(name, labels[name]) for name in EVENTS]

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if (
            cleaned.get("mode") == OWN
            and cleaned.get("subscribed")
            and "events" in cleaned
            and not cleaned["events"]
        ):
            self.add_error("events", _("Choose at least one event, or unsubscribe this channel."))
        return cleaned

    def choice(self) -> Choice:
        """Return the result of a valid form."""
        cleaned = self.cleaned_data
        events = tuple(cleaned["events"]) if cleaned["mode"] == OWN and cleaned["events"] else None
        return Choice(cleaned["subscribed"], cleaned["delay"], events)

    @property
    def words(self) -> str:
        """Its timing when the form was opened, shown while the part is collapsed."""
        rule = ChannelRule(delay=self.initial["delay"], events=self._events())
        return sentences.delay_in_words(route(self.channel, rule).delay)

    def _events(self) -> list[str] | None:
        return self.initial["events"] if self.initial["mode"] == OWN else None

    @property
    def is_unusual(self) -> bool:
        """Whether it differs from the channel's defaults or has errors, so must be visible."""
        unusual = self["delay"].value() not in (None, "") or bool(self["mode"].value())
        return unusual or bool(self.errors)


class MonitorRulesForm:
    """The form of a monitor: its own rules, and each channel.

    A channel that was not in the form when it was opened stays unchanged.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        own: Own,
        above: Rules,
        choices: Iterable[tuple[Channel, Choice]],
        urgency: str,
    ) -> None:
        self._data = data
        self._choices = list(choices)
        self.own_form = OwnForm(data, own=own, above=above)
        self.channels = [
            ChoiceForm(
                data if self._was_shown(channel) else None, channel=channel, choice=choice, urgency=urgency
            )
            for channel, choice in self._choices
        ]

    def _was_shown(self, channel: Channel) -> bool:
        return self._data is not None and f"{channel.public_id}-version" in self._data

    @property
    def errors(self) -> bool:
        """Whether any part has errors."""
        return bool(self.own_form.errors) or any(form.errors for form in self.channels)

    def is_valid(self) -> bool:
        # Validate all of them, so that all errors are shown at once.
        return all([self.own_form.is_valid(), *(form.is_valid() for form in self.channels if form.is_bound)])

    def own(self) -> Own:
        return self.own_form.own()

    def choices(self) -> dict[UUID, Choice]:
        """Return the choices for the channels that a valid form showed."""
        return {form.channel.public_id: form.choice() for form in self.channels if form.is_bound}

    def outcome(self) -> list[tuple[Channel, Choice]]:
        """Return the resulting choice for each channel; the current one if the form is not bound."""
        submitted = self.choices() if self._data is not None else {}
        return [(channel, submitted.get(channel.public_id, choice)) for channel, choice in self._choices]


def expected(data: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the parts that a submitted form showed."""
    found = {name.removesuffix("-version"): data[name] for name in data if name.endswith("-version")}
    if "own" in found:
        found["rules"] = found.pop("own")
    return found


def _initial(own: Own, above: Rules) -> dict[str, Any]:
    initial: dict[str, Any] = {"recovery": own.recovery}
    for name in ("missed", "reported"):
        threshold: Threshold | None = getattr(own, name)
        initial[name] = (
            "" if threshold is None else IN_A_ROW if threshold.of <= threshold.needed else OF_THE_LAST
        )
        initial[f"{name}_needed"] = threshold.needed if threshold else None
        initial[f"{name}_of"] = threshold.of if threshold and threshold.of > threshold.needed else None
    reminders = own.reminders
    initial["reminders"] = "" if reminders is None else EVERY if reminders.every else NEVER
    initial["remind_every"] = reminders.every if reminders and reminders.every else 3600
    initial["remind_most"] = (reminders and reminders.most) or above.remind_most
    changes = own.flap_changes
    initial["flapping"] = "" if changes is None else MORE_THAN if changes else OFF
    initial["flap_changes"] = changes or above.flap_changes or DEFAULT.flap_changes
    return initial
