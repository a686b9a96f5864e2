"""The rate limit of the API for each key or user."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.support.callers import Caller
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()
    yield
    cache.clear()


def statuses(caller, times):
    return [caller.get("monitors/").status_code for _ in range(times)]


def test_more_than_so_many_a_minute_is_429_with_retry_after(writer, settings):
    settings.TIANJI_API_RATE = 3
    assert statuses(writer, 3) == [200, 200, 200]
    answer = writer.get("monitors/")
    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/api/problems/too-many-requests/"
    assert 1 <= int(answer["Retry-After"]) <= 61


def test_each_key_has_its_own_count(writer, reader, settings):
    settings.TIANJI_API_RATE = 1
    assert statuses(writer, 2) == [200, 429]
    assert statuses(reader, 2) == [200, 429]
    assert statuses(Caller(writer.workspace), 2) == [200, 429]


def test_each_person_has_their_own_count(client, workspace, settings):
    settings.TIANJI_API_RATE = 1
    for _ in range(2):
        client.force_login(make_user(workspace=workspace))
        statuses = [client.get("/api/v1/monitors/").status_code for _ in range(2)]
        assert statuses == [200, 429]


def test_an_unauthenticated_request_is_401_and_not_counted(client, settings):
    settings.TIANJI_API_RATE = 1
    assert [client.get("/api/v1/monitors/").status_code for _ in range(3)] == [401] * 3


def test_zero_is_no_limit(writer, settings):
    settings.TIANJI_API_RATE = 0
    assert statuses(writer, 5) == [200] * 5


def test_an_unavailable_cache_blocks_no_request(writer, settings):
    settings.TIANJI_API_RATE = 1
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }
    assert statuses(writer, 3) == [200] * 3


def test_pushes_have_limits_of_their_own(writer, client, settings):
    settings.TIANJI_API_RATE = 1
    body = {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}}
    push_url = writer.post("monitors/", body).json()["push_url"].partition("testserver")[2]
    assert [client.get(push_url).status_code for _ in range(3)] == [200] * 3
