"""What must hold whatever went wrong: functions of plain data that return sentences about what did not.

An empty list means that it held. tests/bench/test_chaos_invariants.py shows that each of them can fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from bench.chaos.ledger import Attempt, Incident, Ledger, Rows, iso

# A missed deadline is known once the watermark has passed it, which moves once a second.
KNOWN_WITHIN = timedelta(seconds=3)
# The reasons for which a channel need not be notified of an outage that began.
_FAIR = {"recovered"}
# What was tried, and then no longer said how things were. It may have arrived.
_REPLACED = "outdated"


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender's monitor. `steady`: it never falls silent, and only its own words may open an incident.

    `allowed`: its timeout and grace period together.
    """

    name: str
    steady: bool
    allowed: timedelta


def broken(senders: Mapping[str, Sender], ledger: Ledger, rows: Rows) -> list[str]:
    """Return what did not hold, of everything."""
    return [
        *lost_pushes(ledger, rows),
        *false_incidents(senders, ledger, rows),
        *missed_silences(senders, ledger, rows),
        *missed_reports(ledger, rows),
        *repeated_deliveries(ledger, rows),
        *incidents_without_notification(ledger, rows),
        *unended_outages(ledger, rows),
    ]


def lost_pushes(ledger: Ledger, rows: Rows) -> list[str]:
    """Every push that was answered 200 is stored, once."""
    found = []
    for attempt in ledger.attempts:
        times = len(rows.received.get(attempt.message, []))
        if attempt.acknowledged and times == 0:
            found.append(f"lost: {attempt.message} was answered 200 at {attempt.ended:.2f}")
        elif times > 1:
            found.append(f"stored {times} times: {attempt.message}")
    return found


def false_incidents(senders: Mapping[str, Sender], ledger: Ledger, rows: Rows) -> list[str]:
    """A sender that pushes steadily is never down for silence, and one that reports only for its reports.

    Excused is a silence that would have been short enough if the sender itself had not been late.
    """
    attempts = ledger.of(senders)
    status_of = {attempt.message: attempt.status for attempt in ledger.attempts}
    found = []
    for incident in rows.incidents:
        sender = senders[incident.monitor]
        if incident.cause == "reported":
            if status_of.get(incident.opening_message) != "down":
                found.append(f"false: {_name(incident)} was opened by {incident.opening_message!r}")
        elif sender.steady and not _was_late(attempts[sender.name], incident, sender.allowed):
            found.append(f"false: {_name(incident)}, after {incident.opening_message!r}")
    return found


def _was_late(attempts: list[Attempt], incident: Incident, allowed: timedelta) -> bool:
    """Whether the silence before `incident` was longer than `allowed` only because its sender was late."""
    before = [n for n, one in enumerate(attempts) if one.message == incident.opening_message]
    if not before:
        return False
    start = before[0]
    after = next((n for n in range(start + 1, len(attempts)) if attempts[n].acknowledged), len(attempts) - 1)
    lateness = sum(max(0.0, one.began - one.due) for one in attempts[start + 1 : after + 1])
    silence = attempts[after].ended - attempts[start].ended
    return silence - lateness < allowed.total_seconds() <= silence


def missed_silences(senders: Mapping[str, Sender], ledger: Ledger, rows: Rows) -> list[str]:
    """A silence that lasted longer than timeout and grace while Tianji listened left an incident."""
    by_monitor, attempts = _by_monitor(rows), ledger.of(senders)
    found = []
    for silence in ledger.silences:
        stored = _stored_around(silence.message, attempts[silence.sender], rows)
        allowed = senders[silence.sender].allowed
        listened = max(
            (_longest_listened(first, second, rows) for (_, first), (_, second) in pairwise(stored)),
            default=timedelta(0),
        )
        last = {message for message, _ in stored[:-1]}
        if listened > allowed + KNOWN_WITHIN and not any(
            incident.cause == "missed" and incident.opening_message in last
            for incident in by_monitor[silence.sender]
        ):
            found.append(
                f"missed: {silence.sender} was silent for {listened.total_seconds():.1f} s"
                f" after {silence.message!r}, without an incident"
            )
    return found


def _stored_around(message: str, attempts: list[Attempt], rows: Rows) -> list[tuple[str, datetime]]:
    """Return what is stored of a sender from `message` to the next acknowledged push, with its times.

    There may be more than the two: a push whose sender did not wait for the answer.
    """
    at = next(number for number, attempt in enumerate(attempts) if attempt.message == message)
    after = next((each.message for each in attempts[at + 1 :] if each.acknowledged), None)
    own = {attempt.message for attempt in attempts}
    stored = [(each, times[0]) for each, times in rows.received.items() if each in own]
    names = [each for each, _ in stored]
    if message not in names or after not in names:
        return []
    return stored[names.index(message) : names.index(after) + 1]


def _longest_listened(start: datetime, end: datetime, rows: Rows) -> timedelta:
    """Return the longest part from `start` to `end` without a gap, by the database's clock.

    Nothing if it was set back meanwhile, which starts the silence again.
    """
    parts = [start]
    for began, ended in sorted(rows.gaps):
        if ended >= start and began <= end:
            parts += [max(began, start), min(ended, end)]
    parts.append(end)
    return max((parts[n + 1] - parts[n] for n in range(0, len(parts), 2)), default=timedelta(0))


