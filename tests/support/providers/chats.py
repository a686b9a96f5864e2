"""Slack, Discord, Telegram, Microsoft Teams, Feishu/Lark and Matrix."""

from __future__ import annotations

import hmac
import re
import time
from base64 import b64encode
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any, ClassVar
from urllib.parse import unquote

from tests.support.providers.base import Fake, Reply, Request, need, text_of


def is_json(request: Request) -> Any:
    need(request.headers.get("content-type", "").startswith("application/json"), "not JSON")
    return request.json


class Slack(Fake):
    """Incoming webhooks: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/."""

    kind = "slack"
    config: ClassVar = {"url": "https://hooks.slack.com/services/T00000001/B00000001/geheimnisgeheimnis00001"}
    wrong: ClassVar = {"url": "https://hooks.slack.com/services/T00000001/B00000001/falschfalschfalsch000001"}
    wrong_words = "no_service"
    secrets = ("geheimnisgeheimnis00001",)
    origins = ("https://hooks.slack.com",)
    limited_wait = timedelta(seconds=30)

    def take(self, request: Request) -> Reply:
        need(request.method == "POST", "invalid_method")
        if request.path != self.config["url"].removeprefix("https://hooks.slack.com"):
            return Reply(404, "no_service")
        content = is_json(request)
        text = text_of(content["text"], "text", 40_000)
        need("<" not in text and ">" not in text, "marks of Slack in the text")
        need(re.fullmatch(r"([^&]|&(amp|lt|gt);)*", text), "an & that is not escaped")
        for attachment in content["attachments"]:
            need(re.fullmatch(r"#[0-9a-f]{6}", attachment["color"]), "color")
            need(len(attachment["blocks"]) <= 50, "too many blocks")
            for block in attachment["blocks"]:
                need(block["type"] == "section", "block")
                content = block["text"]
                text_of(content["text"], "text of a section", 3000)
                need(content["type"] in ("plain_text", "mrkdwn"), "type of text")
                if content["type"] == "mrkdwn":
                    need("emoji" not in content, "emoji is for plain text")
                    need(
                        re.fullmatch(
                            r"<https?://[^|<>\s]+\|[^<>]+>( · <https?://[^|<>\s]+\|[^<>]+>)*", content["text"]
                        ),
                        "links",
                    )
        return Reply(200, "ok")

    def shown_text(self, request: Request) -> str:
        blocks = request.json["attachments"][0]["blocks"]
        return "\n".join([unescape(request.json["text"]), *(block["text"]["text"] for block in blocks)])

    def refusal(self, words: str) -> Reply:
        return Reply(400, "invalid_payload")

    def limited(self) -> Reply:
        return Reply(429, {"ok": False, "error": "rate_limited"}, {"Retry-After": "30"})


