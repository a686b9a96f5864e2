"""The page with a monitor's charts, the part of it that htmx asks for, and the files."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.clock import database_now
from core.export import as_csv
from monitors.history import rollups
from monitors.models import Gap, Heartbeat, Incident, Monitor, MonitorState
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
RANGES = ["1h", "24h", "7d", "30d", "90d", "1y"]
# Far enough apart that there are several points in the charts.
EVERY = {slug: timedelta(hours=12) for slug in ("7d", "30d", "90d")} | {"1y": timedelta(days=3)}


@pytest.fixture
def monitor(workspace):
    monitor = make_monitor(workspace=workspace, name="Backup", slug="backup", timeout=300)
    # It was there before its heartbeats.
    Monitor.objects.filter(pk=monitor.pk).update(created_at=database_now() - timedelta(days=500))
    return monitor


def beats(monitor, *values, every=timedelta(minutes=1)):
    """A heartbeat with each of `values`, the last one now."""
    now = database_now()
    Heartbeat.objects.bulk_create(
        Heartbeat(
            monitor=monitor, received_at=now - (len(values) - 1 - number) * every, status="up", value=value
        )
        for number, value in enumerate(values)
    )
    MonitorState.objects.filter(monitor=monitor).update(last_heartbeat_at=now)


def address(monitor, name="charts"):
    return reverse(f"monitors:{name}", args=[monitor.public_id])


def page(client, monitor, **query):
    response = client.get(address(monitor), query)
    assert response.status_code == 200
    return response.content.decode()


def lines(client, monitor, **query):
    response = client.get(address(monitor, "charts_csv"), query)
    assert response.status_code == 200
    return list(csv.DictReader(response.content.decode().splitlines()))


@pytest.mark.parametrize("slug", RANGES)
def test_every_range_has_both_charts(viewer, monitor, slug):
    beats(monitor, *range(10), every=EVERY.get(slug, timedelta(minutes=5)))
    shown = page(viewer, monitor, range=slug)
    assert shown.count('class="chart-plot"') == 2
    assert re.search(rf'range={slug}"[^>]*aria-current="true"', shown)


def test_without_a_range_it_is_a_day(viewer, monitor):
    for query in ({}, {"range": "5y"}):
        assert re.search(r'range=24h"[^>]*aria-current="true"', page(viewer, monitor, **query))


def test_the_ranges_are_links_that_work_without_a_script(viewer, monitor):
    shown = page(viewer, monitor)
    for slug in RANGES:
        assert f'<a href="{address(monitor)}?range={slug}"' in shown


def test_there_is_no_style_attribute_and_no_inline_script(viewer, monitor):
    beats(monitor, 1, 2, None, 4)
    shown = page(viewer, monitor)
    assert " style=" not in shown
    assert re.findall(r"<script(?![^>]*src=)", shown) == []


def test_without_heartbeats_it_says_so_plainly(viewer, monitor):
    shown = page(viewer, monitor)
    assert "No values in this range. Add &amp;value=... to the push URL to chart one." in shown
    assert "Not enough heartbeats in this range" in shown
    assert "chart-plot" not in shown


def test_heartbeats_without_values_still_show_their_intervals(viewer, monitor):
    beats(monitor, None, None, None)
    shown = page(viewer, monitor)
    assert shown.count('class="chart-plot"') == 1
    assert "mean 60 s, longest 60 s · 3 heartbeats" in shown


def test_each_bucket_says_what_it_has(viewer, monitor):
    beats(monitor, 98, 140, 131, every=timedelta(0))
    shown = page(viewer, monitor)
    assert re.search(r"<title>[^<]+ · mean 123, min 98, max 140 · 3 values</title>", shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values", [[5], [5, 5, 5], [-3, -1], [1e300, -1e300], [1.7e308, -1.7e308], [5e-324, 0], [0, 0]], ids=str
)
@pytest.mark.parametrize("slug", RANGES)
def test_any_values_make_a_page(viewer, monitor, slug, values):
    beats(monitor, *values)
    shown = page(viewer, monitor, range=slug)
    assert 'id="chart-value"' in shown
    assert not re.search(r"\b(nan|inf|infinity)\b", shown, re.I)


def test_the_table_has_what_the_picture_has(viewer, monitor):
    beats(monitor, 98, 140, 131, every=timedelta(0))
    rows = re.findall(r"<tr><th scope=\"row\">[^<]+</th>(.*?)</tr>", page(viewer, monitor))
    assert rows[0] == "".join(f'<td class="figure">{cell}</td>' for cell in ("123", "98", "140", "3"))


def test_incidents_are_shaded_and_described(viewer, monitor):
    beats(monitor, 1, 2)
    now = database_now()
    Incident.objects.create(
        monitor=monitor,
        cause="missed",
        started_at=now - timedelta(hours=2),
        detected_at=now,
        resolved_at=now - timedelta(hours=1),
    )
    shown = page(viewer, monitor)
    assert shown.count('class="chart-shade"') == shown.count('class="chart-mark"') == 2
    assert "Down for 1 h: missed heartbeat" in shown
    assert "no value · down</title>" in shown


def test_long_ranges_say_that_they_estimate(viewer, monitor):
    beats(monitor, *range(10), every=timedelta(hours=8))
    assert "estimated from the number of heartbeats" in page(viewer, monitor, range="7d")
    assert "estimated" not in page(viewer, monitor, range="24h")


def test_by_htmx_it_is_only_the_charts(viewer, monitor):
    beats(monitor, 1, 2)
    headers = {**HTMX, "HX-Current-URL": "http://testserver/monitors/"}
    response = viewer.get(address(monitor), headers=headers)
    assert "<html" not in response.text
    assert "chart-plot" in response.text
    assert "HX-Replace-Url" not in response


def test_on_its_own_page_the_address_keeps_the_range(viewer, monitor):
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(monitor)}"}
    response = viewer.get(address(monitor), {"range": "7d"}, headers=headers)
    assert response["HX-Replace-Url"] == f"{address(monitor)}?range=7d"


@pytest.mark.parametrize("name", ["charts", "charts_csv"])
def test_a_monitor_of_another_workspace_does_not_exist(viewer, name):
    assert viewer.get(address(make_monitor(), name)).status_code == 404


def test_the_file_has_the_buckets_that_are_shown(viewer, monitor):
    beats(monitor, 98, 140, 131.5, every=timedelta(0))
    rows = lines(viewer, monitor, range="24h", what="value")
    assert list(rows[0]) == ["start", "end", "min", "mean", "max", "count"]
    assert len(rows) == 144
    assert (rows[0]["min"], rows[0]["count"]) == ("", "0")
    (full,) = [row for row in rows if row["count"] != "0"]
    assert {name: float(full[name]) for name in ("min", "max", "count")} == {
        "min": 98,
        "max": 140,
        "count": 3,
    }
    assert float(full["mean"]) == pytest.approx(369.5 / 3)
    start = datetime.strptime(full["start"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    end = datetime.strptime(full["end"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert (end - start, start <= database_now() < end + timedelta(minutes=1)) == (
        timedelta(minutes=10),
        True,
    )


def test_the_file_of_intervals_is_in_seconds(viewer, monitor):
    beats(monitor, None, None, None)
    rows = lines(viewer, monitor, range="1h", what="interval")
    assert list(rows[0]) == ["start", "end", "mean_seconds", "max_seconds", "heartbeats"]
    assert {round(float(row["mean_seconds"]), 1) for row in rows if row["mean_seconds"]} == {60.0}


def test_what_is_not_known_is_empty_in_the_file(viewer, monitor):
    beats(monitor, *range(10), every=timedelta(hours=8))
    rows = lines(viewer, monitor, range="7d", what="interval")
    assert {row["max_seconds"] for row in rows} == {""}


def test_a_file_is_named_after_the_monitor(viewer, monitor):
    response = viewer.get(address(monitor, "charts_csv"), {"range": "7d", "what": "interval"})
    assert response["Content-Disposition"] == 'attachment; filename="backup-interval-7d.csv"'
    assert response["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("text", ["=1", " =1", "\n=1", "\u00a0+1", "\tx", "\u3000@x"])
def test_text_that_a_spreadsheet_would_calculate_is_kept_as_text(text):
    (_header, row) = list(as_csv([[{"message": text}]], ["message"]))
    assert row.decode().lstrip('"').startswith("'")


def test_nothing_in_a_file_is_a_formula(viewer, monitor):
    beats(monitor, -1.5, 1e300, 5e-324)
    for what in ("value", "interval", "=cmd"):
        for row in lines(viewer, monitor, range="1h", what=what):
            assert all(re.fullmatch(r"[0-9TZ:-]{20}|-?[0-9.]+(e[+-]?\d+)?|", cell) for cell in row.values())


@pytest.mark.parametrize("slug", RANGES)
def test_the_page_costs_few_queries(viewer, monitor, django_assert_max_num_queries, slug):
    beats(monitor, *range(100), every=timedelta(hours=1))
    rollups.roll_up()
    with django_assert_max_num_queries(13 if slug in ("90d", "1y") else 11):
        page(viewer, monitor, range=slug)


# --- Gaps ----------------------------------------------------------------------------------------


@pytest.fixture
def gap(monitor):
    Monitor.objects.filter(pk=monitor.pk).update(created_at=database_now() - timedelta(days=100))
    now = database_now()
    return Gap.objects.create(started_at=now - timedelta(minutes=40), ended_at=now - timedelta(minutes=10))


@pytest.mark.parametrize("slug", RANGES)
def test_a_gap_is_hatched_in_both_charts_and_explained(viewer, monitor, gap, slug):
    beats(monitor, *range(20), every=EVERY.get(slug, timedelta(minutes=5)))
    shown = page(viewer, monitor, range=slug)
    assert shown.count('class="chart-hatched"') == 2
    for name in ("value", "interval"):
        assert shown.count(f'id="{name}-hatching"') == 1
        assert shown.count(f'fill="url(#{name}-hatching)"') == 1
    assert shown.count("Hatched: Tianji was not listening.") == 2
    assert "<title>Tianji was not listening · " in shown


def test_the_buckets_in_a_gap_say_so(viewer, monitor, gap):
    beats(monitor, *range(20), every=timedelta(minutes=5))
    said = re.findall(r"<title>([^<]* · Tianji was not listening)</title>", page(viewer, monitor, range="1h"))
    # Of each of the two charts, about thirty minutes.
    assert 58 <= len(said) <= 62


def test_without_a_gap_nothing_is_hatched(viewer, monitor):
    beats(monitor, *range(20))
    now = database_now()
    Gap.objects.create(started_at=now - timedelta(days=200), ended_at=now - timedelta(days=199))
    shown = page(viewer, monitor, range="90d")
    assert "atched" not in shown


def test_gaps_cost_no_more_queries_however_many(viewer, monitor, gap, django_assert_num_queries):
    beats(monitor, *range(20))
    with CaptureQueriesContext(connection) as before:
        page(viewer, monitor)
    for number in range(1, 20):
        shift = timedelta(minutes=45 * number)
        Gap.objects.create(started_at=gap.started_at - shift, ended_at=gap.ended_at - shift)
    with django_assert_num_queries(len(before)):
        page(viewer, monitor)
