"""One run: start everything, let the plan happen, heal, settle, and compare the ledger with the rows."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from bench.chaos import invariants, setup
from bench.chaos.faults import CannotDo, Faults, SmallDisk
from bench.chaos.installation import Installation, pids_of
from bench.chaos.ledger import Ledger, read_message
from bench.chaos.plan import Fault
from bench.chaos.senders import Pushing
from tests.support.servers import postgres, redis_server
from tests.support.sinks import HttpSink

# Failed pushes count for a minute, in which a watermark that they hold stays where it is.
_TALLY_SECONDS = 60
# A worker that was killed while it sent leaves a lease of 35 s; a third failure is followed by 2 min.
_DELIVERED_SECONDS = 240
# Beyond the length of the plan, everything ends.
HARD_SECONDS = 600
STEADY, TROUBLED = "steady", "troubled"


class Run:
    """A run with its plan, its folder and its ledger. `say` prints a line."""

    def __init__(
        self, plan: Sequence[Fault], *, seed: int, seconds: float, senders: int, folder: Path
    ) -> None:
        self.plan, self.seed, self.seconds, self.folder = list(plan), seed, seconds, folder
        self._count = senders
        self.ledger = Ledger(folder / "ledger.jsonl")
        self._began = time.monotonic()
        self._sinks: dict[str, HttpSink] = {}
        self._read: dict[str, int] = {STEADY: 0, TROUBLED: 0}
        self._senders: list[Pushing] = []
        # To be ended by whoever runs out of patience.
        self.installation: Installation | None = None

    def go(self) -> list[str]:
        """Run, and return what did not hold."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.ledger.close)
            disk = SmallDisk()
            stack.callback(disk.unmount)
            server = stack.enter_context(postgres(durable=True))
            stack.callback(shutil.copy, server.log, self.folder / "postgres.log")
            broker = stack.enter_context(redis_server())
            for name in (STEADY, TROUBLED):
                self._sinks[name] = stack.enter_context(HttpSink())
            made = Installation(server, broker, server.create_database("chaos"), self.folder)
            self.installation = made
            stack.callback(made.end)
            made.prepare()
            disk.mount(self.folder / "small", made)
            channels = {name: sink.url for name, sink in self._sinks.items()}
            self._senders = setup.make_senders(made, self._count, channels, self.ledger, self.seed)
            faults = Faults(made, self._sinks[TROUBLED], disk)
            made.start()
            made.wait_until_ready()
            self.say("ready")
            found = self._live(made, faults)
            rows = setup.rows_of(made)
            for row in (*rows.incidents, *rows.deliveries):
                self.ledger.note("row", {"what": str(row)})
            senders = {sender.name: sender.monitor for sender in self._senders}
            self.say(invariants.figures(self.ledger, rows))
            found += invariants.broken(senders, self.ledger, rows)
            self._say_what_restarted(made)
            made.end()
            if left := pids_of(made.groups.values()):
                found.append(f"processes were left: {left}")
        return found

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)
        self.ledger.note("said", {"at": time.monotonic(), "text": text})

    # --- What happens ----------------------------------------------------------------------------

    def _live(self, made: Installation, faults: Faults) -> list[str]:
        for sender in self._senders:
            sender.start()
        self._carry_out(faults)
        self._patiently("heal", faults.heal)
        made.wait_until_ready(seconds=90)
        self.say("healed")
        found = self._wait_for_the_silent(made)
        found += self._end_up()
        if not self._wait(lambda: self._nothing_to_send(made), _DELIVERED_SECONDS):
            self.say("some deliveries are not finished")
        for sender in self._senders:
            sender.given_up.set()
        for sender in self._senders:
            sender.join(10)
        self._read_sinks()
        return found

    def _carry_out(self, faults: Faults) -> None:
        events = [(fault.at, True, fault) for fault in self.plan]
        events += [(fault.ends_at, False, fault) for fault in self.plan]
        began = time.monotonic()
        failed: set[Fault] = set()
        for at, begins, fault in sorted(events, key=lambda event: (event[0], event[1])):
            while (rest := began + at - time.monotonic()) > 0:
                time.sleep(min(rest, 0.5))
                self._read_sinks()
            if fault in failed:
                continue
            if begins:
                self.say(f"begins: {fault.family} {fault.target} {fault.seconds} s")
            try:
                (faults.begin if begins else faults.end)(fault)
            except (CannotDo, psycopg.Error, OSError) as error:
                # For example a lock that the product holds itself at the moment: nothing has gone wrong then.
                self.say(f"left out: {fault.family} {fault.target}: {str(error).strip()}")
                failed.add(fault)
                with contextlib.suppress(psycopg.Error, OSError):
                    faults.end(fault)
            if not begins and fault.seconds and fault.family != "clock":
                self.say(f"ends:   {fault.family} {fault.target}")
        while (rest := began + self.seconds - time.monotonic()) > 0:
            time.sleep(min(rest, 0.5))
            self._read_sinks()

    def _patiently(self, what: str, do: Any) -> None:
        try:
            do()
        except Exception as error:
            self.say(f"{what}: {error!r}, once more")
            time.sleep(2)
            do()

    def _wait_for_the_silent(self, made: Installation) -> list[str]:
        """Let all fall silent that do so, and wait until they are down."""
        silent = [sender for sender in self._senders if sender.kind.name == "silent"]
        for sender in silent:
            sender.hold.set()
        self._wait(lambda: all(sender.silent for sender in silent), 30)
        names = {sender.name for sender in silent}
        allowed = max((sender.monitor.allowed.total_seconds() for sender in silent), default=0.0)
        began = time.monotonic()
        self._wait(lambda: names <= self._down(made), _TALLY_SECONDS + allowed + 10)
        waited = time.monotonic() - began
        down = self._down(made)
        self.say(f"{len(names & down)} of {len(names)} that are silent are down after {waited:.1f} s")
        for sender in silent:
            sender.hold.clear()
        return invariants.undetected({name: name in down for name in sorted(names)}, after=waited)

    def _down(self, made: Installation) -> set[str]:
        rows = made.query(
            "SELECT m.name FROM monitors_monitor m JOIN monitors_monitorstate s ON s.monitor_id = m.id"
            " WHERE s.status = 'down'"
        )
        return {row["name"] for row in rows}

    def _end_up(self) -> list[str]:
        """Let every sender report up from now on, and wait for the answers."""
        for sender in self._senders:
            sender.over.set()
        until = time.monotonic() + 60
        late = [
            sender.name
            for sender in self._senders
            if not sender.ended_up.wait(max(0.0, until - time.monotonic()))
        ]
        return [f"not acknowledged within a minute after all had healed: {name}" for name in late]

    def _nothing_to_send(self, made: Installation) -> bool:
        """Whether all is sent, and nothing waits for a digest or for the end of flapping."""
        return not made.query(
            "SELECT 1 FROM notifications_delivery WHERE status IN ('pending', 'sending', 'merged')"
            " UNION SELECT 1 FROM notifications_belief WHERE check_at IS NOT NULL LIMIT 1"
        )

    def _wait(self, until: Any, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read_sinks()
            with contextlib.suppress(psycopg.Error):
                if until():
                    return True
            time.sleep(0.5)
        return False

    def _read_sinks(self) -> None:
        for name, sink in self._sinks.items():
            for request in sink.requests[self._read[name] :]:
                self.ledger.write(read_message(name, request))
                self._read[name] += 1

    def _say_what_restarted(self, made: Installation) -> None:
        for name, group in made.groups.items():
            if group.exits:
                self.say(f"{name} ended unasked and was started again: {group.exits}")


def write_plan(run: Run) -> None:
    """Write the plan beside the ledger, for `--plan`."""
    (run.folder / "plan.json").write_text(json.dumps([asdict(fault) for fault in run.plan], indent=1))
