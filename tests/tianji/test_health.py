"""The health endpoints, the database's clock, and the system check of the schedule."""

from __future__ import annotations

import socket
import time
from datetime import timedelta

import pytest
import redis
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.db.utils import ConnectionHandler
from django_celery_beat.models import PeriodicTask

from core.clock import database_now
from monitors.heartbeats import missed
from monitors.heartbeats.pipeline import process_pipeline
from monitors.models import Gap, Heartbeat, Incident, Monitor, MonitorState, Watermark
from notifications.dispatch import send
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt
from tests.support.beat_schedule import install_schedule
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace
from tests.support.servers import redis_server
from tianji import health

READY = {"status": "ok", "database": "ok", "migrations": "ok", "commits": "ok"}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Forget that the migrations are applied: a process stops checking once they are."""
    monkeypatch.setattr(health, "_migrations_are_applied", False)


@pytest.fixture
def database(monkeypatch):
    """Make the probes look at the SQLite database of the given name."""
    handlers = []

    def look_at(name):
        handlers.append(
            ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)}})
        )
        monkeypatch.setattr(health, "connections", handlers[-1])

    yield look_at
    for handler in handlers:
        handler.close_all()


def test_a_process_that_answers_lives(client):
    # Without the database: this test has none.
    response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_process_with_a_migrated_database_is_ready(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, READY)


@pytest.mark.django_db
def test_migrations_that_are_not_applied_are_counted_and_not_ready(client, database, tmp_path):
    database(tmp_path / "empty.sqlite3")
    response = client.get("/readyz")
    assert response.status_code == 503
    content = response.json()
    assert (content["status"], content["database"]) == ("unavailable", "ok")
    assert content["migrations"].endswith(" not applied")
    assert int(content["migrations"].split()[0]) > 0


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_not_ready(client, database, tmp_path):
    database(tmp_path / "no" / "such" / "folder.sqlite3")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "not responding",
        "migrations": "unknown",
        "commits": "ok",
    }


@pytest.mark.django_db
def test_a_process_that_has_not_committed_lately_is_not_ready(client, monkeypatch):
    listener = process_pipeline().listener
    monkeypatch.setattr(type(listener), "silent_seconds", property(lambda self: 10.5))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {**READY, "status": "unavailable", "commits": "failing"}
    monkeypatch.setattr(type(listener), "silent_seconds", property(lambda self: 9.5))
    assert client.get("/readyz").json() == READY


@pytest.mark.django_db
def test_a_database_that_is_back_is_ready_again(client, database, tmp_path, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr(
            health,
            "connections",
            ConnectionHandler(
                {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "no" / "x")}}
            ),
        )
        assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json() == READY


@pytest.mark.django_db
def test_applied_migrations_are_not_looked_up_again(client, django_assert_num_queries):
    client.get("/readyz")
    with django_assert_num_queries(1):
        assert client.get("/readyz").json() == READY


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_not_cached_need_no_account_and_set_no_cookie(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_not_sent_to_https(client, settings, path):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path).status_code == 200


# --- the database's clock


@pytest.mark.django_db
def test_the_clock_is_aware_and_goes_forward():
    first, second = database_now(), database_now()
    assert first.utcoffset().total_seconds() == 0
    assert first <= second


# --- the whole installation: /healthz

WELL = {
    "status": "ok",
    "database": "ok",
    "migrations": "ok",
    "listening": "ok",
    "clock": "ok",
    "schedule": "ok",
    "celery_beat": "ok",
    "sweep": "ok",
    "deliveries": "ok",
    "partitions": "ok",
    "broker": "ok",
    "workers": "ok",
}


def ask(client):
    return client.get("/healthz", headers={"Accept": "application/json"})


def faults(response):
    return [name for name, text in response.json().items() if text != "ok" and name != "status"]


def only_fault(response, key):
    """Return the fault of `key`, and require that everything else is ok."""
    content = response.json()
    assert response.status_code == 503
    assert {name: text for name, text in content.items() if text != "ok"}.keys() == {"status", key}
    return content[key]


@pytest.fixture
def scheduled(db):
    install_schedule()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The broker's folder, for this test only."""
    monkeypatch.setitem(health.broker_transport_options, "data_folder_in", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("scheduled", "folder")
def test_all_is_well(client):
    response = ask(client)
    assert (response.status_code, response.json()) == (200, WELL)


@pytest.mark.usefixtures("scheduled", "folder")
def test_people_get_a_page_and_programs_that_ask_for_it_json(client):
    page = client.get("/healthz", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")
    assert "All systems operational" in page.text
    assert "style=" not in page.text
    assert client.get("/healthz")["Content-Type"].startswith("text/html")
    assert "Accept" in ask(client)["Vary"]


@pytest.mark.usefixtures("scheduled", "folder")
@pytest.mark.parametrize("name", ["sweep", "deliver"])
def test_a_task_that_is_switched_off_is_a_red_line(client, name):
    PeriodicTask.objects.filter(name=name).update(enabled=False)
    assert f"“{name}” is disabled" in only_fault(ask(client), "schedule")
    page = client.get("/healthz")
    assert page.status_code == 503
    assert "pill-down" in page.text
    assert f"“{name}” is disabled" in page.text


@pytest.mark.usefixtures("scheduled", "folder")
@pytest.mark.parametrize(
    ("column", "away"),
    [("expires", timedelta(hours=-1)), ("start_time", timedelta(hours=1)), ("one_off", None)],
)
def test_every_way_to_keep_the_sweep_from_running_is_seen(client, column, away):
    value = True if away is None else database_now() + away
    PeriodicTask.objects.filter(name="sweep").update(**{column: value})
    assert "sweep" in only_fault(ask(client), "schedule")


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_task_that_was_deleted_is_missing(client):
    PeriodicTask.objects.filter(name="sweep").delete()
    assert "“sweep” is missing" in only_fault(ask(client), "schedule")


@pytest.mark.usefixtures("scheduled", "folder")
def test_another_entry_for_the_same_task_will_do(client):
    sweep = PeriodicTask.objects.get(name="sweep")
    PeriodicTask.objects.filter(pk=sweep.pk).update(enabled=False)
    sweep.pk, sweep.name, sweep.enabled = None, "sweep too", True
    sweep.save()
    assert ask(client).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("folder")
def test_before_celery_beat_has_run_it_is_what_is_missing(client):
    assert only_fault(ask(client), "celery_beat") == "Has not run yet."


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_celery_beat_that_falls_silent_is_seen(client):
    PeriodicTask.objects.update(last_run_at=database_now() - timedelta(minutes=1))
    assert ask(client).status_code == 200
    PeriodicTask.objects.update(last_run_at=database_now() - timedelta(minutes=3))
    assert only_fault(ask(client), "celery_beat").startswith("No task has run for ")


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_run_in_the_future_is_no_run(client):
    PeriodicTask.objects.update(last_run_at=database_now() + timedelta(minutes=1))
    assert ask(client).status_code == 200
    PeriodicTask.objects.update(last_run_at=database_now() + timedelta(minutes=60, seconds=30))
    assert only_fault(ask(client), "celery_beat").startswith("Its last run is 1 h ")


@pytest.mark.usefixtures("scheduled", "folder")
def test_an_hourly_task_says_nothing_about_whether_celery_beat_runs(client):
    PeriodicTask.objects.filter(name="retention").update(last_run_at=database_now() + timedelta(minutes=50))
    assert ask(client).status_code == 200
    PeriodicTask.objects.exclude(name="retention").update(last_run_at=database_now() - timedelta(minutes=3))
    assert only_fault(ask(client), "celery_beat").startswith("No task has run for ")


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_sweep_that_is_behind_is_seen_and_names_no_monitor(client):
    monitor = make_monitor(name="Secret project")
    late = {"status": "up", "due_at": database_now() - timedelta(seconds=10)}
    MonitorState.objects.filter(monitor=monitor).update(**late)
    assert ask(client).status_code == 200
    MonitorState.objects.update(due_at=database_now() - timedelta(seconds=100))
    assert only_fault(ask(client), "sweep").endswith(" behind.")
    assert "Secret project" not in client.get("/healthz").text


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no partitions")
@pytest.mark.usefixtures("scheduled", "folder")
def test_heartbeats_without_a_partition_are_seen(client):
    monitor = make_monitor()
    Heartbeat.objects.create(monitor=monitor, received_at=database_now() + timedelta(days=900), status="up")
    said = "Heartbeats arrive that no partition was made for."
    assert only_fault(ask(client), "partitions") == said
    assert said in client.get("/healthz").text


def received_until(*, held=False, **ago):
    until = database_now() - timedelta(**ago)
    Watermark.objects.update_or_create(pk=Watermark.ROW, defaults={"until": until, "held": held})
    return until


@pytest.mark.usefixtures("scheduled", "folder")
@pytest.mark.parametrize(("held", "seconds"), [(False, 10), (True, 2)], ids=["nobody looks", "most fail"])
def test_pushes_that_fail_are_seen_with_the_time_since_when(client, held, seconds):
    received_until(seconds=3)
    assert ask(client).status_code == 200
    since = received_until(held=held, seconds=seconds)
    said = f"{since:%H:%M:%S} UTC."
    assert only_fault(ask(client), "listening").endswith(said)
    assert said in client.get("/healthz").text


@pytest.mark.usefixtures("scheduled", "folder")
@pytest.mark.parametrize(
    ("step", "words", "minutes"),
    [
        (3600, "set forward by 1 h", 10),
        (-60, "set back by 60 s", 10),
        (-1800, "set back by 30 min", 30),
        (-86_400, "set back by 1 d", 60),
    ],
)
def test_a_clock_that_was_set_is_seen_for_a_while_and_if_set_back_until_it_made_up_for_it(
    client, step, words, minutes
):
    now = database_now()
    ended = now - timedelta(minutes=minutes - 1)
    started = ended - timedelta(seconds=max(step, 0))
    Gap.objects.create(started_at=started, ended_at=ended, clock_step=step)
    fault = only_fault(ask(client), "clock")
    assert f"The database's clock was {words} at " in fault
    assert fault.endswith(f"{started:%H:%M:%S} UTC.")
    Gap.objects.update(ended_at=now - timedelta(minutes=minutes), started_at=now - timedelta(hours=3))
    assert ask(client).status_code == 200


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_gap_that_has_ended_is_no_fault(client):
    now = database_now()
    Gap.objects.create(started_at=now - timedelta(minutes=9), ended_at=now - timedelta(minutes=1))
    assert ask(client).status_code == 200


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_sweep_that_waits_for_the_watermark_is_not_behind(client):
    now = database_now()
    received_until(minutes=5)
    overdue = {"status": "up", "due_at": now - timedelta(minutes=3)}
    MonitorState.objects.filter(monitor=make_monitor()).update(**overdue)
    assert set(faults(ask(client))) == {"listening"}
    # The gap has ended a moment ago, and the sweep has not moved the deadlines in it yet.
    received_until(seconds=0)
    MonitorState.objects.update(excused_until=now - timedelta(seconds=5))
    assert ask(client).status_code == 200
    MonitorState.objects.update(excused_until=now - timedelta(seconds=45))
    assert only_fault(ask(client), "sweep") in {"Running 45 s behind.", "Running 46 s behind."}


@pytest.mark.usefixtures("scheduled", "folder")
def test_deliveries_that_are_behind_are_seen(client):
    monitor = make_monitor()
    now = database_now()
    incident = Incident.objects.create(monitor=monitor, cause="missed", started_at=now, detected_at=now)
    Delivery.objects.create(
        incident=incident,
        channel=make_channel(workspace=monitor.workspace),
        event="incident.opened",
        created_at=now,
        next_attempt_at=now - timedelta(seconds=20),
    )
    assert ask(client).status_code == 200
    Delivery.objects.update(next_attempt_at=now - timedelta(minutes=3))
    assert only_fault(ask(client), "deliveries").endswith(" behind.")


@pytest.fixture
def overdue(db):
    """Return a function that makes deliveries to a channel that were due three minutes ago."""
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)

    def make(event="incident.opened", *, minutes=-3, **fields):
        now = database_now()
        incident, _made = Incident.objects.get_or_create(
            monitor=monitor, defaults={"cause": "missed", "started_at": now, "detected_at": now}
        )
        due = now + timedelta(minutes=minutes)
        columns = {"created_at": now - timedelta(minutes=10), "next_attempt_at": due, "attempt_count": 1}
        return Delivery.objects.create(
            **{
                "incident": incident,
                "monitor": monitor,
                "channel": channel,
                "event": event,
                **columns,
                **fields,
            }
        )

    return make


@pytest.mark.usefixtures("scheduled", "folder")
def test_deliveries_that_wait_for_their_receiver_are_not_behind(client, overdue):
    tried = overdue(minutes=30, attempt_count=3)
    assert ask(client).status_code == 200
    # It was not tried again.
    Delivery.objects.filter(pk=tried.pk).update(next_attempt_at=database_now() - timedelta(minutes=2))
    assert "behind" in only_fault(ask(client), "deliveries")


@pytest.mark.usefixtures("scheduled", "folder")
def test_news_that_no_worker_looked_at_is_behind(client, workspace):
    monitor = make_monitor(workspace=workspace)
    channel, now = make_channel(workspace=workspace), database_now()
    belief = Belief.objects.create(channel=channel, monitor=monitor, check_at=now - timedelta(seconds=20))
    assert ask(client).status_code == 200
    Belief.objects.filter(pk=belief.pk).update(check_at=now - timedelta(minutes=3))
    assert "behind" in only_fault(ask(client), "deliveries")
    # In a storm it waits for the digest.
    Channel.objects.update(digest_at=now + timedelta(seconds=20))
    assert ask(client).status_code == 200


@pytest.mark.usefixtures("scheduled", "folder")
@pytest.mark.parametrize("seconds", [600, -50])
def test_a_channel_that_rests_or_rested_a_moment_ago_is_not_behind(client, overdue, seconds):
    channel = overdue().channel
    assert "behind" in only_fault(ask(client), "deliveries")
    channel.paused_until = database_now() + timedelta(seconds=seconds)
    channel.save()
    assert ask(client).status_code == 200


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_backlog_that_is_being_worked_off_is_not_behind(client, overdue):
    """A slow receiver gets one after the other."""
    overdue()
    sent = overdue("incident.resolved", status="sent", next_attempt_at=None)
    now = database_now()
    attempt = DeliveryAttempt.objects.create(
        delivery=sent, number=1, started_at=now, finished_at=now - timedelta(seconds=30), ok=True
    )
    assert ask(client).status_code == 200
    DeliveryAttempt.objects.filter(pk=attempt.pk).update(finished_at=now - timedelta(minutes=2))
    assert "behind" in only_fault(ask(client), "deliveries")


@pytest.mark.usefixtures("scheduled", "folder")
def test_channels_that_hang_do_not_turn_it_red_however_many_a_member_makes(client, overdue, workspace):
    """They keep all workers busy, and what waits for its turn waits for minutes; the workers are well."""
    overdue()
    hanging = overdue("incident.resolved", channel=make_channel(workspace=workspace))
    now = database_now()
    DeliveryAttempt.objects.create(
        delivery=hanging, number=1, started_at=now - timedelta(seconds=45), finished_at=now, ok=False
    )
    assert ask(client).status_code == 200


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_first_attempt_that_is_being_made_shows_that_a_worker_delivers(client, overdue, workspace):
    overdue()
    assert "behind" in only_fault(ask(client), "deliveries")
    overdue("incident.resolved", status="sending", minutes=0.5, channel=make_channel(workspace=workspace))
    assert ask(client).status_code == 200


# What members can write in places that the installation's health is read from.
INVALID = [
    {"kind": "webhook", "config": {}},
    {"kind": "webhook", "config": {"url": "http://127.0.0.1:9/" + "x" * 1900}},
    {"kind": "email", "config": {"addresses": []}},
    {"kind": "gone", "config": {"anything": 1}},
    {"kind": "slack", "config": {"url": {"sealed": "gAAAA-not-ours"}}},
]


@pytest.mark.slow
@pytest.mark.usefixtures("scheduled", "folder")
def test_members_can_not_turn_it_red_with_invalid_channels_and_schedules(client, workspace):
    """Everything that is due is served by a worker, however little of it can be sent."""
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    for fields in INVALID:
        make_channel(workspace=workspace, **fields)
    Monitor.objects.filter(pk=monitors[0].pk).update(
        kind="cron", cron="not a cron", timezone="Nowhere/At_All"
    )
    now = database_now()
    MonitorState.objects.filter(monitor__in=monitors).update(
        status="up", last_heartbeat_at=now - timedelta(hours=1), due_at=now - timedelta(minutes=30)
    )
    missed.declare_missed()
    send.deliver_due()
    # As after a while in which nobody looked.
    Belief.objects.filter(check_at__isnull=False).update(check_at=now - timedelta(minutes=3))
    Delivery.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now - timedelta(minutes=3))
    send.deliver_due()
    response = ask(client)
    assert response.status_code == 200, response.json()


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_delivery_whose_worker_died_is_behind(client, overdue):
    overdue(status="sending")
    assert "behind" in only_fault(ask(client), "deliveries")


