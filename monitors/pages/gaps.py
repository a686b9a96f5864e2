"""Gaps, in which Tianji could not receive heartbeats: as sentences, and as the notice above the overview."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from monitors.domain.durations import exactly
from monitors.history import current
from monitors.models import Gap

# Shorter and older gaps are only in the activity: nothing needs to be done about them.
NOTICED_FOR = timedelta(hours=12)
_NOTICED_FROM = timedelta(minutes=1)


def in_words(gap: Gap) -> str:
    """Return what happened, and what follows from it, in the current language and time zone."""
    if gap.clock_step is None:
        return _("%(what)s (%(length)s). Silence in that time does not count.") % {
            "what": _listened_not(gap, _day(gap.ended_at)),
            "length": _length(gap.started_at, gap.ended_at),
        }
    what = clock_step_in_words(gap, _day(gap.ended_at))
    if gap.clock_step > 0:
        return _("%(what)s. Silence in the skipped time does not count.") % {"what": what}
    return _("%(what)s. Silence counts from then on, by the new time.") % {"what": what}


def clock_step_in_words(gap: Gap, today: date, *, zone: bool = False) -> str:
    """Return how far the clock was set and when, without a full stop.

    Args:
        today: on another day, the date is named too.
        zone: whether to name the time zone.
    """
    step = gap.clock_step or 0
    said = {"length": exactly(abs(step)), "time": _moment(gap.started_at, today, zone=zone)}
    if step > 0:
        return _("The database's clock was set forward by %(length)s at %(time)s") % said
    return _("The database's clock was set back by %(length)s at %(time)s") % said


def failing_in_words(since: datetime, today: date, *, zone: bool = False) -> str:
    """Return since when pushes fail. The arguments are as above."""
    return _("Pushes have been failing since %(time)s.") % {"time": _moment(since, today, zone=zone)}


@dataclass(frozen=True, slots=True)
class Notice:
    """What the overview has to say of one gap, or of pushes that fail now.

    `failing` is whether pushes fail now. `key` differs whenever the text does.
    """

    key: tuple[object, ...]
    failing: bool
    gap: Gap | None
    now: datetime
    since: datetime | None = None

    @property
    def text(self) -> str:
        """The sentences, in the current language and time zone."""
        today = _day(self.now)
        if self.gap is None:
            assert self.since is not None
            return _("%(failing)s No monitor is declared down until they get through.") % {
                "failing": failing_in_words(self.since, today)
            }
        stepped = self.gap.clock_step is not None
        what = clock_step_in_words(self.gap, today) if stepped else _listened_not(self.gap, today)
        return _("%(what)s; no monitor was blamed.") % {"what": what}


def notice_at(now: datetime) -> Notice | None:
    """Return what to say above the overview at `now`, the database's time. At most one query."""
    settled = current.settled(now)
    if settled < now:
        return Notice(("failing", settled), failing=True, gap=None, now=now, since=settled)
    # After the clock was set back, there may be gaps in what is the future now.
    recent = Gap.objects.filter(ended_at__gt=now - NOTICED_FOR, ended_at__lte=now)
    worth = recent.filter(Q(clock_step__isnull=False) | Q(ended_at__gte=F("started_at") + _NOTICED_FROM))
    gap = worth.order_by("-ended_at", "-pk").first()
    return None if gap is None else Notice(("gap", gap.pk), failing=False, gap=gap, now=now)


def _listened_not(gap: Gap, today: date) -> str:
    return _("Tianji was not listening from %(start)s to %(end)s") % {
        "start": _moment(gap.started_at, today),
        "end": _moment(gap.ended_at, today),
    }


def _length(start: datetime, end: datetime) -> str:
    # Of the times as they are shown, so that the sum is right.
    return exactly(int((end.replace(microsecond=0) - start.replace(microsecond=0)).total_seconds()))


def _day(at: datetime) -> date:
    return timezone.localtime(at).date()


def _moment(at: datetime, today: date, *, zone: bool = False) -> str:
    local = timezone.localtime(at)
    time = f"{local:%H:%M:%S} {local.tzname()}" if zone else f"{local:%H:%M:%S}"
    return time if local.date() == today else f"{date_format(local, 'j M')}, {time}"
