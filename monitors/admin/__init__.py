"""Monitors, push tokens and incidents in the admin site."""

from monitors.admin.incidents import IncidentAdmin
from monitors.admin.monitors import MonitorAdmin
from monitors.admin.tokens import PushTokenAdmin

__all__ = ["IncidentAdmin", "MonitorAdmin", "PushTokenAdmin"]
