"""What each process has not imported after its start: memory and time that only some of them need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.product import ROOT, environment_of
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

# As celery does it, up to where it connects.
_WORKER = """
from tianji.celery import app
app.loader.import_default_modules()
import celery.apps.worker, celery.concurrency.thread
"""
_WEB = """
from tianji.runtime import web
web.load()
"""
# Only messages that are sent, and forms for their receivers, need these.
_OF_MESSAGES = {"apprise", "httpx"}
_OF_PAGES = {
    *("tianji.urls", "tianji.middleware", "monitors.views", "notifications.views", "accounts.views"),
    *("accounts.admin", "monitors.admin", "notifications.admin", "django_celery_beat.admin"),
    *("rest_framework.views", "drf_spectacular.openapi", "allauth.account.views", "fido2"),
}
_OF_TASKS = {"celery.apps.worker", "celery.bin", "celery.beat", "prompt_toolkit", "tianji.runtime.beat"}


@pytest.mark.parametrize(
    ("start", "absent"), [(_WORKER, _OF_MESSAGES | _OF_PAGES), (_WEB, _OF_MESSAGES | _OF_TASKS)]
)
def test_a_process_imports_no_more_than_it_needs(tmp_path, start: str, absent: set[str]):
    ran = subprocess.run(
        [sys.executable, "-c", f"{start}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        cwd=ROOT,
        env=environment_of(tmp_path, free_port()),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(ran.stdout))
    assert "monitors.tasks" in imported or "tianji.urls" in imported
    assert absent & imported == set()
