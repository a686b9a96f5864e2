"""A tour of the running product that records every response, and everything left on disk."""

from __future__ import annotations

import contextlib
import html
import re
import secrets
import sqlite3
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.integration.visitors import HTMX, LINK, Tour, Visitor
from tests.support.product import EMAIL, PASSWORD, Up, up, wait_for
from tests.support.sinks import HttpSink, SmtpSink

VIEWER, CHOSEN_PASSWORD = "viewer@example.com", "Kfz-41-unmistakable"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOKEN, _KEY = re.compile(r"tjp_[0-9A-Za-z]{36}"), re.compile(r"tja_[0-9A-Za-z]{36}")
_JSON = {"Content-Type": "application/json"}


def take() -> Tour:
    """Start the product, take the tour, stop it, and return what was recorded."""
    tour = Tour(secrets={"password of the owner": PASSWORD, "password of the viewer": CHOSEN_PASSWORD})
    with SmtpSink() as mail, HttpSink() as receiver:
        with up(
            TIANJI_LOG_FORMAT="json",
            TIANJI_LOG_LEVEL="DEBUG",
            TIANJI_EMAIL_URL=mail.url,
            # So that the first owner is created with the setup link.
            TIANJI_ADMIN_EMAIL="",
            TIANJI_ADMIN_PASSWORD="",
        ) as product:
            with contextlib.closing(_Guide(tour, product, mail, receiver)) as guide:
                guide.walk()
            tour.stored, tour.files = _stored(product.data), _files(product.data)
        tour.log = list(product.process.lines)
        tour.messages = [f"{got.path} {got.headers} {got.body!r}" for got in receiver.requests]
        tour.messages += [f"{mail.message}{mail.text}{mail.html}" for mail in mail.mails]
    return tour


