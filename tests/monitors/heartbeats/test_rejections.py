"""Pushes that were not accepted: what is kept of them, and where people see it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.urls import reverse

from core.clock import database_now
from monitors import tasks
from monitors.heartbeats import rejections
from monitors.heartbeats.rejections import KINDS_MOST, Reason, RejectionLog
from monitors.models import PushToken, RejectedPush
from monitors.services import monitors as monitor_service
from monitors.services import retention, tokens
from tests.monitors.heartbeats.test_concurrency import at_once
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.heartbeats import Queries

HTMX = {"HX-Request": "true"}


@pytest.fixture
def notebook():
    return RejectionLog(by_itself=False)


@pytest.fixture
def monitor(db):
    return make_monitor()


def digest_of(target):
    return tokens.digest_of(target if isinstance(target, str) else secret_of(target))


def note(notebook, digest, reason=Reason.PARAMETER, *, method="GET", source="192.0.2.7", detail="No."):
    notebook.note(digest, reason, method=method, source=source, detail=detail)


def make_refusal(monitor, *, age=timedelta(0), **fields):
    at = database_now() - age
    given = {"reason": Reason.METHOD, "method": "GET", "last_four": "a1b2", "first_at": at, "last_at": at}
    return RejectedPush.objects.create(monitor=monitor, **{**given, **fields})


# --- What is written ------------------------------------------------------------------------------


def test_a_rejected_push_is_stored_with_its_response(notebook, monitor):
    before = database_now()
    note(notebook, digest_of(monitor), detail="status must be up or down.")
    assert notebook.write() == 1
    refusal = RejectedPush.objects.get()
    assert (refusal.monitor, refusal.reason, refusal.method) == (monitor, "parameter", "GET")
    assert (refusal.source, refusal.last_four) == ("192.0.2.7", monitor.tokens.get().last_four)
    assert (refusal.detail, refusal.count) == ("status must be up or down.", 1)
    # To the length of a clock's tick.
    assert before - timedelta(milliseconds=50) <= refusal.first_at <= refusal.last_at <= database_now()


def test_those_of_a_kind_are_counted_together_also_over_several_writes(notebook, monitor):
    for detail in ("first", "second"):
        note(notebook, digest_of(monitor), detail=detail)
        note(notebook, digest_of(monitor), detail=detail)
        notebook.write()
    refusal = RejectedPush.objects.get()
    assert (refusal.count, refusal.detail) == (4, "second")
    assert refusal.first_at < refusal.last_at


def test_what_differs_is_kept_apart(notebook, monitor):
    digest = digest_of(monitor)
    note(notebook, digest)
    note(notebook, digest, Reason.METHOD)
    note(notebook, digest, method="POST")
    note(notebook, digest, source="192.0.2.8")
    note(notebook, digest, source=None)
    assert notebook.write() == RejectedPush.objects.count() == 5


def test_an_invalid_token_is_reported_as_revoked_or_expired(notebook, monitor):
    expired = tokens.rotate(token=monitor.tokens.get(), overlap=timedelta(0))
    revoked = tokens.issue(monitor=monitor)
    tokens.revoke(token=revoked.token)
    for token in (expired.old, revoked.token):
        note(notebook, token.digest, None)
    notebook.write()
    found = dict(RejectedPush.objects.values_list("last_four", "reason"))
    assert found == {expired.old.last_four: "expired", revoked.token.last_four: "revoked"}


def test_a_token_that_works_by_now_is_no_refusal(notebook, monitor):
    note(notebook, digest_of(monitor), None)
    assert notebook.write() == 0
    assert not RejectedPush.objects.exists()


def test_a_token_that_no_monitor_has_leaves_nothing_and_costs_one_statement(notebook, db):
    for _ in range(20):
        note(notebook, tokens.digest_of(tokens.new_secret()), None)
    with Queries() as queries:
        assert notebook.write() == 0
    assert len(queries.statements) == 1
    assert not RejectedPush.objects.exists()


def test_without_rejections_nothing_is_queried(notebook, db):
    with Queries() as queries:
        assert notebook.write() == 0
    assert queries.statements == []


def test_a_write_costs_the_same_statements_however_much_was_noted(notebook, monitor):
    other = make_monitor()
    for number in range(30):
        note(notebook, digest_of(monitor), source=f"192.0.2.{number}")
        note(notebook, digest_of(other), source=f"192.0.2.{number}")
    with Queries() as queries:
        assert notebook.write() == 60
    assert len(queries.statements) == 4


def test_two_tokens_that_end_alike_share_a_row(notebook, monitor):
    tokens.issue(monitor=monitor)
    PushToken.objects.update(last_four="same")
    for token in monitor.tokens.all():
        note(notebook, token.digest)
    assert notebook.write() == 1
    assert RejectedPush.objects.get().count == 2


def test_the_token_itself_is_kept_nowhere(notebook, monitor):
    secret = secret_of(monitor)
    note(notebook, digest_of(monitor))
    notebook.write()
    row = str(RejectedPush.objects.values().get())
    assert secret not in row
    assert digest_of(monitor) not in row


def test_an_unknown_method_is_not_a_kind_of_its_own(notebook, monitor):
    for method in ("BREW", "BREW\x00", "X" * 99, ""):
        note(notebook, digest_of(monitor), method=method)
    notebook.write()
    refusal = RejectedPush.objects.get()
    assert (refusal.method, refusal.count) == ("other", 4)


def test_a_long_answer_is_cut(notebook, monitor):
    note(notebook, digest_of(monitor), detail="x" * 300)
    notebook.write()
    assert len(RejectedPush.objects.get().detail) == 200


# --- What a wild sender cannot do -----------------------------------------------------------------


def test_of_one_token_so_many_kinds_are_held_between_two_writes(notebook, monitor):
    for number in range(KINDS_MOST + 20):
        note(notebook, digest_of(monitor), source=f"198.51.100.{number}")
    # Those that are held are still counted.
    note(notebook, digest_of(monitor), source="198.51.100.0")
    assert notebook.write() == KINDS_MOST
    assert RejectedPush.objects.get(source="198.51.100.0").count == 2


def test_of_so_many_tokens_any_are_held_between_two_writes(notebook, db):
    for number in range(2000):
        note(notebook, f"{number:064}", None)
    assert len(notebook._notes) == rejections._TOKENS_MOST


def test_a_monitor_keeps_its_newest_kinds(notebook, monitor):
    other = make_monitor()
    make_refusal(other, age=timedelta(days=2))
    for number in range(KINDS_MOST):
        make_refusal(monitor, source=f"198.51.100.{number}", age=timedelta(hours=number + 1))
    note(notebook, digest_of(monitor))
    notebook.write()
    mine = RejectedPush.objects.filter(monitor=monitor)
    assert mine.count() == KINDS_MOST
    assert mine.filter(source="192.0.2.7").exists()
    assert not mine.filter(source=f"198.51.100.{KINDS_MOST - 1}").exists()
    assert RejectedPush.objects.filter(monitor=other).exists()


# --- The thread that writes -----------------------------------------------------------------------


def wait_until_written(notebook):
    until = time.monotonic() + 20
    while (writer := notebook._writer) is not None and time.monotonic() < until:
        writer.join(0.1)
    assert notebook._writer is None


@pytest.mark.django_db(transaction=True)
def test_what_was_noted_is_written_by_itself_and_no_thread_stays():
    monitor, notebook = make_monitor(), RejectionLog(every=0.1)
    for _ in range(3):
        note(notebook, digest_of(monitor))
    wait_until_written(notebook)
    assert RejectedPush.objects.get().count == 3
    assert not [thread for thread in threading.enumerate() if thread.name == "write-refusals"]
    # And again, once there is something to write again.
    note(notebook, digest_of(monitor))
    wait_until_written(notebook)
    assert RejectedPush.objects.get().count == 4


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_is_dropped_and_pushes_go_on(monkeypatch):
    monitor, notebook = make_monitor(), RejectionLog(every=0.05)
    write = rejections._write

    def fail(notes):
        monkeypatch.setattr(rejections, "_write", write)
        raise DatabaseError("disk full")

    monkeypatch.setattr(rejections, "_write", fail)
    note(notebook, digest_of(monitor))
    wait_until_written(notebook)
    note(notebook, digest_of(monitor))
    wait_until_written(notebook)
    assert RejectedPush.objects.get().count == 1


def test_a_rejection_is_dropped_where_no_thread_can_be_started(monkeypatch, db):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    notebook = RejectionLog()
    note(notebook, "0" * 64)
    note(notebook, "0" * 64)
    assert notebook._writer is None


@pytest.mark.django_db(transaction=True)
def test_two_that_add_to_one_row_at_once_lose_nothing():
    monitor = make_monitor()
    digest = digest_of(monitor)

    def add():
        mine = RejectionLog(by_itself=False)
        for _ in range(20):
            for source in ("192.0.2.1", "192.0.2.2"):
                note(mine, digest, source=source)
            mine.write()

    at_once(add, add, add)
    assert list(RejectedPush.objects.values_list("count", flat=True)) == [60, 60]


def _count_in_child(notebook, answers):
    answers.put(len(notebook._notes))


def test_a_process_that_was_forked_does_not_write_what_its_parent_noted(notebook):
    note(notebook, "0" * 64)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_count_in_child, args=(notebook, answers))
    child.start()
    child.join(20)
    assert answers.get() == 0
    assert len(notebook._notes) == 1


# --- How it goes ----------------------------------------------------------------------------------


def test_what_was_refused_long_ago_goes(monitor):
    make_refusal(monitor, age=timedelta(days=31))
    kept = make_refusal(monitor, source="192.0.2.1", age=timedelta(days=29))
    tasks.retention()
    assert RejectedPush.objects.get() == kept


def test_a_deleted_monitor_leaves_none(monitor):
    other = make_refusal(make_monitor())
    make_refusal(monitor)
    monitor_id = monitor.pk
    monitor_service.delete(monitor=monitor)
    retention.purge(monitor_id=monitor_id)
    assert RejectedPush.objects.get() == other


# --- The page -------------------------------------------------------------------------------------


def url_of(monitor):
    return reverse("monitors:rejected_pushes", args=[monitor.public_id])


@pytest.fixture
def mine(workspace):
    return make_monitor(workspace=workspace, name="Backup")


def read(client, monitor, **headers):
    return client.get(url_of(monitor), headers=headers).content.decode()


def test_a_monitor_whose_pushes_were_all_taken_says_so_and_how_to_test(viewer, mine):
    page = read(viewer, mine)
    assert "No pushes were rejected in the last 30 days." in page
    assert "curl -sS -i -X POST" in page
    assert secret_of(mine) not in page


def test_what_was_refused_is_listed_newest_first_with_what_to_do(viewer, mine):
    make_refusal(
        mine,
        reason=Reason.REVOKED,
        method="POST",
        source="192.0.2.7",
        detail="Unknown push token.",
        count=12,
        age=timedelta(minutes=3),
    )
    make_refusal(mine, reason=Reason.PARAMETER, detail="status must be up or down.")
    page = read(viewer, mine)
    assert page.index("Invalid parameter") < page.index("Revoked token")
    for words in (
        "3 min ago",
        "× 12",
        "POST from 192.0.2.7 with token …a1b2",
        "Response: “Unknown push token.”",
        "Give the sender an active push URL",
        "GET with token …a1b2",
    ):
        assert words in page


@pytest.mark.parametrize("reason", Reason.values)
def test_each_reason_has_advice_of_its_own(viewer, mine, reason):
    make_refusal(mine, reason=reason)
    assert "→ " in read(viewer, mine)


def test_a_monitor_that_only_accepts_post_says_what_to_change(viewer, workspace):
    monitor = make_monitor(workspace=workspace, post_only=True)
    make_refusal(monitor, reason=Reason.METHOD, method="GET")
    assert "-X POST" in read(viewer, monitor)


def test_what_a_sender_wrote_is_text_and_no_markup(viewer, mine):
    make_refusal(mine, detail="<script>alert(1)</script>")
    assert "<script>alert" not in read(viewer, mine)


def test_an_admin_can_copy_the_test_command(admin, mine):
    page = read(admin, mine)
    assert 'data-copy-what="test_line"' in page
    show = reverse("monitors:show_token", args=[mine.public_id, mine.tokens.get().public_id])
    data = admin.post(show, headers={"accept": "application/json"}).json()
    assert data["test_line"].startswith("curl -sS -i -X POST")
    assert secret_of(mine) in data["test_line"]


def test_a_viewer_copies_nothing(viewer, mine):
    assert "data-copy-from" not in read(viewer, mine)


def test_without_a_token_that_works_there_is_nothing_to_test_with(admin, mine):
    tokens.revoke(token=mine.tokens.get())
    assert "No active push URL." in read(admin, mine)


def test_htmx_gets_the_list_only(admin, mine):
    part = read(admin, mine, **HTMX)
    assert "No pushes were rejected in the last 30 days." in part
    assert "<html" not in part


def test_those_of_another_monitor_are_not_listed(admin, mine, workspace):
    make_refusal(make_monitor(workspace=workspace))
    assert "No pushes were rejected in the last 30 days." in read(admin, mine)


def test_a_monitor_of_another_workspace_does_not_exist(admin):
    assert admin.get(url_of(make_monitor(workspace=make_workspace()))).status_code == 404


def test_the_number_of_queries_does_not_grow_with_the_list(admin, mine, django_assert_num_queries):
    for number in range(KINDS_MOST):
        make_refusal(mine, source=f"192.0.2.{number}")
    with django_assert_num_queries(8):
        read(admin, mine)
