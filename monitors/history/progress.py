"""How far an open incident is from being confirmed, and from being resolved."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain.state_machine import Status
from monitors.domain.thresholds import failures, good_in_a_row
from monitors.heartbeats.transitions import last_failure_was_missed
from monitors.history.current import Reading
from monitors.models import Incident


def progress_text(reading: Reading, incident: Incident | None) -> str:
    """Return how far the open `incident` of a monitor is, in one sentence; "" if it only has to recover.

    Args:
        reading: of its monitor, which should be loaded with WITH_DEFAULTS.
        incident: its newest incident, if it has any.
    """
    state = reading.state
    if state.status != Status.DOWN or incident is None or incident.resolved_at is not None:
        return ""
    if state.is_recovering:
        needed = reading.monitor.thresholds.recovery
        words = {"count": min(good_in_a_row(state.recent_outcomes), needed), "needed": needed}
        return (
            ngettext(
                "Recovering: %(count)d of %(needed)d good heartbeat",
                "Recovering: %(count)d of %(needed)d good heartbeats",
                needed,
            )
            % words
        )
    if incident.confirmed_at is not None:
        return ""
    thresholds = reading.monitor.thresholds
    missed = last_failure_was_missed(incident, state, reading.monitor)
    threshold = thresholds.missed if missed else thresholds.reported
    words = {"count": failures(state.recent_outcomes, threshold.of), "needed": threshold.needed}
    return (
        ngettext(
            "Not confirmed yet: %(count)d of %(needed)d failure",
            "Not confirmed yet: %(count)d of %(needed)d failures",
            threshold.needed,
        )
        % words
    )


def recovery_text(reading: Reading) -> str:
    """Return what a monitor that is down needs to recover: "recovers with the next good heartbeat"."""
    needed = reading.monitor.thresholds.recovery
    if needed == 1:
        return _("recovers with the next good heartbeat")
    sentence = ngettext(
        "recovers after %(count)d good heartbeat in a row",
        "recovers after %(count)d good heartbeats in a row",
        needed,
    )
    return sentence % {"count": needed}
