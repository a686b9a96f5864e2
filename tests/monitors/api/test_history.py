"""The log over HTTP: heartbeats, their export, incidents and transitions."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils.timezone import get_fixed_timezone

from api.fields import in_utc
from core.clock import database_now
from monitors.api.history import iso
from monitors.models import Heartbeat, Incident
from monitors.services import tokens
from tests.support.callers import Caller
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import push
from tests.support.incidents import make_incident

pytestmark = pytest.mark.django_db
ZERO = datetime(2026, 11, 1, tzinfo=UTC)
COLUMNS = ["received_at", "status", "message", "value", "source", "token"]


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, slug="backup")


def make_heartbeats(monitor, count, *, start=ZERO, step=1.0, **fields):
    fields = {"status": "up", "message": "OK", "token": monitor.tokens.first(), **fields}
    return Heartbeat.objects.bulk_create(
        Heartbeat(monitor=monitor, received_at=start + timedelta(seconds=n * step), **fields)
        for n in range(count)
    )


def path(monitor, what="heartbeats", **parameters):
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    return f"monitors/{monitor.public_id}/{what}/?{query}"


def results(answer):
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def content(answer):
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def pages(caller, address, *, key="received_at", between=lambda: None, limit=500):
    """Yield the rows of every page, and call `between` before each further one."""
    address = f"{address}&limit={limit}"
    while address:
        answer = caller.get(address).json()
        yield from (row[key] for row in answer["results"])
        between()
        address = answer["next"] and answer["next"].partition("/api/v1/")[2]


# --- Heartbeats ----------------------------------------------------------------------------------


def test_a_heartbeat_has_all_its_fields(reader, monitor):
    token = tokens.issue(monitor=monitor, label="host-a").token
    Heartbeat.objects.create(
        monitor=monitor,
        received_at=ZERO,
        status="down",
        message="Disk full",
        value=97.5,
        source="10.0.0.7",
        token=token,
    )
    assert results(reader.get(path(monitor))) == [
        {
            "received_at": "2026-11-01T00:00:00Z",
            "status": "down",
            "message": "Disk full",
            "value": 97.5,
            "source": "10.0.0.7",
            "token": f"host-a (tjp_...{token.last_four})",
        }
    ]


def test_what_is_not_known_of_a_heartbeat_is_null(reader, monitor):
    make_heartbeats(monitor, 1, token=None)
    (row,) = results(reader.get(path(monitor)))
    assert (row["value"], row["source"], row["token"]) == (None, None, None)


def test_the_newest_come_first(reader, monitor):
    push(monitor, message="first")
    push(monitor, message="second")
    assert [row["message"] for row in results(reader.get(path(monitor)))] == ["second", "first"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"status": "down"}, ["Disk full"]),
        ({"status": "up"}, ["100%", "OK"]),
        ({"q": "disk"}, ["Disk full"]),
        ({"q": "%"}, ["100%"]),
        ({"q": "_"}, []),
        ({"from": "2026-11-01T00:01:00Z"}, ["Disk full", "100%"]),
        ({"to": "2026-11-01T00:01:00Z"}, ["OK"]),
        ({"from": "2026-11-01T07:01:00+07:00", "to": "2026-11-01T00:02:00Z"}, ["100%"]),
    ],
)
def test_heartbeats_can_be_filtered(reader, monitor, parameters, expected):
    for minute, (status, message) in enumerate([("up", "OK"), ("up", "100%"), ("down", "Disk full")]):
        make_heartbeats(monitor, 1, start=ZERO + timedelta(minutes=minute), status=status, message=message)
    assert [row["message"] for row in results(reader.get(path(monitor, **parameters)))] == expected


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("status=late", 400, "status"),
        ("status=", 400, "status"),
        ("status=up&status=down", 400, "status"),
        ("q=", 400, "q"),
        ("q=a%00b", 400, "q"),
        (f"q={'x' * 501}", 400, "q"),
        ("from=2026-11-01T00:00:00", 400, "from"),
        ("from=now", 400, "from"),
        ("to=99999-01-01T00:00:00Z", 400, "to"),
        ("to=0001-01-01T00:00:00%2B14:00", 400, "to"),
        ("limit=0", 400, "limit"),
        ("limit=501", 400, "limit"),
        ("limit=1_0", 400, "limit"),
        ("limit=%D9%A1", 400, "limit"),
        ("cursor=", 400, "cursor"),
        ("cursor=cD0x", 400, "cursor"),
        ("cursor=b1-1%00", 400, "cursor"),
        ("format=xml", 400, "format"),
        ("staus=up", 400, "staus"),
        ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", 422, "from"),
        ("format=csv&limit=5", 422, "limit"),
        ("format=ndjson&cursor=b1-1", 422, "cursor"),
    ],
)
def test_invalid_filters_are_explained(reader, monitor, query, status, field):
    answer = reader.get(f"monitors/{monitor.public_id}/heartbeats/?{query}")
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert {error["field"] for error in answer.json()["errors"]} == {field}


@pytest.mark.parametrize(
    "cursor", ["b0-0", "afffffffffffff-fffffffffffffff", "bfffffffffffff-fffffffffffffff"]
)
def test_a_cursor_may_lie_anywhere(reader, monitor, cursor):
    make_heartbeats(monitor, 1)
    assert reader.get(path(monitor, cursor=cursor)).status_code == 200


@pytest.mark.parametrize("step", [1.0, 0.0])
def test_pages_hold_each_row_once_while_heartbeats_arrive(reader, monitor, step):
    start = database_now() - timedelta(hours=1)
    known = make_heartbeats(monitor, 25, start=start, step=step)
    seen = list(pages(reader, path(monitor), between=lambda: push(monitor), limit=4))
    assert seen == [in_utc(row.received_at) for row in reversed(known)]


def test_one_can_go_back_to_the_page_before(reader, monitor):
    make_heartbeats(monitor, 25, step=0.0)
    ids = list(range(25))
    Heartbeat.objects.bulk_update(
        [Heartbeat(pk=row.pk, value=n) for n, row in enumerate(Heartbeat.objects.order_by("pk"))], ["value"]
    )
    first = reader.get(path(monitor, limit=10)).json()
    assert first["previous"] is None
    second = reader.get(first["next"].partition("/api/v1/")[2]).json()
    third = reader.get(second["next"].partition("/api/v1/")[2]).json()
    assert third["next"] is None
    back = reader.get(third["previous"].partition("/api/v1/")[2]).json()
    assert back["results"] == second["results"]
    again = reader.get(back["previous"].partition("/api/v1/")[2]).json()
    assert again["results"] == first["results"]
    assert again["previous"] is None
    values = [row["value"] for page in (first, second, third) for row in page["results"]]
    assert values == ids[::-1]


def test_the_link_to_the_next_page_keeps_the_filters(reader, monitor):
    make_heartbeats(monitor, 3, message="a & b")
    answer = reader.get(path(monitor, q="a & b", limit=1)).json()
    assert "q=a+%26+b" in answer["next"]
    assert len(results(reader.get(answer["next"].partition("/api/v1/")[2]))) == 1


def test_a_page_costs_the_same_however_long_the_log(reader, monitor, django_assert_num_queries):
    make_heartbeats(monitor, 1000)
    # The key, the time it was used, the monitor, the page, the tokens; the first use is noted.
    reader.get(path(monitor))
    with django_assert_num_queries(5):
        assert len(results(reader.get(path(monitor, limit=500)))) == 500


def test_the_log_of_another_workspace_is_not_found(reader, workspace):
    other = make_monitor(workspace=make_workspace())
    for what in ("heartbeats", "incidents", "transitions"):
        assert reader.get(path(other, what)).status_code == 404


def test_without_a_key_nothing_is_returned(client, monitor):
    for what in ("heartbeats", "incidents", "transitions", "uptime"):
        answer = client.get(f"/api/v1/monitors/{monitor.public_id}/{what}/")
        assert answer.status_code == 401
        assert answer["Content-Type"] == "application/problem+json"


def test_a_viewer_reads_the_log_in_the_browser(viewer, monitor):
    make_heartbeats(monitor, 1)
    assert viewer.get(f"/api/v1/monitors/{monitor.public_id}/heartbeats/").status_code == 200


def test_the_log_is_only_read(writer, monitor):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = writer(method, path(monitor))
        assert answer.status_code == 405
        assert answer["Allow"] == "GET, HEAD"


def test_times_are_written_as_everywhere_in_the_api():
    for at in (ZERO, ZERO + timedelta(microseconds=1500), ZERO.astimezone(get_fixed_timezone(420))):
        assert iso(at) == in_utc(at)


# --- Export --------------------------------------------------------------------------------------


def test_csv_has_a_header_and_all_rows(reader, monitor):
    token = monitor.tokens.get()
    make_heartbeats(monitor, 3, step=60, message='said "hi",\nÄ', value=-1.5, source="10.0.0.7")
    answer = reader.get(path(monitor, format="csv"))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="heartbeats-backup.csv"'
    assert "no-store" in answer["Cache-Control"]
    header, *rows = csv.reader(io.StringIO(content(answer), newline=""))
    assert header == COLUMNS
    assert [row[0][14:16] for row in rows] == ["02", "01", "00"]
    assert rows[0][1:] == ["up", 'said "hi",\nÄ', "-1.5", "10.0.0.7", str(token)]


def test_ndjson_has_one_heartbeat_a_line(reader, monitor):
    make_heartbeats(monitor, 3, message="Ä\u2028")
    answer = reader.get(path(monitor, format="ndjson"))
    assert answer["Content-Type"] == "application/x-ndjson; charset=utf-8"
    lines = content(answer).split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == results(reader.get(path(monitor)))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson; charset=utf-8"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_accept_chooses_the_form(reader, monitor, accept, media_type):
    answer = reader.get(path(monitor), Accept=accept)
    assert answer["Content-Type"] == media_type
    assert "Accept" in answer["Vary"]


def test_an_export_takes_the_filters(reader, monitor):
    make_heartbeats(monitor, 5, status="down", message="Disk full")
    make_heartbeats(monitor, 5)
    rows = content(reader.get(path(monitor, format="ndjson", status="down", q="disk"))).splitlines()
    assert len(rows) == 5


@pytest.mark.parametrize("message", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_an_exported_message_is_never_a_spreadsheet_formula(reader, monitor, message):
    make_heartbeats(monitor, 1, message=message)
    _header, row = csv.reader(io.StringIO(content(reader.get(path(monitor, format="csv"))), newline=""))
    assert row[2] == f"'{message}"
    (as_json,) = results(reader.get(path(monitor)))
    assert as_json["message"] == message


def test_an_export_without_heartbeats_is_a_header(reader, monitor):
    assert content(reader.get(path(monitor, format="csv"))) == ",".join(COLUMNS) + "\r\n"
    assert content(reader.get(path(monitor, format="ndjson"))) == ""


def test_a_look_at_the_head_of_an_export_writes_none_of_it(reader, monitor):
    make_heartbeats(monitor, 5000)
    answer = reader("HEAD", path(monitor, format="csv"))
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")


def test_heartbeats_that_arrive_during_an_export_shift_nothing(reader, monitor):
    make_heartbeats(monitor, 4100, step=0.0)
    answer = reader.get(path(monitor, format="ndjson"))
    lines = 0
    for piece in answer.streaming_content:
        lines += piece.count(b"\n")
        push(monitor)
    assert lines == 4100


@pytest.mark.slow
def test_fifty_thousand_heartbeats_are_exported_in_little_memory(reader, monitor, django_assert_num_queries):
    token = monitor.tokens.get()
    for part in range(10):
        make_heartbeats(monitor, 5000, start=ZERO + timedelta(hours=2 * part), message="x" * 200, token=token)
    reader.get(path(monitor))
    # 25 full chunks and the look for one more; the key, the monitor, the time twice and the tokens.
    with django_assert_num_queries(26 + 5):
        answer = reader.get(path(monitor, format="csv"))
        tracemalloc.start()
        try:
            size = sum(len(piece) for piece in answer.streaming_content)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size > 50_000 * 200
    assert peak < 8_000_000


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_slow_export_holds_no_database_connection(workspace):
    monitor = make_monitor(workspace=workspace)
    make_heartbeats(monitor, 5000)
    pieces = iter(Caller(workspace, "read").get(path(monitor, format="ndjson")).streaming_content)
    next(pieces)
    assert (connection.connection is None) == ("pool" in connection.settings_dict["OPTIONS"])
    assert sum(piece.count(b"\n") for piece in pieces) == 3000


# --- Incidents -----------------------------------------------------------------------------------


def test_an_incident_has_its_history(reader, monitor):
    push(monitor, message="fine", value=1.0)
    push(monitor, up=False, message="Disk full", value=99.0)
    push(monitor, message="OK again", value=50.0)
    incident = Incident.objects.get()
    (data,) = results(reader.get(path(monitor, "incidents")))
    assert data == {
        "id": str(incident.public_id),
        "monitor": str(monitor.public_id),
        "monitor_name": monitor.name,
        "cause": "reported",
        "started_at": in_utc(incident.started_at),
        "detected_at": in_utc(incident.detected_at),
        "confirmed_at": in_utc(incident.confirmed_at),
        "resolved_at": in_utc(incident.resolved_at),
        "duration_seconds": (incident.resolved_at - incident.started_at).total_seconds(),
        "opening_message": "Disk full",
        "opening_value": 99.0,
        "latest_message": "",
        "closing_message": "OK again",
        "closing_value": 50.0,
        "last_heartbeat_at": in_utc(incident.last_heartbeat_at),
    }


def over(monitor, **fields):
    now = database_now()
    return make_incident(monitor, **{"started_at": now, "resolved_at": now, **fields})


def ids(answer):
    return [row["id"] for row in results(answer)]


def test_the_incidents_of_all_monitors_are_listed_newest_first(reader, workspace, monitor):
    other = make_monitor(workspace=workspace)
    make_incident(make_monitor(workspace=make_workspace()))
    old = over(other, started_at=ZERO, resolved_at=ZERO + timedelta(hours=1))
    new = make_incident(monitor)
    assert ids(reader.get("incidents/")) == [str(new.public_id), str(old.public_id)]
    assert ids(reader.get(path(other, "incidents"))) == [str(old.public_id)]


def test_incidents_can_be_filtered(reader, workspace, monitor):
    open_one = make_incident(monitor)
    closed = over(monitor)
    elsewhere = make_incident(make_monitor(workspace=workspace))
    assert set(ids(reader.get("incidents/?open=true"))) == {str(open_one.public_id), str(elsewhere.public_id)}
    assert ids(reader.get("incidents/?open=false")) == [str(closed.public_id)]
    assert ids(reader.get(f"incidents/?open=true&monitor={monitor.public_id}")) == [str(open_one.public_id)]


def test_a_range_of_incidents_is_those_that_were_open_in_it(reader, monitor):
    incident = over(monitor, started_at=ZERO, resolved_at=ZERO + timedelta(hours=2))
    inside = f"from={in_utc(ZERO + timedelta(hours=1))}&to={in_utc(ZERO + timedelta(hours=3))}"
    after = f"from={in_utc(ZERO + timedelta(hours=2))}"
    before = f"to={in_utc(ZERO)}"
    assert ids(reader.get(f"incidents/?{inside}")) == [str(incident.public_id)]
    assert ids(reader.get(f"incidents/?{after}")) == []
    assert ids(reader.get(f"incidents/?{before}")) == []


def test_an_incident_that_is_open_is_in_every_range_from_its_start_on(reader, monitor):
    incident = make_incident(monitor, started_at=ZERO)
    assert ids(reader.get("incidents/?from=2027-01-01T00:00:00Z")) == [str(incident.public_id)]


@pytest.mark.parametrize(
    ("query", "field"),
    [("open=1", "open"), ("open=", "open"), ("open=TRUE", "open"), ("monitor=7", "monitor"), ("q=x", "q")],
)
def test_invalid_incident_filters_are_explained(reader, db, query, field):
    answer = reader.get(f"incidents/?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_page_of_incidents_costs_the_same_however_many(reader, workspace, django_assert_num_queries):
    monitors = [make_monitor(workspace=workspace) for _ in range(10)]
    Incident.objects.bulk_create(
        Incident(
            monitor=monitors[n % 10],
            cause="missed",
            started_at=ZERO + timedelta(minutes=n),
            detected_at=ZERO + timedelta(minutes=n),
            resolved_at=ZERO + timedelta(minutes=n + 1),
        )
        for n in range(1000)
    )
    reader.get("incidents/?limit=1")
    with django_assert_num_queries(3):
        assert len(ids(reader.get("incidents/?limit=500"))) == 500
    started = list(pages(reader, "incidents/?open=false", key="started_at", limit=300))
    assert started == sorted(started, reverse=True)
    assert len(set(started)) == 1000


# --- Transitions ---------------------------------------------------------------------------------


def test_transitions_have_the_change_and_its_reason(reader, monitor):
    push(monitor)
    push(monitor, up=False)
    incident = Incident.objects.get()
    down, up = results(reader.get(path(monitor, "transitions")))
    assert down == {
        "at": in_utc(incident.started_at),
        "from": "up",
        "to": "down",
        "reason": "reported",
        "incident": str(incident.public_id),
    }
    assert (up["from"], up["to"], up["reason"], up["incident"]) == ("new", "up", "heartbeat", None)


def test_transitions_of_a_range(reader, monitor):
    push(monitor)
    assert results(reader.get(path(monitor, "transitions", to="2026-01-01T00:00:00Z"))) == []


def test_a_page_of_transitions_costs_the_same_however_many(reader, monitor, django_assert_num_queries):
    for up in (True, False) * 10:
        push(monitor, up=up)
    reader.get(path(monitor, "transitions", limit=1))
    with django_assert_num_queries(4):
        assert len(results(reader.get(path(monitor, "transitions")))) == 20


def test_a_key_that_writes_may_read_too(workspace, monitor):
    assert Caller(workspace, "write").get(path(monitor)).status_code == 200
