"""The file of a backup: what is read is what was written, or the reader says so."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import uuid

import pytest

from tianji.backup.errors import BackupError, Damaged
from tianji.backup.format import FORMAT, VERSION, Header, Reader, Table, Writer

NOW = datetime.datetime(2026, 11, 27, 2, 35, 4, 123456, tzinfo=datetime.UTC)
PEOPLE, PUSHES = Table("accounts.user", ("id", "email")), Table("monitors.heartbeat", ("id", "at", "value"))
HEADER = Header("0.1.0", "sqlite", NOW, "sealed", {"accounts": "0001_initial"}, (PEOPLE, PUSHES))
ROWS = [[number, NOW + datetime.timedelta(seconds=number), number / 7] for number in range(2_000)]


def written(header: Header = HEADER, people=((1, "anna@example.com"),), pushes=ROWS) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, header)
    writer.table(PEOPLE, people, sequence=7)
    writer.table(PUSHES, pushes, sequence=None)
    writer.finish()
    return file.getvalue()


def read(file: bytes) -> dict[str, list[list[object]]]:
    reader = Reader(io.BufferedReader(io.BytesIO(file)))
    return {contents.table.name: list(contents.rows) for contents in reader.tables()}


def lines_of(file: bytes) -> list[bytes]:
    return gzip.decompress(file).splitlines(keepends=True)


def test_what_was_written_is_read():
    found = read(written())
    assert found["accounts.user"] == [[1, "anna@example.com"]]
    assert found["monitors.heartbeat"][1] == [1, "2026-11-27T02:35:05.123456+00:00", 1 / 7]
    assert len(found["monitors.heartbeat"]) == len(ROWS)


def test_the_header_says_what_it_is_of():
    assert Reader(io.BufferedReader(io.BytesIO(written()))).header == HEADER


def test_it_may_be_decompressed_by_hand():
    assert read(gzip.decompress(written())) == read(written())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (-0.1, -0.1),
        (2**63 - 1, 2**63 - 1),
        ("é \u2028 \x07 🐌", "é \u2028 \x07 🐌"),
        (NOW.replace(microsecond=0), "2026-11-27T02:35:04.000000+00:00"),
        (
            NOW.astimezone(datetime.timezone(datetime.timedelta(hours=7))),
            "2026-11-27T02:35:04.123456+00:00",
        ),
        (NOW.date(), "2026-11-27"),
        (NOW.time(), "02:35:04.123456"),
        (datetime.timedelta(days=1, seconds=2), "P1DT00H00M02S"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (memoryview(b"\x00\xff"), "AP8="),
        ({"b": [1, None], "a": "é"}, {"a": "é", "b": [1, None]}),
    ],
)
def test_each_kind_of_value_is_written_in_one_way(value, expected):
    assert read(written(people=[[1, value]]))["accounts.user"] == [[1, expected]]


def test_the_digest_of_a_table_does_not_depend_on_the_order_of_keys():
    def digests(value):
        return Reader(io.BufferedReader(io.BytesIO(written(people=[[1, value]])))).check().digests

    assert digests({"a": 1, "b": 2}) == digests({"b": 2, "a": 1})
    assert digests({"a": 1, "b": 2}) != digests({"a": 2, "b": 1})


def test_the_last_row_id_that_was_given_comes_with_a_table():
    reader = Reader(io.BufferedReader(io.BytesIO(written())))
    sequences = {}
    for contents in reader.tables():
        list(contents.rows)
        sequences[contents.table.name] = contents.sequence
    assert sequences == {"accounts.user": 7, "monitors.heartbeat": None}


# --- What it is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", [b"", b"PGDMP\x01", b"\xff\xd8\xff\xe0" * 90, b"{}\n", b"[]\n", b"[" * 100_000 + b"\n"]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_another_file_is_not_a_backup(file, zipped):
    with pytest.raises(BackupError):
        read(gzip.compress(file) if zipped else file)


def test_wherever_it_ends_too_early_it_is_incomplete():
    whole = written()
    for end in [*range(12), *range(12, len(whole), 997), len(whole) - 1]:
        with pytest.raises(BackupError):
            read(whole[:end])


def test_whichever_line_is_missing_it_is_damaged():
    lines = lines_of(written(pushes=ROWS[:5]))
    for missing in range(1, len(lines)):
        with pytest.raises(Damaged):
            read(b"".join(lines[:missing] + lines[missing + 1 :]))


def test_whichever_bit_is_flipped_it_is_damaged():
    whole = written(pushes=ROWS[:50])
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        try:
            found = read(bytes(flipped))
        except BackupError:
            continue
        # What gzip ignores about itself, such as when it compressed.
        assert place < 10
        assert found == read(whole)


def test_whichever_bit_is_flipped_after_decompressing_it_is_damaged():
    whole = b"".join(lines_of(written(pushes=ROWS[:20])))
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(BackupError):
            read(bytes(flipped))


def test_what_follows_the_end_is_damage():
    with pytest.raises(Damaged):
        read(gzip.decompress(written()) + b"{}\n")


def test_rows_in_another_table_are_damage():
    lines = lines_of(written(pushes=ROWS[:5]))
    lines[2], lines[6] = lines[6], lines[2]
    with pytest.raises(Damaged):
        read(b"".join(lines))


def test_a_later_format_names_the_version_that_reads_it():
    first, *others = lines_of(written())
    later = json.loads(first) | {"version": VERSION + 1, "tianji": "7.0.0"}
    with pytest.raises(BackupError, match=r"with Tianji 7\.0\.0 or newer"):
        read(json.dumps(later).encode() + b"\n" + b"".join(others))
    assert later["format"] == FORMAT


def test_what_is_left_is_checked_whatever_it_is():
    whole = lines_of(written())
    reader = Reader(io.BufferedReader(io.BytesIO(b"".join(whole))))
    reader.check_the_rest()
    reader = Reader(
        io.BufferedReader(io.BytesIO(b"".join([*whole[:9], whole[9].replace(b"1", b"2"), *whole[10:]])))
    )
    with pytest.raises(Damaged):
        reader.check_the_rest()
