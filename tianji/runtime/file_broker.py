"""A folder as Celery's broker, for a single machine without Redis."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

SCHEME = "tianji-files"

# File systems note when a folder changed by a clock that moves every few milliseconds: a change that soon
# after another may not show.
_UNSURE_NS = 100_000_000


class Channel(filesystem.Channel):
    """Kombu's channel, but with messages that appear complete or not at all, and cheaper to wait for.

    Kombu's file exists before it is written. A worker that takes it too early reads nothing, and exits. And
    it lists the folder ten times a second for each queue.
    """

    # When the folder last changed, for each queue that was empty since.
    _empty_since: dict[str, int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._empty_since = {}

    def _get(self, queue: str) -> Any:  # type: ignore[override]
        changed = os.stat(self.data_folder_in).st_mtime_ns
        if self._empty_since.get(queue) == changed:
            raise Empty
        sure = time.time_ns() - changed > _UNSURE_NS
        try:
            return super()._get(queue)
        except Empty:
            if sure:
                self._empty_since[queue] = changed
            raise

    # Kombu's own classes disagree about the parameters.
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        # Sorted by name, the oldest message comes first.
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        unfinished = folder / f".{name}.new"
        try:
            unfinished.write_bytes(str_to_bytes(dumps(payload)))
            os.replace(unfinished, folder / name)
        except OSError as error:
            raise ChannelError(f"Cannot add a message to {folder}: {error}") from error


class Transport(filesystem.Transport):
    Channel = Channel


def register() -> None:
    """Make `broker_url = "tianji-files://"` use this transport."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
