"""ntfy, Gotify, Pushover and Twilio."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from datetime import timedelta
from typing import Any, ClassVar

from tests.support.providers.base import Fake, Reply, Request, need, text_of


class Ntfy(Fake):
    """Publishing as JSON: https://docs.ntfy.sh/publish/#publish-as-json."""

    kind = "ntfy"
    config: ClassVar = {"topic": "tianji_tests", "token": "tk_geheimnisgeheimnis", "priority": "5"}
    wrong: ClassVar = {"token": "tk_falschfalschfalsch"}
    wrong_words = "unauthorized"
    secrets = ("tk_geheimnisgeheimnis",)
    limited_wait = timedelta(seconds=60)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"server": self.url, **self.config, **more}

    def take(self, request: Request) -> Reply:
        if request.headers.get("authorization") != "Bearer tk_geheimnisgeheimnis":
            return self._no(401, 40101, "unauthorized")
        need(request.method == "POST" and request.path == "/", "page not found")
        content = request.json
        need(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", content["topic"]), "invalid topic")
        text_of(content["title"], "title", 250)
        text_of(content["message"], "message", 4096)
        need(len(content["message"].encode()) <= 4096, "the message is a file by now")
        need(content["priority"] in (1, 2, 3, 4, 5) and not isinstance(content["priority"], bool), "priority")
        need(all(isinstance(tag, str) for tag in content["tags"]), "tags")
        need(content["click"].startswith(("https://", "http://")), "click")
        need(len(content["actions"]) <= 3, "too many actions")
        for action in content["actions"]:
            need(action["action"] == "view" and action["label"] and action["url"], "action")
        need(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", content["sequence_id"]), "sequence ID invalid")
        return Reply(200, {"id": "abc", "time": 1, "event": "message", "topic": content["topic"]})

    def shown_text(self, request: Request) -> str:
        return f"{request.json['title']}\n{request.json['message']}"

    def _no(self, status: int, code: int, words: str) -> Reply:
        return Reply(status, {"code": code, "http": status, "error": words, "link": "https://ntfy.sh/docs"})

    def refusal(self, words: str) -> Reply:
        return self._no(400, 40001, f"invalid request: {words}")

    def limited(self) -> Reply:
        reply = self._no(429, 42901, "limit reached: too many requests")
        reply.headers["Retry-After"] = "60"
        return reply


class Gotify(Fake):
    """Creating a message: https://gotify.net/api-docs#/message/createMessage."""

    kind = "gotify"
    config: ClassVar = {"token": "AGeheimnis.0001"}
    wrong: ClassVar = {"token": "AFalsch.0000001"}
    wrong_words = "you need to provide a valid access token or user credentials to access this api"
    secrets = ("AGeheimnis.0001",)
    # It has no limits; a proxy in front of it may.
    limited_wait = timedelta(seconds=7)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"server": f"{self.url}/push", **self.config, **more}

    def take(self, request: Request) -> Reply:
        if request.headers.get("x-gotify-key") != "AGeheimnis.0001":
            return self._no(401, "Unauthorized", self.wrong_words)
        need(request.method == "POST" and request.path == "/push/message", "page not found")
        content = request.json
        text_of(content["message"], "message", 100_000)
        text_of(content["title"], "title", 250)
        need(isinstance(content["priority"], int) and 0 <= content["priority"] <= 10, "priority")
        extras = content["extras"]
        need(extras["client::display"]["contentType"] in ("text/plain", "text/markdown"), "contentType")
        need(extras["client::notification"]["click"]["url"], "click")
        return Reply(200, {"id": 25, "appid": 5, **content})

    def shown_text(self, request: Request) -> str:
        return f"{request.json['title']}\n{request.json['message']}"

    def _no(self, status: int, error: str, words: str) -> Reply:
        return Reply(status, {"error": error, "errorCode": status, "errorDescription": words})

    def refusal(self, words: str) -> Reply:
        return self._no(400, "Bad Request", words)

    def limited(self) -> Reply:
        return Reply(429, "", {"Retry-After": "7"})


class Pushover(Fake):
    """Pushing messages: https://pushover.net/api#messages."""

    kind = "pushover"
    config: ClassVar = {
        "token": "aGeheimnisGeheimnisGeheimnis01",
        "user": "uGeheimnisGeheimnisGeheimnis02",
        "priority": "2",
        "sound": "siren",
    }
    wrong: ClassVar = {"token": "aFalschFalschFalschFalschFal01"}
    wrong_words = "application token is invalid"
    secrets = ("aGeheimnisGeheimnisGeheimnis01", "uGeheimnisGeheimnisGeheimnis02")
    origins = ("https://api.pushover.net",)

    def take(self, request: Request) -> Reply:
        need(request.method == "POST" and request.path == "/1/messages.json", "no such page")
        content = request.json
        if content["token"] != self.config["token"]:
            return self._no(400, "application token is invalid")
        if content["user"] != self.config["user"]:
            return self._no(400, "user identifier is not a valid user, group, or subscribed user key")
        text_of(content["title"], "title", 250)
        text_of(content["message"], "message", 1024)
        text_of(content.get("url", "x"), "url", 512)
        text_of(content.get("url_title", "x"), "url_title", 100)
        need(content["priority"] in (-2, -1, 0, 1, 2), "priority is invalid")
        if content["priority"] == 2:
            need(content["retry"] >= 30 and 0 < content["expire"] <= 10_800, "retry and expire")
        need("ttl" not in content or (content["ttl"] > 0 and content["priority"] != 2), "ttl")
        return Reply(200, {"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"})

    def shown_text(self, request: Request) -> str:
        return f"{request.json['title']}\n{request.json['message']}"

    def _no(self, status: int, words: str) -> Reply:
        return Reply(status, {"status": 0, "errors": [words], "request": "5042853c"})

    def refusal(self, words: str) -> Reply:
        return self._no(400, words)

    def limited(self) -> Reply:
        reply = self._no(429, "application is over its quota of messages for this month")
        reply.headers |= {"X-Limit-App-Remaining": "0", "X-Limit-App-Reset": str(int(time.time()) + 3000)}
        return reply


class Twilio(Fake):
    """The Message resource: https://www.twilio.com/docs/messaging/api/message-resource."""

    kind = "twilio"
    config: ClassVar = {
        "account_sid": "AC" + "0a" * 16,
        "auth_token": "fe" * 16,
        "from": "+15551234567",
        "to": ["+6281234567890", "+6281234567891"],
    }
    wrong: ClassVar = {"auth_token": "ef" * 16}
    wrong_words = "Authenticate (20003)"
    secrets = ("fe" * 16, b64encode(f"AC{'0a' * 16}:{'fe' * 16}".encode()).decode())
    origins = ("https://api.twilio.com",)
    limited_wait = timedelta(seconds=3)
    unknown = "+6281234567899"

    def take(self, request: Request) -> Reply:
        account, token = self.config["account_sid"], self.config["auth_token"]
        basic = b64encode(f"{account}:{token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return self._no(401, 20003, "Authenticate")
        need(request.method == "POST", "method")
        if request.path != f"/2010-04-01/Accounts/{account}/Messages.json":
            return self._no(404, 20404, "The requested resource was not found")
        need(request.headers["content-type"] == "application/x-www-form-urlencoded", "content type")
        form = request.form
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form["To"]) or form["To"] == self.unknown:
            return self._no(400, 21211, f"Invalid 'To' Phone Number: {form['To'][:6]}XXXX")
        need(("From" in form) != ("MessagingServiceSid" in form), "A 'From' phone number is required.")
        text_of(form["Body"], "Body", 1600)
        return Reply(201, {"sid": "SM" + "1b" * 16, "status": "queued", "error_code": None})

    def shown_text(self, request: Request) -> str:
        return request.form["Body"]

    def _no(self, status: int, code: int, words: str) -> Reply:
        more = f"https://www.twilio.com/docs/errors/{code}"
        return Reply(status, {"code": code, "message": words, "more_info": more, "status": status})

    def refusal(self, words: str) -> Reply:
        return self._no(400, 21602, words)

    def limited(self) -> Reply:
        reply = self._no(429, 20429, "Too Many Requests")
        reply.headers["Retry-After"] = "3"
        return reply
