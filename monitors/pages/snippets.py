"""Code examples that push to a monitor, in many languages.

Each language is a template in templates/monitors/snippets/. A line that begins with "=== " starts a part
and names it: a file to write, or "up" and "down" for commands that report that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from django.template import Context, loader
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from monitors.domain.cron_to_on_calendar import cron_to_on_calendar
from monitors.domain.durations import HOUR, MINUTE, exactly
from monitors.domain.expressions import is_time_zone
from monitors.domain.on_calendar_times import in_zone
from monitors.history import current
from monitors.models import Monitor

PLACEHOLDER = "https://.../api/push/<push token>"
# GitHub doesn't start jobs more often than this.
_GITHUB_LEAST = 5 * MINUTE
# A program that has to push at least this often runs in a loop; others are started by a scheduler.
_LONGEST_LOOP = HOUR
_CRON = re.compile(r"[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4}")
_ON_CALENDAR = re.compile(r"[0-9A-Za-z*,.:/~+_-]+( [0-9A-Za-z*,.:/~+_-]+)*")
# Characters of a URL that are not escaped: none has a meaning inside quotes in any language or shell. The
# last three are in PLACEHOLDER.
_KEPT = "/:?#[]@!&()*+,;=%-._~<> "
# Kubernetes adds eleven characters to the name of a CronJob and allows 63.
_NAME_LENGTH = 52


class Kind(StrEnum):
    """What a snippet is: a command, a program, or configuration of what runs programs."""

    SHELL = "shell"
    CODE = "code"
    DEPLOY = "deploy"


KIND_LABELS = {
    Kind.SHELL: gettext_lazy("Shell"),
    Kind.CODE: gettext_lazy("Programs"),
    Kind.DEPLOY: gettext_lazy("Schedulers and containers"),
}


def _shell(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


def _double(text: str) -> str:
    """Quote for languages whose strings are like JSON's; `text` is printable ASCII."""
    return json.dumps(text)


