"""How fast pushes are recorded: `make bench-push`, or `python -m bench.push`.

Starts PostgreSQL with its default durability, and two web servers on it: as `up` starts one, with the push
gateway, and one with the push endpoint as a view of Django and REST framework. Compares in one run, at 32 and
128 connections and over 1,000 monitors: pushes to each, and pgbench with the same two statements as one
transaction per push. The runs alternate, so that a change in the machine's speed affects all of them. The CPU
time of a push is that of the web server and of PostgreSQL. Then a lone sender.

Then one runaway sender uses as many connections as all others together. Compares the throughput of the
others with their throughput alone, with and without the rate limit. `--redis` counts the limits in Redis.
`--sqlite` compares the two web servers on SQLite, at 64 connections, and nothing else.
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
from dataclasses import dataclass, field
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
    parser.add_argument("--rounds", type=int, default=5, help="runs per measurement (default %(default)s)")
    parser.add_argument("--redis", action="store_true", help="count the limits in Redis")
    parser.add_argument("--sqlite", action="store_true", help="compare on SQLite")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = None if options.sqlite else stack.enter_context(postgres(durable=True))
        data = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench") if server else "",
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": stack.enter_context(redis_server()).url if options.redis else "",
            "TIANJI_DATA": data,
            "TIANJI_PUSH_RATE": str(PUSH_RATE),
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        secrets, wild = prepare()
        gateway, view = stack.enter_context(Web()), stack.enter_context(Web(view=True))
        bench = Bench(server, gateway, view, secrets, options.seconds, options.rounds)
        failures = bench.run(wild)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def prepare() -> tuple[list[str], str]:
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
    """The web server as `up` starts it, on a free port; with `view`, Django answers the pushes itself."""

    def __init__(self, *, view: bool = False) -> None:
        self._view = view
        self.port = free_port()

    def __enter__(self) -> Web:
        from django.conf import settings

        from tianji.runtime.processes import command

        line = command("web", host="127.0.0.1", port=self.port)
        if self._view:
            line = [
                {"asginl": "wsgi", "tianji.asgi:application": "tianji.wsgi:application"}.get(w, w)
                for w in line
            ]
            line[-1:-1] = ["--blocking-threads", str(settings.TIANJI_WEB_THREADS)]
        self.process = subprocess.Popen(line, cwd=ROOT)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=2).close()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def cpu(self) -> float:
        """Return the CPU seconds that its processes have used."""
        return cpu_of(self.process.pid)


def cpu_of(parent: int | None) -> float:
    """Return the CPU seconds of a process and its children, also of those that have ended; 0 for None."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(folder.name) == parent:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == parent:
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """Runs of one way at one number of connections, with the CPU seconds of each."""

    runs: list[load.Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(run.rate for run in self.runs)

    def percentile(self, share: float) -> float:
        return statistics.median(run.percentile(share) for run in self.runs)

    @property
    def microseconds(self) -> float:
        """CPU time of a push, web server and PostgreSQL together."""
        return statistics.median(
            cpu / run.statuses[200] * 1e6 for cpu, run in zip(self.cpu, self.runs, strict=True)
        )

    def against(self, other: Measured) -> float:
        """Return how many times as many pushes these are, by pairs of neighbouring runs."""
        return statistics.median(a.rate / b.rate for a, b in zip(self.runs, other.runs, strict=True))

    def __str__(self) -> str:
        rates = [run.rate for run in self.runs]
        times = "   ".join(
            f"{name} {self.percentile(at) * 1000:6.1f} ms" for name, at in (("p50", 0.5), ("p99", 0.99))
        )
        cpu = f"{self.microseconds:5.0f} us CPU"
        return f"{self.rate:8.0f} /s   {times}   {cpu}   ({min(rates):.0f}-{max(rates):.0f})"


class Bench:
    """Measures and prints; collects the missed targets."""

    def __init__(
        self,
        server: Postgres | None,
        gateway: Web,
        view: Web,
        secrets: list[str],
        seconds: float,
        rounds: int,
    ) -> None:
        random.Random(1).shuffle(secrets)
        self.pushes = [load.post(f"/api/push/{secret}?status=up&msg=OK&value=12.5") for secret in secrets]
        self.server, self.gateway, self.view = server, gateway, view
        self.seconds, self.rounds = seconds, rounds
        self.acknowledged = 0
        self.missed: list[str] = []

    def run(self, wild: str) -> list[str]:
        for web in (self.gateway, self.view):
            self._push(web, 32, 2.0, Measured())
        if self.server is None:
            gateway, view, _ = self._compare(64)
            self._expect(gateway.against(view) >= 3, "3 x the view at 64 connections on SQLite")
        else:
            self._on_postgresql(wild)
        self._count()
        return self.missed

    def _on_postgresql(self, wild: str) -> None:
        gateway, view, bench = self._compare(32)
        self._expect(gateway.against(view) >= 2.2, "2.2 x the view at 32 connections")
        self._expect(_against(gateway, bench) >= 0.9, "0.9 x pgbench at 32 connections")
        gateway, view, bench = self._compare(128)
        self._expect(gateway.against(view) >= 3.5, "3.5 x the view at 128 connections")
        self._expect(_against(gateway, bench) >= 1.7, "1.7 x pgbench at 128 connections")
        self._expect(gateway.percentile(0.99) < 0.045, "p99 under 45 ms at 128 connections")
        self._expect(gateway.microseconds <= 240, "240 us of CPU a push at 128 connections")
        gateway, view, _ = self._compare(1)
        shorter = gateway.percentile(0.5) / view.percentile(0.5)
        print(f"  a lone push takes {shorter:.2f} of the view's time")
        self._expect(shorter <= 0.55, "0.55 of the view's time for a lone push")
        push = load.post(f"/api/push/{wild}?status=up&msg=OK&value=12.5")
        self.acknowledged += _beside_a_wild_one(
            self.gateway.port, self.pushes, push, self.seconds, self.rounds
        )

    def _compare(self, connections: int) -> tuple[Measured, Measured, list[float]]:
        gateway, view, bench = Measured(), Measured(), []
        for _ in range(self.rounds):
            self._push(self.gateway, connections, self.seconds, gateway)
            self._push(self.view, connections, self.seconds, view)
            if self.server is not None:
                bench.append(_pgbench(self.server, connections, self.seconds))
        print(f"{connections} connections, median of {self.rounds} runs of {self.seconds:.0f} s")
        print(f"  gateway {gateway}")
        print(f"  view    {view}   gateway / view {gateway.against(view):.2f}")
        if bench:
            ratio = _against(gateway, bench)
            print(f"  pgbench {statistics.median(bench):8.0f} /s   gateway / pgbench {ratio:.2f}")
        return gateway, view, bench

    def _push(self, web: Web, connections: int, seconds: float, measured: Measured) -> None:
        before = self._cpu(web)
        run = load.run(web.port, self.pushes, connections=connections, seconds=seconds)
        measured.cpu.append(self._cpu(web) - before)
        measured.runs.append(run)
        self.acknowledged += run.statuses.get(200, 0)
        if set(run.statuses) != {200}:
            print(f"  responses other than 200: {run.statuses}")

    def _cpu(self, web: Web) -> float:
        return web.cpu() + (cpu_of(self.server.pid) if self.server else 0.0)

    def _count(self) -> None:
        from monitors.models import Heartbeat

        stored = Heartbeat.objects.count()
        print(f"acknowledged {self.acknowledged}, in the table {stored}")
        self._expect(stored == self.acknowledged, "acknowledged pushes and stored heartbeats differ")

    def _expect(self, reached: bool, target: str) -> None:
        if not reached:
            self.missed.append(target)


def _against(gateway: Measured, bench: list[float]) -> float:
    return statistics.median(a.rate / b for a, b in zip(gateway.runs, bench, strict=True))


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
