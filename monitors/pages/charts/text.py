"""Texts of charts. A page has hundreds, so everything they share is looked up once."""

from __future__ import annotations

from datetime import date, datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.pages.charts.axes import Figures, day_and_month, length

DASH = "–"


class ChartText:
    """Formats texts in the current language and time zone; create a new one for each page."""

    def __init__(self) -> None:
        self._zone = timezone.get_current_timezone()
        self._figures = Figures()
        self._days: dict[date, str] = {}
        self._lengths: dict[float, str] = {}
        self._counted: dict[tuple[str, int], str] = {}
        self._of_values = _("mean %(mean)s, min %(low)s, max %(high)s")
        self._of_gaps = _("mean %(mean)s, longest %(longest)s")
        self._of_mean_gap = _("mean about %(mean)s")
        self._no_value, self._no_heartbeat, self._down = _("no value"), _("no heartbeat"), _("down")
        self._not_listening = _("Tianji was not listening")

    def span(self, start: datetime, end: datetime) -> str:
        """Return "22 Nov, 14:00–14:30 UTC", or both days if it spans two."""
        first, last = start.astimezone(self._zone), end.astimezone(self._zone)
        if (end - datetime.resolution).astimezone(self._zone).date() == first.date():
            return f"{self._day(first)}, {first:%H:%M}–{last:%H:%M} {last.tzname()}"
        return f"{self._day(first)}, {first:%H:%M} – {self._day(last)}, {last:%H:%M} {last.tzname()}"

    def _day(self, at: datetime) -> str:
        if at.date() not in self._days:
            self._days[at.date()] = day_and_month(at.date())
        return self._days[at.date()]

    def tooltip(self, when: str, facts: str, *, is_down: bool, in_gap: bool = False) -> str:
        """Return the tooltip of one bucket."""
        parts = [when, facts]
        if is_down:
            parts.append(self._down)
        if in_gap:
            parts.append(self._not_listening)
        return " · ".join(parts)

    def of_values(self, number: int, low: float | None, mean: float | None, high: float | None) -> str:
        """Return "mean 123, min 98, max 140 · 12 values"."""
        if not number:
            return self._no_value
        parts = {
            "mean": self.figure(_rounded(mean, low, high)),
            "low": self.figure(low),
            "high": self.figure(high),
        }
        return f"{self._of_values % parts} · {self._number('values', number)}"

    def of_gaps(self, heartbeats: int, mean: float | None, longest: float | None) -> str:
        """Return "mean 60 s, longest 63 s · 12 heartbeats"; the gaps may be unknown."""
        if not heartbeats:
            return self._no_heartbeat
        number = self._number("heartbeats", heartbeats)
        if mean is None:
            return number
        if longest is None:
            return f"{self._of_mean_gap % {'mean': self.length(mean)}} · {number}"
        parts = {"mean": self.length(mean), "longest": self.length(longest)}
        return f"{self._of_gaps % parts} · {number}"

    def figure(self, value: float | None) -> str:
        """Return a value, a dash for None."""
        return DASH if value is None else self._figures(value)

    def length(self, seconds: float | None) -> str:
        """Return a duration, a dash for None."""
        if seconds is None:
            return DASH
        # Rounded to tenths, so that most of them are equal and cached.
        key = round(seconds, 1) if seconds >= 1 else seconds
        if key not in self._lengths:
            self._lengths[key] = length(key)
        return self._lengths[key]

    def _number(self, what: str, number: int) -> str:
        key = (what, number)
        if key not in self._counted:
            if what == "values":
                text = ngettext("%(number)d value", "%(number)d values", number)
            else:
                text = ngettext("%(number)d heartbeat", "%(number)d heartbeats", number)
            self._counted[key] = text % {"number": number}
        return self._counted[key]


def _rounded(mean: float | None, low: float | None, high: float | None) -> float | None:
    """Return a mean with four digits, or those before its decimal point, where that is still in range.

    The other digits are none that any sender wrote.
    """
    if mean is None or low is None or high is None:
        return mean
    short = round(mean) if abs(mean) >= 1000 else float(f"{mean:.4g}")
    return short if low <= short <= high else mean
