"""Pictures as SVG, drawn by the server: no script, no style attribute, so the strict CSP holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from monitors.domain.durations import DAY, HOUR, units
from monitors.domain.state_machine import Status
from monitors.domain.time_slots import Slot


@dataclass(frozen=True, slots=True)
class _Size:
    """Pixels: distance between slots, height of the bar, margin at both ends of a line, and between hatching.

    CSS (section "The heartbeat bar") sets the width of the lines, leaving a gap, and rounds their ends.
    A slot with down is also taller, so that it stands out without colour.
    """

    pitch: int
    height: int
    free: int
    free_when_down: int
    hatch: int


_SIZES = {"": _Size(8, 24, 5, 3, 4), "large": _Size(14, 40, 9, 6, 5)}
_MESSAGE_LENGTH = 80
# In the order of the summary.
_WORDS = {
    Status.DOWN: gettext_lazy("down"),
    Status.UP: gettext_lazy("up"),
    Status.PAUSED: gettext_lazy("paused"),
    Status.NEW: gettext_lazy("waiting for the first heartbeat"),
    None: gettext_lazy("no data"),
}
# Default messages carry no information.
_DEFAULT_MESSAGES = ("", "OK", "Reported down")


def bar_svg(slots: Sequence[Slot], *, size: str = "") -> SafeString:
    """Return a heartbeat bar: a pill with a tooltip for each of `slots`, oldest first.

    It has its natural width. If there is less room, CSS cuts slots off at the start, or shrinks a large
    bar. Times are in the current time zone.

    Args:
        size: "" for the row of a list, "large" for a page's head.
    """
    if not slots:
        return SafeString()
    drawn = _SIZES[size]
    # Looked up once for all slots: it takes longer than drawing one.
    zone, language = timezone.get_current_timezone_name(), get_language() or ""
    pills = []
    for number, slot in enumerate(slots):
        x = number * drawn.pitch + drawn.pitch // 2
        y = drawn.free_when_down if slot.worst is Status.DOWN else drawn.free
        kind, pill = f"slot-{slot.worst or 'none'}", f"M{x} {y}v{drawn.height - 2 * y}"
        title = f"<title>{_tooltip(slot, zone, language)}</title>"
        pills.append(
            f'<g class="{kind} slot-gap"><path d="{pill}"/>{_hatching(x, y, drawn)}{title}</g>'
            if slot.in_gap
            else f'<path class="{kind}" d="{pill}">{title}</path>'
        )
    width, height = len(slots) * drawn.pitch, drawn.height
    classes = f"slots slots-{size}" if size else "slots"
    # Everything in it is a number, a word of ours, or escaped.
    return mark_safe(  # noqa: S308
        f'<svg class="{classes}" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' preserveAspectRatio="xMaxYMid slice" role="img" aria-label="{escape(in_words(slots))}">'
        f"{''.join(pills)}</svg>"
    )


def _hatching(x: int, y: int, drawn: _Size) -> str:
    """Return slanted lines across the pill at `x` that begins at `y`, within its width.

    Not a pattern: that needs an id, and a page has many bars.
    """
    half = drawn.pitch // 2 - 2
    lines = range(y + half, drawn.height - y - half + 1, drawn.hatch)
    path = "".join(f"M{x - half} {middle + half}l{2 * half} {-2 * half}" for middle in lines)
    return f'<path d="{path}"/>'


_SPARK_WIDTH, _SPARK_HEIGHT = 64, 16


def spark_svg(slots: Sequence[Slot]) -> SafeString:
    """Return a sparkline of the mean values of `slots`; empty if there are too few.

    The line breaks where there was no value. It is decorative: the number beside it has the meaning.
    """
    means = [slot.mean for slot in slots if slot.mean is not None]
    if len(means) < 2:
        return SafeString()
    least, most = min(means), max(means)
    # Halves, because the difference of two floats may overflow.
    reach = most / 2 - least / 2
    step, commands, pen_down = _SPARK_WIDTH / max(len(slots) - 1, 1), [], False
    for number, slot in enumerate(slots):
        if slot.mean is None:
            pen_down = False
            continue
        share = (slot.mean / 2 - least / 2) / reach if reach else 0.5
        y = 1 + (1 - share) * (_SPARK_HEIGHT - 2)
        # A lone point is visible because of its round line caps.
        commands.append(f"{'L' if pen_down else 'M'}{number * step:.1f} {y:.1f}{'' if pen_down else 'h0'}")
        pen_down = True
    return mark_safe(  # noqa: S308
        f'<svg class="spark" width="{_SPARK_WIDTH}" height="{_SPARK_HEIGHT}"'
        f' viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{"".join(commands)}"></path></svg>'
    )


def in_words(slots: Sequence[Slot]) -> str:
    """Return a bar as text: "Last 24 h in 48 parts: 2 down, 46 up"."""
    counted = Counter(slot.worst for slot in slots)
    words = {
        "span": _length(slots[-1].end - slots[0].start),
        "parts": len(slots),
        "found": ", ".join(f"{counted[worst]} {word}" for worst, word in _WORDS.items() if counted[worst]),
    }
    said = _("Last %(span)s in %(parts)d parts: %(found)s") % words
    if number := sum(slot.in_gap for slot in slots):
        in_gaps_text = ngettext(
            "Tianji was not listening in %(number)d of them",
            "Tianji was not listening in %(number)d of them",
            number,
        )
        return f"{said} · {in_gaps_text % {'number': number}}"
    return said


def _length(span: timedelta) -> str:
    """Return the length of a bar in the usual form: "24 h", "7 d"."""
    day, hour, minute, _second = units()
    seconds = int(span.total_seconds())
    if seconds % DAY == 0 and seconds > DAY:
        return f"{seconds // DAY} {day}"
    return f"{seconds // HOUR} {hour}" if seconds % HOUR == 0 else f"{seconds // 60} {minute}"


def _tooltip(slot: Slot, zone: str, language: str) -> str:
    """Return the tooltip of a slot, escaped."""
    facts = _facts(slot.start, slot.end, slot.worst, slot.ups, slot.downs, slot.in_gap, zone, language)
    if slot.last_message in _DEFAULT_MESSAGES:
        return facts
    return f"{facts}: {escape(Truncator(slot.last_message).chars(_MESSAGE_LENGTH))}"


@lru_cache(maxsize=2048)
def _facts(
    start: datetime,
    end: datetime,
    worst: Status | None,
    ups: int,
    downs: int,
    in_gap: bool,
    zone: str,
    language: str,
) -> str:
    """Return times, status and counts. Cached, because the bars of a page share most of them.

    `zone` and `language` are the current ones, and part of the cache key.
    """
    parts = [_times(start, end), str(_WORDS[worst])]
    if ups or downs:
        number = ups + downs
        parts.append(ngettext("%(number)d heartbeat", "%(number)d heartbeats", number) % {"number": number})
    elif worst in (Status.UP, Status.DOWN) and not in_gap:
        parts.append(_("no heartbeat"))
    if downs:
        parts.append(ngettext("%(number)d down", "%(number)d down", downs) % {"number": downs})
    if in_gap:
        parts.append(_("Tianji was not listening"))
    return escape(" · ".join(parts))


def _times(start: datetime, end: datetime) -> str:
    """Return "22 Nov, 14:00–14:30 UTC", or both days if a slot spans two."""
    first, last = timezone.localtime(start), timezone.localtime(end)
    day = date_format(first, "j M")
    if timezone.localtime(end - timedelta.resolution).date() == first.date():
        return f"{day}, {first:%H:%M}–{last:%H:%M} {first.tzname()}"
    return f"{day}, {first:%H:%M} – {date_format(last, 'j M')}, {last:%H:%M} {last.tzname()}"