def undetected(is_down: Mapping[str, bool], *, after: float) -> list[str]:
    """Who was silent when all had healed is down `after` seconds later, whatever gaps there were."""
    return [
        f"missed: {name} is silent, and not down {after:.0f} s after all had healed"
        for name, down in is_down.items()
        if not down
    ]


def missed_reports(ledger: Ledger, rows: Rows) -> list[str]:
    """Every acknowledged report of down is in an incident, by the order in which pushes were stored."""
    by_monitor = _by_monitor(rows)
    order = {message: number for number, message in enumerate(rows.received)}
    found = []
    for attempt in ledger.attempts:
        if attempt.status != "down" or not attempt.acknowledged or attempt.message not in order:
            continue
        number = order[attempt.message]
        if not any(
            order.get(incident.opening_message, number + 1) <= number
            and order.get(incident.closing_message, number + 1) >= number
            for incident in by_monitor[attempt.sender]
        ):
            found.append(f"missed: the report {attempt.message!r} is in no incident")
    return found


def repeated_deliveries(ledger: Ledger, rows: Rows) -> list[str]:
    """A channel is notified of the beginning, and of the end, of an incident under one id.

    What was tried and then replaced doesn't count: it may have arrived or not.
    """
    replaced = _replaced(rows)
    ids: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for message in ledger.messages:
        for news in message.news:
            if (message.channel, message.id) not in replaced and news.meaning != "flapping":
                ids[message.channel, news.monitor, news.started_at, news.meaning].add(message.id)
    return [
        f"notified {len(those)} times: {channel} of {meaning} of {monitor} from {started}: {sorted(those)}"
        for (channel, monitor, started, meaning), those in ids.items()
        if len(those) > 1
    ]


def incidents_without_notification(ledger: Ledger, rows: Rows) -> list[str]:
    """Each channel was notified of every incident, or of a later one, which includes what was missed before.

    Everything that was sent has arrived, and what was skipped was skipped for a fair reason.
    """
    received = {(message.channel, message.id) for message in ledger.messages}
    channels = {row.channel for row in rows.deliveries} | {message.channel for message in ledger.messages}
    known: dict[tuple[str, str], datetime] = {}
    found = []
    for row in rows.deliveries:
        about = f"{row.event} of {row.monitor} from {iso(row.started_at)} to {row.channel}"
        if row.status == "sent":
            if (row.channel, row.id) not in received:
                found.append(f"not received: {about}, which is {row.status} as {row.id}")
        elif row.status != "skipped":
            found.append(f"unfinished: {about} is {row.status}")
        elif row.note not in _FAIR | {_REPLACED}:
            found.append(f"not notified: {about} was skipped as {row.note}")
        if row.note != _REPLACED:
            pair = row.channel, row.monitor
            known[pair] = max(row.started_at, known.get(pair, row.started_at))
    for incident in rows.incidents:
        for channel in sorted(channels):
            newest = known.get((channel, incident.monitor))
            if newest is None or newest < incident.started_at:
                found.append(f"not notified: {_name(incident)} has no delivery to {channel}")
    return found


def unended_outages(ledger: Ledger, rows: Rows) -> list[str]:
    """What was opened at a receiver, by the key of the outage, is ended there, and nothing comes after that.

    Unless the end was replaced: that may have arrived or not.
    """
    replaced = _replaced(rows)
    found = []
    for (channel, monitor, _outage), news in _by_outage(ledger):
        if news[-1][0] != "up":
            found.append(f"not ended: {channel} was notified that {monitor} is down from {news[-1][1]}")
        if any(meaning == "up" and (channel, id_) not in replaced for meaning, _at, id_ in news[:-1]):
            found.append(f"ended before its end: {channel} of {monitor}, the outage from {news[0][1]}")
    return found


def _replaced(rows: Rows) -> set[tuple[str, str]]:
    return {(row.channel, row.id) for row in rows.deliveries if row.note == _REPLACED}


def _by_outage(ledger: Ledger) -> Iterator[tuple[tuple[str, str, str], list[tuple[str, str, str]]]]:
    """Yield the news of each outage in order. Of an id that came again, the first time counts."""
    seen: set[tuple[str, str]] = set()
    outages: dict[tuple[str, str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for message in sorted(ledger.messages, key=lambda each: each.at):
        if (message.channel, message.id) not in seen:
            seen.add((message.channel, message.id))
            for news in message.news:
                key = message.channel, news.monitor, news.outage
                outages[key].append((news.meaning, news.started_at, message.id))
    yield from outages.items()


def figures(ledger: Ledger, rows: Rows) -> str:
    """Return how much was at stake, in one line."""
    answers = Counter(attempt.answer for attempt in ledger.attempts)
    causes = Counter(incident.cause for incident in rows.incidents)
    repeated = len(ledger.messages) - len({(each.channel, each.id) for each in ledger.messages})
    return (
        f"{len(ledger.attempts)} pushes ({_counts(answers)}), {len(rows.incidents)} incidents"
        f" ({_counts(causes)}), {len(rows.deliveries)} deliveries in {len(ledger.messages)} requests"
        f" ({repeated} repeated), {len(ledger.silences)} silences, {len(rows.gaps)} gaps"
    )


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common()) or "none"


def _name(incident: Incident) -> str:
    return f"{incident.cause} incident of {incident.monitor} from {iso(incident.started_at)}"


def _by_monitor(rows: Rows) -> Mapping[str, list[Incident]]:
    found: dict[str, list[Incident]] = defaultdict(list)
    for incident in rows.incidents:
        found[incident.monitor].append(incident)
    return found
