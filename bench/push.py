"""How fast pushes are recorded: `make bench-push`, or `python -m bench.push`.

Starts PostgreSQL with its default durability and the web server, and compares in one run, at 32 and 64
connections: the push endpoint over 1,000 monitors, a no-op DRF view in the same server, and pgbench with
the same two statements as one transaction per push. The runs alternate, so that a change in the machine's
speed affects all of them.

Then one runaway sender uses as many connections as all others together. Compares the throughput of the
others with their throughput alone, with and without the rate limit. `--redis` counts the limits in Redis.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import load
from tests.support.servers import Postgres, free_port, postgres, redis_server

MONITORS = 1000
# The limiter checks every push but rejects none: each token here pushes several times per second.
PUSH_RATE = 1_000_000
WILD_RATE, WILD_CONNECTIONS = 60, 32
ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast pushes are recorded.")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs per measurement (default %(default)s)")
    parser.add_argument("--redis", action="store_true", help="count the limits in Redis")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        data = stack.enter_context(tempfile.TemporaryDirectory())
        database = server.create_database("bench")
        os.environ |= {
            "DATABASE_URL": database,
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": stack.enter_context(redis_server()).url if options.redis else "",
            "TIANJI_DATA": data,
            "TIANJI_PUSH_RATE": str(PUSH_RATE),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
        }
        secrets, wild = _prepare()
        port = stack.enter_context(Web())
        failures = _measure(server, port, secrets, wild, options.seconds, options.rounds)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def _prepare() -> tuple[list[str], str]:
    """Return the secrets of the monitors, and the secret of the runaway sender."""
    import django

    django.setup()
    from django.core.management import call_command

    from tests.support.factories import make_monitor, make_workspace, secret_of

    call_command("migrate", verbosity=0)
    workspace = make_workspace()
    secrets = [secret_of(make_monitor(workspace=workspace, timeout=3600)) for _ in range(MONITORS)]
    return secrets, secret_of(make_monitor(workspace=workspace, name="wild", timeout=3600))


class Web:
    """The web process as `up` starts it, on a free port."""

    def __enter__(self) -> int:
        from tianji.runtime.processes import command

        port = free_port()
        self.process = subprocess.Popen(command("web", host="127.0.0.1", port=port), cwd=ROOT)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2).close()
                return port
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def _measure(
    server: Postgres, port: int, secrets: list[str], wild: str, seconds: float, rounds: int
) -> list[str]:
    """Measure and print; return the missed targets."""
    from monitors.models import Heartbeat

    random.Random(1).shuffle(secrets)
    pushes = [load.post(f"/api/push/{secret}?status=up&msg=OK&value=12.5") for secret in secrets]
    noop = [load.post("/noop")]
    acknowledged = 0

    def push(connections: int, seconds: float) -> load.Load:
        nonlocal acknowledged
        measured = load.run(port, pushes, connections=connections, seconds=seconds)
        acknowledged += measured.statuses.get(200, 0)
        if set(measured.statuses) != {200}:
            print(f"  responses other than 200: {measured.statuses}")
        return measured

    push(32, 2.0)
    load.run(port, noop, connections=32, seconds=1.0)
    failures = []
    for connections in (32, 64):
        pushed, nothing, bench = [], [], []
        for _ in range(rounds):
            pushed.append(push(connections, seconds))
            nothing.append(load.run(port, noop, connections=connections, seconds=seconds))
            bench.append(_pgbench(server, connections, seconds))
        rate = statistics.median(run.rate for run in pushed)
        ratio = statistics.median(a.rate / b.rate for a, b in zip(pushed, nothing, strict=True))
        against = statistics.median(a.rate / b for a, b in zip(pushed, bench, strict=True))
        p99 = statistics.median(run.percentile(0.99) for run in pushed)
        print(f"{connections} connections, median of {rounds} runs of {seconds:.0f} s")
        print(
            f"  push    {rate:8.0f} /s   p50 {_ms(pushed, 0.5)}   p99 {_ms(pushed, 0.99)}"
            f"   (from {min(r.rate for r in pushed):.0f} to {max(r.rate for r in pushed):.0f} /s)"
        )
        print(
            f"  no-op   {statistics.median(r.rate for r in nothing):8.0f} /s   p50 {_ms(nothing, 0.5)}"
            f"   p99 {_ms(nothing, 0.99)}   push / no-op   {ratio:.2f}"
        )
        print(f"  pgbench {statistics.median(bench):8.0f} /s   push / pgbench {against:.2f}")
        failures += _judge(connections, rate, ratio, p99)
    lone = push(1, seconds)
    print(f"1 connection: push p50 {_ms([lone], 0.5)}   p99 {_ms([lone], 0.99)}")
    if lone.percentile(0.5) >= 0.010:
        failures.append("a lone push takes 10 ms or more at the median")
    wild_push = load.post(f"/api/push/{wild}?status=up&msg=OK&value=12.5")
    acknowledged += _beside_a_wild_one(port, pushes, wild_push, seconds, rounds)
    stored = Heartbeat.objects.count()
    print(f"acknowledged {acknowledged}, in the table {stored}")
    if stored != acknowledged:
        failures.append("acknowledged pushes and stored heartbeats differ")
    return failures


def _beside_a_wild_one(port: int, pushes: list[bytes], wild: bytes, seconds: float, rounds: int) -> int:
    """Compare 32 senders alone and next to a runaway sender on as many connections, with and without the
    rate limit; return how many pushes were acknowledged."""
    from monitors.models import Monitor, PushToken

    calm = load.Senders(pushes, 32)
    alone: list[load.Load] = []
    beside: dict[int, list[load.Load]] = {WILD_RATE: [], 0: []}
    wild_ones: dict[int, list[load.Load]] = {WILD_RATE: [], 0: []}
    for _ in range(rounds):
        alone += load.run_together(port, [calm], seconds=seconds)
        for rate, measured in beside.items():
            Monitor.objects.filter(name="wild").update(push_rate=rate)
            others, one = load.run_together(
                port, [calm, load.Senders([wild], WILD_CONNECTIONS)], seconds=seconds
            )
            measured.append(others)
            wild_ones[rate].append(one)
    print(f"32 senders and a runaway one on {WILD_CONNECTIONS} connections, median of {rounds} runs")
    print(f"  alone        {_rate(alone):8.0f} /s   p50 {_ms(alone, 0.5)}   p99 {_ms(alone, 0.99)}")
    for rate, measured in beside.items():
        ratio = statistics.median(a.rate / b.rate for a, b in zip(measured, alone, strict=True))
        p99 = statistics.median(
            a.percentile(0.99) / b.percentile(0.99) for a, b in zip(measured, alone, strict=True)
        )
        sent = statistics.median(sum(run.statuses.values()) / run.seconds for run in wild_ones[rate])
        print(
            f"  {'limited' if rate else 'not limited':12} {_rate(measured):8.0f} /s"
            f"   p50 {_ms(measured, 0.5)}"
            f"   p99 {_ms(measured, 0.99)}   rate / alone {ratio:.2f}   p99 / alone {p99:.2f}"
            f"   (the runaway one sends {sent:.0f} /s, {_rate(wild_ones[rate]):.0f} /s are recorded)"
        )
    refused = PushToken.objects.get(monitor__name="wild").limited_count
    print(f"  rejected {refused}")
    runs = [*alone, *(run for each in (beside, wild_ones) for some in each.values() for run in some)]
    return sum(run.statuses.get(200, 0) for run in runs)


def _rate(runs: list[load.Load]) -> float:
    return statistics.median(run.rate for run in runs)


def _ms(runs: list[load.Load], share: float) -> str:
    return f"{statistics.median(run.percentile(share) for run in runs) * 1000:6.1f} ms"


def _judge(connections: int, rate: float, ratio: float, p99: float) -> list[str]:
    found = []
    if rate < 2000:
        found.append(f"2,000 pushes/s at {connections} connections")
    if ratio < 0.45:
        found.append(f"0.45 of the no-op view at {connections} connections")
    if connections == 64 and p99 >= 0.100:
        found.append("p99 under 100 ms at 64 connections")
    return found


def _pgbench(server: Postgres, connections: int, seconds: float) -> float:
    """Return the transactions per second with the minimum of two statements for a push."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        script = Path(folder) / "push.sql"
        script.write_text(
            f"\\set monitor random(1, {MONITORS})\n"
            "BEGIN;\n"
            "UPDATE bench_state SET last_heartbeat_at = clock_timestamp(), last_message = 'OK',"
            " last_value = 12.5 WHERE monitor_id = :monitor;\n"
            "INSERT INTO bench_heartbeat (monitor_id, received_at, status, value, message, source, token_id)"
            " VALUES (:monitor, clock_timestamp(), 'up', 12.5, 'OK', '127.0.0.1', :monitor);\n"
            "COMMIT;\n"
        )
        # Separate tables like the real ones, so that the count of real heartbeats stays exact.
        _psql(
            server,
            "CREATE TABLE IF NOT EXISTS bench_heartbeat (LIKE monitors_heartbeat INCLUDING ALL);"
            "CREATE TABLE IF NOT EXISTS bench_state (LIKE monitors_monitorstate INCLUDING ALL)"
            " WITH (fillfactor = 70);"
            "INSERT INTO bench_state SELECT * FROM monitors_monitorstate ON CONFLICT DO NOTHING;",
        )
        ran = subprocess.run(
            [
                *(server.binary("pgbench"), "-n", "-M", "prepared", "-f", script, "-j", "1"),
                *("-c", str(connections), "-T", str(max(1, int(seconds))), server.url("bench")),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    found = re.search(r"tps = ([\d.]+)", ran.stdout)
    assert found, ran.stdout
    return float(found[1])


def _psql(server: Postgres, statements: str) -> None:
    subprocess.run(
        [server.binary("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-c", statements, server.url("bench")],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    main()
