"""Code examples on the page that waits for the first heartbeat."""

from __future__ import annotations

from django import template

from monitors.history import current
from monitors.models import Monitor
from monitors.pages import snippets
from monitors.pages.snippets import Language, Snippet

register = template.Library()


@register.simple_tag
def first_snippets(monitor: Monitor, push_url: str) -> list[Snippet]:
    """A few code examples that push to `push_url`, which the reader may see in full."""
    return [snippets.snippet_of(monitor, push_url, slug) for slug in _programs(monitor)]


@register.simple_tag
def first_languages(monitor: Monitor) -> list[Language]:
    """The most common languages; the code examples page has the others."""
    return [snippets.LANGUAGES[slug] for slug in ("curl", *_programs(monitor))]


def _programs(monitor: Monitor) -> tuple[str, str]:
    if monitor.kind == Monitor.Kind.ON_CALENDAR:
        return "systemd", "python"
    # Cron starts a job once a minute at most; more frequent pushes need a loop.
    return ("crontab" if current.crontab_times(monitor) else "bash"), "python"