@pytest.mark.usefixtures("scheduled")
def test_an_unread_queue_of_ticks_means_that_no_worker_runs(client, folder):
    for number in range(30):
        (folder / f"{number}_x.sweep.msg").touch()
    assert ask(client).status_code == 200
    (folder / "30_x.sweep.msg").touch()
    assert "Not processing" in only_fault(ask(client), "workers")


@pytest.mark.slow
@pytest.mark.usefixtures("scheduled")
def test_a_broker_that_does_not_answer_is_seen_at_once(client, settings, monkeypatch):
    with socket.socket() as deaf:
        # It accepts connections and never responds.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        settings.REDIS_URL = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        monkeypatch.setitem(health.broker_transport_options, "global_keyprefix", "tianji:")
        started = time.monotonic()
        content = ask(client).json()
    assert time.monotonic() - started < 4
    assert (content["broker"], content["workers"]) == ("Not responding.", "Unknown.")


@pytest.mark.usefixtures("scheduled")
def test_the_ticks_that_wait_in_redis_are_counted(client, settings, monkeypatch):
    with redis_server() as server:
        settings.REDIS_URL = server.url
        monkeypatch.setitem(health.broker_transport_options, "global_keyprefix", "tianji:")
        assert ask(client).json() == WELL
        with redis.Redis.from_url(server.url) as link:
            link.rpush("tianji:sweep", *range(61))
        assert "Not processing" in only_fault(ask(client), "workers")


