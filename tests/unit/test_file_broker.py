"""The folder that is a broker where there is no Redis."""

from __future__ import annotations

import threading
from queue import Empty

from kombu import Connection, Queue

from tianji import file_broker

MESSAGES = 300


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


def test_what_is_put_comes_out_in_its_order_and_leaves_nothing_behind(tmp_path):
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("hints")
        for number in range(3):
            queue.put({"number": number})
        assert sorted(queue.get(timeout=5).payload["number"] for _ in range(3)) == [0, 1, 2]
        queue.close()
    assert list((tmp_path / "messages").iterdir()) == []


def test_who_reads_while_others_write_finds_whole_messages(tmp_path):
    """A message that is there before it is written ends the worker that finds it."""
    read: list[int] = []

    def write() -> None:
        with connect(tmp_path) as connection, connection.channel() as channel:
            for number in range(MESSAGES):
                channel._put("hints", {"number": number, "padding": "x" * 2000})

    with connect(tmp_path) as connection:
        channel = connection.channel()
        Queue("hints", channel=channel).declare()
        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        while len(read) < 2 * MESSAGES and (
            any(writer.is_alive() for writer in writers) or list((tmp_path / "messages").iterdir())
        ):
            try:
                read.append(channel._get("hints")["number"])
            except Empty:
                continue
        for writer in writers:
            writer.join()
    assert sorted(read) == sorted([*range(MESSAGES), *range(MESSAGES)])
