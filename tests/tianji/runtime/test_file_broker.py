"""The folder that is a broker where there is no Redis."""

from __future__ import annotations

import os
from queue import Empty

import pytest
from kombu import Connection

from tianji.runtime import file_broker


def connect(folder) -> Connection:
    file_broker.register()
    for name in ("messages", "control", "processed"):
        (folder / name).mkdir(exist_ok=True)
    options = {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "processed_folder": str(folder / "processed"),
    }
    return Connection(f"{file_broker.SCHEME}://", transport_options=options)


def test_what_is_put_comes_out_and_leaves_nothing_behind(tmp_path):
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("hints")
        for number in range(3):
            queue.put({"number": number})
        found = [queue.get(timeout=5) for _ in range(3)]
        assert sorted(message.payload["number"] for message in found) == [0, 1, 2]
        for message in found:
            message.ack()
        queue.close()
    assert list((tmp_path / "messages").iterdir()) == []


def test_an_unfinished_message_is_not_read(tmp_path):
    """Who takes it then reads nothing, and a worker ends of that."""
    found = []

    class Unwritten:
        def __json__(self):
            found.extend((tmp_path / "messages").iterdir())
            return "written"

    with connect(tmp_path) as connection, connection.channel() as channel:
        channel._put("hints", {"what": Unwritten()})
        assert found == []
        assert channel._get("hints") == {"what": "written"}


def test_a_folder_in_which_nothing_has_changed_is_not_listed_again(tmp_path, monkeypatch):
    with connect(tmp_path) as connection, connection.channel() as channel:
        os.utime(tmp_path / "messages", (1_000_000_000, 1_000_000_000))
        with pytest.raises(Empty):
            channel._get("hints")
        monkeypatch.setattr(os, "listdir", pytest.fail)
        with pytest.raises(Empty):
            channel._get("hints")


def test_a_message_is_found_however_soon_after_a_look_it_is_put(tmp_path):
    with connect(tmp_path) as connection, connection.channel() as channel, connection.channel() as other:
        for number in range(200):
            with pytest.raises(Empty):
                channel._get("hints")
            other._put("hints", number)
            assert channel._get("hints") == number