@pytest.mark.usefixtures("scheduled", "folder")
def test_a_database_that_does_not_answer_leaves_a_page(client, database, tmp_path):
    """It is rendered without the user's account, which is in that database."""
    client.force_login(make_user(workspace=make_workspace()))
    database(tmp_path / "no" / "such" / "folder.sqlite3")
    page = client.get("/healthz")
    assert page.status_code == 503
    assert "Not responding." in page.text
    content = ask(client).json()
    assert content["sweep"] == "Unknown."
    assert content["broker"] == "ok"


@pytest.mark.usefixtures("scheduled", "folder")
def test_it_asks_little_for_everything(client, django_assert_max_num_queries):
    ask(client)
    with django_assert_max_num_queries(16):
        ask(client)


@pytest.mark.usefixtures("scheduled", "folder")
def test_it_is_open_to_all_not_cached_and_sets_no_cookie(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = client.get("/healthz")
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 405


# --- the system check


def check() -> list[str]:
    return [str(message.msg) for message in run_checks(tags=["database"], databases=["default"])]


@pytest.mark.usefixtures("scheduled")
@pytest.mark.parametrize("name", ["sweep", "deliver"])
def test_the_system_check_warns_of_a_task_that_is_switched_off(name):
    assert check() == []
    PeriodicTask.objects.filter(name=name).update(enabled=False)
    (warning,) = check()
    assert f"“{name}” is disabled" in warning


@pytest.mark.django_db
def test_the_system_check_says_nothing_before_the_first_run():
    assert check() == []


def test_the_system_check_uses_no_database_by_default():
    assert [m for m in run_checks() if m.id == "tianji.W002"] == []


@pytest.mark.usefixtures("scheduled")
def test_prepare_says_what_is_switched_off(capsys):
    PeriodicTask.objects.filter(name="sweep").update(enabled=False)
    call_command("prepare")
    assert "Warning: The task “sweep” is disabled" in capsys.readouterr().out


@pytest.mark.usefixtures("scheduled")
def test_the_admin_sites_first_page_says_what_is_switched_off(client):
    user = make_user()
    user.is_staff = user.is_superuser = True
    user.save()
    client.force_login(user)
    assert "disabled" not in client.get("/admin/").text
    PeriodicTask.objects.filter(name="deliver").update(enabled=False)
    assert "“deliver” is disabled" in client.get("/admin/").text
