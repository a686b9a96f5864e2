"""The axes of a chart: round numbers, durations and times, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from django.utils import timezone
from django.utils.formats import date_format, get_format

from monitors.domain.durations import DAY, HOUR, MINUTE, about, exactly, units

_STEPS = 4
# Round durations; below a second and above these, 1-2-5 again.
_ROUND = (
    *(1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 20 * DAY, 50 * DAY),
)
# Powers of ten between which a number is written without exponent.
_LEAST, _MOST = -5, 9
# Up to here a duration is shown with tenths of a second.
_WITH_TENTHS = 2 * MINUTE
_MONDAY = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high` with a label at each of `ticks`.

    Decimals, because the difference of two floats may overflow, and tenths don't add up exactly.
    """

    low: Decimal
    high: Decimal
    ticks: list[tuple[Decimal, str]]

    def share(self, value: float | Decimal) -> float:
        """Return the position of `value` between `low` (0) and `high` (1)."""
        return float((_exact(value) - self.low) / (self.high - self.low))


def numbers(low: float, high: float) -> Scale:
    """Return a scale for finite `low` <= `high`, with 3 to 7 ticks at multiples of 1, 2 or 5."""
    bottom, top = _exact(low), _exact(high)
    if bottom == top:
        room = abs(top) / 10
        bottom, top = (bottom - room, top + room) if room else (Decimal(0), Decimal(1))
    step = _one_two_five((top - bottom) / _STEPS)
    return _scale(bottom, top, step, durations=False)


def durations(longest: float) -> Scale:
    """Return a scale from 0 to at least `longest` seconds."""
    top = _exact(longest) or Decimal(1)
    wanted = top / _STEPS
    if wanted <= Decimal("0.5"):
        step = _one_two_five(wanted)
    else:
        step = next((Decimal(each) for each in _ROUND if each >= wanted), _one_two_five(wanted / DAY) * DAY)
    return _scale(Decimal(0), top, step, durations=True)


def _one_two_five(least: Decimal) -> Decimal:
    """Return the smallest number of the series 1, 2, 5, 10, ... that is at least `least` > 0."""
    power = Decimal(1).scaleb(least.adjusted())
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _scale(low: Decimal, high: Decimal, step: Decimal, *, durations: bool) -> Scale:
    first = int((low / step).to_integral_value(ROUND_FLOOR))
    last = int((high / step).to_integral_value(ROUND_CEILING))
    ticks = [step * number for number in range(first, last + 1)]
    label = _duration_label if durations else _number_label
    return Scale(ticks[0], ticks[-1], [(tick, label(tick, step)) for tick in ticks])


def _number_label(tick: Decimal, step: Decimal) -> str:
    # Digits below the step would be noise.
    return figure(tick, digits=max(tick.adjusted() - step.adjusted() + 1, 1)) if tick else "0"


def _duration_label(tick: Decimal, step: Decimal) -> str:
    if step >= 1:
        return exactly(int(tick))
    *_larger, second = units()
    return f"{_number_label(tick, step)} {second}"


class Figures:
    """Formats numbers in the current language; reuse it, because looking up the language is slow."""

    def __init__(self) -> None:
        self._signs = str.maketrans(
            {",": get_format("THOUSAND_SEPARATOR"), ".": get_format("DECIMAL_SEPARATOR"), "-": "−"}
        )

    def __call__(self, value: float | Decimal, *, digits: int = 6) -> str:
        """Return "1,234.5", "0.1", "1.5e16": all integer digits, and at least `digits` significant ones."""
        mantissa, _e, exponent = f"{value:.{digits - 1}e}".partition("e")
        power = int(exponent)
        if not value:
            return "0"
        if _LEAST <= power < _MOST:
            text = f"{value:,.{max(digits - 1 - power, 0)}f}"
            return _without_zeros(text).translate(self._signs)
        return f"{_without_zeros(mantissa)}e{power}".translate(self._signs)


def figure(value: float | Decimal, *, digits: int = 6) -> str:
    """Return one number in the reader's language, like `Figures`."""
    return Figures()(value, digits=digits)


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(value: float | Decimal) -> Decimal:
    """Return the shortest decimal form of a float: 0.1, without its binary error."""
    return value if isinstance(value, Decimal) else Decimal(repr(value))


def length(seconds: float) -> str:
    """Return a duration in a chart's form: "60.3 s", "5 h 12 min"."""
    if seconds >= _WITH_TENTHS:
        return about(seconds)
    *_larger, second = units()
    return f"{figure(round(seconds, 1 if seconds >= 1 else 3))} {second}"


# --- Times ------------------------------------------------------------------------------------------


def times(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Return round times between `start` and `end`, in the current time zone, with their labels.

    Every 10 minutes in an hour, 3 hours in a day; midnights in a week, Mondays in a month, every other
    Monday in a quarter, the first of each month in a year.
    """
    span = end - start
    if span <= timedelta(days=2):
        minutes = 10 if span <= timedelta(hours=2) else 180
        return [(at, f"{local:%H:%M}") for at, local in _walls(start, end, minutes)]
    if span > timedelta(days=120):
        return [
            (at, day_and_month(local.date()))
            for at, local in _walls(start, end, DAY // MINUTE)
            if local.day == 1
        ]
    weeks = 0 if span <= timedelta(days=10) else 1 if span <= timedelta(days=40) else 2
    return [
        (at, day_and_month(local.date()))
        for at, local in _walls(start, end, DAY // MINUTE)
        if not weeks or local.toordinal() % (7 * weeks) == _MONDAY
    ]


def _walls(start: datetime, end: datetime, minutes: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times at which the local time is a multiple of `minutes`, and that local time."""
    zone = timezone.get_current_timezone()
    day = timezone.localtime(start).date()
    while day <= timezone.localtime(end).date():
        for minute in range(0, DAY // MINUTE, minutes):
            at = datetime(day.year, day.month, day.day, *divmod(minute, 60), tzinfo=zone)
            # A local time that daylight saving skips is a different one.
            shown = at.astimezone(UTC).astimezone(zone)
            if start <= at <= end and shown.replace(tzinfo=None) == at.replace(tzinfo=None):
                yield at, shown
        day += timedelta(days=1)


def day_and_month(day: date) -> str:
    """Return "22 Nov" in the reader's language."""
    return date_format(day, "j M")
