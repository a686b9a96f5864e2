"""Celery's configuration: Redis as the broker, or a folder if there is no Redis."""

from django.conf import settings

from tianji import paths
from tianji.runtime import file_broker

if settings.REDIS_URL:
    broker_url = settings.REDIS_URL
    # A hint that cannot be published must fail fast: the next periodic tick finds the work anyway.
    broker_transport_options = {
        "socket_connect_timeout": 1,
        "socket_timeout": 5,
        # kombu would sleep and connect again for as long as six seconds.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
        "visibility_timeout": 3600,
        "global_keyprefix": "tianji:",
    }
else:
    _folder = settings.TIANJI_DATA / "broker"
    with paths.writing("TIANJI_DATA", settings.TIANJI_DATA):
        for _name in ("messages", "control", "processed"):
            (_folder / _name).mkdir(mode=0o700, parents=True, exist_ok=True)
    file_broker.register()
    broker_url = f"{file_broker.SCHEME}://"
    broker_transport_options = {
        "data_folder_in": str(_folder / "messages"),
        "data_folder_out": str(_folder / "messages"),
        "control_folder": str(_folder / "control"),
        "processed_folder": str(_folder / "processed"),
        "polling_interval": 0.1,
    }
    worker_enable_remote_control = False

# Messages are data: whoever can write to the broker must not be able to run code here.
task_serializer = "json"
accept_content = ["json"]
broker_connection_retry_on_startup = True
task_publish_retry = False
task_ignore_result = True
result_expires = None
task_default_queue = "default"
task_routes = {"monitors.tasks.sweep": {"queue": "sweep"}}
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
worker_send_task_events = False
timezone = "UTC"

beat_scheduler = "tianji.runtime.beat:Scheduler"
# Celery Beat saves when tasks ran after this many of them, at two per second; /healthz relies on it.
beat_sync_every = 60
# Ticks don't expire: that is set by one machine's clock and checked against another's. While no worker runs,
# tianji/runtime/beat.py stops adding to the pile.
beat_schedule = {
    "sweep": {"task": "monitors.tasks.sweep", "schedule": 1.0, "options": {"queue": "sweep"}},
    "deliver": {"task": "notifications.tasks.deliver", "schedule": 1.0},
    "notice": {"task": "notifications.tasks.notify_late_and_failing", "schedule": 5.0},
    "roll_up": {"task": "monitors.tasks.roll_up", "schedule": 60.0},
    # A hint sends mail at once; this is for what failed.
    "account_mail": {"task": "accounts.tasks.send_mail", "schedule": 30.0},
    "retention": {"task": "monitors.tasks.retention", "schedule": 3600.0},
    "partitions": {"task": "monitors.tasks.make_partitions", "schedule": 600.0},
    "accounts_retention": {"task": "accounts.tasks.retention", "schedule": 3600.0},
    "password_links": {"task": "accounts.tasks.send_password_links", "schedule": 60.0},
    "history_retention": {"task": "notifications.tasks.retention", "schedule": 3600.0},
}
