"""System checks for the installation."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, Error, connection
from django_celery_beat.models import PeriodicTask

from tianji.runtime import beat_schedule


@register(Tags.security, deploy=True)
def the_public_address_is_known(**kwargs: Any) -> list[CheckMessage]:
    """Warn if links in notifications and push URLs would only work on this machine."""
    if settings.TIANJI_URL_IS_SET:
        return []
    return [
        Warning(
            f"TIANJI_URL is not set; messages will link to {settings.TIANJI_URL}.",
            hint="Set it to the address people open, such as https://tianji.example.com.",
            id="tianji.W001",
        )
    ]


@register(Tags.database)
def the_schedule_is_whole(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn if a task that Tianji depends on was disabled; /healthz shows it too.

    Runs with `manage.py check --database default`, and when migrating.
    """
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        # Checked first, because a failed query would break a transaction open around it.
        if PeriodicTask._meta.db_table not in connection.introspection.table_names():
            return []
        faults = beat_schedule.faults()
    except Error:
        # Before its migrations, or without a database, there is nothing to check.
        return []
    hint = (
        "Enable it in the admin site, under Periodic Tasks. A missing task is restored when Celery Beat "
        "restarts."
    )
    return [Warning(fault, hint=hint, id="tianji.W002") for fault in faults]
