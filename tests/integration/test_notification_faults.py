"""People are notified once and soon though workers are killed, Redis is away and receivers misbehave."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.plant import Plant, standing_plant
from tests.support.product import wait_for
from tests.support.servers import Redis
from tests.support.sinks import Answer, HttpSink, notifications_in


@pytest.fixture
def plant(standing: Plant) -> Iterator[Plant]:
    """Web and Celery Beat run, and there is nothing to send; the worker is the test's to start."""
    standing.query("TRUNCATE monitors_monitor, notifications_channel CASCADE")
    yield standing
    standing.kill("worker")


@pytest.fixture(scope="module")
def standing(migrated_database: Callable[[str], str], own_redis: Redis) -> Iterator[Plant]:
    with standing_plant(migrated_database("telling"), own_redis.url) as made:
        made.start("web")
        made.start("beat")
        made.wait_until_ready()
        yield made


def ids(sink: HttpSink) -> list[str]:
    return [request.headers["webhook-id"] for request in sink.requests]


def until(condition: Callable[[], Any], *, seconds: float = 30, what: str) -> Any:
    return wait_for(condition, seconds=seconds, describe=lambda: what)


# --- Workers that are killed -----------------------------------------------------------------------


def test_a_worker_killed_before_the_claim_costs_nothing_but_time(plant: Plant):
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        push_url = plant.monitor("before the claim")
        plant.start("worker")
        plant.kill("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        assert plant.query("SELECT count(*) AS due FROM notifications_belief WHERE check_at <= now()") == [
            {"due": 1}
        ]
        assert plant.deliveries() == []
        plant.start("worker")
        sink.wait_for(1, seconds=90)
        until(lambda: plant.deliveries()[0]["status"] == "sent", what="the delivery is sent")
        assert len(plant.deliveries()) == 1
        assert ids(sink) == [str(plant.deliveries()[0]["public_id"])]


