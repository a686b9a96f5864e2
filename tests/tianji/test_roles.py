"""Who may do what: every URL of the site, every method and every role, in tables.

The pages of the admin site are walked in admin_site/test_walk.py; signing in and out is allauth's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.actors import COMMAND
from accounts.models import ApiKey, AuditEntry, Invitation, Membership, Role, User, Workspace
from accounts.services import api_keys, invitations
from core import wakeups
from core.clock import database_now
from monitors.models import Incident, MaintenanceWindow, Monitor, MonitorState, PushToken, Transition
from monitors.services import maintenance_windows, tokens
from notifications.composing import ack_links
from notifications.models import Channel, Delivery
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace, secret_of
from tests.support.heartbeats import push

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# "elsewhere" owns another workspace and is not a member of this one. Numbers are statuses, and "sign-in" is a
# redirect there. A star means that the response shows a secret in full: a push token, an API key, or the
# address of a channel. Without the star it must not show any.
PAGES = """
address                     of        method  owner    admin    viewer   elsewhere nobody
monitors:overview           -         GET     200      200      200      200       sign-in
monitors:tokens             -         GET     200      200      200      200       sign-in
monitors:maintenance        -         GET     200      200      200      200       sign-in
monitors:plan_maintenance   -         GET     200      200      403      200       sign-in
monitors:plan_maintenance   -         POST    303      303      403      303       sign-in
monitors:preview_maintenance -        POST    200      200      200      200       sign-in
monitors:change_maintenance window    GET     200      200      403      404       sign-in
monitors:change_maintenance window    POST    303      303      403      404       sign-in
monitors:end_maintenance    window    POST    303      303      403      404       sign-in
monitors:delete_maintenance window    GET     200      200      403      404       sign-in
monitors:delete_maintenance window    POST    303      303      403      404       sign-in
monitors:bulk               -         POST    303      303      403      303       sign-in
monitors:create             -         GET     200      200      403      200       sign-in
monitors:create             -         POST    303      303      403      303       sign-in
monitors:preview            -         POST    200      200      200      200       sign-in
monitors:detail             monitor   GET     200      200      200      404       sign-in
monitors:edit               monitor   GET     200      200      403      404       sign-in
monitors:edit               monitor   POST    303      303      403      404       sign-in
monitors:timeout            monitor   GET     200      200      403      404       sign-in
monitors:timeout            monitor   POST    303      303      403      404       sign-in
monitors:pause              monitor   POST    303      303      403      404       sign-in
monitors:resume             monitor   POST    303      303      403      404       sign-in
monitors:delete             monitor   GET     200      200      403      404       sign-in
monitors:delete             monitor   POST    303      303      403      404       sign-in
monitors:log                monitor   GET     200      200      200      404       sign-in
monitors:heartbeats         monitor   GET     302      302      302      404       sign-in
monitors:incidents          monitor   GET     200      200      200      404       sign-in
monitors:incident_list      -         GET     200      200      200      200       sign-in
monitors:incident           incident  GET     200      200      200      404       sign-in
monitors:acknowledge        incident  POST    303      303      403      404       sign-in
monitors:note               incident  POST    303      303      403      404       sign-in
monitors:changes            monitor   GET     200      200      200      404       sign-in
monitors:code_examples              monitor   GET     200*     200*     200      404       sign-in
monitors:first_heartbeat            monitor   GET     303      303      303      404       sign-in
monitors:test_heartbeat     monitor   GET     200      200      403      404       sign-in
monitors:test_heartbeat     monitor   POST    303      303      403      404       sign-in
monitors:rejected_pushes    monitor   GET     200      200      200      404       sign-in
monitors:charts             monitor   GET     200      200      200      404       sign-in
monitors:charts_csv         monitor   GET     200      200      200      404       sign-in
monitors:issue_token        monitor   GET     200      200      403      404       sign-in
monitors:issue_token        monitor   POST    303      303      403      404       sign-in
monitors:import_token       monitor   GET     200      200      403      404       sign-in
monitors:import_token       monitor   POST    303      303      403      404       sign-in
monitors:show_token         token     POST    200*     200*     403      404       sign-in
monitors:rotate_token       token     GET     200      200      403      404       sign-in
monitors:rotate_token       token     POST    303      303      403      404       sign-in
monitors:extend_token       replaced  GET     200      200      403      404       sign-in
monitors:extend_token       replaced  POST    303      303      403      404       sign-in
monitors:end_token          replaced  GET     200      200      403      404       sign-in
monitors:end_token          replaced  POST    303      303      403      404       sign-in
monitors:rename_token       token     GET     200      200      403      404       sign-in
monitors:rename_token       token     POST    303      303      403      404       sign-in
monitors:revoke_token       token     GET     200      200      403      404       sign-in
monitors:revoke_token       token     POST    303      303      403      404       sign-in
notifications:list          -         GET     200      200      200      200       sign-in
notifications:new           -         GET     200      200      403      200       sign-in
notifications:assign        -         POST    302      302      403      302       sign-in
notifications:create        webhook   GET     200      200      403      200       sign-in
notifications:create        webhook   POST    302      302      403      302       sign-in
notifications:detail        channel   GET     200      200      200      404       sign-in
notifications:edit          channel   GET     200      200      403      404       sign-in
notifications:edit          channel   POST    302      302      403      404       sign-in
notifications:delete        channel   GET     200      200      403      404       sign-in
notifications:delete        channel   POST    302      302      403      404       sign-in
notifications:new_secret    channel   GET     200      200      403      404       sign-in
notifications:new_secret    channel   POST    200      200      403      404       sign-in
notifications:test          channel   POST    302      302      403      404       sign-in
notifications:for_monitor   monitor   GET     200      200      200      404       sign-in
notifications:of_incident   incident  GET     200      200      200      404       sign-in
notifications:rules         monitor   GET     200      200      200      404       sign-in
notifications:rules         monitor   POST    303      303      403      404       sign-in
notifications:workspace_rules -       GET     200      200      200      200       sign-in
notifications:workspace_rules -       POST    303      303      403      303       sign-in
notifications:snooze        monitor   GET     200      200      403      404       sign-in
notifications:snooze        monitor   POST    303      303      403      404       sign-in
notifications:unsnooze      monitor   POST    303      303      403      404       sign-in
accounts:settings           -         GET     200      200      200      200       sign-in
accounts:settings           -         POST    303      303      403      303       sign-in
accounts:audit              -         GET     200      200      403      200       sign-in
accounts:api_keys           -         GET     200      200      403      200       sign-in
accounts:api_keys           -         POST    200*     200*     403      200*      sign-in
accounts:revoke_api_key     key       GET     200      200      403      404       sign-in
accounts:revoke_api_key     key       POST    303      303      403      404       sign-in
accounts:members            -         GET     200      200      200      200       sign-in
accounts:members            -         POST    200      403      403      200       sign-in
accounts:set_role           member    POST    303      403      403      404       sign-in
accounts:remove_member      member    GET     200      403      403      404       sign-in
accounts:remove_member      member    POST    303      403      403      404       sign-in
accounts:revoke_invitation  invitation POST   303      403      403      404       sign-in
accounts:switch_workspace   workspace POST    303      303      303      404       sign-in
admin:index                 -         GET     sign-in  sign-in  sign-in  sign-in   sign-in
"""

# The pages of one's own account. The invitation and the link are for someone else, and the password is to be
# entered again.
OWN = """
address                     of        method  owner    admin    viewer   elsewhere nobody
accounts:invitations        -         GET     200      200      200      200       sign-in
accounts:accept_invitation  invitation POST   404      404      404      404       sign-in
accounts:decline_invitation invitation POST   404      404      404      404       sign-in
accounts:change_email       -         GET     302      302      302      302       sign-in
accounts:change_email       -         POST    302      302      302      302       sign-in
accounts:confirm_email      link      GET     404      404      404      404       sign-in
accounts:confirm_email      link      POST    404      404      404      404       sign-in
"""

# People use their session, as from the API documentation; "theirs" is a write key of the other workspace.
API = """
address                of        method  owner admin viewer elsewhere write read theirs nobody
api:monitors           -         GET     200*  200*  200    200       200*  200  200    401
api:monitors           -         POST    201*  201*  403    201*      201*  403  201*   401
api:monitor            monitor   GET     200*  200*  200    404       200*  200  404    401
api:monitor            monitor   PATCH   200*  200*  403    404       200*  403  404    401
api:monitor            monitor   DELETE  204   204   403    404       204   403  404    401
api:monitor_by_slug    slug      GET     200*  200*  200    404       200*  200  404    401
api:monitor_by_slug    slug      PUT     200*  200*  403    201*      200*  403  201*   401
api:pause              monitor   POST    200*  200*  403    404       200*  403  404    401
api:resume             monitor   POST    200*  200*  403    404       200*  403  404    401
api:tokens             monitor   GET     200*  200*  200    404       200*  200  404    401
api:tokens             monitor   POST    201*  201*  403    404       201*  403  404    401
api:token              token     GET     200*  200*  200    404       200*  200  404    401
api:token              token     PATCH   200*  200*  403    404       200*  403  404    401
api:rotate             token     POST    200*  200*  403    404       200*  403  404    401
api:overlap            replaced  POST    200*  200*  403    404       200*  403  404    401
api:revoke             token     POST    200   200   403    404       200   403  404    401
api:heartbeats         monitor   GET     200   200   200    404       200   200  404    401
api:monitor_incidents  monitor   GET     200   200   200    404       200   200  404    401
api:transitions        monitor   GET     200   200   200    404       200   200  404    401
api:uptime             monitor   GET     200   200   200    404       200   200  404    401
api:incidents          -         GET     200   200   200    200       200   200  200    401
api:audit_log          -         GET     200   200   403    200       200   403  200    401
api:channels           -         GET     200   200   200    200       200   200  200    401
api:channels           -         POST    201   201   403    201       201   403  201    401
api:channel            channel   GET     200   200   200    404       200   200  404    401
api:channel            channel   PATCH   200   200   403    404       200   403  404    401
api:channel            channel   DELETE  204   204   403    404       204   403  404    401
api:test_channel       channel   POST    200   200   403    404       200   403  404    401
api:deliveries         -         GET     200   200   200    200       200   200  200    401
api:rules              -         GET     200   200   200    200       200   200  200    401
api:rules              -         PUT     200   200   403    200       200   403  200    401
api:monitor_rules      monitor   GET     200   200   200    404       200   200  404    401
api:monitor_rules      monitor   PUT     200   200   403    404       200   403  404    401
api:snooze             monitor   PUT     200   200   403    404       200   403  404    401
api:snooze             monitor   DELETE  200   200   403    404       200   403  404    401
api:maintenance        -         GET     200   200   200    200       200   200  200    401
api:maintenance        -         POST    201   201   403    201       201   403  201    401
api:maintenance_window window    GET     200   200   200    404       200   200  404    401
api:maintenance_window window    PUT     200   200   403    404       200   403  404    401
api:maintenance_window window    DELETE  204   204   403    404       204   403  404    401
api:end_maintenance    window    POST    200   200   403    404       200   403  404    401
"""

# What is public, and the same for everyone. A push only needs the push token; the setup link is invalid once
# there is an account; "nothing" is the API's response to an unknown URL.
OPEN = """
address      of       method everybody
livez        -        GET    200
readyz       -        GET    200
healthz      -        GET    503
api:schema   -        GET    200
api:docs     -        GET    200
api:problem  problem  GET    200
push         secret   GET    200
push         secret   POST   200
set_language   -        POST   302
set_theme      -        POST   303
accounts:setup link   GET    404
accounts:setup link   POST   404
acknowledge  signed   GET    200
acknowledge  signed   POST   200
api:^v1/     nothing  GET    404
api:^v1/     nothing  POST   404
api:^v1/     nothing  PUT    404
api:^v1/     nothing  PATCH  404
api:^v1/     nothing  DELETE 404
"""

_MONITOR = {"name": "Oven", "kind": "interval", "timeout": "3600", "grace": ""}
_MAINTENANCE = {
    "name": "Clean the oven",
    "kind": "once",
    "starts_at": "2026-11-28T22:00",
    "ends_at": "2026-11-29T02:00",
    "scope": "all",
}
_CHANNEL = {"name": "Bell", "url": "http://127.0.0.1:9/", "scope": "all", "events": "down", "enabled": "on"}
_MONITOR_JSON = {"name": "Oven", "schedule": {"kind": "interval", "timeout": 3600}}
_CHANNEL_JSON = {"name": "Bell", "kind": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
BODIES: dict[str, dict[str, Any]] = {
    "monitors:create POST": _MONITOR,
    "monitors:plan_maintenance POST": _MAINTENANCE,
    "monitors:preview_maintenance POST": _MAINTENANCE,
    "monitors:change_maintenance POST": _MAINTENANCE | {"name": "Clean the oven again"},
    "monitors:preview POST": _MONITOR,
    "monitors:edit POST": _MONITOR | {"name": "Grill"},
    "monitors:timeout POST": {"timeout": "2 h"},
    "monitors:note POST": {"note": "The fan was blocked."},
    "monitors:issue_token POST": {"label": "host-a"},
    "monitors:import_token POST": {"secret": "from-another-system"},
    "monitors:rotate_token POST": {"overlap": "1 h", "force": "on"},
    "monitors:extend_token POST": {"remaining": "2 h"},
    "monitors:rename_token POST": {"label": "host-b"},
    "notifications:create POST": _CHANNEL,
    "notifications:edit POST": _CHANNEL,
    "notifications:rules POST": {"own-recovery": "2"},
    "notifications:workspace_rules POST": {"own-recovery": "2"},
    "notifications:snooze POST": {"for": "1h"},
    "accounts:settings POST": {"name": "Kitchen"},
    "accounts:api_keys POST": {"name": "deploy", "scope": "read"},
    "accounts:members POST": {"email": "newcomer@example.com", "role": "viewer"},
    "accounts:set_role POST": {"role": "admin"},
    "set_language POST": {"language": "id"},
    "set_theme POST": {"theme": "dark"},
    "api:monitors POST": _MONITOR_JSON,
    "api:monitor PATCH": {"name": "Grill"},
    "api:monitor_by_slug PUT": _MONITOR_JSON,
    "api:tokens POST": {"label": "host-a"},
    "api:token PATCH": {"label": "host-b"},
    "api:rotate POST": {"overlap_seconds": 3600, "force": True},
    "api:overlap POST": {"overlap_seconds": 7200},
    "api:channels POST": _CHANNEL_JSON,
    "api:channel PATCH": {"name": "Gong"},
    "api:rules PUT": {"recovery": 2},
    "api:monitor_rules PUT": {"recovery": 2},
    "api:snooze PUT": {"duration": 3600},
    "api:maintenance POST": {"name": "Oven", "when": {"kind": "once", "duration": 600}},
    "api:maintenance_window PUT": {"name": "Oven", "when": {"kind": "once", "duration": 600}},
}
# For htmx, these respond with a part of the page: without the secret, or instead of a redirect.
IN_PART = {
    "monitors:first_heartbeat GET": {"303": "200"},
    "notifications:test POST": {"302": "200"},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
HTMX = {"HX-Request": "true"}
IMPORTED, DESTINATION = "a-token-of-before", "hidden-destination"
_SECRET = re.compile(rf"tj[pa]_[0-9A-Za-z]{{36}}|{IMPORTED}|{DESTINATION}")


@dataclass(frozen=True)
class Row:
    """One line of a table; `expected` is by role, and `of` is the object in the URL."""

    address: str
    of: str
    method: str
    expected: dict[str, str]

    def __str__(self) -> str:
        return f"{self.address} {self.method}"


def rows(table: str) -> list[Row]:
    header, *lines = (line.split() for line in table.strip().splitlines())
    return [Row(*line[:3], dict(zip(header[3:], line[3:], strict=True))) for line in lines]


ALL = [*rows(PAGES), *rows(OWN), *rows(API), *rows(OPEN)]
OF = {row.address: row.of for row in ALL}


# What a workspace consists of, with the path to the workspace.
PARTS: tuple[tuple[type[Model], str], ...] = (
    (Workspace, "pk"),
    (Membership, "workspace"),
    (Monitor, "workspace"),
    (MonitorState, "monitor__workspace"),
    (PushToken, "monitor__workspace"),
    (Incident, "monitor__workspace"),
    (Transition, "monitor__workspace"),
    (Channel, "workspace"),
    (Delivery, "channel__workspace"),
    (ApiKey, "workspace"),
    (AuditEntry, "workspace"),
    (Invitation, "workspace"),
    (MaintenanceWindow, "workspace"),
)


@dataclass
class Scenario:
    """A workspace with one of everything, and another one."""

    workspace: Workspace
    monitor: Monitor
    channel: Channel
    people: dict[str, User]
    keys: dict[str, str]
    arguments: dict[str, list[Any]]
    # Signed in once: doing so takes longer than most requests.
    cookies: dict[str, str] = field(default_factory=dict)
    _queries: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    _before: list[Any] | None = None

    def url(self, address: str, of: str) -> str:
        if of == "nothing":
            return "/api/v1/nothing/"
        query = "?member=cook@example.com" if of == "member" else ""
        return reverse(address, args=self.arguments[of]) + query

    def client(self, role: str) -> Client:
        client = Client(raise_request_exception=False)
        if role in self.cookies:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.cookies[role]
        elif role in self.people:
            client.force_login(self.people[role])
        return client

    def sign_in(self) -> None:
        for role in self.people:
            self.cookies[role] = self.client(role).cookies[settings.SESSION_COOKIE_NAME].value

    def ask(
        self, role: str, method: str, url: str, body: dict[str, Any] | None, *, htmx: bool = False
    ) -> HttpResponse:
        """Send a request as `role` does: with a session, a key or nothing; JSON to the API."""
        headers = dict(HTMX) if htmx else {}
        if role in self.keys:
            headers["Authorization"] = f"Bearer {self.keys[role]}"
        content = {"content_type": "application/json"} if url.startswith("/api/v1/") else {}
        return getattr(self.client(role), method.lower())(url, body or {}, headers=headers, **content)

    def do(self, role: str, row: Row, *, htmx: bool = False) -> HttpResponse:
        return self.ask(role, row.method, self.url(row.address, row.of), BODIES.get(str(row)), htmx=htmx)

    def contents(self) -> list[Any]:
        """Everything in the workspace, to see whether anything changed."""
        if not self._queries:
            self._queries += self._put_together()
        with connection.cursor() as cursor:
            return [cursor.execute(*query).fetchall() for query in self._queries]

    def contents_before(self) -> list[Any]:
        """The contents at the first call: each request of a test starts from the same."""
        if self._before is None:
            self._before = self.contents()
        return self._before

    def _put_together(self) -> list[tuple[str, tuple[Any, ...]]]:
        # As SQL, and once: they are asked hundreds of times, and to put one together takes longer than that.
        return [
            model.objects.filter(**{path: self.workspace.pk}).order_by("pk").values().query.sql_with_params()
            for model, path in PARTS
        ]


@pytest.fixture(scope="module")
def made(django_db_setup, django_db_blocker) -> Iterator[Scenario]:
    """The scenario of all tests, which roll back what they change."""
    with (
        pytest.MonkeyPatch.context() as patch,
        django_db_blocker.unblock(),
        transaction.atomic(),
    ):
        patch.setattr(wakeups, "_publish", lambda task, args: None)
        scenario = make_scenario()
        scenario.sign_in()
        yield scenario
        transaction.set_rollback(True)


@pytest.fixture
def scenario(made: Scenario, db, monkeypatch) -> Scenario:
    # These tests make more requests per minute than a user or key may.
    monkeypatch.setattr(settings, "TIANJI_API_RATE", 0)
    # So that the last use, which is updated once a minute, does not look like a change.
    for key in made.keys.values():
        api_keys.find(key, address="127.0.0.1")
    return replace(made, people=dict(made.people), arguments=deepcopy(made.arguments))


def make_scenario() -> Scenario:
    ours, theirs = make_workspace("Ours"), make_workspace("Theirs")
    people = {
        "owner": make_user(workspace=ours, email="owner@example.com"),
        "admin": make_user(workspace=ours, role=Role.ADMIN, email="admin@example.com"),
        "viewer": make_user(workspace=ours, role=Role.VIEWER, email="viewer@example.com"),
        "elsewhere": make_user(workspace=theirs, email="elsewhere@example.com"),
    }
    make_user(workspace=ours, role=Role.VIEWER, email="cook@example.com")
    invited = make_user(email="invited@example.com")
    invitations.invite(workspace=ours, email=invited.email, role="viewer", by=COMMAND)
    invitation = Invitation.objects.get(user=invited)
    monitor = make_monitor(workspace=ours, name="Our oven", slug="oven", timeout=3600)
    channel = make_channel(workspace=ours, config={"url": f"http://127.0.0.1:9/{DESTINATION}"})
    now = database_now()
    window = maintenance_windows.plan(
        workspace=ours,
        name="Clean the oven",
        starts_at=now,
        ends_at=now + timedelta(days=1),
        monitors=[monitor],
    )
    secret = secret_of(monitor)
    push(monitor, up=False)
    tokens.import_token(monitor=monitor, secret=IMPORTED)
    rotated = tokens.rotate(token=monitor.tokens.get(imported=False))
    issued = {
        role: api_keys.issue(workspace=workspace, name=role, scope=scope, by=COMMAND)
        for role, workspace, scope in (
            ("write", ours, "write"),
            ("read", ours, "read"),
            ("theirs", theirs, "write"),
        )
    }
    return Scenario(
        workspace=ours,
        monitor=monitor,
        channel=channel,
        people=people,
        keys={role: key.secret for role, key in issued.items()},
        arguments={
            "-": [],
            "member": [],
            "monitor": [monitor.public_id],
            "token": [monitor.public_id, rotated.new.token.public_id],
            "replaced": [monitor.public_id, rotated.old.public_id],
            "slug": [monitor.slug],
            "incident": [monitor.incidents.get().public_id],
            "channel": [channel.public_id],
            "webhook": ["webhook"],
            "window": [window.public_id],
            "key": [issued["read"].key.public_id],
            "workspace": [ours.public_id],
            "invitation": [invitation.public_id],
            "secret": [secret],
            "problem": ["not-found"],
            "link": ["of-an-earlier-day"],
            "signed": [ack_links.acknowledge_url(monitor.incidents.get(), channel).split("/")[-2]],
        },
    )


def outcome(response: HttpResponse) -> str:
    """The response as the tables write it: its status, and a star if it shows a secret."""
    if response.status_code == 302 and "/login/" in response["Location"]:
        return "sign-in"
    text = f"{response.text} {dict(response.headers)}"
    return f"{response.status_code}{'*' if _SECRET.search(text) else ''}"


def answers(scenario: Scenario, row: Row, role: str, *, htmx: bool = False) -> str:
    """Return the response to `role`, and roll back its changes."""
    with transaction.atomic():
        word = outcome(scenario.do(role, row, htmx=htmx))
        transaction.set_rollback(True)
    return word


def answers_and_changes(scenario: Scenario, row: Row, role: str) -> tuple[str, bool]:
    """Return the response to `role` and whether it changed the workspace, and roll back its changes."""
    before = scenario.contents_before()
    with transaction.atomic():
        found = outcome(scenario.do(role, row)), scenario.contents() != before
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("row", [*rows(PAGES), *rows(OWN)], ids=str)
def test_each_page_answers_each_role_as_the_table_says(scenario: Scenario, row: Row):
    found = {role: answers_and_changes(scenario, row, role) for role in row.expected}
    assert {role: word for role, (word, _) in found.items()} == row.expected
    changed = {role for role, (_, changed) in found.items() if changed}
    assert changed <= {"owner", "admin"}
    in_part = IN_PART.get(str(row), {})
    for role, word in row.expected.items():
        assert answers(scenario, row, role, htmx=True) == in_part.get(word, word), f"{role}, by htmx"


@pytest.mark.parametrize("row", rows(API), ids=str)
def test_each_api_operation_answers_each_role_as_the_table_says(scenario: Scenario, row: Row):
    found = {role: answers_and_changes(scenario, row, role) for role in row.expected}
    assert {role: word for role, (word, _) in found.items()} == row.expected
    changed = {role for role, (_, changed) in found.items() if changed}
    assert changed <= {"owner", "admin", "write"}


@pytest.mark.parametrize("row", rows(OPEN), ids=str)
def test_public_pages_are_the_same_for_every_role(scenario: Scenario, row: Row):
    roles = [*scenario.people, *scenario.keys, "nobody"]
    found = {role: answers(scenario, row, role) for role in roles}
    assert found == dict.fromkeys(roles, row.expected["everybody"])


# --- The tables are complete ----------------------------------------------------------------------


def addresses(resolver: Any, space: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all URLs, or the pattern if there is no name."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield ":".join([*space, entry.name or str(entry.pattern)])
        elif isinstance(entry, URLResolver):
            yield from addresses(entry, (*space, entry.namespace) if entry.namespace else space)


def is_walked_elsewhere(name: str) -> bool:
    return name.startswith(("account_", "mfa_")) or (name.startswith("admin:") and name != "admin:index")


def test_every_address_of_the_site_is_in_the_tables():
    there = {name for name in addresses(get_resolver()) if not is_walked_elsewhere(name)}
    assert there == set(OF)


def test_a_method_that_is_not_in_the_tables_is_refused(scenario: Scenario):
    methods: dict[str, set[str]] = {address: set(METHODS) for address in OF if address != "admin:index"}
    for row in ALL:
        methods.get(row.address, set()).discard(row.method)
    for address, others in methods.items():
        for method in others:
            answer = scenario.ask("owner", method, scenario.url(address, OF[address]), None)
            assert answer.status_code == 405, f"{method} {address}"


# --- Across workspaces ----------------------------------------------------------------------------


def test_members_of_another_workspace_read_nothing_of_this_one(scenario: Scenario):
    name_of_it = re.compile("Our oven|cook@example.com|" + "|".join(map(str, scenario.arguments["token"])))
    for row in [*rows(PAGES), *rows(API)]:
        for role in {"elsewhere", "theirs"} & set(row.expected):
            if row.expected[role].startswith("20") and row.method == "GET":
                text = scenario.do(role, row).text
                assert not name_of_it.search(text), row


def test_a_token_is_not_found_under_another_workspaces_monitor(scenario: Scenario):
    theirs = Membership.objects.get(user=scenario.people["elsewhere"]).workspace
    monitor = make_monitor(workspace=theirs)
    for row in [row for row in ALL if row.of in ("token", "replaced")]:
        scenario.arguments[row.of][0] = monitor.public_id
        for role in {"elsewhere", "theirs"} & set(row.expected):
            assert answers_and_changes(scenario, row, role) == ("404", False), row


@pytest.mark.parametrize("role", ["elsewhere", "theirs"])
def test_what_is_named_in_a_body_has_to_be_of_the_same_workspace(scenario: Scenario, role: str):
    monitor, channel = str(scenario.monitor.public_id), str(scenario.channel.public_id)
    for url, body in (
        (reverse("api:channels"), _CHANNEL_JSON | {"monitors": [monitor]}),
        (reverse("api:monitors"), _MONITOR_JSON | {"channels": [channel]}),
    ):
        answer = scenario.ask(role, "POST", url, body)
        assert answer.status_code == 422
        assert "in this workspace" in answer.text


def test_a_channel_cannot_be_given_the_monitor_of_another_workspace_on_its_page(scenario: Scenario):
    chosen = _CHANNEL | {"scope": "some", "monitors": [str(scenario.monitor.public_id)]}
    url = reverse("notifications:create", args=["webhook"])
    answer = scenario.ask("elsewhere", "POST", url, chosen)
    assert answer.status_code == 422
    assert "Our oven" not in answer.text


def of_ours() -> list[Row]:
    """The pages of a single object in this workspace."""
    return [row for row in rows(PAGES) if row.expected["elsewhere"] == "404"]


def test_a_superuser_without_membership_cannot_open_the_pages(scenario: Scenario):
    scenario.people["root"] = User.objects.create_superuser("root@example.com", "a long enough password")
    pages = [row for row in rows(PAGES) if row.address != "admin:index"]
    found = {str(row): answers_and_changes(scenario, row, "root") for row in pages}
    assert len(found) == len(pages)
    assert set(found.values()) == {
        ("404", False),
        # Explaining a schedule does not involve a workspace.
        ("200", False),
    }
    assert {found[str(row)] for row in of_ours()} == {("404", False)}


def test_an_owner_elsewhere_who_only_reads_here_changes_nothing_here(scenario: Scenario):
    """The role in the object's workspace applies, whichever workspace is the current one."""
    Membership.objects.create(
        user=scenario.people["elsewhere"], workspace=scenario.workspace, role=Role.VIEWER
    )
    for row in of_ours():
        word, changed = answers_and_changes(scenario, row, "elsewhere")
        # Members, invitations and keys belong to the current workspace.
        expected = "404" if row.of in ("member", "key", "invitation") else row.expected["viewer"]
        assert (word, changed) == (expected, False), row


def test_a_removed_member_cannot_open_anything(scenario: Scenario):
    Membership.objects.filter(user=scenario.people["admin"]).delete()
    assert {answers_and_changes(scenario, row, "admin") for row in of_ours()} == {("404", False)}


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_key_that_ended_opens_nothing(scenario: Scenario, end: str):
    column = {"revoked": "revoked_at", "expired": "expires_at"}[end]
    ApiKey.objects.filter(name="write").update(**{column: scenario.monitor.created_at})
    for row in rows(API):
        assert scenario.do("write", row).status_code == 401


def test_an_api_key_opens_no_page(scenario: Scenario):
    for row in rows(PAGES):
        assert outcome(scenario.do("write", row)) == "sign-in"
