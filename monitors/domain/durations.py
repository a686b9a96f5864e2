"""Formats and parses durations, and describes cron expressions; without a database."""

from __future__ import annotations

import calendar
import re
from decimal import Decimal
from functools import cache
from pathlib import Path

from cron_descriptor import Options
from cron_descriptor import get_description as describe_cron
from django.conf import settings
from django.utils.translation import get_language, gettext, pgettext, to_locale

from monitors.domain.cron_times import cron_fields
from monitors.domain.expressions import ScheduleError

MINUTE, HOUR, DAY = 60, 3600, 86_400
# From here on a duration is shown without seconds: in an hour they don't matter.
_WITHOUT_SECONDS = 10 * MINUTE
_WITHOUT_HOURS = 30 * DAY
# Up to here plain seconds read best: "66 s", "90 s".
_PLAIN_SECONDS = 2 * MINUTE

_PART = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*([^\W\d_]*)\s*,?")
_LONGEST_TEXT = 60
_NAME = re.compile("|".join([*calendar.day_name, *calendar.month_name[1:]]))
_ENGLISH = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR),
    **dict.fromkeys(("d", "day", "days"), DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * DAY),
}


def units() -> tuple[str, str, str, str]:
    """Return the symbols for day, hour, minute and second in the reader's language."""
    day, hour, minute, second = pgettext("units: days, hours, minutes, seconds", "d,h,min,s").split(",")
    return day, hour, minute, second


def about(seconds: float) -> str:
    """Return `seconds` (>= 0) in two units at most: "32 s", "5 h 12 min", "45 d".

    static/js/time.js does the same in the browser.
    """
    whole = int(seconds)
    day, hour, minute, second = units()
    if whole < MINUTE:
        return f"{whole} {second}"
    if whole < _WITHOUT_SECONDS:
        return _pair(whole // MINUTE, minute, whole % MINUTE, second)
    if whole < HOUR:
        return f"{whole // MINUTE} {minute}"
    if whole < DAY:
        return _pair(whole // HOUR, hour, whole % HOUR // MINUTE, minute)
    if whole < _WITHOUT_HOURS:
        return _pair(whole // DAY, day, whole % DAY // HOUR, hour)
    return f"{whole // DAY} {day}"


def _pair(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first} {first_unit} {second} {second_unit}" if second else f"{first} {first_unit}"


def exactly(seconds: int) -> str:
    """Return `seconds` without rounding: "66 s", "5 min", "1 h 30 min". `parse_duration` reads it back."""
    symbols = units()
    if seconds < _PLAIN_SECONDS:
        return f"{seconds} {symbols[3]}"
    parts = []
    for size, symbol in zip((DAY, HOUR, MINUTE, 1), symbols, strict=True):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {symbol}")
    return " ".join(parts)


def parse_duration(text: str) -> int:
    """Parse a duration into seconds: "90", "90s", "5 min", "1h 30m", "1.5 h".

    Accepts English units and those of the reader's language; a number without a unit is seconds.

    Raises:
        ValueError: not a duration, or not a whole number of seconds.
    """
    text = text.strip().lower()
    if not text or len(text) > _LONGEST_TEXT:
        raise ValueError("not a duration")
    sizes = _ENGLISH | _sizes_in_readers_language()
    total, position = Decimal(0), 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError("not a duration")
        number, unit = part.groups()
        if not unit and part.span() != (0, len(text)):
            raise ValueError("a number without a unit")
        if unit and unit not in sizes:
            raise ValueError("an unknown unit")
        total += Decimal(number.replace(",", ".")) * sizes.get(unit, 1)
        position = part.end()
    if total != total.to_integral_value():
        raise ValueError("not a whole number of seconds")
    return int(total)


def _sizes_in_readers_language() -> dict[str, int]:
    """Return the units that the reader may type: the symbols shown, and words."""
    typed = pgettext(
        "typed units, in the order of d,h,min,s", "day days,hour hours,minute minutes,second seconds"
    )
    names = (
        f"{symbol} {words}".lower().split() for symbol, words in zip(units(), typed.split(","), strict=True)
    )
    return {
        name: size for size, several in zip((DAY, HOUR, MINUTE, 1), names, strict=True) for name in several
    }


def cron_in_words(expression: str) -> str:
    """Return a description of a cron expression ("At 02:00"), or "" if that fails."""
    try:
        fields = cron_fields(expression)
    except ScheduleError:
        return ""
    return _cron_in_words(fields, to_locale(get_language() or "en"))


@cache
def _cron_options(locale: str) -> Options:
    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en_US" if locale == "en" else locale
    # What cron-descriptor has no words for itself (scripts/messages.py compiles it).
    ours = Path(settings.LOCALE_PATHS[0]) / "cron"
    if (ours / f"{locale}.mo").exists():
        options.locale_location = str(ours)
    return options


def _cron_in_words(expression: str, locale: str) -> str:
    try:
        described = describe_cron(expression, _cron_options(locale))
    except Exception:  # its parser raises all kinds of errors, and the description is optional
        return ""
    if locale == "en":
        return described
    # It takes the names of days and months from the process's locale, which is not the reader's.
    return _NAME.sub(lambda found: gettext(found[0]), described)
