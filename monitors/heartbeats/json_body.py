"""Reads JSON bodies: our own fields, and what other tools of the trade post."""

from __future__ import annotations

import json
import re
from typing import Any

from monitors.heartbeats.fields import EXIT, STATUS, TEXTS, Fields, canonical
from monitors.heartbeats.words import Verdict, judge

_NUMBER_LENGTH = 400
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|["{}\[\],]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
# GitHub Actions: where its events have the conclusion of a run.
_GITHUB_RUNS = ("workflow_run", "workflow_job", "check_run", "check_suite")
_GITHUB_FAILURES = ("failure", "timed_out", "startup_failure")
_ALERT_STATUSES = ("firing", "resolved")
_GRAFANA_STATES = {"ok": "up", "alerting": "down", "no_data": "down"}
# Uptime Kuma's numbers, the opposite of exit codes. Others are pending and maintenance.
_KUMA_STATUSES = {"0": "down", "1": "up"}
_PAGERDUTY_ACTIONS = {"trigger": "down", "resolve": "up"}


_NAMES_OF_OTHERS = frozenset(("alerts", *_GITHUB_RUNS, "heartbeat", "ruleName", "event_action"))


class NotJson(Exception):
    """It has no fields that can be read as JSON; the text says why."""


class JustText(Exception):
    """It is not meant as JSON, or only quoted: read `text` as plain text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object, with those whose name is repeated."""

    def get(self, name: str) -> Any:
        return next((value for key, value in self if key == name), None)


def _integer(digits: str) -> int | str:
    """Return an integer, or its digits if it is so long that int() would reject the body."""
    return int(digits) if len(digits) <= _NUMBER_LENGTH else digits


# Not strict: senders put line breaks into strings.
_DECODER = json.JSONDecoder(parse_int=_integer, strict=False, object_pairs_hook=_Object)
# The quotes that a shell should have kept for itself.
_AROUND = " \t\r\n\v\f\0\x1e,;'"
_BETWEEN = re.compile(r"[\s,;\x1e]*")


def read_json(text: str, *, whole: bool = True) -> tuple[Fields, bool]:
    """Return what JSON says, and whether it is a notification of Alertmanager or Grafana.

    Args:
        text: one or more values, one behind another.
        whole: whether this is all of it; otherwise what there is of it is read.

    Raises:
        NotJson, JustText: it is something else.
    """
    try:
        values = _values(text.strip(_AROUND) if whole else _closed(text))
        if len(values) == 1 and isinstance(values[0], str):
            return _unquoted(values[0])
        fields = Fields()
        from_alerts = _walk(fields, values)
    except ValueError as error:
        if text.lstrip()[:1] in '["' and "{" not in text:
            raise JustText(text) from error
        raise NotJson("The body is not valid JSON.") from error
    except RecursionError as error:
        raise NotJson("The JSON body is nested too deeply.") from error
    if not any(isinstance(value, _Object) for value in values) and not any(
        isinstance(value, _Object) for each in values for value in _items(each)
    ):
        raise NotJson("The JSON body is not an object.")
    return fields, from_alerts


def _values(text: str) -> list[Any]:
    value, at = _DECODER.raw_decode(text, 0)
    values = [value]
    while at < len(text):
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        value, at = _DECODER.raw_decode(text, at)
        values.append(value)
    return values


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unquoted(text: str) -> tuple[Fields, bool]:
    """Read what was quoted as one JSON string: JSON that was encoded twice, or text."""
    if text.lstrip()[:1] == "{":
        return read_json(text)
    raise JustText(text)


def _closed(text: str) -> str:
    """Return the start of a JSON value up to its last complete member, with its brackets closed."""
    marks: list[re.Match[str]] = []
    for match in _MARK.finditer(text):
        if match[0] == '"':
            # A string that does not end.
            break
        if len(match[0]) == 1:
            marks.append(match)
    if not marks:
        return ""
    last = marks[-1]
    closing: list[str] = []
    for match in marks:
        if match[0] in _CLOSING:
            closing.append(_CLOSING[match[0]])
        elif match[0] != "," and closing:
            closing.pop()
    return text[: last.start() if last[0] == "," else last.end()] + "".join(reversed(closing))


def _walk(fields: Fields, values: list[Any]) -> bool:
    """Take all members at all depths into account; return whether these are alerts."""
    top = values[0] if len(values) == 1 and isinstance(values[0], _Object) else None
    rest: list[Any] = values
    while rest:
        inner: list[Any] = []
        for value in rest:
            if isinstance(value, _Object):
                for name, member in value:
                    _take(fields, name, member, nested=value is not top)
                    if isinstance(member, list):
                        inner.append(member)
            elif isinstance(value, list):
                inner.extend(member for member in value if isinstance(member, list))
        rest = inner
    return top is not None and _know(fields, top)


def _take(fields: Fields, name: str, value: Any, *, nested: bool) -> None:
    if isinstance(value, str):
        fields.take(name, value, nested=nested)
    elif isinstance(value, list):
        key = canonical(name)[0]
        if key in (STATUS, EXIT):
            text = as_text(value)
            # {"up": 1} is no status, though it is made of words for up.
            if isinstance(value, _Object) and judge(text) is not Verdict.DOWN:
                text = "an object"
            fields.take(name, text, nested=nested)
        elif key in TEXTS and not nested:
            fields.take(name, as_text(value))
    elif value is not None:
        fields.take(name, json.dumps(value), nested=nested)


def as_text(value: Any) -> str:
    """Return a JSON value as JSON. Raises RecursionError if it is nested too deeply."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, _Object):
        return {name: _plain(inner) for name, inner in value}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


# --- What other tools post -----------------------------------------------------------------------


def _know(fields: Fields, top: _Object) -> bool:
    """Complete what is said by what is known of other tools; return whether these are alerts."""
    if _NAMES_OF_OTHERS.isdisjoint(name for name, _value in top):
        return False
    alerts = top.get("alerts")
    if isinstance(alerts, list) and not isinstance(alerts, _Object):
        _name_alerts(fields, top)
        return _only_fires(top, alerts)
    for read in (_github, _kuma, _grafana_rule, _pagerduty):
        status = read(fields, top)
        if status is not None:
            # The other statuses in it are understood by this one.
            fields.up, fields.doubtful = False, None
            fields.take_status(status, certain=True)
            return read is _grafana_rule and top.get("state") in _GRAFANA_STATES
    return False


def _only_fires(top: _Object, alerts: list[Any]) -> bool:
    """Return whether all that says down is that alerts fire, as in notifications of Alertmanager and Grafana.

    Others who have a list of alerts say "status": "down".
    """
    own = [value for name, value in top if canonical(name)[0] in (STATUS, EXIT)]
    of_alerts = [each.get(STATUS) if isinstance(each, _Object) else None for each in alerts]
    return bool(own or alerts) and all(status in _ALERT_STATUSES for status in (*own, *of_alerts))


def _name_alerts(fields: Fields, top: _Object) -> None:
    """Say what the alerts are about, if there is no message."""
    for source, name in (
        ("commonAnnotations", "summary"),
        ("commonAnnotations", "description"),
        ("commonLabels", "alertname"),
    ):
        annotations = top.get(source)
        if isinstance(annotations, _Object):
            fields.suggest_message(annotations.get(name))


def _github(fields: Fields, top: _Object) -> str | None:
    run = next((run for name in _GITHUB_RUNS if isinstance(run := top.get(name), _Object)), None)
    if run is None:
        return None
    # None while it runs.
    conclusion = run.get("conclusion") or run.get("status")
    if isinstance(run.get("name"), str):
        fields.suggest_message(f"{run.get('name')}: {conclusion}")
    return "down" if conclusion in _GITHUB_FAILURES else str(conclusion)


def _kuma(fields: Fields, top: _Object) -> str | None:
    beat = top.get("heartbeat")
    if not isinstance(beat, _Object) or not isinstance(beat.get("status"), int):
        return None
    fields.suggest_message(beat.get("msg"))
    return _KUMA_STATUSES.get(str(beat.get("status")), "pending")


def _grafana_rule(fields: Fields, top: _Object) -> str | None:
    """Read what Grafana posted before its alerts were like those of Alertmanager."""
    state = top.get("state")
    if top.get("ruleName") is None or not isinstance(state, str):
        return None
    fields.suggest_message(top.get("ruleName"))
    return _GRAFANA_STATES.get(state, state)


def _pagerduty(fields: Fields, top: _Object) -> str | None:
    action = top.get("event_action")
    if top.get("routing_key") is None or not isinstance(action, str):
        return None
    payload = top.get("payload")
    if isinstance(payload, _Object):
        fields.suggest_message(payload.get("summary"))
    return _PAGERDUTY_ACTIONS.get(action, action)
