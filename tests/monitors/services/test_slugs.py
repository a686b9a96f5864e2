"""The names by which programs know monitors, made here or chosen by them."""

from __future__ import annotations

import re

import pytest

from monitors.models import SLUG, SLUG_LENGTH, Monitor
from monitors.services.monitors import slug_of
from tests.support.callers import Caller
from tests.support.factories import make_monitor, make_workspace

BODY = {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}}


@pytest.fixture
def writer(db):
    return Caller(make_workspace())


@pytest.mark.parametrize(
    "name", ["Backup", "日本語", "___", "--x--", "a" * 100, "İstanbul", "①", "a" * 52 + " b"]
)
def test_a_slug_can_be_made_of_any_name(name):
    slug = slug_of(name)
    assert re.fullmatch(SLUG, slug)
    # There is room for a number.
    assert len(slug) <= SLUG_LENGTH - 7


@pytest.mark.django_db
def test_monitors_of_one_name_have_slugs_of_their_own():
    workspace = make_workspace()
    for _ in range(3):
        make_monitor(workspace=workspace, name="日本語")
    assert set(Monitor.objects.values_list("slug", flat=True)) == {"monitor", "monitor-2", "monitor-3"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "slug", ["a" * 61, "Job", "a_b", "a--b", "-a", "a-", "%C3%BC", "a%00b", "a b", "a%0A"]
)
def test_a_put_to_what_is_no_slug_says_what_one_is(writer, slug):
    answer = writer.put(f"monitors/by-slug/{slug}/", BODY)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "slug"
    assert writer.get(f"monitors/by-slug/{slug}/").status_code == 404
    assert not Monitor.objects.exists()


@pytest.mark.django_db
def test_the_longest_slug_can_be_put_and_read(writer):
    assert writer.put(f"monitors/by-slug/{'a' * SLUG_LENGTH}/", BODY).status_code == 201
    assert writer.get(f"monitors/by-slug/{'a' * SLUG_LENGTH}/").status_code == 200
