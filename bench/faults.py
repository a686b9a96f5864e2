"""What senders notice while Redis or PostgreSQL is away: `make bench-faults`, or `python -m bench.faults`.

Redis first: the p99 of pushes with Redis running, refusing connections, and hanging, in alternating runs.
Most of the pushes change nothing; every tenth reports a failure or a recovery, for which a worker is woken.

Then PostgreSQL stops while senders keep pushing: how long a 503 and `/livez` take in the meantime, and how
long after the database's return the first push is recorded. Hanging connections are left to the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench import load
from bench.push import Web
from tests.support.servers import Postgres, Redis, postgres, redis_server

MONITORS, FAILING_ONE_IN, CONNECTIONS, SENDERS = 500, 10, 16, 8
# Targets: what the documentation of reliability promises.
P99_RATIO, REFUSED_WITHIN, LIVE_WITHIN, RECORDED_WITHIN = 1.5, 1.5, 0.2, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what senders notice of faults.")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs per measurement (default %(default)s)")
    parser.add_argument("--away", type=float, default=40.0, help="how long PostgreSQL is away (%(default)s)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        broker = stack.enter_context(redis_server())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": broker.url,
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_PUSH_RATE": "1000000",
            "TIANJI_LOG_LEVEL": "CRITICAL",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        paths = prepare()
        port = stack.enter_context(Web()).port
        missed = without_redis(broker, port, paths, options.seconds, options.rounds)
        missed += without_postgres(server, port, paths, options.away)
    for target in missed:
        print(f"MISSED TARGET: {target}")
    sys.exit(1 if missed else 0)


def prepare() -> list[str]:
    """Create the monitors; return the paths to push to."""
    import django

    django.setup()
    from django.core.management import call_command

    from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of

    call_command("migrate", verbosity=0)
    workspace = make_workspace()
    make_channel(workspace=workspace)
    return [
        f"/api/push/{secret_of(make_monitor(workspace=workspace, timeout=3600))}" for _ in range(MONITORS)
    ]


def without_redis(broker: Redis, port: int, paths: list[str], seconds: float, rounds: int) -> list[str]:
    """Measure pushes with and without Redis, and print; return the missed targets."""
    failing = paths[::FAILING_ONE_IN]
    news = [load.post(f"{path}?status={status}") for path in failing for status in ("down", "up")]
    steady = [load.post(f"{path}?status=up") for path in paths if path not in failing]
    pushes = [
        request
        for turn in range(len(news))
        for request in (*(steady[(turn * 9 + n) % len(steady)] for n in range(9)), news[turn])
    ]
    runs: dict[str, list[load.Load]] = {"running": [], "refused": [], "hung": []}

    def measured() -> load.Load:
        return load.run(port, pushes, connections=CONNECTIONS, seconds=seconds)

    measured()
    for _ in range(rounds):
        runs["running"].append(measured())
        with refusing(broker):
            runs["refused"].append(measured())
        runs["running"].append(measured())
        with hanging(broker):
            runs["hung"].append(measured())
    calm = statistics.median(run.percentile(0.99) for run in runs["running"])
    print(f"Redis, {CONNECTIONS} connections, runs of {seconds:.0f} s")
    missed = []
    for name, some in runs.items():
        p99 = statistics.median(run.percentile(0.99) for run in some)
        worst = max(max(run.latencies) for run in some)
        rate = statistics.median(run.rate for run in some)
        print(
            f"  {name:8} {rate:6.0f} /s   p99 {p99 * 1000:6.1f} ms   p99 / running {p99 / calm:.2f}"
            f"   longest {worst * 1000:6.1f} ms"
        )
        if p99 > P99_RATIO * calm:
            missed.append(f"p99 within {P99_RATIO} times with Redis {name}")
        if any(set(run.statuses) != {200} for run in some):
            missed.append(f"every push is recorded with Redis {name}")
    return missed


@contextlib.contextmanager
def refusing(broker: Redis) -> Iterator[None]:
    broker.stop()
    try:
        yield
    finally:
        broker.start()


@contextlib.contextmanager
def hanging(broker: Redis) -> Iterator[None]:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


@dataclass
class Answers:
    """The answers to one kind of request: when each was sent and how long it took, in s, and its status."""

    sent: list[tuple[float, float, int]] = field(default_factory=list)

    def slowest(self, statuses: set[int]) -> float:
        return max((took for _, took, status in self.sent if status in statuses), default=0.0)

    def when_slowest(self) -> float:
        return max(self.sent, key=lambda answer: answer[1])[0]


def without_postgres(server: Postgres, port: int, paths: list[str], away: float) -> list[str]:
    """Measure answers around an outage of PostgreSQL, and print; return the missed targets."""
    base, over = f"http://127.0.0.1:{port}", threading.Event()
    pushes, live = Answers(), Answers()
    threads = [
        *(threading.Thread(target=ask, args=(base + paths[n], pushes, over)) for n in range(SENDERS)),
        threading.Thread(target=ask, args=(f"{base}/livez", live, over)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(2)
    stopped = time.monotonic()
    server.stop()
    time.sleep(away)
    server.start()
    back = time.monotonic()
    time.sleep(RECORDED_WITHIN + 3)
    over.set()
    for thread in threads:
        thread.join()
    recorded = min((at + took for at, took, status in pushes.sent if status == 200 and at + took > back))
    last_refused = max((at + took for at, took, status in pushes.sent if status == 503), default=back)
    print(f"PostgreSQL away for {away:.0f} s, {SENDERS} senders")
    print(f"  503: {count(pushes, 503)}, the slowest after {pushes.slowest({503}) * 1000:.0f} ms")
    print(
        f"  /livez: {len(live.sent)}, the slowest after {live.slowest({200}) * 1000:.0f} ms"
        f" ({live.when_slowest() - stopped:.1f} s after the stop)"
    )
    print(
        f"  first push recorded {max(recorded - back, 0):.2f} s after its return,"
        f" last 503 after {max(last_refused - back, 0):.2f} s"
    )
    checks: list[tuple[str, Callable[[], bool]]] = [
        (f"a 503 within {REFUSED_WITHIN} s", lambda: pushes.slowest({503}) < REFUSED_WITHIN),
        (f"/livez within {LIVE_WITHIN} s", lambda: live.slowest({200}) < LIVE_WITHIN),
        ("/livez says 200 throughout", lambda: count(live, 200) == len(live.sent)),
        (f"a push is recorded within {RECORDED_WITHIN} s", lambda: recorded - back <= RECORDED_WITHIN),
        (f"no 503 later than {RECORDED_WITHIN} s", lambda: last_refused - back <= RECORDED_WITHIN),
        ("the outage was noticed", lambda: count(pushes, 503) > 0),
        ("every push is answered with 200 or 503", lambda: {s for *_, s in pushes.sent} <= {200, 503}),
    ]
    return [target for target, holds in checks if not holds()]


def ask(url: str, answers: Answers, over: threading.Event) -> None:
    """Ask for `url` every 50 ms until `over`; 0 is the status of a request without an answer."""
    while not over.wait(0.05):
        sent = time.monotonic()
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        answers.sent.append((sent, time.monotonic() - sent, status))


def count(answers: Answers, status: int) -> int:
    return sum(1 for *_, answered in answers.sent if answered == status)


if __name__ == "__main__":
    main()
