"""What the processes of the web server share was loaded before they were forked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import ROOT, environment_of
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

_LOAD = """
import gc, json, multiprocessing, sys, threading
from tianji.runtime import web

web.load()
from django.db import connections
from django.template import engines
from monitors.heartbeats import pipeline

print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": [thread.name for thread in threading.enumerate()],
    "connected": [each.alias for each in connections.all() if each.connection is not None],
    "listens": pipeline.process_pipeline().listener.silent_seconds is not None,
    "templates": len(engines["django"].engine.template_loaders[0].loaders[0].get_template_cache),
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", _LOAD],
        cwd=ROOT,
        env=environment_of(tmp_path_factory.mktemp("data"), free_port()),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_views_and_middleware_are_loaded_before_the_fork(loaded: dict[str, Any]):
    needed = {"tianji.urls", "monitors.views.detail", "tianji.middleware", "whitenoise.middleware"}
    needed |= {"monitors.heartbeats.gateway", "a2wsgi"}
    assert needed <= set(loaded["modules"])


def test_templates_are_compiled_before_the_fork(loaded: dict[str, Any]):
    assert loaded["templates"] > 100


def test_nothing_is_open_before_the_fork(loaded: dict[str, Any]):
    assert loaded["threads"] == ["MainThread"]
    assert loaded["connected"] == []
    assert not {"tianji.asgi", "tianji.wsgi"} & set(loaded["modules"])
    assert not loaded["listens"]


def test_what_was_loaded_is_frozen_and_the_rest_is_collected(loaded: dict[str, Any]):
    assert loaded["collects"]
    assert loaded["frozen"] > 100_000


_ALLOW = """
import resource

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from tianji.runtime import web

web.allow_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), hard)
"""


def test_as_many_connections_as_the_system_allows_may_be_open(tmp_path: Path):
    ran = subprocess.run(
        [sys.executable, "-c", _ALLOW],
        cwd=ROOT,
        env=environment_of(tmp_path, free_port()),
        capture_output=True,
        text=True,
        check=True,
    )
    soft, kept, hard = map(int, ran.stdout.split())
    assert kept == hard
    assert soft == (65_536 if hard == -1 else min(65_536, hard))
