"""Wake-up hints may all be lost, and cost nobody anything when they are."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import kombu
import pytest

from core import wakeups


class Broker:
    """Stands in for Celery: remembers what was published, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        # Cleared, it hangs.
        self.free = threading.Event()
        self.free.set()
        self.published: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        self.conf = SimpleNamespace(task_default_queue=f"queue-{id(self)}")
        self.connection = kombu.Connection("memory://")

    @contextmanager
    def producer_or_acquire(self):
        with self.connection.Producer() as producer:
            yield producer

    def send_task(self, task, *, args, producer, **options):
        self.tries += 1
        self.free.wait()
        if self.away:
            raise ConnectionError("no broker")
        self.published.append((task, args, options))


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(wakeups, "current_app", broker)
    monkeypatch.setattr(wakeups, "_leave_alone_until", 0.0)
    return broker


def test_a_hint_asks_for_a_task_once_whatever_time_the_worker_has(broker):
    wakeups._send("some.task", (7,))
    ((task, args, options),) = broker.published
    assert (task, args) == ("some.task", (7,))
    assert options == {"retry": False}


def test_a_queue_that_nobody_works_off_gets_no_hint_but_those_that_no_tick_stands_in_for(broker, monkeypatch):
    monkeypatch.setattr(wakeups, "_WAITING_MOST", 2)
    queue = broker.connection.SimpleQueue(broker.conf.task_default_queue)
    queue.put("one")
    wakeups._send("some.task", ())
    queue.put("two")
    wakeups._send("some.task", ())
    wakeups._send("some.task", (7,))
    assert [args for _task, args, _options in broker.published] == [(), (7,)]
    queue.get()
    wakeups._send("some.task", ())
    assert len(broker.published) == 3


def test_a_broker_that_is_away_raises_nothing(broker):
    broker.away = True
    wakeups._send("some.task", ())


def test_a_broker_that_was_away_is_left_alone_for_a_while(broker, monkeypatch):
    broker.away = True
    for _ in range(3):
        wakeups._send("some.task", ())
    assert broker.tries == 1
    broker.away = False
    monkeypatch.setattr(wakeups, "_leave_alone_until", 0.0)
    wakeups._send("some.task", ())
    assert len(broker.published) == 1


def published(broker: Broker, number: int) -> list[tuple[str, tuple[object, ...]]]:
    """Wait until so many were published; return them."""
    until = time.monotonic() + 10
    while len(broker.published) < number and time.monotonic() < until:
        time.sleep(0.01)
    return [(task, args) for task, args, _ in broker.published]


@pytest.mark.django_db
def test_a_hint_waits_for_the_commit(broker, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        wakeups.wake_on_commit("some.task", 7)
        assert not broker.published
    assert published(broker, 1) == [("some.task", (7,))]


def test_a_broker_that_hangs_delays_no_caller_and_equal_hints_are_one(broker):
    broker.free.clear()
    wakeups._publish("first.task", ())
    while broker.tries == 0:
        time.sleep(0.001)
    for number in (1, 2, 2, 1):
        wakeups._publish("some.task", (number,))
    assert broker.published == []
    broker.free.set()
    assert published(broker, 3) == [("first.task", ()), ("some.task", (1,)), ("some.task", (2,))]
    wakeups._publish("last.task", ())
    assert published(broker, 4)[3:] == [("last.task", ())]


def test_hints_that_wait_are_bounded(broker, monkeypatch):
    monkeypatch.setattr(wakeups, "_PENDING_MOST", 2)
    broker.free.clear()
    wakeups._publish("first.task", ())
    while broker.tries == 0:
        time.sleep(0.001)
    for number in range(5):
        wakeups._publish("some.task", (number,))
    broker.free.set()
    published(broker, 3)
    time.sleep(0.05)
    assert len(broker.published) == 3
