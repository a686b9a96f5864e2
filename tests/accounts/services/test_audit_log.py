"""The audit log as a file and over the API, and how long it is kept."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts import tasks
from accounts.actors import COMMAND
from accounts.audit import AuditTarget, record
from accounts.models import AuditEntry, Role
from accounts.services import audit_log
from core.clock import database_now
from tests.support.callers import Caller
from tests.support.factories import make_user, make_workspace

pytestmark = pytest.mark.django_db
COLUMNS = ["at", "action", "actor", "via", "address", "subject", "subject_name", "details"]


@pytest.fixture
def page():
    return reverse("accounts:audit")


def entry(workspace, name="Mail", **details):
    target = AuditTarget(workspace.public_id, name, details)
    return record(workspace=workspace, by=COMMAND, action="monitor.created", target=target)


def content_of(response):
    return b"".join(response.streaming_content).decode()


def rows_of(response):
    return list(csv.DictReader(io.StringIO(content_of(response))))


# --- On the page -------------------------------------------------------------------------------------


def test_the_page_offers_everything_as_csv_and_as_lines_of_json(admin, workspace, page):
    entry(workspace, fields=["name"])
    text = admin.get(page).content.decode()
    assert 'href="?format=csv"' in text
    assert 'href="?format=ndjson"' in text

    answer = admin.get(page, {"format": "csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="audit-log.csv"'
    (row,) = rows_of(answer)
    assert list(row) == COLUMNS
    assert (row["action"], row["actor"], row["via"]) == ("monitor.created", "command line", "command")
    assert json.loads(row["details"]) == {"fields": ["name"]}

    answer = admin.get(page, {"format": "ndjson"})
    assert answer["Content-Type"] == "application/x-ndjson; charset=utf-8"
    (line,) = map(json.loads, content_of(answer).splitlines())
    assert list(line) == COLUMNS
    assert line["details"] == {"fields": ["name"]}
    assert line["subject"] == str(workspace.public_id)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize(("role", "status"), [(Role.OWNER, 200), (Role.ADMIN, 200), (Role.VIEWER, 403)])
def test_it_is_for_owners_and_admins(client, workspace, page, form, role, status):
    client.force_login(make_user(workspace=workspace, role=role))
    assert client.get(page, {"format": form}).status_code == status


def test_an_export_has_all_entries_of_the_workspace_newest_first_and_no_others(
    admin, workspace, page, monkeypatch
):
    monkeypatch.setattr(audit_log, "_CHUNK", 3)
    for number in range(8):
        entry(workspace, f"m{number}")
    # At the same time as others, so that only the row id tells them apart.
    AuditEntry.objects.update(at=database_now() - timedelta(minutes=1))
    entry(make_workspace(), "not yours")
    names = [row["subject_name"] for row in rows_of(admin.get(page, {"format": "csv"}))]
    assert names == [f"m{number}" for number in reversed(range(8))]


def test_what_a_spreadsheet_would_evaluate_is_text(admin, workspace, page):
    entry(workspace, "=HYPERLINK(1)")
    assert rows_of(admin.get(page, {"format": "csv"}))[0]["subject_name"] == "'=HYPERLINK(1)"


def test_another_form_does_not_exist(admin, workspace, page):
    assert admin.get(page, {"format": "xml"}).status_code == 404


# --- Over the API ------------------------------------------------------------------------------------


def test_a_program_reads_pages_and_files(workspace):
    for number in range(3):
        entry(workspace, f"m{number}")
    writer = Caller(workspace)
    first = writer.get("audit-log/?limit=2").json()
    assert [row["subject_name"] for row in first["results"]][-1:] == ["m2"] or len(first["results"]) == 2
    following = writer.get(f"audit-log/?{first['next'].partition('?')[2]}").json()
    names = [row["subject_name"] for row in (*first["results"], *following["results"])]
    assert [name for name in names if name.startswith("m")] == ["m2", "m1", "m0"]
    assert list(first["results"][0]) == COLUMNS

    lines = [json.loads(line) for line in content_of(writer.get("audit-log/?format=ndjson")).splitlines()]
    assert [line["subject_name"] for line in lines] == names
    accepted = writer.get("audit-log/", Accept="text/csv")
    assert accepted["Content-Type"].startswith("text/csv")
    assert len(rows_of(accepted)) == len(names)


def test_a_range_includes_its_start_and_not_its_end(workspace):
    now = database_now().replace(microsecond=0)
    for number in range(3):
        made = entry(workspace, f"m{number}")
        AuditEntry.objects.filter(pk=made.pk).update(at=now - timedelta(days=number))
    writer = Caller(workspace)
    start, end = (now - timedelta(days=2)).isoformat(), now.isoformat()
    query = f"from={start.replace('+00:00', 'Z')}&to={end.replace('+00:00', 'Z')}"
    names = [row["subject_name"] for row in writer.get(f"audit-log/?{query}").json()["results"]]
    assert [name for name in names if name.startswith("m")] == ["m1", "m2"]


def test_a_key_that_only_reads_is_refused_as_are_other_workspaces(workspace):
    entry(workspace)
    assert Caller(workspace, "read").get("audit-log/").status_code == 403
    assert Caller(workspace, "read").get("audit-log/?format=csv").status_code == 403
    others = Caller(make_workspace()).get("audit-log/").json()["results"]
    assert [row for row in others if row["subject_name"] == "Mail"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("format=csv&limit=5", 422),
        ("format=xml", 400),
        ("since=yesterday", 400),
        ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", 422),
    ],
)
def test_what_makes_no_sense_is_refused(workspace, query, status):
    assert Caller(workspace).get(f"audit-log/?{query}").status_code == status


# --- Keeping -----------------------------------------------------------------------------------------


def age(made, **ago):
    AuditEntry.objects.filter(pk=made.pk).update(at=database_now() - timedelta(**ago))


def test_entries_are_kept_for_their_own_time(workspace, settings):
    settings.TIANJI_AUDIT_DAYS, settings.TIANJI_HISTORY_DAYS = 10, 400
    age(entry(workspace, "old"), days=10, hours=1)
    age(entry(workspace, "kept"), days=9, hours=23)
    tasks.retention()
    assert list(AuditEntry.objects.values_list("subject_name", flat=True)) == ["kept"]


def test_zero_keeps_all_of_them(workspace, settings):
    settings.TIANJI_AUDIT_DAYS = 0
    age(entry(workspace), days=4000)
    assert audit_log.delete_old() == 0
    assert AuditEntry.objects.count() == 1


def test_old_entries_are_deleted_in_batches(workspace, settings):
    settings.TIANJI_AUDIT_DAYS = 10
    for _ in range(7):
        age(entry(workspace), days=11)
    entry(workspace)
    assert audit_log.delete_old(batch=2) == 7
    assert AuditEntry.objects.count() == 1
