"""The log as one timeline: what is in it, in which order, and what is one row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import AuditEntry
from core.clock import database_now
from monitors.heartbeats import missed
from monitors.models import Gap, Heartbeat, Monitor, Transition
from monitors.pages.log import feed
from monitors.pages.log.entries import BadCursor, Cursor, Filter, Kind
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from notifications.dispatch import send
from notifications.models import Delivery
from tests.support.factories import make_channel, make_monitor, make_user
from tests.support.heartbeats import let_pass, push
from tests.support.sinks import HttpSink

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60, grace=6)


def rows_of(monitor, **criteria):
    criteria.setdefault("kinds", (Kind.HEARTBEATS, Kind.STATUS, Kind.MESSAGES))
    return feed.page(monitor, Filter(**criteria)).rows


def texts_of(monitor, **criteria):
    return [(row.word, row.text) for row in rows_of(monitor, **criteria)]


def heartbeats(monitor, number, *, each=1):
    """So many heartbeats, `each` of them at one instant."""
    now = database_now()
    Heartbeat.objects.bulk_create(
        Heartbeat(
            monitor=monitor,
            received_at=now - timedelta(seconds=n // each),
            status="up",
            message=f"entry-{n:03}",
        )
        for n in range(number)
    )


def fall_silent(monitor):
    """Its last heartbeat is long ago, and the sweep has seen it."""
    push(monitor, message="batch 881 done")
    let_pass(monitor, seconds=70)
    missed.declare_missed()


# --- What it says --------------------------------------------------------------------------------


def test_a_missed_deadline_says_for_how_long_nothing_came_and_the_last_message(monitor):
    fall_silent(monitor)
    row, *_older = rows_of(monitor)
    assert (row.word, row.tone) == ("missed", "down")
    assert row.text == "No heartbeat for 66 s · last message “batch 881 done”"


def test_a_recovery_shows_its_duration_message_and_notified_channels(monitor, workspace):
    push(monitor)
    with HttpSink() as sink:
        for name in ("Ops Slack", "on-call"):
            make_channel(workspace=workspace, name=name, config={"url": sink.url})
        push(monitor, up=False)
        send.deliver_due()
        let_pass(monitor, minutes=19)
        push(monitor, message="fixed")
        send.deliver_due()
    row, *_older = rows_of(monitor)
    assert (row.word, row.tone) == ("recovered", "up")
    assert row.text == "Recovered after 19 min · “fixed” · notified Ops Slack, on-call"


def test_a_reported_fault_is_one_row_with_the_value_and_address_of_its_heartbeat(monitor):
    push(monitor)
    push(monitor, up=False, message="disk full", value=97.5, source="192.0.2.7")
    row, *older = rows_of(monitor)
    assert (row.word, row.text, row.value) == ("down", "Reported down: “disk full”", 97.5)
    assert [(fact.label, fact.text) for fact in row.facts] == [("From", "192.0.2.7")]
    assert "disk full" not in [one.text for one in older]


def test_of_messages_it_says_which_are_on_their_way_and_which_were_given_up(monitor, workspace):
    for name in ("Mail", "Pager", "Slack"):
        make_channel(workspace=workspace, name=name)
    push(monitor, up=False, message="Reported down")
    send.deliver_due()
    deliveries = Delivery.objects.filter(channel__name="Pager")
    deliveries.update(status=Delivery.Status.FAILED, next_attempt_at=None)
    Delivery.objects.filter(channel__name="Mail").update(
        status=Delivery.Status.SENT, next_attempt_at=None, sent_at=database_now()
    )
    (row,) = rows_of(monitor, kinds=(Kind.STATUS, Kind.MESSAGES))
    assert row.text == "Reported down · notified Mail · sending to Slack · not delivered to Pager"


def test_a_late_push_leaves_both_the_silence_and_the_recovery(monitor):
    push(monitor)
    let_pass(monitor, seconds=80)
    push(monitor, message="sorry")
    assert texts_of(monitor)[:2] == [
        ("recovered", "Recovered after 14 s · “sorry”"),
        ("missed", "No heartbeat for 66 s · last message “OK”"),
    ]


def test_pausing_says_who_did_it_in_one_row(monitor, workspace):
    user = make_user(workspace=workspace, email="ada@example.com")
    monitor_service.pause(monitor=monitor, by=Actor(user, via=AuditEntry.Via.BROWSER))
    row, *older = feed.page(monitor, Filter()).rows
    assert row.word == "paused"
    assert row.text.endswith("no alerts are sent · by ada@example.com")
    assert "paused" not in [one.word for one in older]


def test_the_settings_and_tokens_changed_are_in_words(monitor):
    monitor_service.edit(monitor=monitor, timeout=90)
    tokens.issue(monitor=monitor, label="host-b")
    texts = [text for _word, text in texts_of(monitor, kinds=(Kind.CHANGES,))]
    assert texts[0].startswith("Created the push token tjp_")
    assert texts[1] == "Changed: timeout"
    assert texts[-1] == "Created the monitor"


def test_other_monitors_are_not_in_it(monitor, workspace):
    other = make_monitor(workspace=workspace)
    push(other, up=False)
    assert texts_of(monitor) == []


# --- What is one row -----------------------------------------------------------------------------


def test_nothing_is_lost_where_rows_are_taken_together(monitor, workspace):
    make_channel(workspace=workspace)
    for _ in range(3):
        fall_silent(monitor)
        push(monitor, message="back")
        push(monitor, up=False, message="broken")

    def counted(rows):
        return sum(1 + counted(row.with_) for row in rows)

    separately = list(feed.entries(monitor, Filter()))
    page = feed.page(monitor, Filter(), size=1000)
    assert len(page.rows) < len(separately) == counted(page.rows)
    assert len(separately) == (
        Heartbeat.objects.count()
        + Transition.objects.count()
        + Delivery.objects.count()
        + AuditEntry.objects.filter(subject=monitor.public_id).count()
    )


def test_a_heartbeat_of_the_same_moment_with_another_message_stays(monitor):
    push(monitor)
    push(monitor, up=False, message="broken")
    fallen = Heartbeat.objects.get(status="down")
    # Two of one batch: the second changed nothing.
    Heartbeat.objects.create(monitor=monitor, received_at=fallen.received_at, status="down", message="more")
    assert [text for _word, text in texts_of(monitor)][:3] == ["Reported down: “broken”", "more", "broken"]


def test_a_delivery_filtered_alone_is_a_row_of_its_own(monitor, workspace):
    make_channel(workspace=workspace, name="Ops")
    push(monitor, up=False)
    send.deliver_due()
    assert texts_of(monitor, kinds=(Kind.MESSAGES,)) == [("pending", "Sending to Ops")]


def test_a_notification_that_was_skipped_says_why(monitor, workspace):
    make_channel(workspace=workspace, name="Ops", delay=600)
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    (row,) = rows_of(monitor, kinds=(Kind.MESSAGES,))
    assert (row.word, row.text, row.notified) == ("skipped", "Ops", ())
    assert [(fact.label, fact.text) for fact in row.facts] == [
        ("Ops", "Down: Skipped, 0 attempts"),
        ("Reason", "Recovered before it was sent"),
    ]


def test_channels_notified_a_while_apart_are_rows_of_their_own(monitor, workspace):
    for name in ("Ops", "Pager"):
        make_channel(workspace=workspace, name=name)
    push(monitor, up=False)
    send.deliver_due()
    assert len(rows_of(monitor, kinds=(Kind.MESSAGES,))) == 1
    Delivery.objects.filter(channel__name="Ops").update(created_at=F("created_at") - timedelta(minutes=1))
    assert len(rows_of(monitor, kinds=(Kind.MESSAGES,))) == 2


# --- Filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_a_filter_by_kind_lets_only_that_through(monitor, workspace, kind):
    make_channel(workspace=workspace)
    push(monitor, up=False)
    send.deliver_due()
    gap(database_now() - timedelta(hours=1), database_now())
    rows = feed.page(monitor, Filter(kinds=(kind,))).rows
    assert {row.kind for row in rows} == {kind}


def test_a_filter_by_status_leaves_out_what_has_none(monitor, workspace):
    make_channel(workspace=workspace)
    push(monitor)
    push(monitor, up=False)
    send.deliver_due()
    kinds = {entry.code.partition(" ")[0] for entry in feed.entries(monitor, Filter(status="down"))}
    assert kinds == {"down", "incident.opened"}


def test_text_is_found_in_messages_whatever_its_case(monitor):
    push(monitor, message="Disk is fine")
    push(monitor, message="all well")
    assert [row.text for row in rows_of(monitor, text="DISK", kinds=(Kind.HEARTBEATS,))] == ["Disk is fine"]


def test_a_change_of_status_is_found_by_its_message(monitor):
    push(monitor)
    push(monitor, up=False, message="disk full")
    push(monitor, message="room again")
    assert [row.code for row in rows_of(monitor, text="disk", kinds=(Kind.STATUS,))] == ["down"]
    assert [row.code for row in rows_of(monitor, text="room", kinds=(Kind.STATUS,))] == ["resolved"]


def test_people_and_channels_are_found_by_name(monitor, workspace):
    make_channel(workspace=workspace, name="Ops Slack")
    make_channel(workspace=workspace, name="Mail")
    push(monitor, up=False)
    send.deliver_due()
    assert len(rows_of(monitor, text="slack", kinds=(Kind.MESSAGES,))[0].notified) == 1
    assert rows_of(monitor, text="command", kinds=(Kind.CHANGES,))


def test_a_range_of_time_includes_its_start_and_not_its_end(monitor):
    heartbeats(monitor, 4)
    newest, second, third, _oldest = rows_of(monitor)
    assert rows_of(monitor, start=third.at, end=newest.at) == [second, third]


# --- Pages ---------------------------------------------------------------------------------------


def walk(monitor, *, size, between=lambda: None):
    before, seen = None, []
    while True:
        page = feed.page(monitor, Filter(), before=before, size=size)
        seen += page.rows
        if not page.more:
            return seen
        before = Cursor.read(page.more)
        between()


def everything_in(rows):
    return [one.id for row in rows for one in (row, *everything_below(row))]


def everything_below(row):
    return [one for part in row.with_ for one in (part, *everything_below(part))]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_each_entry_is_on_exactly_one_page_also_at_equal_times(monitor, workspace, size):
    make_channel(workspace=workspace)
    make_channel(workspace=workspace)
    for n in range(4):
        push(monitor, message=f"up {n}")
        push(monitor, up=False, message=f"down {n}")
        send.deliver_due()
    # All in one moment: only kinds and row ids tell them apart.
    now = database_now()
    Heartbeat.objects.update(received_at=now)
    Transition.objects.update(at=now)
    Delivery.objects.update(created_at=now)
    AuditEntry.objects.update(at=now)
    Gap.objects.bulk_create(Gap(started_at=now - timedelta(hours=1), ended_at=now) for _ in range(3))
    wanted = {entry.id for entry in feed.entries(monitor, Filter())}
    seen = everything_in(walk(monitor, size=size))
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted


def test_what_comes_meanwhile_shifts_no_page(monitor):
    heartbeats(monitor, 90, each=3)
    seen = [row.text for row in walk(monitor, size=20, between=lambda: push(monitor, message="new"))]
    assert [text for text in seen if text.startswith("entry")] == [
        f"entry-{n:03}" for n in sorted(range(90), key=lambda n: (n // 3, -n))
    ]


def test_a_page_asks_once_for_each_kind(monitor, workspace, django_assert_num_queries):
    make_channel(workspace=workspace)
    for _ in range(5):
        push(monitor)
        push(monitor, up=False)
    now = database_now()
    with django_assert_num_queries(5):
        feed.newest(monitor, now=now)


def test_entries_are_read_in_chunks_and_all_of_them(monitor, monkeypatch):
    monkeypatch.setattr(feed, "CHUNK", 7)
    heartbeats(monitor, 50, each=3)
    assert len(list(feed.entries(monitor, Filter(kinds=(Kind.HEARTBEATS,))))) == 50


@pytest.mark.parametrize(
    "text", ["", "x", "1-", "1-x1", "fffffffffffffff-h1", "1-h1-1", "1-hfffffffffffffffff"]
)
def test_a_cursor_of_somebody_else_is_refused(text):
    with pytest.raises(BadCursor):
        Cursor.read(text)


def test_a_cursor_reads_back_what_it_says():
    cursor = Cursor(database_now(), Kind.MESSAGES, 4711)
    assert Cursor.read(str(cursor)) == cursor


def test_the_version_changes_with_what_is_shown(monitor, workspace):
    make_channel(workspace=workspace)
    push(monitor, up=False)
    send.deliver_due()
    before = feed.version(feed.page(monitor, Filter()))
    assert feed.version(feed.page(monitor, Filter())) == before
    Delivery.objects.update(status=Delivery.Status.SENT, next_attempt_at=None)
    assert feed.version(feed.page(monitor, Filter())) != before


# --- Gaps ----------------------------------------------------------------------------------------


def gap(start, end, *, clock_step=None):
    return Gap.objects.create(started_at=start, ended_at=end, clock_step=clock_step)


def gaps_of(monitor, **asked):
    return [(row.word, row.text) for row in rows_of(monitor, kinds=(Kind.GAPS,), **asked)]


@pytest.fixture
def old_monitor(monitor):
    Monitor.objects.filter(pk=monitor.pk).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    monitor.refresh_from_db()
    return monitor


def test_a_gap_says_what_happened_and_what_follows(old_monitor):
    gap(datetime(2026, 3, 1, 14, 0, 5, 900_000, tzinfo=UTC), datetime(2026, 3, 1, 14, 32, 10, 9, tzinfo=UTC))
    what = "Tianji was not listening from 14:00:05 to 14:32:10 (32 min 5 s)."
    assert gaps_of(old_monitor) == [("gap", f"{what} Silence in that time does not count.")]


def test_a_gap_over_midnight_names_the_day_before(old_monitor):
    gap(datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    ((_word, text),) = gaps_of(old_monitor)
    assert "from 1 Mar, 23:59:50 to 00:00:00 (10 s)" in text


@pytest.mark.parametrize(
    ("step", "what", "follows"),
    [
        (3600, "set forward by 1 h", "Silence in the skipped time does not count."),
        (-90, "set back by 90 s", "Silence counts from then on, by the new time."),
    ],
)
def test_a_clock_that_was_set_says_how_far_and_what_follows(old_monitor, step, what, follows):
    start = datetime(2026, 3, 1, 14, tzinfo=UTC)
    gap(start, start + timedelta(seconds=max(step, 0)), clock_step=step)
    text = f"The database's clock was {what} at 14:00:00. {follows}"
    assert gaps_of(old_monitor) == [("clock", text)]


def test_a_gap_is_told_in_the_readers_zone(old_monitor):
    start = datetime(2026, 3, 1, 14, tzinfo=UTC)
    gap(start, start + timedelta(minutes=2))
    with timezone.override("Asia/Jakarta"):
        ((_word, text),) = gaps_of(old_monitor)
    assert "from 21:00:00 to 21:02:00 (2 min)" in text


def test_a_gap_before_the_monitor_existed_is_not_in_its_log(monitor):
    now = database_now()
    gap(monitor.created_at - timedelta(hours=2), monitor.created_at - timedelta(hours=1))
    assert gaps_of(monitor) == []
    gap(monitor.created_at - timedelta(hours=2), now)
    assert len(gaps_of(monitor)) == 1


@pytest.mark.parametrize("asked", [{"status": "up"}, {"text": "listening"}, {"incident": uuid4()}])
def test_a_gap_has_no_status_no_text_and_no_incident(monitor, asked):
    now = database_now()
    gap(now - timedelta(hours=1), now)
    assert gaps_of(monitor, **asked) == []


def test_gaps_are_chosen_by_when_they_ended(old_monitor):
    start = datetime(2026, 3, 1, 14, tzinfo=UTC)
    gap(start, start + timedelta(hours=1))
    half = start + timedelta(minutes=30)
    assert len(gaps_of(old_monitor, start=half)) == 1
    assert gaps_of(old_monitor, end=half) == []
