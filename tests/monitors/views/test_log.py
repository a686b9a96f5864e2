"""The page of a monitor's log: filters, pages, files."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.urls import reverse

from core.clock import database_now
from monitors.models import Gap, Heartbeat
from monitors.pages.log import feed
from notifications.dispatch import send
from tests.support.factories import make_channel, make_monitor, secret_of
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", slug="backup", timeout=60)


def url(monitor, name="log"):
    return reverse(f"monitors:{name}", args=[monitor.public_id])


def get(client, monitor, query="", **headers):
    return client.get(f"{url(monitor)}?{query}", headers=headers)


def texts(response):
    return re.findall(r'entry-text">([^<]*)<', response.content.decode())


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def lines(response):
    return b"".join(response.streaming_content).decode()


def make_heartbeats(monitor, number):
    now = database_now()
    Heartbeat.objects.bulk_create(
        # Three at each instant, so that pages end in the middle of one.
        Heartbeat(
            monitor=monitor, received_at=now - timedelta(seconds=n // 3), status="up", message=f"beat {n:03}"
        )
        for n in range(number)
    )


# --- The page ------------------------------------------------------------------------------------


def test_everything_is_in_one_log_newest_first(admin, monitor, workspace):
    make_channel(workspace=workspace, name="Ops")
    push(monitor, message="fine", value=0.5)
    push(monitor, up=False, message="disk full")
    send.deliver_due()
    shown = texts(get(admin, monitor))
    assert shown[0] == "Reported down: “disk full” · sending to Ops"
    assert shown[1] == "First heartbeat received: monitoring started · “fine”"
    assert "Created the monitor" in shown


def test_a_row_keeps_its_name_from_answer_to_answer(admin, monitor):
    push(monitor)
    push(monitor)
    before = re.findall(r'id="(entry-\w+)"', get(admin, monitor).content.decode())
    push(monitor)
    after = re.findall(r'id="(entry-\w+)"', get(admin, monitor).content.decode())
    assert after[1:] == before


def test_a_message_is_there_in_full_with_the_address_it_came_from(admin, monitor):
    push(monitor)
    push(monitor, message="x" * 500, source="192.0.2.7")
    page = get(admin, monitor).content.decode()
    assert f'entry-text">{"x" * 500}<' in page
    assert "192.0.2.7" in page


def test_a_change_of_status_leads_to_its_incident(admin, monitor):
    push(monitor, up=False)
    incident = monitor.incidents.get()
    assert reverse("monitors:incident", args=[incident.public_id]) in get(admin, monitor).content.decode()


def test_a_message_with_markup_stays_text(admin, monitor):
    push(monitor, up=False, message="<script>alert(1)</script>")
    assert "<script>alert" not in get(admin, monitor).content.decode()


def test_viewers_see_the_log_and_no_secret(viewer, monitor):
    page = get(viewer, monitor).content.decode()
    assert "Created the push token" in page or "Created the monitor" in page
    assert secret_of(monitor) not in page


def test_the_log_of_another_workspace_does_not_exist(admin):
    assert get(admin, make_monitor()).status_code == 404


def test_the_old_address_leads_to_the_heartbeats_in_the_log(admin, monitor):
    response = admin.get(url(monitor, "heartbeats"))
    assert response.status_code == 302
    assert response["Location"] == f"{url(monitor)}?kind=heartbeats"


def test_the_number_of_queries_does_not_grow_with_the_log(
    admin, monitor, workspace, django_assert_num_queries
):
    make_channel(workspace=workspace)
    push(monitor)
    get(admin, monitor)
    with django_assert_num_queries(11):
        get(admin, monitor)
    for _ in range(10):
        push(monitor, up=False)
        push(monitor)
    with django_assert_num_queries(11):
        get(admin, monitor)


# --- Live ----------------------------------------------------------------------------------------


def version_of(response):
    return re.search(r'data-version="([^"]+)"', response.content.decode())[1]


def test_a_page_that_is_still_right_is_answered_with_nothing(admin, monitor):
    push(monitor)
    version = version_of(get(admin, monitor))
    again = get(admin, monitor, **HTMX, **{"Tianji-Version": version})
    assert (again.status_code, again.content) == (204, b"")
    push(monitor, message="news")
    part = get(admin, monitor, **HTMX, **{"Tianji-Version": version})
    assert part.status_code == 200
    assert "news" in texts(part)
    assert "<html" not in part.content.decode()


@pytest.mark.parametrize("query", ["q=fine", "before="])
def test_older_pages_and_searches_are_not_polled(admin, monitor, query):
    make_heartbeats(monitor, 100)
    if query == "before=":
        query += re.search(r"before=([^\"]+)", get(admin, monitor).content.decode())[1]
    page = get(admin, monitor, query).content.decode()
    assert "tianji:tick" not in page
    assert "tianji:tick" in get(admin, monitor).content.decode()


# --- Filters and pages ---------------------------------------------------------------------------


def test_filters_by_kind_status_and_text_go_together(admin, monitor):
    push(monitor, message="disk fine")
    push(monitor, up=False, message="disk full")
    push(monitor, up=False, message="network gone")
    assert texts(get(admin, monitor, "kind=heartbeats&status=down&q=DISK")) == ["disk full"]


def test_older_entries_follow_page_by_page_each_once_and_keep_the_filter(admin, monitor):
    make_heartbeats(monitor, 120)
    query, seen, pages = "kind=heartbeats&q=beat", [], 0
    while True:
        response = get(admin, monitor, query)
        seen, pages = seen + texts(response), pages + 1
        link = re.search(r'href="\?([^"]+)" rel="next"', response.content.decode())
        if link is None:
            break
        query = link[1].replace("&amp;", "&")
    assert pages == 3
    assert len(seen) == 120
    assert set(seen) == {f"beat {n:03}" for n in range(120)}


def test_a_time_range_is_read_in_the_readers_zone(admin, monitor):
    push(monitor)
    Heartbeat.objects.update(received_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC), message="then")
    admin.cookies["zone"] = "Asia/Jakarta"
    # 12:30 UTC is 19:30 there.
    kind = "kind=heartbeats"
    assert texts(get(admin, monitor, f"{kind}&from=2026-03-01T19:30&to=2026-03-01T19:31")) == ["then"]
    assert texts(get(admin, monitor, f"{kind}&from=2026-03-01T12:30&to=2026-03-01T12:31")) == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("kind=gossip", "Unknown kind “gossip”."),
        ("status=sideways", "Unknown status “sideways”. Choose up or down."),
        ("from=tomorrow", "Enter a date and time, such as 2026-11-22 14:03."),
        ("to=0001-01-01T00:00", "Enter a year from 2000 to 2199."),
        ("from=2026-03-02T00:00&to=2026-03-01T00:00", "Must be after “From”."),
        (f"q={'x' * 101}", "at most 100 characters"),
        ("q=%00", "Null characters are not allowed."),
    ],
)
def test_a_filter_that_is_wrong_says_what_is_allowed_and_keeps_what_was_typed(admin, monitor, query, words):
    push(monitor, message="hidden")
    response = get(admin, monitor, f"{query}&q=typed" if not query.startswith("q=") else query)
    assert response.status_code == 422
    assert words in text_of(response)
    assert texts(response) == []
    page = response.content.decode()
    assert query.startswith("q=") or 'value="typed"' in page


def test_no_match_has_a_message(admin, monitor):
    assert "No matching activity." in text_of(get(admin, monitor, "q=nothing-like-it"))


@pytest.mark.parametrize("cursor", ["x", "1-", "-1", "fffffffffffffff-h1", "1-1-1", "%00"])
def test_a_broken_cursor_is_not_found(admin, monitor, cursor):
    assert get(admin, monitor, f"before={cursor}").status_code == 404


def test_a_search_that_takes_too_long_says_so(admin, monitor, monkeypatch):
    def too_slow(*args, **kwargs):
        raise feed.TooSlow

    monkeypatch.setattr(feed, "page", too_slow)
    response = get(admin, monitor, "q=needle")
    assert response.status_code == 422
    assert "This search takes too long." in text_of(response)
    assert 'value="needle"' in response.content.decode()


def test_a_database_that_is_away_is_not_taken_for_a_slow_search():
    with pytest.raises(OperationalError), feed.patience():
        raise OperationalError("gone")


# --- Files ---------------------------------------------------------------------------------------


def test_a_csv_has_exactly_what_the_filter_lets_through(admin, monitor):
    push(monitor, message="fine", value=1.5, source="192.0.2.7")
    push(monitor, up=False, message="broken")
    response = get(admin, monitor, "kind=heartbeats&status=up&format=csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="log-backup.csv"'
    header, row = csv.reader(io.StringIO(lines(response)))
    assert header == ["at", "kind", "what", "text", "value", "from", "by"]
    assert row[1:] == ["heartbeats", "up", "fine", "1.5", "192.0.2.7", ""]
    assert row[0].endswith("Z")


def test_a_csv_is_safe_for_spreadsheets(admin, monitor):
    push(monitor, message="=HYPERLINK(0)")
    (_header, row) = csv.reader(io.StringIO(lines(get(admin, monitor, "kind=heartbeats&format=csv"))))
    assert row[3] == "'=HYPERLINK(0)"


def test_an_ndjson_has_every_entry_by_itself(admin, monitor, workspace):
    make_channel(workspace=workspace, name="Ops")
    push(monitor, up=False, message="broken")
    send.deliver_due()
    response = get(admin, monitor, "format=ndjson")
    assert response["Content-Type"] == "application/x-ndjson; charset=utf-8"
    rows = [json.loads(line) for line in lines(response).splitlines()]
    assert {row["kind"] for row in rows} == {"heartbeats", "status", "messages", "changes"}
    assert [row["what"] for row in rows[:3]] == ["incident.opened pending", "down", "down"]


@pytest.mark.parametrize("size", [1, 1000], ids=["many chunks", "one chunk"])
def test_the_sentences_of_a_file_are_in_utc_as_its_times_are(admin, monitor, monkeypatch, size):
    monkeypatch.setattr(feed, "CHUNK", size)
    end = monitor.created_at.replace(microsecond=0) + timedelta(days=1)
    for _ in range(2):
        Gap.objects.create(started_at=end - timedelta(minutes=3), ended_at=end)
    admin.cookies["zone"] = "Asia/Jakarta"
    rows = [json.loads(line) for line in lines(get(admin, monitor, "kind=gaps&format=ndjson")).splitlines()]
    assert [(row["kind"], row["what"]) for row in rows] == [("gaps", "gap")] * 2
    assert all(f"to {end:%H:%M:%S} (3 min)" in row["text"] for row in rows)
    assert f"to {end + timedelta(hours=7):%H:%M:%S} (3 min)" in texts(get(admin, monitor, "kind=gaps"))[0]


def test_a_file_is_whole_however_long_the_log_is(admin, monitor):
    make_heartbeats(monitor, 2500)
    rows = lines(get(admin, monitor, "kind=heartbeats&format=ndjson")).splitlines()
    assert len(rows) == len(set(rows)) == 2500


def test_a_file_without_anything_has_its_header(admin, monitor):
    assert lines(get(admin, monitor, "q=nothing-like-it&format=csv")) == "at,kind,what,text,value,from,by\r\n"


def test_a_file_of_another_kind_does_not_exist(admin, monitor):
    assert get(admin, monitor, "format=xlsx").status_code == 404


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no statement timeout")
def test_a_statement_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(feed, "_SEARCH_MS", 50)
    with pytest.raises(feed.TooSlow), feed.patience(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(10)")
    # Nor does what comes after it in the same transaction have so little time.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")
