"""People and programs that use the running product, and a record of all responses they get."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

HTMX = {"HX-Request": "true"}
LINK = re.compile(r'(?:href|hx-get)="([^"#]*)')


@dataclass(frozen=True)
class Seen:
    """A response: headers and body. `shows` is whether the request was for a secret."""

    who: str
    what: str
    text: str
    shows: bool
    headers: Any


@dataclass
class Tour:
    """What a tour leaves behind. `secrets` are by what they are."""

    secrets: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    stored: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def found_in(self, text: str) -> list[str]:
        """Return the secrets in `text`, even if only in part: masked ones show their last four characters."""
        return [name for name, secret in self.secrets.items() if secret[:12] in text or secret[-12:] in text]

    def of(self, *who: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.who in who]


class Visitor:
    """A browser or a program that records all responses, including redirects."""

    def __init__(self, tour: Tour, who: str, url: str, *, key: str = "") -> None:
        self.tour, self.who, self.url = tour, who, url
        self.session = requests.Session()
        # Else each request looks through the whole environment for a proxy, which is not for this machine.
        self.session.trust_env = False
        self.session.hooks["response"].append(self._keep)
        self._shows = False
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def _keep(self, answer: requests.Response, **options: Any) -> None:
        what = f"{answer.request.method} {urlsplit(answer.url).path}: {answer.status_code}"
        text = f"{dict(answer.headers)}\n{answer.text}"
        # A redirect to a page that shows a secret must not show it itself.
        shows = self._shows and not answer.is_redirect
        self.tour.seen.append(Seen(self.who, what, text, shows, answer.headers))

    def ask(
        self, method: str, path: str, *, expect: int = 200, shows: bool = False, **options: Any
    ) -> requests.Response:
        self._shows = shows
        answer = self.session.request(method, urljoin(self.url, path), timeout=30, **options)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code}\n{answer.text}"
        return answer

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def submit(
        self, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """Send a form like its page does, without opening the page."""
        if "csrftoken" not in self.session.cookies:
            self.get("/accounts/login/")
        forged = {"X-CSRFToken": self.session.cookies["csrftoken"], "Referer": f"{self.url}/"}
        return self.ask("POST", path, headers={**forged, **(headers or {})}, **options)

    def sign_in(self, email: str, password: str) -> None:
        self.submit("/accounts/login/", data={"login": email, "password": password})
        assert "sessionid" in self.session.cookies

    def crawl(self, start: str, within: str, *, shows: str = "nowhere") -> set[str]:
        """Read `start` and all pages linked from there `within` a pattern; return the paths.

        Pages that use htmx are also read as partials. Pages whose path matches `shows` show a secret.
        """
        read, waiting = set(), [start]
        while waiting:
            path = waiting.pop()
            if path in read or "logout" in path or not re.match(within, path):
                continue
            read.add(path)
            self._shows = bool(re.search(shows, path))
            # A 403 is a response, too.
            page = self.session.get(self.url + path, timeout=30)
            assert page.status_code < 500, f"{path}: {page.status_code}"
            if "html" not in page.headers["Content-Type"]:
                continue
            if "hx-" in page.text:
                self.session.get(self.url + path, headers=HTMX, timeout=30)
            links = (urlsplit(urljoin(page.url, html.unescape(link))) for link in LINK.findall(page.text))
            waiting += [
                f"{link.path}?{link.query}".rstrip("?") for link in links if self.url.endswith(link.netloc)
            ]
        return read
