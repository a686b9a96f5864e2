"""What is wrong with Celery Beat's schedule, for the admin site."""

from __future__ import annotations

from django import template

from tianji.runtime.beat_schedule import faults

register = template.Library()
register.simple_tag(faults, name="schedule_faults")