class Discord(Fake):
    """Execute webhook: https://docs.discord.com/developers/resources/webhook."""

    kind = "discord"
    config: ClassVar = {"url": "https://discord.com/api/webhooks/123456789012345678/geheim-nis_geheim"}
    wrong: ClassVar = {"url": "https://discord.com/api/webhooks/123456789012345678/falsch"}
    wrong_words = "Invalid Webhook Token"
    secrets = ("geheim-nis_geheim",)
    origins = ("https://discord.com",)
    limited_wait = timedelta(seconds=1.337)

    def take(self, request: Request) -> Reply:
        need(request.method == "POST", "method")
        if not request.path.startswith("/api/webhooks/123456789012345678/"):
            return Reply(404, {"message": "Unknown Webhook", "code": 10015})
        if request.path != self.config["url"].removeprefix("https://discord.com"):
            return Reply(401, {"message": "Invalid Webhook Token", "code": 50027})
        need(request.query == {"wait": "true"}, "wait")
        content = is_json(request)
        need(content["allowed_mentions"] == {"parse": []}, "mentions")
        need(1 <= len(content["embeds"]) <= 10, "embeds")
        for embed in content["embeds"]:
            text_of(embed["title"], "title", 256)
            text_of(embed["description"], "description", 4096)
            need(isinstance(embed["color"], int) and 0 <= embed["color"] <= 0xFFFFFF, "color")
            need(embed["url"].startswith(("http://", "https://")), "url")
            need(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", embed["timestamp"]), "timestamp")
        return Reply(200, {"id": "1", "type": 0, "content": ""})

    def shown_text(self, request: Request) -> str:
        """As it is read: a backslash before a mark is gone."""
        (embed,) = request.json["embeds"]
        return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", f"{embed['title']}\n{embed['description']}")

    def refusal(self, words: str) -> Reply:
        return Reply(400, {"message": "Invalid Form Body", "code": 50035, "errors": {}})

    def limited(self) -> Reply:
        content = {"message": "You are being rate limited.", "retry_after": 1.337, "global": False}
        return Reply(429, content, {"Retry-After": "2"})


class _Read(HTMLParser):
    """The text of HTML, with the tags that were open."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self.text, self.allowed, self.open = "", allowed, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        need(tag in self.allowed, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"')
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        need(self.open and self.open.pop() == tag, "Bad Request: can't parse entities")

    def handle_data(self, data: str) -> None:
        self.text += data


def read_html(html: str, *allowed: str) -> str:
    """Return the text of HTML with only `allowed` tags, all of them closed."""
    parser = _Read(allowed)
    parser.feed(html)
    parser.close()
    need(not parser.open, "Bad Request: can't parse entities: Can't find end tag")
    return parser.text


class Telegram(Fake):
    """sendMessage of the Bot API: https://core.telegram.org/bots/api#sendmessage."""

    kind = "telegram"
    config: ClassVar = {
        "token": "123456789:AAGeheimnisGeheimnisGeheimnis_0123456",
        "chat_id": "-1001234567890",
    }
    wrong: ClassVar = {"token": "123456789:AAFalschFalschFalschFalschFalsch_012345"}
    wrong_words = "Unauthorized"
    secrets = ("AAGeheimnisGeheimnisGeheimnis_0123456",)
    origins = ("https://api.telegram.org",)
    limited_wait = timedelta(seconds=35)

    def take(self, request: Request) -> Reply:
        if request.path != f"/bot{self.config['token']}/sendMessage":
            return self._no(401, "Unauthorized")
        content = is_json(request)
        if content["chat_id"] != self.config["chat_id"]:
            return self._no(400, "Bad Request: chat not found")
        need(isinstance(content.get("message_thread_id", 0), int), "Bad Request: message_thread_id")
        need(content["parse_mode"] == "HTML", "Bad Request: unsupported parse_mode")
        need(content["link_preview_options"] == {"is_disabled": True}, "link preview")
        text = read_html(content["text"], "b", "a")
        need(text.strip(), "Bad Request: message text is empty")
        need(len(text) <= 4096, "Bad Request: message is too long")
        return Reply(200, {"ok": True, "result": {"message_id": 1}})

    def shown_text(self, request: Request) -> str:
        return read_html(request.json["text"], "b", "a")

    def _no(self, status: int, words: str) -> Reply:
        return Reply(status, {"ok": False, "error_code": status, "description": words})

    def refusal(self, words: str) -> Reply:
        return self._no(400, words)

    def limited(self) -> Reply:
        words = "Too Many Requests: retry after 35"
        content = {"ok": False, "error_code": 429, "description": words, "parameters": {"retry_after": 35}}
        return Reply(429, content)


class Teams(Fake):
    """A workflow that posts the card of a request: https://adaptivecards.io/explorer/."""

    kind = "teams"
    config: ClassVar = {
        "url": "https://prod-01.westeurope.logic.azure.com/workflows/abc/triggers/manual/paths/invoke"
        "?api-version=2016-06-01&sig=geheimnis-geheimnis"
    }
    wrong: ClassVar = {
        "url": "https://prod-01.westeurope.logic.azure.com/workflows/abc/triggers/manual/paths/invoke"
        "?api-version=2016-06-01&sig=falsch"
    }
    wrong_words = "The provided signature is not valid."
    secrets = ("geheimnis-geheimnis",)
    origins = ("https://prod-01.westeurope.logic.azure.com",)
    limited_wait = timedelta(seconds=20)

    def take(self, request: Request) -> Reply:
        if request.query.get("sig") != "geheimnis-geheimnis":
            return self._no(401, "DirectApiAuthorizationRequired", self.wrong_words)
        need(len(request.body) <= 28 * 1024, "too large")
        content = is_json(request)
        need(content["type"] == "message", "type")
        (attachment,) = content["attachments"]
        need(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", "contentType")
        card = attachment["content"]
        need(card["type"] == "AdaptiveCard" and card["version"] in ("1.2", "1.3", "1.4", "1.5"), "card")
        for block in card["body"]:
            need(block["type"] == "RichTextBlock", "a block that reads Markdown")
            for run in block["inlines"]:
                need(run["type"] == "TextRun" and run["text"], "a run without text")
                need(run.get("color", "default") in ("default", "attention", "good", "warning"), "color")
        for action in card["actions"]:
            need(action["type"] == "Action.OpenUrl" and action["title"], "action")
            need(action["url"].startswith(("https://", "http://")), "url of an action")
        return Reply(202, "")

    def shown_text(self, request: Request) -> str:
        body = request.json["attachments"][0]["content"]["body"]
        return "\n".join(run["text"] for block in body for run in block["inlines"])

    def _no(self, status: int, code: str, words: str) -> Reply:
        return Reply(status, {"error": {"code": code, "message": words}})

    def refusal(self, words: str) -> Reply:
        return self._no(400, "TriggerInputSchemaMismatch", words)

    def limited(self) -> Reply:
        reply = self._no(429, "WorkflowRunsThrottled", "Too many runs.")
        reply.headers["Retry-After"] = "20"
        return reply


class Feishu(Fake):
    """A custom bot: https://open.larksuite.com/document/client-docs/bot-v3/add-custom-bot."""

    kind = "feishu"
    config: ClassVar = {
        "url": "https://open.feishu.cn/open-apis/bot/v2/hook/geheimni-1234-1234-1234-123456789012",
        "secret": "SignaturGeheimnis0001",
    }
    wrong: ClassVar = {"secret": "SignaturFalsch0001"}
    wrong_words = "sign match fail or timestamp is not within one hour from current time (19021)"
    secrets = ("geheimni-1234-1234-1234-123456789012", "SignaturGeheimnis0001")
    origins = ("https://open.feishu.cn",)
    limited_wait = timedelta(seconds=10)

    def take(self, request: Request) -> Reply:
        if request.path != self.config["url"].removeprefix("https://open.feishu.cn"):
            return Reply(200, {"code": 19001, "msg": "param invalid: incoming webhook access token invalid"})
        need(len(request.body) <= 20 * 1024, "the body is too large")
        content = is_json(request)
        timestamp = content["timestamp"]
        need(isinstance(timestamp, str) and abs(time.time() - int(timestamp)) < 3600, "timestamp")
        key = f"{timestamp}\n{self.config['secret']}".encode()
        if content["sign"] != b64encode(hmac.digest(key, b"", "sha256")).decode():
            return Reply(200, {"code": 19021, "msg": self.wrong_words.removesuffix(" (19021)"), "data": {}})
        need(content["msg_type"] == "interactive", "msg_type")
        card = content["card"]
        colours = ("red", "green", "yellow", "orange", "grey", "blue")
        need(card["header"]["template"] in colours, "template")
        texts = [card["header"]["title"]]
        for element in card["elements"]:
            if element["tag"] == "div":
                texts.append(element["text"])
            else:
                need(element["tag"] == "action", "tag")
                need(
                    all(button["tag"] == "button" and button["url"] for button in element["actions"]),
                    "button",
                )
                texts += [button["text"] for button in element["actions"]]
        for text in texts:
            need(text["tag"] == "plain_text" and text["content"], "text")
        return Reply(
            200, {"code": 0, "msg": "success", "data": {}, "StatusCode": 0, "StatusMessage": "success"}
        )

    def shown_text(self, request: Request) -> str:
        card = request.json["card"]
        return f"{card['header']['title']['content']}\n{card['elements'][0]['text']['content']}"

    def refusal(self, words: str) -> Reply:
        return Reply(200, {"code": 9499, "msg": f"Bad Request: {words}", "data": {}})

    def limited(self) -> Reply:
        return Reply(200, {"code": 11232, "msg": "frequency limited psm"})


class Matrix(Fake):
    """Sending an event: https://spec.matrix.org/latest/client-server-api/#sending-events-to-a-room."""

    kind = "matrix"
    config: ClassVar = {"access_token": "syt_geheimnis_geheimnis", "room_id": "!abc/def:example.org"}
    wrong: ClassVar = {"access_token": "syt_falsch"}
    wrong_words = "M_UNKNOWN_TOKEN Invalid access token passed."
    secrets = ("syt_geheimnis_geheimnis",)
    limited_wait = timedelta(milliseconds=2500)

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, dict[str, Any]] = {}

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"server": self.url, **self.config, **more}

    def take(self, request: Request) -> Reply:
        if request.headers.get("authorization") != "Bearer syt_geheimnis_geheimnis":
            return Reply(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed."})
        path = re.fullmatch(r"/_matrix/client/v3/rooms/([^/]+)/send/m\.room\.message/([^/]+)", request.path)
        if request.method != "PUT" or path is None:
            return Reply(404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"})
        if unquote(path[1]) != self.config["room_id"]:
            return Reply(403, {"errcode": "M_FORBIDDEN", "error": "User not in room"})
        need(len(request.body) <= 65_536, "M_TOO_LARGE")
        content = is_json(request)
        need(content["msgtype"] in ("m.text", "m.notice"), "msgtype")
        text_of(content["body"], "body", 65_536)
        need(content["format"] == "org.matrix.custom.html", "format")
        read_html(content["formatted_body"], "p", "strong", "a", "br")
        self.events.setdefault(path[2], content)
        return Reply(200, {"event_id": f"$event{list(self.events).index(path[2])}"})

    def shown_text(self, request: Request) -> str:
        html = read_html(request.json["formatted_body"], "p", "strong", "a", "br")
        for part in html.split(" · ")[:1]:
            need(part.replace("\n", "")[:20] in html, "the two bodies differ")
        return str(request.json["body"])

    def refusal(self, words: str) -> Reply:
        return Reply(400, {"errcode": "M_BAD_JSON", "error": words})

    def limited(self) -> Reply:
        content = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 2500}
        return Reply(429, content)