def test_a_worker_killed_while_it_sends_is_followed_by_one_that_sends_the_same(plant: Plant):
    with HttpSink(Answer(delay=60)) as sink:
        plant.add_channels(sink.url)
        push_url = plant.monitor("while it sends")
        plant.start("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        sink.wait_for(1, seconds=90)
        plant.kill("worker")
        assert [row["status"] for row in plant.deliveries()] == ["sending"]
        plant.let_the_lease_run_out()
        plant.start("worker")
        sink.wait_for(2, seconds=90)
        until(lambda: plant.deliveries()[0]["status"] == "sent", what="the delivery is sent")
        (row,) = plant.deliveries()
        assert ids(sink) == [str(row["public_id"])] * 2
        assert row["attempts"] == 2


def test_a_worker_killed_before_it_notes_what_arrived_sends_it_again_under_the_same_id(plant: Plant):
    with HttpSink(Answer(delay=1)) as sink:
        plant.add_channels(sink.url)
        push_url = plant.monitor("before the record")
        plant.start("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        sink.wait_for(1, seconds=90)
        with psycopg.connect(plant.database) as holder:
            # The receiver answers meanwhile, and its answer waits to be written down.
            holder.execute("SELECT * FROM monitors_monitorstate FOR UPDATE")
            time.sleep(2)
            plant.kill("worker")
            holder.rollback()
        assert [row["status"] for row in plant.deliveries()] == ["sending"]
        plant.let_the_lease_run_out()
        plant.start("worker")
        sink.wait_for(2, seconds=90)
        until(lambda: plant.deliveries()[0]["status"] == "sent", what="the delivery is sent")
        (row,) = plant.deliveries()
        assert set(ids(sink)) == {str(row["public_id"])}


def test_two_workers_send_each_message_once(plant: Plant):
    with HttpSink() as first, HttpSink() as second, HttpSink() as third:
        plant.add_channels(first.url, second.url, third.url)
        push_url = plant.monitor("two workers")
        for _ in range(2):
            plant.start("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        for sink in (first, second, third):
            sink.wait_for(1, seconds=90)
        requests.post(push_url, timeout=10)
        for sink in (first, second, third):
            sink.wait_for(2, seconds=40)
        until(lambda: {row["status"] for row in plant.deliveries()} == {"sent"}, what="all are sent")
        time.sleep(3)
        sent = [id_ for sink in (first, second, third) for id_ in ids(sink)]
        assert len(sent) == len(set(sent)) == len(plant.deliveries()) == 6


def test_a_worker_that_is_stopped_while_it_sends_finishes_that_and_leaves_the_rest(plant: Plant):
    channels, names = 12, {"a", "b", "c", "d"}
    with HttpSink(default=Answer(delay=0.5)) as sink:
        address = sink.url.replace("127.0.0.1", "localhost")
        plant.add_channels(*[f"{address}?{number}" for number in range(channels)])
        for push_url in [plant.monitor(name) for name in sorted(names)]:
            requests.post(f"{push_url}?status=down", timeout=10)
        worker = plant.start("worker")
        sink.wait_for(channels, seconds=90)
        began = time.monotonic()
        plant.stop("worker")
        assert time.monotonic() - began < 20
        assert "Error" not in worker.output
        assert {row["status"] for row in plant.deliveries()} == {"sent"}
        before = len(sink.requests)
        assert before == len(plant.deliveries()) < channels * len(names)
        plant.start("worker")
        until(lambda: len(_received(sink)) >= channels * len(names), what="the rest arrives")
        until(lambda: {row["status"] for row in plant.deliveries()} == {"sent"}, what="all are sent")
    assert sorted(_received(sink)) == sorted(
        (f"/in?{number}", name) for number in range(channels) for name in names
    )
    assert plant.query("SELECT * FROM notifications_deliveryattempt WHERE NOT ok") == []


def test_what_a_worker_has_claimed_when_it_is_stopped_is_sent_by_it(plant: Plant):
    """Its receivers have a name, which could no longer be looked up once the process had begun to exit."""
    with HttpSink() as sink:
        address = sink.url.replace("127.0.0.1", "localhost")
        plant.add_channels(*[f"{address}?{number}" for number in range(4)])
        requests.post(f"{plant.monitor('claimed')}?status=down", timeout=10)
        with psycopg.connect(plant.database) as holder:
            # What is claimed is read with its workspace before it is sent.
            holder.execute("LOCK TABLE accounts_workspace IN ACCESS EXCLUSIVE MODE")
            worker = plant.start("worker")
            claimed = ["sending"] * 4
            until(
                lambda: [row["status"] for row in plant.deliveries()] == claimed,
                seconds=90,
                what="all are claimed",
            )
            worker.signal(signal.SIGTERM)
            # Tasks end within a second or so, but no statement waits for a lock for more than five.
            time.sleep(3)
            holder.rollback()
        plant.stop("worker")
        assert "Error" not in worker.output
    assert len(sink.requests) == 4
    assert {row["status"] for row in plant.deliveries()} == {"sent"}
    assert plant.query("SELECT * FROM notifications_deliveryattempt WHERE NOT ok") == []


def _received(sink: HttpSink) -> list[tuple[str, str]]:
    """Return which monitor was called down at which address, also in digests."""
    return [
        (request.path, name) for request in sink.requests for _event, name in notifications_in(request.json)
    ]


# --- Redis -----------------------------------------------------------------------------------------


def test_redis_away_for_a_minute_and_empty_afterwards_loses_nothing(plant: Plant, own_redis: Redis):
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        reported, silent = plant.monitor("reported"), plant.monitor("silent")
        plant.query("UPDATE monitors_monitor SET timeout = 5, grace = 0 WHERE name = 'silent'")
        plant.start("worker")
        requests.post(silent, timeout=10)
        own_redis.stop()
        try:
            assert requests.post(f"{reported}?status=down", timeout=20).status_code == 200
            time.sleep(60)
        finally:
            # It keeps nothing on disk: what it held is gone.
            own_redis.start()
        notified = until(
            lambda: {row["monitor_id"] for row in plant.deliveries() if row["status"] == "sent"},
            seconds=60,
            what="something is sent",
        )
        until(
            lambda: [row["status"] for row in plant.deliveries()].count("sent") >= 2,
            seconds=75,
            what="both are sent",
        )
        assert notified
        assert len(plant.deliveries()) == len(
            {(row["incident_id"], row["event"]) for row in plant.deliveries()}
        )
        assert len(ids(sink)) == len(set(ids(sink)))


# --- Whose fault it is -----------------------------------------------------------------------------


def health(plant: Plant) -> dict[str, str]:
    answer = requests.get(f"{plant.url}/healthz", headers={"Accept": "application/json"}, timeout=10)
    return {name: text for name, text in answer.json().items() if text != "ok"}


def let_minutes_pass(plant: Plant, minutes: int) -> None:
    """Make all that is due, and all that was sent or attempted, so much older."""
    plant.query(
        "UPDATE notifications_delivery SET next_attempt_at = next_attempt_at - make_interval(mins => %s)"
        " WHERE next_attempt_at < now()",
        minutes,
    )
    plant.query(
        "UPDATE notifications_delivery SET created_at = created_at - make_interval(mins => %s)", minutes
    )
    plant.query(
        "UPDATE notifications_belief SET check_at = check_at - make_interval(mins => %s)"
        " WHERE check_at < now()",
        minutes,
    )
    plant.query(
        "UPDATE notifications_deliveryattempt SET finished_at = finished_at - make_interval(mins => %s)",
        minutes,
    )


def test_receivers_that_fail_are_no_fault_of_ours_but_a_worker_that_stops_is(plant: Plant):
    bad = [HttpSink(default=Answer(500)), HttpSink(default=Answer(429, {"Retry-After": "600"}))]
    with HttpSink() as one, HttpSink() as other, bad[0], bad[1]:
        plant.add_channels(one.url, other.url, *(sink.url for sink in bad))
        push_url = plant.monitor("half of them")
        plant.start("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        for sink in (one, other, *bad):
            sink.wait_for(1, seconds=90)
        requests.post(push_url, timeout=10)
        for sink in (one, other):
            sink.wait_for(2, seconds=60)
        until(lambda: len(bad[0].requests) > 2, seconds=90, what="it is tried again, later and later")
        let_minutes_pass(plant, 10)
        time.sleep(2)
        assert plant.query("SELECT 1 FROM notifications_belief WHERE check_at < now() - interval '9 min'")
        assert health(plant) == {}
        plant.kill("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        let_minutes_pass(plant, 2)
        assert "behind" in health(plant)["deliveries"]


# --- Receivers that misbehave ----------------------------------------------------------------------


class BadTls:
    """A server whose certificate nobody knows."""

    def __init__(self, folder: Path) -> None:
        certificate, key = folder / "cert.pem", folder / "key.pem"
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(private, hashes.SHA256())
        )
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}/in"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _address = self.listener.accept()
            except OSError:
                return
            try:
                self.context.wrap_socket(link, server_side=True).close()
            except OSError:
                link.close()


def test_44_receivers_that_hang_delay_no_other_channel_by_more_than_a_second(plant: Plant):
    with HttpSink(default=Answer(delay=30)) as hanging, HttpSink() as fine:
        # Those that hang are first, and all of them do so by the time of the second outage.
        plant.add_channels(*[hanging.url] * 44, fine.url)
        push_url = plant.monitor("hanging")
        plant.start("worker")
        requests.post(f"{push_url}?status=down", timeout=10)
        fine.wait_for(1, seconds=90)
        hanging.wait_for(44, seconds=30)
        for number, query in ((2, ""), (3, "?status=down")):
            began = time.monotonic()
            requests.post(f"{push_url}{query}", timeout=10)
            fine.wait_for(number, seconds=20)
            # The worker looks each second, and at once when it is woken.
            assert fine.requests[number - 1].at - began < 2
        assert [request.json["event"] for request in fine.requests] == [
            "incident.opened",
            "incident.resolved",
            "incident.opened",
        ]


def test_changes_seconds_apart_are_each_sent_at_once(plant: Plant):
    """A second outage used to be 25 s late, and one of another monitor 21 s."""
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        one, two = plant.monitor("one"), plant.monitor("two")
        plant.start("worker")
        requests.post(f"{one}?status=down&msg=first", timeout=10)
        sink.wait_for(1, seconds=90)
        for number, push_url in (
            (2, one),
            (3, f"{one}?status=down&msg=second"),
            (4, f"{two}?status=down"),
            (5, two),
        ):
            time.sleep(2)
            began = time.monotonic()
            requests.post(push_url, timeout=10)
            sink.wait_for(number, seconds=20)
            assert sink.requests[number - 1].at - began < 2
        about = [(request.json["event"], request.json["monitor"]["name"]) for request in sink.requests]
        assert about == [
            ("incident.opened", "one"),
            ("incident.resolved", "one"),
            ("incident.opened", "one"),
            ("incident.opened", "two"),
            ("incident.resolved", "two"),
        ]


def test_misbehaving_receivers_delay_no_other_channel_and_get_it_eventually(plant: Plant, tmp_path: Path):
    hanging = Answer(delay=40)
    misbehaving = {
        "hangs": [hanging],
        "resets": [Answer(reset=True)],
        "fails": [Answer(500), Answer(500)],
        "limits": [Answer(429, {"Retry-After": "20"})],
        "drips": [Answer(500, drip=0.5, body=b"x" * 100)],
        "floods": [Answer(500, body=b"x" * 30_000_000)],
    }
    sinks = {name: HttpSink(*answers) for name, answers in misbehaving.items()}
    tls = BadTls(tmp_path)
    fine = HttpSink()
    for sink in (*sinks.values(), fine):
        sink.__enter__()
    try:
        nowhere = "http://does-not-exist.invalid/in"
        push_url = plant.monitor("misbehaving")
        plant.start("worker")
        # It has delivered before, so that nothing of its start is measured.
        plant.add_channels(fine.url)
        first = plant.monitor("first")
        requests.post(f"{first}?status=down", timeout=10)
        fine.wait_for(1, seconds=40)
        requests.post(first, timeout=10)
        fine.wait_for(2, seconds=20)
        plant.add_channels(*(sink.url for sink in sinks.values()), tls.url, nowhere)
        began = time.monotonic()
        requests.post(f"{push_url}?status=down", timeout=10)
        fine.wait_for(3, seconds=20)
        assert fine.requests[2].at - began < 3
        for name, sink in sinks.items():
            sink.wait_for(1, seconds=60)
            sink.answers.clear()
            assert sink.requests, name

        def notified_of_all() -> bool:
            plant.let_retries_come()
            rows = plant.query(
                "SELECT d.status FROM notifications_delivery d JOIN notifications_channel c"
                " ON c.id = d.channel_id WHERE c.name NOT IN (%s, %s)",
                f"c{len(sinks)}",
                f"c{len(sinks) + 1}",
            )
            return {row["status"] for row in rows} == {"sent"}

        until(notified_of_all, seconds=90, what="all that can be reached are notified")
        for sink in sinks.values():
            # Beside it there may be the news that those that cannot be reached are failing.
            about = [request.json["monitor"] for request in sink.requests]
            assert {monitor["name"] for monitor in about if monitor} == {"misbehaving"}
        details = plant.query(
            "SELECT c.name, a.detail FROM notifications_deliveryattempt a"
            " JOIN notifications_delivery d ON d.id = a.delivery_id"
            " JOIN notifications_channel c ON c.id = d.channel_id WHERE NOT a.ok"
        )
        detail_of = {row["name"]: row["detail"] for row in details}
        assert "certificate" in detail_of[f"c{len(sinks)}"].lower()
        assert detail_of[f"c{len(sinks) + 1}"]
        assert not plant.query("SELECT 1 FROM notifications_delivery WHERE attempt_count = 0")
    finally:
        tls.listener.close()
        for sink in (*sinks.values(), fine):
            sink.__exit__(None, None, None)
