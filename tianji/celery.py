"""The Celery app. Its messages are only wake-up hints: the work to do is in the database."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import heartbeat_sent, setup_logging, task_postrun, task_prerun
from structlog.contextvars import bind_contextvars, clear_contextvars

from tianji.runtime.alive import alive

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")

# Workers and Celery Beat would run Django's system checks when they start, and discard what these find. They
# would load all pages for them, which takes as long as the rest of the start.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

# Celery warns when run as root, because pickled messages can run code; ours are JSON.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("tianji")
app.config_from_object("tianji.celeryconfig")
app.autodiscover_tasks()

# Sent every 2 s by the loop in which a worker takes its tasks, while it has a connection to the broker.
heartbeat_sent.connect(alive.touch)


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Keep settings.LOGGING: without a receiver for this signal, Celery would replace it."""


@task_prerun.connect
def name_the_task(task_id: str, task: Any, **kwargs: Any) -> None:
    bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def forget_the_task(**kwargs: Any) -> None:
    clear_contextvars()
