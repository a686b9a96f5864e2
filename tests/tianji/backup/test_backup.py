"""`tianji backup` and `tianji restore`, on both kinds of database and between them."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import signal
import sqlite3
import stat
import threading
from datetime import UTC, datetime

import psycopg
import pytest

from tests.support.backups import Place, differing, fill, heartbeats, summary_of
from tests.support.product import wait_for

# Each starts several processes.
pytestmark = pytest.mark.slow

KINDS = ("sqlite", "postgresql")
ANOTHER_KEY = "0123456789-abcdefgh" * 3
# What tells a database's own rows apart: who is asked for what after an upgrade is asked at its time.
OF_NOW = ("notifications.belief",)


def other(kind: str) -> str:
    return KINDS[1 - KINDS.index(kind)]


def large_backup(source: Place) -> bytes:
    """A backup that doesn't fit into what a process reads before it begins."""
    fill(source)
    heartbeats(source, 100_000, monitor=monitor_of(source))
    return source.done("backup", "-")


def monitor_of(place: Place) -> int:
    return place.rows("SELECT max(id) FROM monitors_monitor")[0][0]


def test_100_000_heartbeats_are_the_same_on_sqlite_then_postgresql_then_sqlite(migrated, empty):
    first = migrated("sqlite")
    fill(first)
    heartbeats(first, 100_000, monitor=monitor_of(first))
    # A row id that was given is not given again, even if its row is gone.
    first.execute("DELETE FROM monitors_transition")
    given = first.rows("SELECT seq FROM sqlite_sequence WHERE name = 'monitors_transition'")
    backups = [first.data / "first.gz"]
    first.done("backup", str(backups[0]))
    for kind in ("postgresql", "sqlite"):
        place = empty(kind)
        place.done("restore", str(backups[-1]))
        backups.append(place.data / "next.gz")
        place.done("backup", str(backups[-1]))
        if kind == "postgresql":
            check_partitions(place)
    summaries = [summary_of(backup) for backup in backups]
    assert summaries[0].counts["monitors.heartbeat"] == 100_001
    assert summaries[0].counts["accounts.user_groups"] == 1
    assert differing(summaries[0], summaries[1]) == []
    assert differing(summaries[1], summaries[2]) == []
    assert [summary.header.database for summary in summaries] == ["sqlite", "postgresql", "sqlite"]
    assert place.rows("SELECT seq FROM sqlite_sequence WHERE name = 'monitors_transition'") == given
    assert "sessions.session" not in summaries[0].counts
    assert place.rows("SELECT count(*) FROM django_session") == [(0,)]


