"""Redis: what is in it is data, and can't run code here."""

from __future__ import annotations

import json
import pickle
from datetime import timedelta

import pytest
import redis
from django.core.cache import caches
from kombu.exceptions import ContentDisallowed
from kombu.message import Message

from core.json_cache import JsonSerializer
from tests.support.servers import redis_server
from tianji import celeryconfig
from tianji.celery import app


@pytest.mark.parametrize("value", [0, 7, -1, 1.5, True, None, "é", [1.25, 2.5], {"a": [None, "b"]}, ""])
def test_values_are_read_as_they_were_written(value):
    serializer = JsonSerializer()
    written = serializer.dumps(value)
    # Redis sends numbers as text.
    read = serializer.loads(str(written).encode() if type(written) is int else written)
    assert (read, type(read)) == (value, type(value))


def test_what_is_no_data_is_refused():
    with pytest.raises(TypeError):
        JsonSerializer().dumps(timedelta(1))


class Trap:
    """Runs code when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_a_pickled_value_is_not_unpickled():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ValueError):  # noqa: PT011  (of either decoder)
            JsonSerializer().loads(pickle.dumps(Trap(), protocol))
    assert not Trap.sprung


@pytest.mark.slow
def test_a_pickle_in_redis_runs_nothing_here(settings):
    with redis_server() as server, redis.Redis(port=server.port) as client:
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": server.url,
                "OPTIONS": {"serializer": "core.json_cache.JsonSerializer"},
            }
        }
        cache = caches["default"]
        cache.set("history", [1.5, 2.5])
        assert cache.add("count", 1)
        cache.incr("count")
        assert (cache.get("history"), cache.get("count")) == ([1.5, 2.5], 2)
        (stored,) = [client.get(key) for key in client.scan_iter() if b"history" in key]
        assert json.loads(stored) == [1.5, 2.5]
        for key in client.scan_iter():
            client.set(key, pickle.dumps(Trap()))
        with pytest.raises(ValueError):  # noqa: PT011  (of either decoder)
            cache.get("history")
    assert not Trap.sprung


def test_the_settings_use_it_with_redis():
    source = (celeryconfig.settings.BASE_DIR / "tianji" / "settings.py").read_text()
    assert '"serializer": "core.json_cache.JsonSerializer"' in source


def test_messages_are_json_and_nothing_else_is_accepted():
    assert (app.conf.task_serializer, list(app.conf.accept_content)) == ("json", ["json"])
    message = Message(
        body=pickle.dumps(Trap()),
        content_type="application/x-python-serialize",
        content_encoding="binary",
        accept=app.conf.accept_content,
    )
    with pytest.raises(ContentDisallowed):
        message.decode()
    assert not Trap.sprung
