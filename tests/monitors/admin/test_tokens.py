"""Rotating and revoking push tokens in the admin site, one by one and in bulk."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from core import admin_bulk
from core.clock import database_now
from monitors.models import MonitorState, PushToken
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from tests.support.factories import make_monitor, make_workspace

pytestmark = pytest.mark.django_db

CHANGELIST = "admin:monitors_pushtoken_changelist"


@pytest.fixture
def monitor(db):
    return make_monitor(name="Oven")


@pytest.fixture
def token(monitor):
    return monitor.tokens.get()


def page_of(token: PushToken, name: str = "change") -> str:
    return reverse(f"admin:monitors_pushtoken_{name}", args=[token.pk])


def act(root: Client, action: str, chosen: list[PushToken], query: str = "", **data: Any):
    """Select rows in the list and an action; return the confirmation or, given the place, the outcome."""
    fields = {"action": action, "_selected_action": [token.pk for token in chosen] or ["0"], **data}
    return root.post(reverse(CHANGELIST) + query, fields)


def confirm(root: Client, confirmation, query: str = "", **data: Any):
    """Send the form of the confirmation, or of a partial outcome."""
    fields = dict(confirmation.context["hidden"])
    fields |= dict(confirmation.context.get("options", []))
    return root.post(reverse(CHANGELIST) + query, fields | data)


def words(result) -> dict[str, int]:
    return dict(result.context["counts"])


# --- One token


def test_the_page_asks_before_it_rotates(root: Client, token):
    confirmation = root.get(page_of(token, "rotate"))
    assert confirmation.status_code == 200
    assert (
        confirmation.context["form"]["overlap"].value() == "1 d"
        or confirmation.context["form"]["overlap"].value() == 86400
    )
    token.refresh_from_db()
    assert token.replaced_by is None


def test_a_rotation_keeps_the_old_token_for_the_overlap(root: Client, token):
    answer = root.post(page_of(token, "rotate"), {"overlap": "2 h"})
    token.refresh_from_db()
    assert answer["Location"] == page_of(token.replaced_by)
    left = token.expires_at - database_now()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)


def test_a_rotation_is_in_the_audit_as_done_in_the_admin_site(root: Client, superuser, token, monitor):
    root.post(page_of(token, "rotate"), {"overlap": "2 h"})
    entry = AuditEntry.objects.get(action="token.rotated")
    assert (entry.via, entry.user, entry.address) == ("admin", superuser, "127.0.0.1")
    assert entry.subject == monitor.public_id
    assert entry.details["overlap_seconds"] == 7200


@pytest.mark.parametrize("overlap", ["8 d", "-1", "soon", ""])
def test_an_overlap_out_of_range_is_refused(root: Client, token, overlap):
    answer = root.post(page_of(token, "rotate"), {"overlap": overlap})
    assert answer.status_code == 200
    assert "overlap" in answer.context["form"].errors
    assert PushToken.objects.count() == 1


def test_a_second_rotation_asks_whether_to_force(root: Client, token):
    root.post(page_of(token, "rotate"), {"overlap": "2 h"})
    newest = PushToken.objects.latest("pk")
    answer = root.post(page_of(newest, "rotate"), {"overlap": "2 h"})
    assert "force" in answer.context["form"].errors
    assert PushToken.objects.count() == 2
    root.post(page_of(newest, "rotate"), {"overlap": "2 h", "force": "on"})
    assert PushToken.objects.count() == 3


def test_a_dead_token_cannot_be_rotated(root: Client, token):
    tokens.revoke(token=token)
    answer = root.post(page_of(token, "rotate"), {"overlap": "2 h"}, follow=True)
    assert "no longer valid" in answer.text
    assert PushToken.objects.count() == 1


def test_a_token_is_revoked_after_a_question(root: Client, token):
    confirmation = root.get(page_of(token, "revoke"))
    assert "last active token" in confirmation.text
    token.refresh_from_db()
    assert token.revoked_at is None
    root.post(page_of(token, "revoke"))
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert AuditEntry.objects.filter(action="token.revoked", via="admin").count() == 1


def test_the_label_is_changed_by_the_operation(root: Client, token):
    answer = root.post(page_of(token), {"label": "host-a"})
    assert answer.status_code == 302
    token.refresh_from_db()
    assert token.label == "host-a"
    assert AuditEntry.objects.filter(action="token.renamed", via="admin").count() == 1


def test_nothing_else_of_a_token_can_be_written(root: Client, token):
    before = PushToken.objects.filter(pk=token.pk).values().get()
    root.post(
        page_of(token), {"label": "x", "expires_at_0": "2030-01-01", "expires_at_1": "00:00", "digest": "d"}
    )
    after = PushToken.objects.filter(pk=token.pk).values().get()
    assert after == before | {"label": "x"}


def test_a_token_that_is_not_there_is_not_found(root: Client, token):
    missing = reverse("admin:monitors_pushtoken_rotate", args=[10**6])
    assert root.get(missing).status_code == 404
    assert root.get(reverse("admin:monitors_pushtoken_rotate", args=["x"])).status_code == 404


def test_the_monitors_page_links_to_the_rotation_of_each_working_token(root: Client, token, monitor):
    revoked = tokens.issue(monitor=monitor, label="old").token
    tokens.revoke(token=revoked)
    page = root.get(reverse("admin:monitors_monitor_change", args=[monitor.pk])).text
    assert page_of(token, "rotate") in page
    assert page_of(revoked, "rotate") not in page


# --- Many


def test_the_action_asks_with_the_count_and_changes_nothing(root: Client):
    chosen = [make_monitor(name=f"Oven {n}").tokens.get() for n in range(12)]
    confirmation = act(root, "rotate_selected", chosen)
    assert confirmation.context["count"] == 12
    assert len(confirmation.context["names"]) == 10
    assert "and 2 more" in confirmation.text
    assert PushToken.objects.count() == 12


def test_the_outcome_of_each_token_is_shown(root: Client, token):
    dead, running, fresh = (make_monitor(name=name).tokens.get() for name in ("Dead", "Running", "Fresh"))
    tokens.revoke(token=dead)
    newest = tokens.rotate(token=running).new.token
    confirmation = act(root, "rotate_selected", [token, dead, running, newest, fresh])
    result = confirm(root, confirmation, overlap="3 h")
    assert words(result) == {
        "Rotated": 2,
        "No longer valid": 1,
        "Skipped: already rotated": 1,
        "Skipped: an earlier rotation's overlap is still running": 1,
    }
    for name in ("Oven", "Dead", "Running", "Fresh"):
        assert name in result.text
    assert AuditEntry.objects.filter(action="token.rotated", via="admin").count() == 2


def test_forced_the_newest_of_an_overlap_is_rotated_once(root: Client, token):
    newest = tokens.rotate(token=token).new.token
    confirmation = act(root, "rotate_selected", [token, newest])
    result = confirm(root, confirmation, overlap="3 h", force="on")
    assert words(result) == {"Rotated": 1, "Skipped: already rotated": 1}
    assert PushToken.objects.count() == 3


def test_sending_the_confirmation_again_rotates_nothing_twice(root: Client, token):
    confirmation = act(root, "rotate_selected", [token])
    for _again in range(3):
        confirm(root, confirmation, overlap="0 s", force="on")
    assert PushToken.objects.count() == 2


def test_a_wrong_overlap_asks_again(root: Client, token):
    confirmation = act(root, "rotate_selected", [token])
    again = confirm(root, confirmation, overlap="a while")
    assert "overlap" in again.context["form"].errors
    assert PushToken.objects.count() == 1


def test_all_across_pages_are_those_that_match_the_filter(root: Client):
    inside, outside = make_workspace("Inside"), make_workspace("Elsewhere")
    for _number in range(5):
        make_monitor(workspace=inside)
        make_monitor(workspace=outside)
    query = "?q=Inside"
    confirmation = act(root, "rotate_selected", [], query, select_across="1")
    assert confirmation.context["count"] == 5
    result = confirm(root, confirmation, query, overlap="1 h")
    assert words(result) == {"Rotated": 5}
    assert PushToken.objects.filter(monitor__workspace=outside, replaced_by=None).count() == 5


def test_tokens_made_meanwhile_are_not_meant(root: Client, token):
    confirmation = act(root, "rotate_selected", [], select_across="1")
    late = make_monitor().tokens.get()
    result = confirm(root, confirmation, overlap="1 h")
    assert words(result) == {"Rotated": 1}
    late.refresh_from_db()
    assert late.replaced_by is None


def test_many_are_done_in_steps_that_go_on_where_the_last_one_ended(root: Client, monkeypatch):
    monkeypatch.setattr(admin_bulk, "STEP_ROWS", 3)
    for _number in range(7):
        make_monitor()
    result = confirm(root, act(root, "rotate_selected", [], select_across="1"), overlap="5 h")
    counted = []
    while result.context["left"]:
        counted.append((sum(words(result).values()), result.context["left"]))
        result = confirm(root, result)
    assert counted == [(3, 4), (3, 1)]
    assert sum(words(result).values()) == 1
    rotated = PushToken.objects.exclude(replaced_by=None)
    assert rotated.count() == 7
    assert {t.expires_at - t.replaced_at for t in rotated} == {timedelta(hours=5)}


def test_a_step_ends_when_its_time_is_over(root: Client, monkeypatch):
    monkeypatch.setattr(admin_bulk, "STEP_SECONDS", 0)
    for _number in range(3):
        make_monitor()
    result = confirm(root, act(root, "rotate_selected", [], select_across="1"), overlap="5 h")
    assert (sum(words(result).values()), result.context["left"]) == (1, 2)


@pytest.mark.slow
def test_a_thousand_can_be_chosen_one_by_one(root: Client):
    """Each is a field of the form, and by default Django accepts at most a thousand fields."""
    now, workspace = database_now(), make_workspace()
    owner = make_monitor(workspace=workspace)
    PushToken.objects.bulk_create(
        PushToken(
            monitor=owner, digest=f"{n:064x}", sealed="", last_four="abcd", created_at=now, revoked_at=now
        )
        for n in range(1000)
    )
    chosen = list(PushToken.objects.filter(digest__startswith="0000"))
    confirmation = act(root, "rotate_selected", chosen)
    assert confirmation.context["count"] == 1000
    result = confirm(root, confirmation, overlap="1 h")
    assert words(result) == {"No longer valid": 1000}


def test_many_tokens_are_revoked_and_already_revoked_ones_are_listed(root: Client, token):
    other = make_monitor().tokens.get()
    tokens.revoke(token=other)
    result = confirm(root, act(root, "revoke_selected", [token, other]))
    assert words(result) == {"Revoked": 1, "Already revoked": 1}


def test_a_monitor_deleted_in_the_meantime_is_listed_and_stops_nothing(root: Client, token, monkeypatch):
    other = make_monitor(name="Vanishing").tokens.get()
    confirmation = act(root, "rotate_selected", [token, other])
    rotate = tokens.rotate

    def vanish_first(*, token, **kwargs):
        if token.pk == other.pk:
            monitor_service.delete(monitor=other.monitor)
        return rotate(token=token, **kwargs)

    monkeypatch.setattr(tokens, "rotate", vanish_first)
    result = confirm(root, confirmation, overlap="1 h")
    assert words(result) == {"Rotated": 1, "Not found": 1}


def test_a_get_of_an_action_changes_nothing(root: Client, token):
    query = f"?action=rotate_selected&_selected_action={token.pk}&overlap=0&after=0&up_to={token.pk}"
    root.get(reverse(CHANGELIST) + query)
    assert PushToken.objects.count() == 1


@pytest.mark.parametrize(
    ("state", "expected"),
    [("current", {"new", "plain"}), ("overlap", {"old"}), ("revoked", {"gone"}), ("expired", {"ended"})],
)
def test_the_list_can_be_filtered_by_state(root: Client, state, expected):
    made = {name: make_monitor(name=name).tokens.get() for name in ("old", "plain", "gone", "ended")}
    made["new"] = tokens.rotate(token=made["old"]).new.token
    tokens.revoke(token=made["gone"])
    PushToken.objects.filter(pk=made["ended"].pk).update(expires_at=database_now() - timedelta(days=1))
    page = root.get(f"{reverse(CHANGELIST)}?state={state}")
    names = {pk: name for name, pk in ((name, token.pk) for name, token in made.items())}
    assert {names[token.pk] for token in page.context["cl"].result_list} == expected


def test_rotating_leaves_the_state_alone(root: Client, token, monitor):
    before = MonitorState.objects.filter(monitor=monitor).values().get()
    confirm(root, act(root, "rotate_selected", [token]), overlap="1 h")
    assert MonitorState.objects.filter(monitor=monitor).values().get() == before
