"""Cron expressions as systemd writes them, compared with systemd's own reading where it is there."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from monitors.domain.cron_to_on_calendar import cron_to_on_calendar
from monitors.domain.schedules import CronSchedule

SAID = {
    "0 2 * * *": ("*-*-* 02:00:00 UTC",),
    "*/5 * * * *": ("*-*-* *:00/5:00 UTC",),
    "*/7 * * * *": ("*-*-* *:00/7:00 UTC",),
    "5,35 9-17 * * MON-FRI": ("Mon,Tue,Wed,Thu,Fri *-*-* 09,10,11,12,13,14,15,16,17:05,35:00 UTC",),
    "0 0 1,15 * *": ("*-*-01,15 00:00:00 UTC",),
    "0 0 * * 7": ("Sun *-*-* 00:00:00 UTC",),
    "30 4 1 1 *": ("*-01-01 04:30:00 UTC",),
    "0 0 L * *": ("*-*~01 00:00:00 UTC",),
    "0 0 13 * FRI": ("*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC"),
    "0 0 */2 * FRI": ("Fri *-*-01/2 00:00:00 UTC",),
    "0 0 15,L * *": ("*-*-15 00:00:00 UTC", "*-*~01 00:00:00 UTC"),
}
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.parametrize("expression", SAID)
def test_a_cron_expression_is_converted_to_oncalendar(expression: str):
    assert cron_to_on_calendar(expression, "UTC") == SAID[expression]


@pytest.mark.parametrize(
    "expression", ["0 0 * * MON#2", "0 0 LW * *", "0 0 * * 5L", "nonsense", "61 * * * *", ""]
)
def test_an_expression_that_systemd_cannot_express_is_none(expression: str):
    assert cron_to_on_calendar(expression, "UTC") == ()


def test_the_time_zone_is_named():
    assert cron_to_on_calendar("0 2 * * *", "Asia/Jakarta") == ("*-*-* 02:00:00 Asia/Jakarta",)


if ANALYZE:
    # Where there is no systemd, nothing but the table above says what it would read.

    @pytest.mark.parametrize("expression", SAID)
    def test_systemd_reads_the_times_that_cron_means(expression: str):
        start, count = datetime(2026, 11, 22, 10, 3, tzinfo=UTC), 12
        options = ["--iterations", str(count), "--base-time", "2026-11-22 10:03:00 UTC"]
        ran = subprocess.run(
            [ANALYZE, "calendar", *options, *cron_to_on_calendar(expression, "UTC")],
            capture_output=True,
            text=True,
            check=True,
            env={"TZ": "UTC", "LC_ALL": "C"},
        )
        times = re.findall(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", ran.stdout)
        read = sorted({datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times})
        assert read[:count] == list(itertools.islice(CronSchedule(expression).times_after(start), count))