def _single(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


def _powershell(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _compose(text: str) -> str:
    return _double(text.replace("$", "$$"))


@dataclass(frozen=True, slots=True)
class Language:
    """A language of snippets. `template` is the file name, `quoted` quotes a text in that language."""

    slug: str
    name: str
    kind: Kind
    template: str
    quoted: Callable[[str], str]


LANGUAGES = {
    language.slug: language
    for language in (
        Language("curl", "cURL", Kind.SHELL, "curl.sh.txt", _shell),
        Language("wget", "wget", Kind.SHELL, "wget.sh.txt", _shell),
        Language("bash", "Bash", Kind.SHELL, "bash.sh.txt", _shell),
        Language("powershell", "PowerShell", Kind.SHELL, "powershell.ps1.txt", _powershell),
        Language("python-requests", "Python (requests)", Kind.CODE, "python-requests.py.txt", _double),
        Language("python", "Python (standard library)", Kind.CODE, "python.py.txt", _double),
        Language("node", "Node.js", Kind.CODE, "node.mjs.txt", _double),
        Language("javascript", "JavaScript (browser)", Kind.CODE, "javascript.js.txt", _double),
        Language("typescript", "TypeScript", Kind.CODE, "typescript.ts.txt", _double),
        Language("php", "PHP", Kind.CODE, "php.php.txt", _single),
        Language("java", "Java", Kind.CODE, "java.java.txt", _double),
        Language("go", "Go", Kind.CODE, "go.go.txt", _double),
        Language("csharp", "C#", Kind.CODE, "csharp.cs.txt", _double),
        Language("ruby", "Ruby", Kind.CODE, "ruby.rb.txt", _single),
        Language("crontab", "crontab", Kind.DEPLOY, "crontab.crontab.txt", _double),
        Language("systemd", "systemd", Kind.DEPLOY, "systemd.ini.txt", _double),
        Language("docker", "Docker", Kind.DEPLOY, "docker.yaml.txt", _compose),
        Language("kubernetes", "Kubernetes CronJob", Kind.DEPLOY, "kubernetes.yaml.txt", _double),
        Language("github-actions", "GitHub Actions", Kind.DEPLOY, "github-actions.yaml.txt", _shell),
    )
}
DEFAULT = "curl"


@dataclass(frozen=True, slots=True)
class Part:
    """A text to copy. `name` is the file to write, or "up" or "down" for a command that reports that."""

    name: str
    text: str

    @property
    def label(self) -> str:
        """The label shown to the reader."""
        match self.name:
            case "up":
                return _("When the job succeeds")
            case "down":
                return _("When it fails")
            case "once":
                return _("Once, to keep the push URL secret")
        return self.name

    @property
    def rows(self) -> int:
        """The number of lines."""
        return self.text.count("\n") + 1


@dataclass(frozen=True, slots=True)
class Snippet:
    """The parts to copy in one language, in the order of use. `note` is a warning, or ""."""

    language: Language
    parts: tuple[Part, ...]
    note: str = ""

    @property
    def slug(self) -> str:
        return self.language.slug

    @property
    def kind(self) -> Kind:
        return self.language.kind


def snippet_of(monitor: Monitor, push_url: str, slug: str) -> Snippet:
    """Return the snippet of the language `slug`, pushing to `push_url` at the interval of `monitor`.

    Args:
        push_url: in full if the reader may see it, else PLACEHOLDER.

    Raises:
        KeyError: there is no such language.
    """
    language = LANGUAGES[slug]
    template: Any = loader.get_template(f"monitors/snippets/{language.template}")
    # Code and its comments are always English.
    with translation.override("en"):
        context = Context(_facts(monitor, push_url, language), autoescape=False)
        text = template.template.render(context)
    return Snippet(language, _parts(text), _note(monitor, slug))


def _parts(text: str) -> tuple[Part, ...]:
    parts = []
    for block in ("\n" + text).split("\n=== ")[1:]:
        name, _newline, body = block.partition("\n")
        parts.append(Part(name.strip(), body.strip("\n")))
    return tuple(parts)


def _facts(monitor: Monitor, push_url: str, language: Language) -> dict[str, Any]:
    """Return the context of the templates; everything from users is quoted or known to be safe."""
    url = quote(push_url, safe=_KEPT)
    crontab, zone = _crontab(monitor), ""
    calendars: tuple[str, ...] = ()
    if monitor.has_set_times:
        zone = monitor.timezone if is_time_zone(monitor.timezone) else "UTC"
    match monitor.kind:
        case Monitor.Kind.CRON:
            when, calendars = f"at the times of {crontab} ({zone})", cron_to_on_calendar(crontab, zone)
        case Monitor.Kind.ON_CALENDAR:
            calendars = _calendars(monitor, zone)
            when = f"at the times of {', '.join(calendars) or 'its schedule'}"
        case _:
            when = f"every {exactly(_period(monitor))}"
    return {
        "url": language.quoted(url),
        "shell_url": _shell(url),
        "name": monitor.slug[:_NAME_LENGTH].strip("-") or "job",
        "when": when,
        "crontab": crontab,
        "zone": zone,
        # 0 for set times, so that nothing loops.
        "period": _period(monitor),
        "loops": 0 < _period(monitor) <= _LONGEST_LOOP,
        "calendars": calendars,
        # systemd may start a job up to a minute late otherwise; cron's times are not closer than that.
        "to_the_second": monitor.kind == Monitor.Kind.ON_CALENDAR,
    }


def _period(monitor: Monitor) -> int:
    return 0 if monitor.has_set_times else monitor.interval or monitor.timeout


def _calendars(monitor: Monitor, zone: str) -> tuple[str, ...]:
    """Return the OnCalendar= values of a timer that runs at exactly the times of `monitor`."""
    lines = [in_zone(line, zone) for line in monitor.calendar.split("\n")]
    return tuple(line for line in lines if _ON_CALENDAR.fullmatch(line))


def _crontab(monitor: Monitor) -> str:
    times = " ".join((current.crontab_times(monitor) or "").split())
    if _CRON.fullmatch(times):
        return times
    return "0 2 * * *" if monitor.has_set_times else "* * * * *"


def _note(monitor: Monitor, slug: str) -> str:
    """Return why this snippet may not suit this monitor, or ""."""
    period = _period(monitor)
    if slug in ("crontab", "kubernetes") and 0 < period < MINUTE:
        return _(
            "Cron can start a job once a minute at most, and this monitor expects a push every "
            "%(interval)s. Use a longer timeout, or a program that loops."
        ) % {"interval": exactly(period)}
    if slug in ("crontab", "kubernetes", "github-actions") and monitor.kind == Monitor.Kind.ON_CALENDAR:
        return _("Cron doesn't read OnCalendar expressions: replace 0 2 * * * with this monitor's times.")
    if slug == "crontab" and monitor.kind == Monitor.Kind.CRON:
        return _("Cron uses the machine's time zone; this monitor's times are in %(zone)s.") % {
            "zone": monitor.timezone
        }
    if slug == "github-actions":
        return _note_on_github(monitor, period)
    if slug == "javascript":
        return _("Anyone who opens the page can read this push URL, so give the page its own push token.")
    return ""


def _note_on_github(monitor: Monitor, period: int) -> str:
    if 0 < period < _GITHUB_LEAST:
        return _(
            "GitHub can start a job every 5 minutes at most, and this monitor expects a push every "
            "%(interval)s. Use a longer timeout."
        ) % {"interval": exactly(period)}
    if monitor.kind == Monitor.Kind.CRON and monitor.timezone != "UTC":
        return _(
            "GitHub reads these times as UTC; this monitor's times are in %(zone)s. It often starts jobs "
            "late, so choose a long grace period."
        ) % {"zone": monitor.timezone}
    return _("GitHub often starts jobs late, so choose a long grace period.")
