"""Senders as they are outside: each pushes, tries again, and writes down what it was answered."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bench.chaos.invariants import Sender
from bench.chaos.ledger import Attempt, Ledger, Silence

# An outage of up to 5 s is no gap, and a sender needs some seconds to get through after it: a steady sender's
# monitor must allow both. A monitor that is to notice silence may be quicker.
STEADY_TIMEOUT, STEADY_GRACE = 10, 4
SILENT_TIMEOUT, SILENT_GRACE = 6, 2
_ANSWER_SECONDS = 2.0
_EVERY = 2.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sender: whether it is steady, and what its monitor allows, in seconds."""

    name: str
    steady: bool
    timeout: int
    grace: int
    share: int


# Of ten senders.
KINDS = (
    Kind("steady", True, STEADY_TIMEOUT, STEADY_GRACE, 3),
    Kind("patient", True, STEADY_TIMEOUT, STEADY_GRACE, 2),
    Kind("reports", True, STEADY_TIMEOUT, STEADY_GRACE, 3),
    Kind("silent", False, SILENT_TIMEOUT, SILENT_GRACE, 2),
)


def kinds_of(count: int) -> list[Kind]:
    """Return the kinds of `count` senders."""
    pattern = [kind for kind in KINDS for _ in range(kind.share)]
    return [pattern[number % len(pattern)] for number in range(count)]


class Pushing(threading.Thread):
    """One sender. Half of them push to the second web server first, as behind a balancer.

    `over` ends what its kind does; then it is up, until `given_up`.
    """

    def __init__(
        self, name: str, kind: Kind, token: str, ports: Sequence[int], ledger: Ledger, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.kind, self._token, self._ports, self._ledger = kind, token, ports, ledger
        self._rng = random.Random(f"{seed}/{name}")
        self._web = self._rng.randrange(len(ports))
        # While `hold` is set, a sender that may fall silent is silent.
        self.over, self.given_up, self.hold = (threading.Event() for _ in range(3))
        self.silent = False
        self.ended_up = threading.Event()
        self._due = 0.0

    @property
    def monitor(self) -> Sender:
        return Sender(self.name, self.kind.steady, timedelta(seconds=self.kind.timeout + self.kind.grace))

    def run(self) -> None:
        self._over_wait(self._rng.uniform(0, _EVERY))
        life: dict[str, Callable[[], None]] = {
            "steady": self._push_steadily,
            "patient": self._push_patiently,
            "reports": self._report_both,
            "silent": self._fall_silent,
        }
        life[self.kind.name]()
        if self._until_acknowledged("up") is not None:
            self.ended_up.set()
        while not self.given_up.wait(_EVERY):
            self._due = time.monotonic()
            self._push("up")

    # --- Kinds -----------------------------------------------------------------------------------

    def _push_steadily(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            if not self._push("up").acknowledged:
                self._push("up", wait=0.3)
            self._over_wait(began + _EVERY - time.monotonic())

    def _push_patiently(self) -> None:
        """As `curl --retry 3` does: waits 1, 2 and 4 s."""
        while not self.over.is_set():
            began = time.monotonic()
            for wait in (0, 1, 2, 4):
                if self.over.is_set() or self._push("up", wait=wait).acknowledged:
                    break
            self._over_wait(began + _EVERY - time.monotonic())

    def _report_both(self) -> None:
        while not self.over.is_set():
            # What happens within 30 s is one digest, of one outage of each monitor: no more than it can take.
            for status, seconds in (("up", self._rng.uniform(8, 45)), ("down", self._rng.uniform(4, 12))):
                until = time.monotonic() + seconds
                # A change must arrive, as one that is worth a retry.
                if self._until_acknowledged(status, unless_over=True) is None:
                    return
                while not self.over.is_set() and time.monotonic() < until:
                    self._over_wait(min(_EVERY, max(0.0, until - time.monotonic())))
                    if not self.over.is_set() and not self._push(status).acknowledged:
                        self._push(status, wait=0.3)

    def _fall_silent(self) -> None:
        while not self.over.is_set():
            until = time.monotonic() + self._rng.uniform(4, 30)
            while not self.over.is_set() and not self.hold.is_set() and time.monotonic() < until:
                self._push("up")
                self._over_wait(_EVERY)
            last = self._until_acknowledged("up", unless_over=True)
            if last is None:
                return
            began = time.monotonic()
            self.silent = True
            # Mostly long enough to be noticed, unless something happens.
            self._over_wait(self.kind.timeout + self.kind.grace + self._rng.uniform(0, 14))
            while self.hold.is_set() and not self.over.is_set():
                self._over_wait(0.2)
            ended = time.monotonic()
            self.silent = False
            self._ledger.write(Silence(self.name, last.message, began, ended))

    # --- Pushing ---------------------------------------------------------------------------------

    def _until_acknowledged(self, status: str, *, unless_over: bool = False) -> Attempt | None:
        wait = 0.0
        while not self.given_up.is_set() and not (unless_over and self.over.is_set()):
            attempt = self._push(status, wait=wait)
            if attempt.acknowledged:
                return attempt
            wait = 0.5
        return None

    def _over_wait(self, seconds: float) -> None:
        self._due = time.monotonic() + max(0.0, seconds)
        self.over.wait(max(0.0, seconds))
        if self.over.is_set():
            self._due = time.monotonic()

    def _push(self, status: str, *, wait: float = 0.0) -> Attempt:
        """Push once, after `wait` seconds; the next push goes to the other server if this one fails."""
        due = self._due + wait
        time.sleep(wait)
        message = f"{self.name} {next(_numbers)}"
        began, wall = time.monotonic(), time.time()
        answer = self._ask(status, message.replace(" ", "+"))
        attempt = Attempt(
            sender=self.name,
            message=message,
            status=status,
            token=self._token[-4:],
            web=self._web,
            due=due,
            began=began,
            ended=time.monotonic(),
            wall=wall,
            answer=answer,
        )
        self._ledger.write(attempt)
        self._due = attempt.ended
        if not attempt.acknowledged:
            self._web = (self._web + 1) % len(self._ports)
        return attempt

    def _ask(self, status: str, message: str) -> str:
        link = http.client.HTTPConnection("127.0.0.1", self._ports[self._web], timeout=_ANSWER_SECONDS)
        try:
            link.request("POST", f"/api/push/{self._token}?status={status}&msg={message}")
            answer = link.getresponse()
            answer.read()
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except (OSError, http.client.HTTPException):
            return "reset"
        else:
            return str(answer.status)
        finally:
            link.close()
