"""PagerDuty and Opsgenie, which keep a record of each outage."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, ClassVar

from tests.support.providers.base import Fake, Reply, Request, need, text_of


class PagerDuty(Fake):
    """Events API v2: https://developer.pagerduty.com/docs/events-api-v2-overview.

    `open` are the alerts that are triggered and not resolved, by their keys.
    """

    kind = "pagerduty"
    config: ClassVar = {"routing_key": "geheimnis0geheimnis0geheimnis012"}
    wrong: ClassVar = {"routing_key": "falsch0000falsch0000falsch000012"}
    wrong_words = "Event object is invalid: Invalid routing key"
    secrets = ("geheimnis0geheimnis0geheimnis012",)
    origins = ("https://events.pagerduty.com", "https://events.eu.pagerduty.com")
    limited_wait = timedelta(seconds=9)

    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()

    def take(self, request: Request) -> Reply:
        need(request.method == "POST" and request.path == "/v2/enqueue", "no such page")
        need(len(request.body) <= 512 * 1024, "too large")
        content = request.json
        if content["routing_key"] != self.config["routing_key"]:
            return self.refusal("Invalid routing key")
        key = text_of(content["dedup_key"], "dedup_key", 255)
        need(content["event_action"] in ("trigger", "resolve"), "event_action")
        if content["event_action"] == "trigger":
            payload = content["payload"]
            text_of(payload["summary"], "summary", 1024)
            text_of(payload["source"], "source", 255)
            need(payload["severity"] in ("critical", "error", "warning", "info"), "severity")
            need(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", payload["timestamp"]), "timestamp")
            need(isinstance(payload["custom_details"], dict), "custom_details")
            for link in content["links"]:
                need(link["href"].startswith(("https://", "http://")) and link["text"], "link")
            self.open.add(key)
        else:
            self.open.discard(key)
        return Reply(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def shown_text(self, request: Request) -> str:
        payload: dict[str, Any] = request.json.get("payload") or {}
        return f"{payload.get('summary', '')}\n{payload.get('custom_details', {}).get('text', '')}"

    def refusal(self, words: str) -> Reply:
        content = {"status": "invalid event", "message": "Event object is invalid", "errors": [words]}
        return Reply(400, content)

    def limited(self) -> Reply:
        return Reply(429, {"status": "throttle exceeded", "message": "slow down"}, {"Retry-After": "9"})


class Opsgenie(Fake):
    """The alert API: https://docs.opsgenie.com/docs/alert-api.

    `open` are the alerts that are created and not closed, by their aliases.
    """

    kind = "opsgenie"
    config: ClassVar = {"api_key": "geheimni-1234-1234-1234-123456789012"}
    wrong: ClassVar = {"api_key": "falschxx-1234-1234-1234-123456789012"}
    wrong_words = "Could not authenticate"
    secrets = ("geheimni-1234-1234-1234-123456789012",)
    origins = ("https://api.opsgenie.com", "https://api.eu.opsgenie.com", "https://api.atlassian.com")
    limited_wait = timedelta(seconds=60)

    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()

    def take(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"GenieKey {self.config['api_key']}":
            return self._no(401, "Could not authenticate")
        need(request.method == "POST", "method")
        path = request.path.removeprefix("/jsm/ops/integration")
        content = request.json
        if path == "/v2/alerts":
            text_of(content["message"], "message", 130)
            alias = text_of(content["alias"], "alias", 512)
            text_of(content["description"], "description", 15_000, least=0)
            text_of(content["entity"], "entity", 512, least=0)
            text_of(content["source"], "source", 100)
            need(content["priority"] in ("P1", "P2", "P3", "P4", "P5"), "priority")
            need(all(isinstance(value, str) for value in content["details"].values()), "details")
            need(len(content["tags"]) <= 20 and all(len(tag) <= 50 for tag in content["tags"]), "tags")
            self.open.add(alias)
        else:
            closed = re.fullmatch(r"/v2/alerts/([^/]{1,512})/close", path)
            need(closed and request.query == {"identifierType": "alias"}, "no such page")
            assert closed is not None
            text_of(content["note"], "note", 25_000, least=0)
            self.open.discard(closed[1])
        return Reply(202, {"result": "Request will be processed", "took": 0.1, "requestId": "43a29c5c"})

    def shown_text(self, request: Request) -> str:
        content = request.json
        return f"{content.get('message', '')}\n{content.get('description', '')}{content.get('note', '')}"

    def _no(self, status: int, words: str) -> Reply:
        return Reply(status, {"message": words, "took": 0.1, "requestId": "43a29c5c"})

    def refusal(self, words: str) -> Reply:
        content = {"message": "Request body is not processable.", "errors": {"field": words}}
        return Reply(422, content)

    def limited(self) -> Reply:
        reply = self._no(429, "You are making too many requests! To avoid being throttled, slow down.")
        reply.headers |= {"X-RateLimit-State": "THROTTLED", "X-RateLimit-Period-In-Sec": "60"}
        return reply