def check_partitions(place: Place) -> None:
    """Each day has a partition of its own, and those of the next days are there."""
    days = place.rows(
        "SELECT c.relname, count(*) FROM monitors_heartbeat h JOIN pg_class c ON c.oid = h.tableoid"
        " GROUP BY c.relname"
    )
    assert len(days) >= 30
    assert all(name.removeprefix("monitors_heartbeat_").isdigit() for name, _rows in days)
    code = "from monitors.services import partitions; print([partitions.fault()])"
    assert place.done("shell", "--no-imports", "-c", code).decode().strip() == "['']"
    place.execute("INSERT INTO auth_group (name) VALUES ('next')")
    assert place.rows("SELECT count(*) FROM auth_group") == [(2,)]
    place.execute("DELETE FROM auth_group WHERE name = 'next'")


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_of_the_first_release_is_restored_as_an_upgrade_would_have_left_it(kind, empty):
    old = empty(kind)
    fill(old, released=True)
    backup = old.data / "old.gz"
    old.done("backup", str(backup))
    assert summary_of(backup).header.migrations["monitors"] == "0002_postgresql_storage"
    old.done("migrate", "-v0")
    upgraded = summary_of(old.done("backup", "-"))
    for kind_of_new in KINDS:
        new = empty(kind_of_new)
        new.done("restore", str(backup))
        restored = summary_of(new.done("backup", "-"))
        assert restored.header.migrations == upgraded.header.migrations
        assert restored.counts | {"monitors.watermark": 0} == upgraded.counts
        assert differing(restored, upgraded, without=(*OF_NOW, "monitors.watermark")) == []
        # Again, after which it is as new as the other.
        new.done("migrate", "-v0")
        assert differing(restored, summary_of(new.done("backup", "-"))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_yet_to_be_migrated_is_backed_up_as_it_is(kind, empty):
    old = empty(kind)
    fill(old, released=True)
    header = summary_of(old.done("backup", "-")).header
    (channel,) = (table for table in header.tables if table.name == "notifications.channel")
    assert "burst" not in channel.columns
    assert "monitors.watermark" not in {table.name for table in header.tables}


# --- The file --------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it_and_nothing_else_is_left(migrated):
    place = migrated("sqlite")
    backup = place.data / "backup.gz"
    backup.write_bytes(b"of yesterday")
    backup.chmod(0o644)
    left = place.data / "backup.gz.part"
    left.write_bytes(b"x" * 1_000_000)
    left.chmod(0o666)
    place.done("backup", str(backup))
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert not left.exists()
    assert summary_of(backup).header.database == "sqlite"


def test_it_says_what_else_to_keep_and_where_that_is(migrated):
    place = migrated("sqlite")
    said = place.run("backup", "-").stderr.decode()
    assert "Also keep SECRET_KEY. Without it" in said
    (place.data / "secret-key").write_text(place.environment["SECRET_KEY"])
    assert f"which is in {place.data / 'secret-key'}" in place.run("backup", "-").stderr.decode()


def test_check_says_what_is_in_it_and_needs_no_database(migrated, empty):
    backup = migrated("sqlite").done("backup", "-")
    nowhere = empty("sqlite")
    said = nowhere.done("restore", "--check", "-", given=backup).decode()
    assert "The backup is whole" in said
    assert "SECRET_KEY fits" in said
    assert summary_of(backup).digests["auth.permission"] in said
    assert not nowhere.file.exists()
    said = nowhere.done("restore", "--check", "-", given=backup, SECRET_KEY=ANOTHER_KEY).decode()
    assert "SECRET_KEY does not fit" in said


@pytest.mark.parametrize("kind", KINDS)
def test_there_must_be_something_to_back_up(kind, empty):
    place = empty(kind)
    said = place.refused("backup", str(place.data / "backup.gz"))
    assert said.startswith(
        "CommandError: The" if kind == "postgresql" else "CommandError: There is no database"
    )
    assert said.endswith("No backup was made.")
    assert list(place.data.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(migrated):
    place = migrated("sqlite")
    assert "No such file or directory" in place.refused("backup", str(place.data / "no" / "backup.gz"))


def test_a_server_that_is_not_there_is_one_line(tmp_path):
    ended = Place(tmp_path, "postgresql://nobody@127.0.0.1:1/nothing").run("backup", "-")
    # After what the pool has logged.
    said = ended.stderr.decode().splitlines()[-1]
    assert said.startswith("CommandError: ")
    assert said.endswith("No backup was made.")
    assert b"Traceback" not in ended.stderr


def test_whoever_stops_reading_gets_no_traceback(migrated):
    place = migrated("sqlite")
    fill(place)
    heartbeats(place, 20_000, monitor=monitor_of(place))
    with place.start("backup", "-") as process:
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said == "CommandError: Whoever was to read the backup stopped reading. No backup was made.\n"


# --- What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_with_data_is_refused_and_stays_as_it_is(kind, migrated):
    place = migrated(kind)
    backup = place.done("backup", "-")
    fill(place)
    before = summary_of(place.done("backup", "-"))
    said = place.refused("restore", "-", given=backup)
    assert "The database has data (in accounts_" in said
    assert said.endswith("Nothing was restored.")
    assert differing(before, summary_of(place.done("backup", "-"))) == []
    assert place.leftovers() == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_was_prepared_and_never_used_is_empty(kind, migrated):
    source = migrated("sqlite")
    fill(source)
    place = migrated(kind)
    place.execute(
        "INSERT INTO accounts_setuplink (digest, created_at) VALUES ('d', '2026-11-27 00:00:00+00')",
        "INSERT INTO monitors_watermark (id, until, held) VALUES (1, '2026-11-27 00:00:00+00', false)",
    )
    backup = source.done("backup", "-")
    place.done("restore", "-", given=backup)
    assert differing(summary_of(backup), summary_of(place.done("backup", "-"))) == []
    assert place.leftovers() == []


def test_another_secret_key_is_refused_unless_that_is_wanted(migrated, empty):
    backup, place = migrated("sqlite").done("backup", "-"), empty("sqlite")
    said = place.refused("restore", "-", given=backup, SECRET_KEY=ANOTHER_KEY)
    assert said.startswith("CommandError: SECRET_KEY is not that of this backup")
    assert not place.file.exists()
    fallback = place.environment["SECRET_KEY"]
    place.done("restore", "-", given=backup, SECRET_KEY=ANOTHER_KEY, SECRET_KEY_FALLBACKS=fallback)
    place.file.unlink()
    place.done("restore", "--with-another-key", "-", given=backup, SECRET_KEY=ANOTHER_KEY)


def test_a_backup_of_a_later_version_names_the_version(migrated, empty):
    first, rest = gzip.decompress(migrated("sqlite").done("backup", "-")).split(b"\n", 1)
    header = json.loads(first)
    header["tianji"], header["migrations"]["monitors"] = "7.0.0", "0999_later"
    later = json.dumps(header).encode() + b"\n" + rest
    place = empty("sqlite")
    said = place.refused("restore", "-", given=later)
    assert "is of Tianji 7.0.0" in said
    assert "monitors 0999_later" in said
    assert not place.file.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_of_a_later_version_is_neither_backed_up_nor_replaced(kind, migrated):
    place = migrated(kind)
    backup = place.done("backup", "-")
    place.execute(
        "INSERT INTO django_migrations (app, name, applied)"
        " VALUES ('monitors', '0999_later', '2026-11-27 00:00:00+00')"
    )
    assert "monitors 0999_later" in place.refused("backup", "-")
    assert "monitors 0999_later" in place.refused("restore", "-", given=backup)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_sentence_and_changes_nothing(kind, migrated):
    source = migrated("sqlite")
    fill(source)
    backup = source.done("backup", "-")
    flipped = bytearray(gzip.decompress(backup))
    # In the middle of a row: still JSON, and a value that a column takes.
    flipped[flipped.index(b"192.0.2.7")] = ord("2")
    place = migrated(kind)
    before = summary_of(place.done("backup", "-"))
    for damaged, sentence in (
        (backup[: len(backup) // 2], "The backup is incomplete"),
        (bytes(flipped), "The backup is damaged"),
        (b"PGDMP" * 100, "This file is not a backup"),
    ):
        assert sentence in place.refused("restore", "-", given=damaged)
        assert place.leftovers() == []
    assert differing(before, summary_of(place.done("backup", "-"))) == []


def test_a_wrong_value_of_a_damaged_file_is_called_damage(migrated, empty):
    source = migrated("sqlite")
    fill(source)
    # Before the database refuses the value, nobody knows that it was changed.
    damaged = gzip.decompress(source.done("backup", "-")).replace(b'"192.0.2.7"', b'"192.0.2.x"')
    assert "The backup is damaged" in empty("postgresql").refused("restore", "-", given=damaged)


def test_a_product_that_runs_on_the_data_folder_is_not_replaced(migrated, empty):
    backup, place = migrated("sqlite").done("backup", "-"), empty("sqlite")
    with (place.data / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 7")
        lock.flush()
        assert "already running on the data folder" in place.refused("restore", "-", given=backup)


def test_an_open_file_is_not_replaced(migrated):
    place = migrated("sqlite")
    backup = place.done("backup", "-")
    with contextlib.closing(sqlite3.connect(place.file)) as user:
        user.execute("SELECT * FROM accounts_user").fetchall()
        assert "Stop its processes first" in place.refused("restore", "-", given=backup)


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_came_meanwhile_are_kept(kind, migrated):
    place = migrated(kind)
    backup = large_backup(migrated("sqlite"))
    with place.start("restore", "-") as process:
        process.stdin.write(backup[:-1000])
        process.stdin.flush()
        wait_for(place.leftovers, seconds=120)
        place.execute(
            "INSERT INTO accounts_workspace (public_id, name, language, timezone, created_at) VALUES"
            " ('0c7f2f0e6d7c4a539d3b0f7d1c3f6a10', 'new', 'en', 'UTC', '2026-11-27 00:00:00+00')"
        )
        _output, said = process.communicate(backup[-1000:])
    assert process.returncode == 1
    assert b"The database has data (in accounts_workspace)" in said
    assert place.rows("SELECT name FROM accounts_workspace") == [("new",)]
    assert place.leftovers() == []


def test_tables_that_are_in_use_are_not_replaced(migrated):
    place = migrated("postgresql")
    backup = place.done("backup", "-")
    with psycopg.connect(place.url) as user:
        user.execute("SELECT * FROM accounts_user")
        assert "Stop its processes first" in place.refused("restore", "-", given=backup)
    assert place.leftovers() == []


_WITH_TRIGGER = (
    (
        "CREATE FUNCTION of_this_test() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.name := '{name}'; RETURN NEW; END $$"
    ),
    "CREATE TRIGGER of_this_test BEFORE INSERT ON auth_group FOR EACH ROW EXECUTE FUNCTION of_this_test()",
)


def test_functions_and_triggers_take_their_place_with_the_tables(migrated):
    place = migrated("postgresql")
    place.execute(*(statement.format(name="old") for statement in _WITH_TRIGGER))
    statements = [statement.format(name="new") for statement in _WITH_TRIGGER]
    code = (
        "from django.core.management import call_command\n"
        "from django.db import connection\n"
        "from tianji.backup.aside import aside\n"
        "with aside() as put_in_place:\n"
        "    call_command('migrate', verbosity=0)\n"
        "    with connection.cursor() as cursor:\n"
        f"        [cursor.execute(statement) for statement in {statements}]\n"
        "    put_in_place()\n"
    )
    place.done("shell", "--no-imports", "-c", code)
    place.execute("INSERT INTO auth_group (name) VALUES ('given')")
    assert place.rows("SELECT name FROM auth_group") == [("new",)]
    assert place.leftovers() == []


def test_a_folder_or_device_is_not_replaced_by_a_backup(migrated):
    place = migrated("sqlite")
    for path in (place.data, "/dev/null"):
        assert "is not a file. Use - for standard output." in place.refused("backup", str(path))


# --- While others work -----------------------------------------------------------------------------


@contextlib.contextmanager
def writing(place: Place):
    """Write again and again, each time a heartbeat and how many there are in one transaction; yield that."""
    stop, written, failed = threading.Event(), [0], []

    def connected():
        if place.is_postgresql:
            return psycopg.connect(place.url)
        return sqlite3.connect(place.file, timeout=5, isolation_level="IMMEDIATE")

    mark = "%s" if place.is_postgresql else "?"

    def write():
        try:
            with contextlib.closing(connected()) as connection:
                while not stop.is_set():
                    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
                    connection.execute(
                        "INSERT INTO monitors_heartbeat"
                        " (workspace_id, monitor_id, received_at, status, message) SELECT workspace_id, id,"
                        f" {mark}, 'up', 'of the writer' FROM monitors_monitor WHERE id = 1",
                        [f"{now}+00" if place.is_postgresql else now],
                    )
                    connection.execute(
                        "UPDATE accounts_apikey SET name = 'n' || (CAST(substr(name, 2) AS int) + 1)"
                    )
                    connection.commit()
                    written[0] += 1
        except Exception as error:
            failed.append(error)

    place.execute("UPDATE accounts_apikey SET name = 'n0'")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join(30)
    assert failed == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_is_of_one_moment_and_pushes_go_on(kind, migrated, empty):
    source, target = migrated(kind), empty(kind)
    fill(source)
    heartbeats(source, 50_000, monitor=monitor_of(source))
    with writing(source) as written:
        wait_for(lambda: written[0] > 20, seconds=120)
        with source.start("backup", "-") as process:
            # It has begun, and cannot end, because what it writes doesn't fit into the pipe.
            backup = process.stdout.read(1)
            before = written[0]
            wait_for(lambda: written[0] > before + 100, seconds=120)
            backup += process.stdout.read()
            assert process.stderr.read().startswith(b"Backup of ")
        assert process.returncode == 0
        # Under load, into a fresh database beside it.
        target.done("restore", "-", given=backup)
        after = written[0]
        wait_for(lambda: written[0] > after, seconds=120)
        # And not into one that is used.
        assert "The database has data" in source.refused("restore", "-", given=backup)
    ((name,),) = target.rows("SELECT name FROM accounts_apikey")
    ((count,),) = target.rows("SELECT count(*) FROM monitors_heartbeat WHERE message = 'of the writer'")
    assert name == f"n{count}"
    assert count >= 20
    assert summary_of(backup).counts["monitors.heartbeat"] == 50_001 + count


# --- Killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_that_is_killed_leaves_nothing_half_done(kind, migrated):
    backup = large_backup(migrated("sqlite"))
    place = migrated(kind)
    before = summary_of(place.done("backup", "-"))
    with place.start("restore", "-") as process:
        # It has read all but the end, and waits for that.
        process.stdin.write(backup[:-1000])
        process.stdin.flush()
        wait_for(place.leftovers, seconds=120)
        process.kill()
        process.communicate()
    assert place.leftovers()
    assert differing(before, summary_of(place.done("backup", "-"))) == []
    place.done("restore", "-", given=backup)
    assert place.leftovers() == []
    assert differing(summary_of(backup), summary_of(place.done("backup", "-"))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_that_is_killed_leaves_the_one_before(kind, migrated):
    place = migrated(kind)
    fill(place)
    path = place.data / "backup.gz"
    place.done("backup", str(path))
    before = path.read_bytes()
    heartbeats(place, 100_000, monitor=monitor_of(place))
    part = place.data / "backup.gz.part"
    with place.start("backup", str(path)) as process:
        wait_for(lambda: part.exists() and part.stat().st_size > 0, seconds=120, every=0.01)
        # In the middle, for as long as it takes the other one to notice.
        process.send_signal(signal.SIGSTOP)
        assert "Another backup is being written" in place.refused("backup", str(path))
        process.kill()
        process.communicate()
    assert path.read_bytes() == before
    place.done("backup", str(path))
    assert summary_of(path).counts["monitors.heartbeat"] == 100_001
    assert not part.exists()


# --- Afterwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_since_the_backup_is_a_gap_and_nothing_goes_down(kind, migrated, empty):
    source, place = migrated(kind), empty(kind)
    fill(source)
    stale = "2026-11-20 00:00:00+00" if source.is_postgresql else "2026-11-20 00:00:00"
    source.execute(
        f"UPDATE monitors_watermark SET until = '{stale}', held = false",
        f"UPDATE monitors_monitorstate SET status = 'up', last_heartbeat_at = '{stale}',"
        f" due_at = '{stale.replace('00:00:00', '00:01:00')}', excused_until = NULL",
    )
    place.done("restore", "-", given=source.done("backup", "-"))
    code = (
        "from monitors.heartbeats import listening, missed; from monitors import models;"
        "before = missed.declare_missed(); listening.Listener(tolerated=0.5).look(); missed.declare_missed();"
        "gap = models.Gap.objects.latest('pk'); state = models.MonitorState.objects.get();"
        "down = models.Incident.objects.filter(resolved_at=None);"
        "print(before.missed, down.count(), gap.started_at.date(),"
        " state.excused_until == gap.ended_at)"
    )
    assert place.done("shell", "--no-imports", "-c", code).decode().split() == [
        "0",
        "0",
        "2026-11-20",
        "True",
    ]