class _Guide:
    """The tour through the product; each method is a part of it."""

    def __init__(self, tour: Tour, product: Up, mail: SmtpSink, receiver: HttpSink) -> None:
        self.tour, self.product, self.mail, self.receiver = tour, product, mail, receiver
        self.url = product.url
        self.visitors: list[Visitor] = []
        self.owner = self.visitor("owner")
        self.viewer = self.visitor("viewer")
        self.nobody = self.visitor("nobody")
        self.sender = self.visitor("sender")
        self.admin_site = self.visitor("admin site")

    def close(self) -> None:
        for visitor in self.visitors:
            visitor.session.close()

    def visitor(self, who: str, key: str = "") -> Visitor:
        self.visitors.append(Visitor(self.tour, who, self.url, key=key))
        return self.visitors[-1]

    def keep(self, name: str, secret: str) -> str:
        self.tour.secrets[name] = secret
        return secret

    def token_in(self, name: str, answer: requests.Response) -> str:
        """Record the push token that `answer` shows for the first time."""
        known = set(self.tour.secrets.values())
        (token,) = {token for token in _TOKEN.findall(answer.text) if token not in known}
        return self.keep(name, token)

    def walk(self) -> None:
        self.set_up()
        self.make_channels_and_keys()
        self.make_monitors()
        self.push()
        self.push_wrongly()
        self.change_tokens()
        self.use_the_api()
        self.make_incidents()
        self.invite_a_viewer()
        self.lock_the_database()
        self.use_the_admin_site()
        self.read_everything()

    # --- The parts

    def set_up(self) -> None:
        link = re.search(r"/setup/([\w-]+)/", self.product.process.line_with("/setup/"))
        assert link
        self.keep("setup link", link[1])
        self.nobody.get("/setup/of-somebody-else/", expect=404)
        self.owner.get(link[0])
        wrong = {"email": EMAIL, "password": "short", "workspace_name": "Home"}
        self.owner.submit(link[0], data=wrong, expect=422)
        self.owner.submit(link[0], data={**wrong, "password": PASSWORD})
        self.nobody.get(link[0], expect=404)
        self.admin_site.sign_in(EMAIL, PASSWORD)

    def make_channels_and_keys(self) -> None:
        # The base64 of 33 bytes, which happens to be hexadecimal.
        secret = self.keep("secret of the webhook", f"whsec_{secrets.token_hex(22)}")
        kitchen = {"name": "Kitchen", "scope": "all", "enabled": "on"}
        webhook = {**kitchen, "url": self.receiver.url, "secret": secret}
        self.owner.submit("/channels/new/webhook/", data=webhook)
        self.owner.submit("/channels/new/email/", data={**kitchen, "addresses": "cook@example.com"})
        self.keys = {}
        for scope in ("write", "read"):
            page = self.owner.submit("/settings/api-keys/", data={"name": scope, "scope": scope}, shows=True)
            (self.keys[scope],) = set(_KEY.findall(page.text))
            self.keep(f"API key that may {scope}", self.keys[scope])
        self.writer = self.visitor("write key", self.keys["write"])
        self.reader = self.visitor("read key", self.keys["read"])

    def make_monitors(self) -> None:
        form = {"name": "Oven", "kind": "interval", "timeout": "3600", "grace": ""}
        page = self.owner.submit("/monitors/new/", data=form, shows=True)
        self.page = urlsplit(page.url).path
        self.token = self.token_in("first push token", page)
        self.owner.get(self.page)
        (self.token_id,) = set(re.findall(rf"tokens/({_UUID})/show", page.text))
        show = f"{self.page}tokens/{self.token_id}/show/"
        self.owner.submit(show, shows=True)
        self.owner.submit(show, shows=True, headers=HTMX)
        self.owner.submit(show, shows=True, headers={"Accept": "application/json"})
        self.owner.get(f"{self.page}usage/", shows=True)
        self.owner.get(f"{self.page}usage/?snippet=python", shows=True, headers=HTMX)

    def push(self) -> None:
        where, bearer = f"/api/push/{self.token}", {"Authorization": f"Bearer {self.token}"}
        self.sender.get(where)
        self.sender.get(f"{where}/?status=up&msg=fine&value=1.5")
        self.sender.ask("HEAD", where)
        self.sender.ask("OPTIONS", where, expect=204)
        self.sender.ask("POST", where, data={"msg": "form"})
        self.sender.ask("POST", where, json={"msg": "JSON", "value": "not a number"})
        self.sender.get("/api/push", headers=bearer)
        self.sender.ask("POST", "/api/push/", headers=bearer)

    def push_wrongly(self) -> None:
        where = f"/api/push/{self.token}"
        swapped = self.token[:-1] + ("a" if self.token[-1] != "a" else "b")
        stranger = self.keep(
            "token of nobody", "".join(secrets.choice(string.ascii_letters) for _ in range(32))
        )
        for wrong in (swapped, stranger, self.token[:20], "short"):
            self.sender.get(f"/api/push/{wrong}", expect=404)
            self.sender.get("/api/push", headers={"Authorization": f"Bearer {wrong}"}, expect=404)
        self.sender.ask("DELETE", where, expect=405)
        self.sender.get(f"{where}?status=sideways", expect=400)
        self.sender.ask("POST", where, data=b"x" * 10_001, expect=413)
        self.sender.get(where, headers={"Host": "elsewhere.example.com"})
        # The contents of a request may be returned to its sender, but must not be logged.
        for token in (self.token, stranger):
            for place in (
                f"{where}/more",
                f"/api/push/{token}/more",
                f"/api/pushes/push/{token}",
                f"/API/Push/{token}",
                f"//api/push/{token}",
                f"/api/push//{token}",
                f"/push/{token}",
                f"/?token={token}",
                f"/accounts/login/?next=/api/push/{token}",
            ):
                requests.get(self.url + place, timeout=20)
            requests.get(self.url, headers={"Host": f"{token}.example.com"}, timeout=20)
            requests.get(f"{self.url}/", headers={"Referer": f"{self.url}/api/push/{token}"}, timeout=20)
        requests.get(f"{self.url}/{self.token}/", headers={"X-Request-ID": self.token}, timeout=20)
        # Each web process counts separately here, so this takes at most twice the burst of one of them.
        wait_for(lambda: self.pushes_too_fast(where), seconds=30, every=0)

    def pushes_too_fast(self, where: str) -> bool:
        return self.sender.session.get(self.url + where, timeout=20).status_code == 429

    def change_tokens(self) -> None:
        owner, page = self.owner, self.page
        added = owner.submit(f"{page}tokens/new/", data={"label": "host-a"}, shows=True)
        revoked = self.token_in("revoked push token", added)
        token_id = self.id_of(revoked)
        owner.submit(f"{page}tokens/{token_id}/rename/", data={"label": "host-b"})
        owner.get(f"{page}tokens/{token_id}/revoke/")
        owner.submit(f"{page}tokens/{token_id}/revoke/")
        wait_for(
            lambda: requests.get(f"{self.url}/api/push/{revoked}", timeout=20).status_code == 404, seconds=6
        )

        imported = self.keep("imported push token", f"Old-{secrets.token_hex(12)}")
        there = f"https://old.example.com/api/push/{imported}?status=up"
        owner.submit(f"{page}tokens/import/", data={"secret": there, "label": "old"}, shows=True)
        # Invalid input is shown again in the form, to the user who typed it.
        for wrong in (imported, f"{revoked[:-1]}-"):
            owner.submit(f"{page}tokens/import/", data={"secret": wrong}, expect=422, shows=True)
        self.sender.get(f"/api/push/{imported}")
        self.sender.get("/api/push", headers={"Authorization": f"Bearer {imported}"})
        self.sender.get(f"/api/push/{imported}?status=sideways", expect=400)
        for place in (f"/api/push/{imported}/more", f"/API/Push/{imported}", f"/push//{imported}"):
            self.sender.get(place, expect=404)

        rotate = f"{page}tokens/{self.token_id}/rotate/"
        owner.get(rotate)
        rotated = owner.submit(rotate, data={"overlap": "1 h"}, shows=True)
        self.newest = self.token_in("rotated push token", rotated)
        owner.get(rotate)
        owner.submit(rotate, data={"overlap": "1 h"}, expect=422)
        owner.submit(f"{page}tokens/{self.token_id}/extend/", data={"remaining": "2 h"})
        self.sender.get(f"/api/push/{self.newest}")

    def id_of(self, token: str) -> str:
        """Return the id of a push token, as the API shows it to a write key."""
        tokens = self.writer.get(f"/api/v1{self.page}tokens/", shows=True).json()["results"]
        (found,) = (each["id"] for each in tokens if each["token"] == token)
        return str(found)

    def use_the_api(self) -> None:
        writer, api = self.writer, f"/api/v1{self.page}"
        tokens = f"{api}tokens/"
        once = {"Idempotency-Key": "tour"}
        answers = [
            writer.ask("POST", tokens, json={"label": "api"}, headers=once, expect=201, shows=True)
            for _ in range(2)
        ]
        issued = self.token_in("push token issued over the API", answers[0])
        assert issued in answers[1].text
        writer.ask("POST", tokens, json={"label": "x"}, headers=once, expect=422)
        one = f"{tokens}{answers[0].json()['id']}/"
        writer.ask("PATCH", one, json={"label": "program"}, shows=True)
        rotated = writer.ask("POST", f"{one}rotate/", json={"overlap_seconds": 3600}, shows=True)
        self.token_in("push token rotated over the API", rotated)
        writer.ask("POST", f"{one}rotate/", json={}, expect=409)
        writer.ask("POST", f"{one}overlap/", json={"overlap_seconds": 60}, shows=True)
        writer.ask("POST", f"{one}revoke/", headers=once | {"Idempotency-Key": "revoke"})
        brought = self.keep("push token imported over the API", f"Api-{secrets.token_hex(12)}")
        writer.ask("POST", tokens, json={"token": brought}, expect=201, shows=True)
        writer.ask("POST", tokens, json={"token": brought}, expect=409)
        writer.ask("POST", tokens, json={"token": f"tjp_{brought[4:]}"}, expect=422)
        writer.ask("POST", tokens, json={"secret": brought}, expect=400)
        writer.ask("POST", tokens, data=f'{{"token": "{brought}"', expect=400, headers=_JSON)

        described = {"name": "Grill", "schedule": {"kind": "interval", "timeout": 3600}}
        made = writer.ask("PUT", "/api/v1/monitors/by-slug/grill/", json=described, expect=201, shows=True)
        self.token_in("push token of a monitor made over the API", made)
        writer.ask("PATCH", api, json={"name": "Big oven"}, shows=True)
        writer.ask("PATCH", api, json={"name": "x"}, headers={"If-Match": '"1"'}, expect=412)
        writer.ask("POST", f"{api}pause/", shows=True)
        writer.ask("POST", f"{api}resume/", shows=True)
        hidden = self.keep("secret of a webhook made over the API", f"whsec_{secrets.token_hex(22)}")
        config = {"url": self.receiver.url, "secret": hidden}
        webhook = {"name": "API", "kind": "webhook", "config": config}
        channel = writer.ask("POST", "/api/v1/channels/", json=webhook, expect=201).json()["id"]
        cut = {**webhook, "config": config | {"secret": hidden[:-1]}}
        writer.ask("POST", "/api/v1/channels/", json=cut, expect=422)
        writer.ask("POST", f"/api/v1/channels/{channel}/test/")
        for wrong in (f"tja_{self.newest[4:]}", self.newest, hidden, f"{self.keys['write'][:-1]}-"):
            self.nobody.get(api, headers={"Authorization": f"Bearer {wrong}"}, expect=401)
        self.nobody.get(f"/api/v1/{self.newest}/", expect=404)
        for method, path in (("POST", tokens), ("POST", f"{one}rotate/"), ("PATCH", api), ("DELETE", api)):
            self.reader.ask(method, path, json={}, expect=403)

    def make_incidents(self) -> None:
        self.sender.get(f"/api/push/{self.newest}?status=down&msg=It+broke")
        # The test of a channel, and down to two webhooks; otherwise one message says that it was down.
        self.receiver.wait_for(3, seconds=40)
        self.mail.wait_for(1, seconds=40)
        self.sender.get(f"/api/push/{self.newest}?msg=Back")
        form = {"name": "Silent", "kind": "interval", "timeout": "1", "grace": "0"}
        page = self.owner.submit("/monitors/new/", data=form, shows=True)
        self.sender.get(f"/api/push/{self.token_in('push token of a silent monitor', page)}")
        # Down, up and missed, to two webhooks and one address; and the test of a channel.
        self.receiver.wait_for(7, seconds=40)
        self.mail.wait_for(3, seconds=40)

    def invite_a_viewer(self) -> None:
        before = len(self.mail.mails)
        self.owner.submit("/settings/members/", data={"email": VIEWER, "role": "viewer"})
        self.nobody.submit("/accounts/password/reset/", data={"email": EMAIL})
        self.nobody.submit("/accounts/password/reset/", data={"email": "nobody@example.com"})
        wait_for(lambda: len(self.mail.mails) >= before + 2, seconds=30)
        links = {
            mail.recipients[0]: re.search(r"/accounts/password/reset/key/(\S+)/", mail.text)
            for mail in self.mail.mails[before:]
            if "/password/reset/key/" in mail.text
        }
        assert set(links) == {VIEWER, EMAIL}
        for email, link in links.items():
            assert link
            self.keep(f"password link of {email}", link[1])
        key = links[VIEWER]
        assert key
        chooses = self.viewer.get(key[0])
        passwords = {"password1": CHOSEN_PASSWORD, "password2": CHOSEN_PASSWORD}
        self.viewer.submit(urlsplit(chooses.url).path, data=passwords)
        assert "password1" not in self.nobody.get(key[0]).text
        self.viewer.sign_in(VIEWER, CHOSEN_PASSWORD)
        self.nobody.submit("/accounts/login/", data={"login": EMAIL, "password": f"{PASSWORD}!"})

    def lock_the_database(self) -> None:
        """While the database is locked, pushes are answered 503, and so are pages."""
        brought = self.keep("push token that could not be imported", f"Not-{secrets.token_hex(12)}")
        with contextlib.closing(_connect(self.product.data)) as holder, ThreadPoolExecutor(3) as at_once:
            holder.execute("BEGIN IMMEDIATE")
            token, page = f"/api/push/{self.newest}", f"{self.page}tokens/import/"
            body, address = {"token": brought}, f"/api/v1{self.page}tokens/"
            failing = [
                at_once.submit(self.sender.get, token, expect=503),
                at_once.submit(self.owner.submit, page, data={"secret": brought}, expect=503),
                at_once.submit(self.writer.ask, "POST", address, json=body, expect=503),
            ]
            for answer in failing:
                answer.result()

    def use_the_admin_site(self) -> None:
        site, tokens = self.admin_site, "/admin/monitors/pushtoken/"
        with contextlib.closing(_connect(self.product.data)) as database:
            find = "SELECT id FROM monitors_pushtoken WHERE last_four = ?"
            (number,) = database.execute(find, [self.newest[-4:]]).fetchone()
        site.get(f"{tokens}?q={self.newest[-4:]}")
        rotated = site.submit(f"{tokens}{number}/rotate/", data={"overlap": "1 h", "force": "on"})
        self.token_in("push token rotated in the admin site", self.all_tokens())
        new = rotated.url.split("/")[-3]
        chosen = {"action": "rotate_selected", "_selected_action": new}
        site.submit(tokens, data=chosen)
        done = {**chosen, "overlap": "1 h", "force": "on", "after": "0", "up_to": new}
        site.submit(tokens, data=done)
        self.token_in("push token rotated with others in the admin site", self.all_tokens())
        site.submit(tokens, data={**done, "action": "revoke_selected"})
        site.submit(f"{tokens}{number}/revoke/")

    def all_tokens(self) -> requests.Response:
        return self.writer.get(f"/api/v1{self.page}tokens/?limit=100", shows=True)

    def read_everything(self) -> None:
        for path in ("livez", "readyz", "healthz", "api/schema/", "api/docs/", "api/problems/not-found/"):
            self.nobody.session.get(f"{self.url}/{path}", timeout=20)
        # Every language for every token of every monitor would be hundreds: those of one token will do.
        # What two filters of a list show together, each shows alone: of addresses with several, there are
        # thousands.
        ours = r"/(?!admin/|static/|api/|monitors/[\w-]+/usage/\?)[^&,]*$"
        pages = self.owner.crawl("/", ours, shows="/usage/")
        assert len(pages) > 60
        for who in (self.owner, self.viewer):
            usage = who.get(f"{self.page}usage/", shows=who is self.owner).text
            snippets = {html.unescape(link) for link in LINK.findall(usage) if "snippet=" in link}
            assert len(snippets) > 10
            for link in snippets:
                who.get(link, shows=who is self.owner)
        for path in pages - self.viewer.crawl("/", ours):
            self.viewer.session.get(self.url + path, timeout=20)
        for path in pages:
            self.nobody.session.get(self.url + path, timeout=20, allow_redirects=False)
        # Without the filters of its lists, and the histories of objects that were not changed.
        inside = r"/admin/(?!accounts/auditentry/\d+/history)[^?]*$"
        assert len(self.admin_site.crawl("/admin/", inside)) > 60
        monitor = f"/api/v1{self.page}"
        showing = [f"/api/v1/monitors/{query}" for query in ("", "?q=oven", "?status=up")]
        showing += [monitor, "/api/v1/monitors/by-slug/grill/", f"{monitor}tokens/"]
        hiding = [f"/api/v1/{name}/" for name in ("incidents", "channels", "deliveries")]
        hiding += [f"{monitor}{name}/" for name in ("incidents", "transitions", "uptime")]
        hiding += [f"{monitor}heartbeats/?format={kind}" for kind in ("json", "csv", "ndjson")]
        for who in (self.writer, self.owner, self.reader, self.viewer):
            may = who in (self.writer, self.owner)
            for path in showing:
                who.get(path, shows=may)
            for path in hiding:
                who.get(path)


def _connect(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(data / "tianji.sqlite3", isolation_level=None, timeout=20)


def _stored(data: Path) -> dict[str, str]:
    """Return everything in the database, by column."""
    stored = {}
    with contextlib.closing(_connect(data)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f'SELECT * FROM "{table}"')
            columns = [f"{table}.{column[0]}" for column in rows.description]
            for column, *values in zip(columns, *rows.fetchall(), strict=True):
                stored[column] = "\n".join(map(str, values))
    return stored


def _files(data: Path) -> dict[str, bytes]:
    """Return the raw contents of the data folder, including what was deleted from the database."""
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
