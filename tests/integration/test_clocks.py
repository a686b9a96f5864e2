"""The clock of a process may be wrong, or be set: only the database's counts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.plant import Plant, standing_plant
from tests.support.product import wait_for
from tests.support.servers import Redis
from tests.support.sinks import HttpSink

HOUR = 3600
_SHIFT = Path(__file__).parents[1] / "support" / "clock"


class Clock:
    """The clock of some processes, so many seconds off."""

    def __init__(self, file: Path, off: float) -> None:
        self.file = file
        self.set(off)

    def set(self, off: float) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(off))
        os.replace(new, self.file)

    @property
    def settings(self) -> dict[str, str]:
        return {"PYTHONPATH": str(_SHIFT), "TESTS_CLOCK": str(self.file)}


@pytest.fixture(scope="module")
def standing(migrated_database: Callable[[str], str], own_redis: Redis) -> Iterator[Plant]:
    with standing_plant(migrated_database("clocks"), own_redis.url) as made:
        made.start("web")
        made.wait_until_ready()
        yield made


@pytest.fixture
def plant(standing: Plant) -> Iterator[Plant]:
    """Web runs; Celery Beat and the worker are the test's to start."""
    standing.query("TRUNCATE monitors_monitor, notifications_channel CASCADE")
    yield standing
    standing.stop(*(role for role in list(standing.processes) if role != "web"))


def alert_about_silence(plant: Plant, sink: HttpSink, *, within: float) -> None:
    """Let a monitor fall silent, and wait until its channel is notified."""
    before = len(sink.requests)
    push_url = plant.monitor(f"silent {before}")
    plant.query("UPDATE monitors_monitor SET timeout = 2, grace = 0")
    requests.post(push_url, timeout=10)
    sink.wait_for(before + 1, seconds=within)


def health(plant: Plant) -> dict[str, str]:
    answer = requests.get(f"{plant.url}/healthz", headers={"Accept": "application/json"}, timeout=10)
    return {name: text for name, text in answer.json().items() if text != "ok"}


def last_run_ago(plant: Plant) -> float:
    """Return how many seconds ago, by the database's clock, Celery Beat noted a sweep."""
    (row,) = plant.query(
        "SELECT extract(epoch FROM now() - last_run_at)::float AS ago FROM django_celery_beat_periodictask"
        " WHERE name = 'sweep'"
    )
    return float(row["ago"])


@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_an_hour_off_checks_and_notifies_on_time(
    plant: Plant, tmp_path: Path, off: int
):
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        plant.start("beat")
        plant.start("worker", **Clock(tmp_path / "clock", off).settings)
        alert_about_silence(plant, sink, within=90)
        # Both run now: nothing of their start is part of it.
        alert_about_silence(plant, sink, within=25)
        reported = plant.monitor("reported")
        requests.post(f"{reported}?status=down", timeout=10)
        sink.wait_for(3, seconds=25)
        assert all(abs(int(one.headers["webhook-timestamp"]) - time.time()) < 60 for one in sink.requests)
    assert health(plant) == {}


def test_a_celery_beat_whose_clock_is_off_or_is_set_ticks_on(plant: Plant, tmp_path: Path):
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        clock = Clock(tmp_path / "clock", HOUR)
        plant.start("worker")
        plant.start("beat", **clock.settings)
        alert_about_silence(plant, sink, within=90)
        for off in (-HOUR, 0, HOUR):
            clock.set(off)
            alert_about_silence(plant, sink, within=25)
        plant.stop("beat")
        assert -1 < last_run_ago(plant) < 30
        # As an older version left them, or the database's clock before it was set back.
        plant.query("UPDATE django_celery_beat_periodictask SET last_run_at = now() + interval '1 hour'")
        clock.set(-HOUR)
        plant.start("beat", **clock.settings)
        alert_about_silence(plant, sink, within=60)
        wait_for(lambda: -1 < last_run_ago(plant) < 40, seconds=60, describe="its runs are noted")
    assert health(plant) == {}


def test_ticks_that_waited_for_a_worker_are_done_at_once(plant: Plant, own_redis: Redis):
    plant.start("beat")
    wait_for(lambda: waiting_ticks(own_redis) > 5, seconds=60, describe="ticks wait")
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        plant.start("worker")
        alert_about_silence(plant, sink, within=60)
    wait_for(lambda: waiting_ticks(own_redis) <= 1, seconds=25, describe="no tick waits")


def test_a_celery_beat_that_waited_for_redis_ticks_soon_after_its_return(plant: Plant, own_redis: Redis):
    own_redis.stop()
    try:
        beat = plant.start("beat")
        beat.line_with("the broker can't be reached")
        time.sleep(22)
    finally:
        own_redis.start()
    wait_for(lambda: waiting_ticks(own_redis) > 1, seconds=6, describe=lambda: beat.output)


def waiting_ticks(server: Redis) -> int:
    with server.client() as client:
        return int(client.llen("tianji:sweep"))
