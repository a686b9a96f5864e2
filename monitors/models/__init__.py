"""The tables of the monitors app; docs/architecture.md explains which are hot and which are cold."""

from monitors.models.daily_rollups import DailyRollup, OutdatedDays, RollupProgress
from monitors.models.heartbeats import ROLLUP_DAYS, Heartbeat, RolledUp, Rollup
from monitors.models.incidents import NOTE_LENGTH, Incident, Transition
from monitors.models.labels import CAUSE_LABELS, MESSAGE_LENGTH, REASON_LABELS, STATUS_LABELS, URGENCY_LABELS
from monitors.models.listening import GAP_DAYS, Gap, PushTally, Watermark
from monitors.models.maintenance import MaintenanceWindow
from monitors.models.monitors import (
    CALENDAR_LENGTH,
    CRON_LENGTH,
    DESCRIPTION_LENGTH,
    FAULT_LENGTH,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    SCHEDULE_COLUMNS,
    SLUG,
    SLUG_LENGTH,
    WITH_DEFAULTS,
    Monitor,
    MonitorDefaults,
    MonitorState,
    ThresholdColumns,
    merge_thresholds,
    schedule_of,
)
from monitors.models.tokens import REJECTION_DETAIL_LENGTH, TOKEN_LABEL_LENGTH, PushToken, RejectedPush

__all__ = [
    "CALENDAR_LENGTH",
    "CAUSE_LABELS",
    "CRON_LENGTH",
    "DESCRIPTION_LENGTH",
    "FAULT_LENGTH",
    "GAP_DAYS",
    "MAX_TAGS",
    "MAX_TAG_LENGTH",
    "MESSAGE_LENGTH",
    "NOTE_LENGTH",
    "REASON_LABELS",
    "REJECTION_DETAIL_LENGTH",
    "ROLLUP_DAYS",
    "SCHEDULE_COLUMNS",
    "SLUG",
    "SLUG_LENGTH",
    "STATUS_LABELS",
    "TOKEN_LABEL_LENGTH",
    "URGENCY_LABELS",
    "WITH_DEFAULTS",
    "DailyRollup",
    "Gap",
    "Heartbeat",
    "Incident",
    "MaintenanceWindow",
    "Monitor",
    "MonitorDefaults",
    "MonitorState",
    "OutdatedDays",
    "PushTally",
    "PushToken",
    "RejectedPush",
    "RolledUp",
    "Rollup",
    "RollupProgress",
    "ThresholdColumns",
    "Transition",
    "Watermark",
    "merge_thresholds",
    "schedule_of",
]
