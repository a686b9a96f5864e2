"""Wake-up hints may all be lost, and cost nobody anything when they are."""

from __future__ import annotations

import pytest

from core import wakeups


class Broker:
    """Stands in for Celery: remembers what was published, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        self.published: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def send_task(self, task, *, args, **options):
        self.tries += 1
        if self.away:
            raise ConnectionError("no broker")
        self.published.append((task, args, options))


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(wakeups, "current_app", broker)
    monkeypatch.setattr(wakeups, "_leave_alone_until", 0.0)
    return broker


def test_a_hint_asks_for_a_task_once_and_for_a_short_time(broker):
    wakeups._publish("some.task", (7,))
    ((task, args, options),) = broker.published
    assert (task, args) == ("some.task", (7,))
    assert options["retry"] is False
    assert options["expires"] <= 60


def test_a_broker_that_is_away_raises_nothing(broker):
    broker.away = True
    wakeups._publish("some.task", ())


def test_a_broker_that_was_away_is_left_alone_for_a_while(broker, monkeypatch):
    broker.away = True
    for _ in range(3):
        wakeups._publish("some.task", ())
    assert broker.tries == 1
    broker.away = False
    monkeypatch.setattr(wakeups, "_leave_alone_until", 0.0)
    wakeups._publish("some.task", ())
    assert len(broker.published) == 1


@pytest.mark.django_db
def test_a_hint_waits_for_the_commit(broker, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        wakeups.wake_on_commit("some.task", 7)
        assert not broker.published
    assert [(task, args) for task, args, _ in broker.published] == [("some.task", (7,))]
